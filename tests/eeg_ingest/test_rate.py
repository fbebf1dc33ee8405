"""The rate of a header against the hum of the mains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
from eeg_ingest.montage import choose_channels
from eeg_ingest.rate import RATE_DOUBT, doubt_rate
from eeg_ingest.readers import open_recording
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.eeg_ingest.conftest import MemoryRecording, MemoryRecordingMaker

RATES_HZ = (128, 160, 200, 250, 256, 500, 512, 1000)


def hum(seed: int, true_hz: float, mains_hz: float | None, seconds: int = 40) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    n_samples = round(seconds * true_hz)
    uv = 10 * rng.standard_normal((6, n_samples)) + np.cumsum(rng.standard_normal((6, n_samples)), axis=1)
    if mains_hz is not None:
        uv += 3 * np.sin(2 * np.pi * mains_hz * np.arange(n_samples) / true_hz)
    return uv.astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(RATES_HZ),
    st.sampled_from(RATES_HZ),
    st.sampled_from([50.0, 60.0]),
    st.floats(-0.02, 0.02),
)
def test_a_misstated_rate_is_found_where_the_hum_tells(
    seed: int, true_hz: int, declared_hz: int, mains_hz: float, drift_hz: float
) -> None:
    found_hz = mains_hz * declared_hz / true_hz
    # 70 s as either rate counts them: in a few seconds a chance peak at 50 Hz passes for the hum itself, and no more.
    seconds = 70 * max(1, -(-declared_hz // true_hz))
    recording = MemoryRecording(hum(seed, true_hz, mains_hz + drift_hz, seconds), declared_hz)
    doubt = doubt_rate(recording, range(6), mains_hz)
    multiples = [mains * n for mains in (50, 60) for n in range(1, 10)]
    if declared_hz == true_hz:
        assert doubt is None
    elif min(abs(found_hz - multiple) for multiple in multiples) > 1 and 20 < found_hz < declared_hz / 2 - 6:
        assert doubt is not None
        assert f"{declared_hz:g} Hz puts" in doubt
        assert f"{true_hz} Hz would" in doubt


@pytest.mark.parametrize("seed", range(20))
def test_no_hum_no_doubt(memory_recording: MemoryRecordingMaker, seed: int) -> None:
    assert doubt_rate(memory_recording(hum(seed, 256, None), 256.0), range(6), "auto") is None


@pytest.mark.parametrize("tone_hz", [64.0, 100.0, 39.0, 62.5])
def test_other_tones_beside_the_hum_raise_no_doubt(memory_recording: MemoryRecordingMaker, tone_hz: float) -> None:
    uv = hum(0, 256, 50.0) + 30 * np.sin(2 * np.pi * tone_hz * np.arange(40 * 256) / 256)
    assert doubt_rate(memory_recording(uv, 256.0), range(6), 50.0) is None


@pytest.mark.parametrize("quality", [10, 30, 100])
def test_a_harmonic_that_a_notch_has_left_raises_no_doubt(
    memory_recording: MemoryRecordingMaker, quality: float
) -> None:
    uv = hum(0, 500, 50.0) + hum(1, 500, 100.0)
    notched = scipy.signal.filtfilt(*scipy.signal.iirnotch(50, quality, 500), uv)
    assert doubt_rate(memory_recording(notched, 500.0), range(6), 50.0) is None  # as 250 Hz would be


@pytest.mark.parametrize(("true_hz", "mains_hz"), [(125, 50.0), (250, 50.0), (160, 60.0), (256, 60.0)])
def test_twice_the_rate_puts_the_hum_on_its_own_harmonic(
    memory_recording: MemoryRecordingMaker, true_hz: int, mains_hz: float
) -> None:
    for seed in range(5):
        doubt = doubt_rate(memory_recording(hum(seed, true_hz, mains_hz, 80), 2.0 * true_hz), range(6), "auto")
        assert doubt is not None
        assert f"{true_hz} Hz would put it at {mains_hz:g} Hz" in doubt


def test_short_and_flat_recordings_raise_no_doubt(memory_recording: MemoryRecordingMaker) -> None:
    assert doubt_rate(memory_recording(hum(0, 200, 50.0, seconds=4), 256.0), range(6), "auto") is None
    assert doubt_rate(memory_recording(np.zeros((6, 20 * 256), np.float32), 256.0), range(6), "auto") is None


@pytest.mark.parametrize("run", ["S001R04", "S001R10"])
@pytest.mark.parametrize("declared_hz", [100.0, 128.0, 200.0, 250.0, 256.0, 512.0])
def test_a_real_recording_under_a_wrong_rate(
    eeg_data: Path, memory_recording: MemoryRecordingMaker, run: str, declared_hz: float
) -> None:
    recording = open_recording(eeg_data / f"physionet_eegmmidb/S001/{run}.edf")
    indices = choose_channels(recording, rename={}, drop=[], montage=None).indices
    uv = recording.read_uv(indices, 0, recording.n_samples)
    assert doubt_rate(recording, indices, 60.0) is None
    doubt = doubt_rate(memory_recording(uv, declared_hz), range(len(uv)), 60.0)
    assert doubt is not None
    assert doubt.startswith(RATE_DOUBT)
    assert "160 Hz would put it at 60 Hz" in doubt


def test_real_recordings_as_they_are_raise_no_doubt(eeg_data: Path) -> None:
    for path in [*eeg_data.glob("physionet_*/**/*.edf"), *eeg_data.glob("eeglab/*.set"), *eeg_data.glob("yasa/*.fif")]:
        recording = open_recording(path)
        indices = choose_channels(recording, rename={}, drop=[], montage=None).indices
        assert doubt_rate(recording, indices, "auto") is None, path.name


@pytest.mark.parametrize("rate_hz", [0.01, 2.0, 29.0, 30.0, 31.0])
def test_rates_that_hold_no_hum_are_not_doubted(memory_recording: MemoryRecordingMaker, rate_hz: float) -> None:
    assert doubt_rate(memory_recording(hum(0, 200.0, 50.0), rate_hz), range(6), "auto") is None
