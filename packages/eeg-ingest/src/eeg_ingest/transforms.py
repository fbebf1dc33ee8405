"""The FFTs: ducc0's where it is installed (the extra `fast`), else SciPy's.

Both are the same algorithm. ducc0 uses all of a processor's vector width and writes into memory that it is given; SciPy
is built for four numbers at once. They agree to float32's rounding.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Spectrum = npt.NDArray[Any]
Signal = npt.NDArray[Any]


class Transforms(Protocol):
    """Real FFTs of up to `rows` channels (C, n_in), and back to (C, n_out) samples.

    What they return is overwritten by the next call.
    """

    rows: int

    def fitting(self, n_channels: int) -> int:
        """Return how many rows to transform for so many channels: some more may take less time."""
        ...

    def forward(self, signal: Signal) -> Spectrum:
        """Return the bins (C, n_in // 2 + 1)."""
        ...

    def backward(self, spectrum: Spectrum) -> Signal:
        """Return samples (C, n_out) from n_out // 2 + 1 bins or fewer; the bins may be overwritten."""
        ...


def transforms(n_in: int, n_out: int) -> Transforms:
    """Return the faster ones that are installed."""
    return DuccTransforms(n_in, n_out) if find_spec("ducc0") else SciPyTransforms(n_in, n_out)


def rfft(signal: Signal) -> Spectrum:
    """Return the bins (..., n // 2 + 1) of real FFTs along the last axis of (..., n) samples, in their precision."""
    if find_spec("ducc0"):
        from ducc0 import fft  # noqa: PLC0415  # not everybody has it

        return np.asarray(fft.r2c(signal, axes=(signal.ndim - 1,)))
    import scipy.fft  # noqa: PLC0415  # takes a while to import, and ducc0 spares it

    return np.asarray(scipy.fft.rfft(signal, workers=1))


class SciPyTransforms:
    """SciPy's."""

    rows = 4

    def __init__(self, n_in: int, n_out: int) -> None:  # noqa: ARG002  # as the other
        self._n_out = n_out

    def fitting(self, n_channels: int) -> int:
        """See `Transforms`."""
        return n_channels if n_channels == 1 else self.rows

    def forward(self, signal: Signal) -> Spectrum:
        """See `Transforms`."""
        import scipy.fft  # noqa: PLC0415  # takes a while to import, and ducc0 spares it

        return np.asarray(scipy.fft.rfft(signal, workers=1))

    def backward(self, spectrum: Spectrum) -> Signal:
        """See `Transforms`."""
        import scipy.fft  # noqa: PLC0415

        return np.asarray(scipy.fft.irfft(spectrum, self._n_out, overwrite_x=True, workers=1))


class DuccTransforms:
    """ducc0's (Reinecke), into memory of its own."""

    rows = 8

    def __init__(self, n_in: int, n_out: int) -> None:
        self._spectrum = np.zeros((self.rows, n_in // 2 + 1), np.complex64)
        self._signal = np.empty((self.rows, n_out), np.float32)

    def fitting(self, n_channels: int) -> int:
        """See `Transforms`."""
        return n_channels if n_channels <= 2 else 4 if n_channels <= 4 else self.rows

    def forward(self, signal: Signal) -> Spectrum:
        """See `Transforms`."""
        from ducc0 import fft  # noqa: PLC0415  # not everybody has it

        out = self._spectrum[: len(signal)] if signal.dtype == np.float32 else None
        return np.asarray(fft.r2c(signal, axes=(1,), out=out))

    def backward(self, spectrum: Spectrum) -> Signal:
        """See `Transforms`."""
        from ducc0 import fft  # noqa: PLC0415

        n_out = self._signal.shape[1]
        if missing := n_out // 2 + 1 - spectrum.shape[1]:
            spectrum = np.pad(spectrum, ((0, 0), (0, missing)))
        out = self._signal[: len(spectrum)] if spectrum.dtype == np.complex64 else None
        return np.asarray(fft.c2r(spectrum, axes=(1,), lastsize=n_out, forward=False, inorm=2, out=out))
