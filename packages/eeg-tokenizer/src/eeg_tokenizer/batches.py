"""Batches: sets of patches with coordinates, so that one batch mixes montages and lengths.

Shapes: B batch, N patches, C channels, A seconds, S samples of a patch (200).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PATCH_SAMPLES = 200  # one second at 200 Hz
MODEL_UNIT_UV = 100.0  # the paper feeds 0.1 mV, so that values lie about in -1..1 (section 1.3)
MAX_PATCHES = 256  # the paper's longest sequence: 64 channels of 4 s, 32 of 8 s
MAX_SECONDS = 16  # learned embeddings of the second in the window
NO_CODE = -1


@dataclass(frozen=True)
class Batch:
    """Windows of different montages, padded to the longest.

    A window's patches are channel-major: patch n = c * A + a. Padding comes last, with patches 0, channel 0,
    time 0, valid False.

    Attributes:
        patches: (B, N, S) float32, in units of 100 µV.
        channel: (B, N) int64, the channel's slot in the vocabulary, 1..128.
        time: (B, N) int64, the second in the window, 0..15.
        valid: (B, N) bool, False at padding.
        window: (B,) int64, the index of each window among those that the batch was drawn from.
        codes: (B, N) int64, one code per patch and -1 where there is none; None when no codes were asked for.
    """

    patches: Tensor
    channel: Tensor
    time: Tensor
    valid: Tensor
    window: Tensor
    codes: Tensor | None = None

    def __len__(self) -> int:
        return int(self.window.shape[0])

    @property
    def n_patches(self) -> int:
        """Patches of all windows, without padding."""
        return int(self.valid.sum())

    @property
    def n_places(self) -> int:
        """Patches with the padding, B * N."""
        return self.valid.numel()

    def to(self, device: torch.device | str) -> Batch:
        """Return the same batch on `device`; from pinned memory the copy does not wait."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Return the same batch in page-locked memory, from which a GPU copies on its own."""
        return self._each(Tensor.pin_memory)

    def split(self, n: int) -> list[Batch]:
        """Return the windows in `n` parts of nearly equal numbers, in order, each padded to its own longest only."""
        sizes = [len(part) for part in np.array_split(np.arange(len(self)), n) if len(part)]
        if len(sizes) == 1:
            return [self]
        lengths = self.valid.sum(1)
        first, parts = 0, []
        for size in sizes:
            rows, longest = slice(first, first + size), int(lengths[first : first + size].max())
            parts.append(self._each(lambda x, r=rows, n=longest: x[r, :n] if x.dim() > 1 else x[r]))  # type: ignore[misc]
            first += size
        return parts

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            patches=change(self.patches),
            channel=change(self.channel),
            time=change(self.time),
            valid=change(self.valid),
            window=change(self.window),
            codes=None if self.codes is None else change(self.codes),
        )


@dataclass(frozen=True)
class Sample:
    """One window before it enters a batch.

    Attributes:
        signal: (C, A, S) int16 or float32; `signal * scale` is in units of 100 µV.
        scale: what one step of `signal` is worth: 0.001 for a store's int16 (0.1 µV), 0.01 for µV, 1 for model units.
        channel: (C,) vocabulary slots, 1..128, one for each channel.
        codes: (C, A) codes, -1 where there is none, or None.
        window: the window's index.
    """

    signal: NDArray[np.int16] | NDArray[np.float32]
    scale: float
    channel: NDArray[np.int64]
    codes: NDArray[np.int32] | NDArray[np.int64] | None = None
    window: int = 0


def collate(samples: Sequence[Sample]) -> Batch:
    """Pad windows to the longest and stack them.

    Codes enter the batch if any sample has them; samples without get -1 throughout.

    Raises:
        ValueError: no samples; a sample that is not (C, A, 200); channel slots or codes of another shape; a window
            above 16 s.
    """
    if not samples:
        raise ValueError("Cannot make a batch: expected at least one window, found none.")
    for sample in samples:
        _check(sample)
    writer = BatchWriter(
        [sample.signal.shape[:2] for sample in samples],
        [sample.window for sample in samples],
        codes=any(sample.codes is not None for sample in samples),
    )
    for row, sample in enumerate(samples):
        writer.put(row, sample)
    return writer.batch


class BatchWriter:
    """A batch to be filled row by row, so that a window need not outlive its turn."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], windows: Sequence[int], *, codes: bool) -> None:
        """Make room for windows of these channels and seconds, (C, A) each, and these indices."""
        shape = (len(shapes), max(n_channels * n_seconds for n_channels, n_seconds in shapes))
        # Memory of torch, which is aligned: kernels may round by alignment, and a repeated run must give equal numbers.
        self.batch = Batch(
            patches=torch.empty((*shape, PATCH_SAMPLES)),
            channel=torch.zeros(shape, dtype=torch.int64),
            time=torch.zeros(shape, dtype=torch.int64),
            valid=torch.zeros(shape, dtype=torch.bool),
            window=torch.tensor(windows, dtype=torch.int64),
            codes=torch.full(shape, NO_CODE) if codes else None,
        )
        parts = (self.batch.patches, self.batch.channel, self.batch.time, self.batch.valid)
        self._patches, self._channel, self._time, self._valid = (part.numpy() for part in parts)
        self._codes = None if self.batch.codes is None else self.batch.codes.numpy()

    def put(self, row: int, sample: Sample) -> None:
        """Fill a row. Every row must be filled."""
        n_channels, n_seconds, _ = sample.signal.shape
        n = n_channels * n_seconds
        into = self._patches[row, :n].reshape(sample.signal.shape)
        into[...] = sample.signal  # converted and then scaled in the processor's cache: NumPy is slow at both at once
        into *= np.float32(sample.scale)
        self._patches[row, n:] = 0
        self._channel[row, :n].reshape(n_channels, n_seconds)[:] = sample.channel[:, None]
        self._time[row, :n].reshape(n_channels, n_seconds)[:] = np.arange(n_seconds)
        self._valid[row, :n] = True
        if self._codes is not None and sample.codes is not None:
            self._codes[row, :n] = sample.codes.reshape(n)


def _check(sample: Sample) -> None:
    shape = sample.signal.shape
    if len(shape) != 3 or shape[2] != PATCH_SAMPLES or 0 in shape:
        raise ValueError(f"Window {sample.window} has a wrong shape: expected (C, A, {PATCH_SAMPLES}), found {shape}.")
    if shape[1] > MAX_SECONDS:
        raise ValueError(f"Window {sample.window} is too long: expected at most {MAX_SECONDS} s, found {shape[1]} s.")
    if sample.channel.shape != shape[:1]:
        raise ValueError(
            f"Window {sample.window} has wrong channel slots: expected {shape[0]}, found shape {sample.channel.shape}."
        )
    if sample.codes is not None and sample.codes.shape != shape[:2]:
        raise ValueError(f"Window {sample.window} has wrong codes: expected {shape[:2]}, found {sample.codes.shape}.")
