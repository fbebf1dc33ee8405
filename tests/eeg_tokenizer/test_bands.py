"""Scores by frequency band against NumPy."""

from __future__ import annotations

import pytest
import torch
from eeg_tokenizer.bands import BandScores
from eeg_tokenizer.spectrum import BANDS_HZ, SpectrumConfig, spectrum_targets

IMPROVED = SpectrumConfig("half", phase="circular", phase_power=0.5)


@pytest.mark.parametrize("config", [SpectrumConfig(), IMPROVED])
def test_the_mean_spectrum_scores_one_and_the_truth_zero(config: SpectrumConfig) -> None:
    patches, valid = torch.randn(4, 6, 200), torch.rand(4, 6) > 0.3
    valid[:, 0] = True
    targets = spectrum_targets(patches, valid, config)
    means = {name: target[valid].mean(0).expand_as(target) for name, target in targets.items()}
    for predicted, expected in ((means, 1.0), (targets, 0.0)):
        scores = BandScores(config)
        for half in (slice(0, 2), slice(2, 4)):  # in two batches, since the mean is over all
            guesses, truths = ({name: part[half] for name, part in of.items()} for of in (predicted, targets))
            scores.add(guesses, truths, valid[half])
        for ratios in scores.vs_mean().values():
            assert list(ratios) == ["all", *BANDS_HZ]
            assert list(ratios.values()) == pytest.approx([expected] * 6, abs=1e-5)


@pytest.mark.parametrize("config", [SpectrumConfig(), IMPROVED])
def test_an_error_counts_in_its_own_band(config: SpectrumConfig) -> None:
    patches, valid = torch.randn(2, 5, 200), torch.ones(2, 5, dtype=torch.bool)
    targets = spectrum_targets(patches, valid, config)
    wrong = targets["phase"].clone()
    twin = 190 if config.spectrum == "full" else 101 + 10  # the mirrored bin, or the sine of the same
    wrong[..., [10, twin]] += 2.0
    scores = BandScores(config)
    scores.add({"amplitude": targets["amplitude"], "phase": wrong}, targets, valid)
    phase = scores.vs_mean()["phase"]
    alpha = [8, 9, 10, 11, 12]
    columns = [*alpha, *([200 - k for k in alpha] if config.spectrum == "full" else [101 + k for k in alpha])]
    in_band = targets["phase"][..., columns].flatten(0, 1).double().numpy()
    assert phase["alpha"] == pytest.approx(10 * 2 * 4 / (10 * in_band.var(0).sum()), rel=1e-5)
    assert [phase[band] for band in ("delta", "theta", "beta", "gamma")] == [0.0] * 4


def test_a_band_without_variation_has_no_score() -> None:
    flat, valid = torch.zeros(1, 3, 200), torch.ones(1, 3, dtype=torch.bool)
    targets = spectrum_targets(flat, valid, IMPROVED)
    scores = BandScores(IMPROVED)
    scores.add(targets, targets, valid)
    assert scores.vs_mean() == {"amplitude": {}, "phase": {}}
