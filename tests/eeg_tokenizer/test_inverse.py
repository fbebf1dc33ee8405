from __future__ import annotations

import pytest
import torch
from eeg_tokenizer.inverse import signal_from_spectrum, spectrum_from_targets
from eeg_tokenizer.spectrum import SpectrumConfig, spectrum_targets


@pytest.mark.parametrize(
    "config",
    [
        SpectrumConfig(),
        SpectrumConfig(spectrum="half"),
        SpectrumConfig("half", phase="circular", phase_power=0.5),
        SpectrumConfig("full", phase="circular"),
    ],
)
def test_true_targets_give_the_signal_back(config: SpectrumConfig) -> None:
    patches = torch.randn(6, 200, generator=torch.Generator().manual_seed(1)) * 0.3 + 0.1
    targets = {name: target[0] for name, target in spectrum_targets(patches[None], None, config).items()}
    rebuilt = signal_from_spectrum(spectrum_from_targets(targets, patches, config))
    assert rebuilt.numpy() == pytest.approx(patches.numpy(), abs=1e-4)
