"""How well spectra are reconstructed, band by band, beside a guess that knows nothing of the patch.

Shapes: B batch, N patches, F bins.
"""

from __future__ import annotations

import torch
from torch import Tensor

from eeg_tokenizer.spectrum import BANDS_HZ, SpectrumConfig


class BandScores:
    """Adds up squared errors of a target, and those of its mean over all patches, which is the best constant."""

    def __init__(self, config: SpectrumConfig) -> None:
        self._hz = config.frequencies_hz()
        n_bins = config.bins
        # One row for each of: squared errors, sum, sum of squares. A circular phase fills two columns for each bin.
        self._sums = {name: torch.zeros(3, width, dtype=torch.float64) for name, width in config.widths.items()}
        self._parts = {name: width // n_bins for name, width in config.widths.items()}
        self._n_patches = 0

    def add(self, predicted: dict[str, Tensor], targets: dict[str, Tensor], valid: Tensor) -> None:
        """Add the valid patches (B, N) of a batch; predictions and targets as `spectrum_targets` returns them."""
        self._n_patches += int(valid.sum())
        for name in self._sums:
            target, guess = targets[name][valid].double(), predicted[name][valid].double()
            parts = [(guess - target).square().sum(0), target.sum(0), target.square().sum(0)]
            self._sums[name] += torch.stack(parts).cpu()

    def vs_mean(self) -> dict[str, dict[str, float]]:
        """Return for each target its error in all bins and in each band, divided by the error of the mean.

        1 is what predicting the mean spectrum gives, 0 is perfect. A band without any variation has no value.
        """
        return {name: self._ratios(sums, self._parts[name]) for name, sums in self._sums.items()}

    def _ratios(self, sums: Tensor, parts: int) -> dict[str, float]:
        error, total, squares = sums.view(3, parts, -1)
        of_mean = squares - total.square() / max(1, self._n_patches)
        chosen = {"all": torch.ones_like(self._hz, dtype=torch.bool)}
        chosen |= {band: (self._hz >= low) & (self._hz < high) for band, (low, high) in BANDS_HZ.items()}
        ratios = {}
        for band, bins in chosen.items():
            guess = float(of_mean[:, bins].sum())
            if guess > 0:
                ratios[band] = float(error[:, bins].sum()) / guess
        return ratios
