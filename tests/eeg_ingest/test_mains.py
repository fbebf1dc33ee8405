"""The mains frequency of made and of real recordings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eeg_ingest.mains import detect_line_freq_hz
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import Recording, Segment

Maker = Callable[..., Recording]


def noise(n_channels: int, sfreq_hz: float, seconds: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise (C, S) whose power falls with the frequency, and its times (S)."""
    n_samples = int(seconds * sfreq_hz)
    white = np.random.default_rng(seed).standard_normal((n_channels, n_samples))
    freqs_hz = np.fft.rfftfreq(n_samples, 1 / sfreq_hz)
    spectrum = np.fft.rfft(white) / np.maximum(freqs_hz, 0.5) ** 0.7
    return 100 * np.fft.irfft(spectrum, n_samples), np.arange(n_samples) / sfreq_hz


@pytest.mark.parametrize("sfreq_hz", [128.0, 250.0, 600.614990234375])
@pytest.mark.parametrize("seconds", [12.0, 40.0, 300.0])
@pytest.mark.parametrize("hum_hz", [49.9, 60.05, None])
def test_hum_is_found(memory_recording: Maker, sfreq_hz: float, seconds: float, hum_hz: float | None) -> None:
    uv, times_s = noise(6, sfreq_hz, seconds)
    if hum_hz:
        uv += 3 * np.sin(2 * np.pi * hum_hz * times_s)
    expected = None if hum_hz is None else float(round(hum_hz, -1))
    assert detect_line_freq_hz(memory_recording(uv, sfreq_hz), range(6)) == expected


def test_stimulation_beside_the_mains_is_no_hum(memory_recording: Maker) -> None:
    uv, times_s = noise(8, 256.0, 240.0)
    for base_hz in (13, 17, 21):
        for multiple in range(1, 6):
            uv += 5 * np.sin(2 * np.pi * base_hz * multiple * times_s)
    assert detect_line_freq_hz(memory_recording(uv, 256.0), range(8)) is None
    uv += 3 * np.sin(2 * np.pi * 50 * times_s)
    assert detect_line_freq_hz(memory_recording(uv, 256.0), range(8)) == 50.0


def test_neither_one_channel_nor_one_minute_decides(memory_recording: Maker) -> None:
    uv, times_s = noise(5, 250.0, 600.0)
    uv[0] += 200 * np.sin(2 * np.pi * 60 * times_s)
    uv += 100 * np.sin(2 * np.pi * 60 * times_s) * (times_s < 60)
    uv[2, 5000:20_000] = np.nan
    assert detect_line_freq_hz(memory_recording(uv, 250.0), range(5)) is None
    uv += 4 * np.sin(2 * np.pi * 50 * times_s)
    assert detect_line_freq_hz(memory_recording(uv, 250.0), range(5)) == 50.0


@pytest.mark.parametrize("sfreq_hz", [64.0, 100.0])
def test_a_low_rate_has_no_mains(memory_recording: Maker, sfreq_hz: float) -> None:
    uv, _ = noise(2, sfreq_hz, 60.0)
    assert detect_line_freq_hz(memory_recording(uv, sfreq_hz), range(2)) is None


def test_segments_too_short_to_tell_are_passed_over(memory_recording: Maker) -> None:
    uv, times_s = noise(3, 250.0, 64.0)
    uv += 5 * np.sin(2 * np.pi * 50 * times_s)
    short = [Segment(250 * second, 250, 2.0 * second) for second in range(64)]
    assert detect_line_freq_hz(memory_recording(uv, 250.0, short), range(3)) is None
    epochs = [Segment(1000 * epoch, 1000, 9.0 * epoch) for epoch in range(16)]
    assert detect_line_freq_hz(memory_recording(uv, 250.0, epochs), range(3)) == 50.0


def test_a_still_recording_has_no_mains(memory_recording: Maker) -> None:
    assert detect_line_freq_hz(memory_recording(np.zeros((2, 10_000)), 250.0), range(2)) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("physionet_eegmat/Subject00_1.edf", None),  # Ukraine, 50 Hz, notched before it was published
        ("physionet_eegmat/Subject06_2.edf", None),
        ("physionet_eegmmidb/S001/S001R01_trunc60s.edf", 60.0),
        ("physionet_eegmmidb/S001/S001R14.edf", 60.0),
        ("ssvep_exoskeleton/subject01/record-2012.07.06-19.02.16.gdf", 50.0),
        ("ssvep_exoskeleton/subject02/record-2012.07.19-17.41.14.gdf", 50.0),
        ("eeglab/eeglab_data.set", 60.0),
    ],
)
def test_real_recordings(eeg_data: Path, name: str, expected: float | None) -> None:
    recording = open_recording(eeg_data / name)
    indices = choose_channels(recording, rename={}, drop=[], montage=None).indices
    assert detect_line_freq_hz(recording, indices) == expected
