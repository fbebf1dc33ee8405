"""From the spectrum that a tokenizer predicts back to a signal, so that one can look at what it keeps.

Shapes: N patches, S samples of a patch (200), F bins.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from eeg_tokenizer.batches import PATCH_SAMPLES
from eeg_tokenizer.spectrum import SpectrumConfig

N_BINS = PATCH_SAMPLES // 2 + 1  # 0 to 100 Hz; what a full spectrum holds above mirrors them


def spectrum_from_targets(predicted: Mapping[str, Tensor], patches: Tensor, config: SpectrumConfig) -> Tensor:
    """Return the complex spectrum (N, 101) that predicted targets stand for.

    Targets are scaled over a sample: the scaling is undone with the mean and the standard deviation of the sample
    itself, which no code holds. Amplitudes below 0 become 0.

    Args:
        predicted: "amplitude" and "phase" of one sample as `spectrum_targets` makes them: (N, F), or (N, 2 F).
        patches: (N, S) the sample's own patches, without padding.
        config: which targets they are.
    """
    own = torch.fft.fft(patches, dim=-1)[..., : config.bins]
    amplitude = _unscaled(predicted["amplitude"], own.abs())[:, :N_BINS].clamp_min(0)
    if config.phase == "circular":
        cosine, sine = predicted["phase"].chunk(2, dim=-1)
        phase = torch.atan2(sine, cosine)[:, :N_BINS]
    else:
        phase = _unscaled(predicted["phase"], torch.atan2(own.imag + 0.0, own.real))[:, :N_BINS]
    return torch.polar(amplitude, phase)


def signal_from_spectrum(spectrum: Tensor) -> Tensor:
    """Return the patches (N, S) of spectra (N, 101)."""
    signal: Tensor = torch.fft.irfft(spectrum, n=PATCH_SAMPLES, dim=-1)
    return signal


def _unscaled(z: Tensor, own: Tensor) -> Tensor:
    """Undo the z-score (N, F) that was taken over all of `own` (N, F)."""
    std, mean = torch.std_mean(own)
    return z * std + mean
