"""Quality numbers against their definitions, written out one second and channel at a time."""

from __future__ import annotations

from collections.abc import Callable
from math import floor

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.harmonize import harmonize
from eeg_ingest.recording import Recording, Segment

Maker = Callable[..., Recording]
FLAT, CLIPPED, AMPLITUDE_UV, LINE_NOISE, NON_FINITE = range(5)
SECONDS = 50
LIMITS_UV = (-399.95, 400.05)


def troubled(sfreq_hz: float) -> npt.NDArray[np.float64]:
    """(3, S) in steps of 0.1 µV: clean; hum, clipping and a stretch that stands still; missing samples."""
    rng = np.random.default_rng(5)
    times_s = np.arange(int(SECONDS * sfreq_hz)) / sfreq_hz
    uv = 30 * rng.standard_normal((3, len(times_s))) + 20 * np.sin(2 * np.pi * 9 * times_s)
    uv[1] += 2000 * np.exp(-((times_s - 25) ** 2)) + 40 * np.sin(2 * np.pi * 50 * times_s) * (times_s > 30)
    uv[1, int(40 * sfreq_hz) : int(42.3 * sfreq_hz)] = 12.0
    uv = np.clip(np.round(uv, 1), -400, 400.1)
    uv[2, int(3.5 * sfreq_hz) : int(5.1 * sfreq_hz)] = np.nan
    uv[2, int(20 * sfreq_hz)] = np.inf
    return np.asarray(uv)


def measured(recording: Recording, line_freq_hz: float | None) -> tuple[npt.NDArray[np.float32], ...]:
    blocks = list(harmonize(recording, range(len(recording.channels)), line_freq_hz=line_freq_hz))
    return np.concatenate([b.quality for b in blocks]), np.concatenate([b.signal for b in blocks])


def tone_share(second: npt.NDArray[np.float64], freq_hz: float, sfreq_hz: float) -> float:
    wave = np.exp(-2j * np.pi * freq_hz * np.arange(len(second)) / sfreq_hz)
    amplitude = 2 * abs(np.mean((second - second.mean()) * wave))
    return float(amplitude**2 / 2 / second.var()) if second.var() else 0.0


@pytest.mark.parametrize("sfreq_hz", [160.0, 250.0, 250.5, 600.614990234375])
@pytest.mark.parametrize("line_freq_hz", [50.0, None])
def test_measures_follow_their_definitions(
    memory_recording: Maker, sfreq_hz: float, line_freq_hz: float | None
) -> None:
    uv = troubled(sfreq_hz)
    recording = memory_recording(uv, sfreq_hz, limits_uv=LIMITS_UV)
    quality, signal_uv = measured(recording, line_freq_hz)
    assert quality.shape == (SECONDS if sfreq_hz == int(sfreq_hz) else len(quality), 3, 5)
    finite = np.isfinite(uv)
    for channel in range(3):
        bridged = np.interp(np.arange(uv.shape[1]), np.flatnonzero(finite[channel]), uv[channel][finite[channel]])
        for second in range(len(quality)):
            part = slice(floor(second * sfreq_hz), floor((second + 1) * sfreq_hz))
            source, before = uv[channel, part], np.append(np.nan, uv[channel])[part]
            found = quality[second, channel]
            assert found[FLAT] == pytest.approx(np.mean(source == before), abs=1e-6)
            assert found[CLIPPED] == pytest.approx(np.mean(np.abs(bridged[part]) >= 400), abs=1e-6)
            assert found[NON_FINITE] == pytest.approx(np.mean(~np.isfinite(source)), abs=1e-6)
            assert found[AMPLITUDE_UV] == pytest.approx(signal_uv[second, channel].astype(float).std(), rel=1e-4)
            tones_hz = [50.0, 60.0] if line_freq_hz is None else [line_freq_hz]
            share = max(tone_share(bridged[part], freq_hz, sfreq_hz) for freq_hz in tones_hz)
            assert found[LINE_NOISE] == pytest.approx(min(share, 1), abs=1e-3)
    assert quality[41, 1, FLAT] == 1
    assert quality[25, 1, CLIPPED] > 0.5
    assert 0.3 < quality[35, 1, LINE_NOISE] < 0.7
    assert quality[4, 2, NON_FINITE] == 1
    assert quality[:, 0, [CLIPPED, NON_FINITE]].max() == 0


def test_an_offset_changes_no_measure(memory_recording: Maker) -> None:
    uv = troubled(250.0)[:2]
    plain, _ = measured(memory_recording(uv, 250.0), 50.0)
    offset, _ = measured(memory_recording(uv + 65_536, 250.0), 50.0)
    np.testing.assert_allclose(offset, plain, atol=2e-3, rtol=1e-3)


def test_multiples_of_the_mains_inside_the_band_count(memory_recording: Maker) -> None:
    times_s = np.arange(40 * 500) / 500
    tones_hz = np.array([[16.7], [33.4], [66.8], [83.5]])
    quality, _ = measured(memory_recording(np.sin(2 * np.pi * tones_hz * times_s), 500.0), 16.7)
    assert quality[..., LINE_NOISE].mean(axis=0) == pytest.approx([1, 1, 1, 0], abs=0.03)


def test_a_rate_too_low_for_the_mains_has_no_line_noise(memory_recording: Maker) -> None:
    uv = np.random.default_rng(0).standard_normal((1, 6400))
    assert measured(memory_recording(uv, 64.0), None)[0][..., LINE_NOISE].max() == 0


def test_samples_beyond_int16_are_clipped(memory_recording: Maker) -> None:
    times_s = np.arange(60 * 250) / 250
    uv = (times_s > 30) * 5000 * np.sin(2 * np.pi * 10 * times_s)[None]
    quality, signal_uv = measured(memory_recording(uv, 250.0), None)
    expected = (np.abs(np.round(signal_uv * 10)) > 32767).mean(axis=2)
    np.testing.assert_allclose(quality[..., CLIPPED], expected, atol=0.011)
    assert quality[40, 0, CLIPPED] > 0.4
    assert quality[10, 0, CLIPPED] == 0


def test_the_first_sample_of_a_segment_has_none_before(memory_recording: Maker) -> None:
    segments = [Segment(0, 300, 0.0), Segment(300, 300, 9.0)]
    quality, _ = measured(memory_recording(np.zeros((1, 600)), 100.0, segments), None)
    assert quality[:, 0, FLAT] == pytest.approx([0.99, 1, 1, 0.99, 1, 1])
