"""One file from its path to harmonized blocks: what is in it, what is left out, what is refused."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pyedflib
import pytest
from eeg_ingest.file import harmonize_file
from eeg_ingest.harmonize import SCALE_UV
from eeg_ingest.recording import IngestError

NAMES = ["Fz", "Cz", "Pz"]


def write_edf(path: Path, uv: np.ndarray, sfreq_hz: int, dimension: str = "uV", scale: float = 1.0) -> Path:
    """An EDF+ with an annotation at 2 s; `scale` is what a wrong header makes of the samples."""
    signals = [
        {
            "label": name,
            "dimension": dimension,
            "sample_frequency": sfreq_hz,
            "physical_min": -int(3000 * scale),
            "physical_max": int(3000 * scale),
            "digital_min": -32768,
            "digital_max": 32767,
        }
        for name in [*NAMES, "ECG"][: len(uv)]
    ]
    with pyedflib.EdfWriter(str(path), len(uv)) as writer:
        writer.setSignalHeaders(signals)
        writer.writeSamples(list(uv * scale))
        writer.writeAnnotation(2.0, 1.5, "blink")
    return path


def eeg(n_channels: int, sfreq_hz: int, seconds: float, hum_hz: float = 0.0) -> np.ndarray:
    times_s = np.arange(int(seconds * sfreq_hz)) / sfreq_hz
    uv = 10 * np.random.default_rng(1).standard_normal((n_channels, len(times_s)))
    uv += 20 * np.sin(2 * np.pi * 10 * times_s)
    return np.asarray(uv + (15 * np.sin(2 * np.pi * hum_hz * times_s) if hum_hz else 0))


def write_fif(path: Path, uv: np.ndarray, sfreq_hz: float) -> Path:
    info = mne.create_info(NAMES[: len(uv)], sfreq_hz, "eeg")
    mne.io.RawArray(uv * 1e-6, info, verbose="error").save(path, fmt="double", verbose="error")
    return path


def test_a_file_from_end_to_end(tmp_path: Path) -> None:
    uv = eeg(4, 256, 40.0, hum_hz=50.0)
    file = harmonize_file(write_edf(tmp_path / "a.edf", uv, 256), rename={"Pz": "POz"}, drop=["Cz"])
    assert file.names == ("FZ", "POZ")
    assert file.line_freq_hz == 50.0
    assert {left.name for left in file.left_out} == {"Cz", "ECG"}
    assert file.n_seconds == 40
    assert [tuple(segment.values()) for segment in file.segments] == [(0, 40, 0.0, 0.0)]
    assert [(event.onset_s, event.duration_s, event.label) for event in file.events] == [(2.0, 1.5, "blink")]
    blocks = list(file.blocks)
    signal_uv = SCALE_UV * np.concatenate([block.signal for block in blocks])
    assert signal_uv.shape == (40, 2, 200)
    assert np.concatenate([block.quality for block in blocks]).shape == (40, 2, 5)
    times_s = np.arange(4000, 4200) / 200
    alpha = 2 * np.mean(signal_uv[20] * np.sin(2 * np.pi * 10 * times_s), axis=1)
    assert alpha == pytest.approx([20, 20], abs=2)
    assert 2 * abs(np.mean(signal_uv[20] * np.exp(2j * np.pi * 50 * times_s), axis=1)).max() < 2


@pytest.mark.parametrize(("wanted", "notched"), [(None, None), (60.0, 60.0), ("auto", 50.0)])
def test_the_mains_may_be_told(tmp_path: Path, wanted: float | str | None, notched: float | None) -> None:
    path = write_edf(tmp_path / "a.edf", eeg(2, 250, 30.0, hum_hz=50.0), 250)
    assert harmonize_file(path, line_freq_hz=wanted).line_freq_hz == notched  # type: ignore[arg-type]


def test_a_mains_above_the_band_is_not_notched(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", eeg(2, 100, 30.0), 100)
    assert harmonize_file(path, line_freq_hz=60.0).line_freq_hz is None


def test_what_is_left_over_is_recorded(tmp_path: Path) -> None:
    file = harmonize_file(write_fif(tmp_path / "a_raw.fif", eeg(2, 250, 12.5), 250.0))
    assert [tuple(segment.values()) for segment in file.segments] == [(0, 12, 0.0, 0.5)]
    assert sum(len(block.signal) for block in file.blocks) == file.n_seconds == 12


@pytest.mark.parametrize(("dimension", "scale"), [("mV", 1.0), ("uV", 1000.0)])
def test_amplitudes_beyond_int16_are_a_wrong_unit(tmp_path: Path, dimension: str, scale: float) -> None:
    path = write_edf(tmp_path / "a.edf", 20 * eeg(3, 200, 20.0), 200, dimension, scale)
    with pytest.raises(IngestError, match=r"unit"):
        list(harmonize_file(path).blocks)


def test_electrodes_off_the_head_are_stored_and_show_in_the_quality(tmp_path: Path) -> None:
    """Drifts of millivolts are no wrong unit: the samples beyond the range are clipped, and counted."""
    uv = eeg(3, 200, 40.0) + 8000 * np.sin(2 * np.pi * 0.2 * np.arange(8000) / 200)
    path = write_edf(tmp_path / "a.edf", uv / 10, 200, scale=10)
    quality = np.concatenate([block.quality for block in harmonize_file(path).blocks])
    assert quality[..., 1].mean() > 0.5


def test_amplitudes_below_a_step_are_a_wrong_unit(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "a.edf", eeg(3, 200, 20.0), 200, "nV")
    with pytest.raises(IngestError, match=r"unit"):
        list(harmonize_file(path).blocks)


def test_a_recording_that_stands_still_is_no_wrong_unit(tmp_path: Path) -> None:
    file = harmonize_file(write_edf(tmp_path / "a.edf", np.full((2, 4000), 12.0), 200))
    quality = np.concatenate([block.quality for block in file.blocks])
    assert quality[1:, :, 0].min() == 1
    assert quality[:, :, 2].max() < 0.1


def test_channels_without_a_finite_sample_are_left_out(tmp_path: Path) -> None:
    uv = eeg(3, 250, 150.0)
    uv[1] = np.nan
    uv[2, :30_000] = np.nan
    file = harmonize_file(write_fif(tmp_path / "a_raw.fif", uv, 250.0))
    assert file.names == ("FZ", "PZ")
    assert [(left.name, left.reason) for left in file.left_out] == [("Cz", "holds no finite sample")]
    quality = np.concatenate([block.quality for block in file.blocks])
    np.testing.assert_array_equal(quality[:, 1, 4], np.arange(150) < 120)
    assert file.warnings[-1] == "non-finite samples in Pz: 30000 of 37500, bridged; see quality"


def test_a_recording_without_a_finite_sample_is_refused(tmp_path: Path) -> None:
    path = write_fif(tmp_path / "a_raw.fif", np.full((2, 5000), np.nan), 250.0)
    with pytest.raises(IngestError, match=r"found only NaN or infinity in 2 EEG channels"):
        harmonize_file(path)


def test_a_short_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"0\.3 s long: shorter than one second"):
        harmonize_file(write_fif(tmp_path / "a_raw.fif", eeg(2, 250, 0.3), 250.0))


@pytest.mark.parametrize("sfreq_hz", [0.02, 100_000.0])
def test_a_rate_that_no_eeg_has_is_refused(tmp_path: Path, sfreq_hz: float) -> None:
    with pytest.raises(IngestError, match="Sampling rate: expected 2 to 50000 Hz"):
        harmonize_file(write_fif(tmp_path / "a_raw.fif", eeg(1, 100, 10.0), sfreq_hz))
