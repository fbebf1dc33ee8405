"""FIF: units that nobody set, cropped and split files, breaks, triggers."""

from __future__ import annotations

import gc
import shutil
from datetime import UTC, datetime
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import detect_format, is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError, Segment

RATE_HZ = 100.0


def eeg(n_channels: int = 3, n_samples: int = 1000, scale: float = 20.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, scale, (n_channels, n_samples))


def raw_of(values_v: npt.NDArray[np.float64], types: str | list[str] = "eeg", first_samp: int = 0) -> mne.io.RawArray:
    names = ["Fz", "Cz", "Pz", "Oz"][: len(values_v)]
    info = mne.create_info(names, RATE_HZ, types)
    return mne.io.RawArray(values_v, info, first_samp=first_samp, verbose="ERROR")


def test_fif_in_volt(tmp_path: Path) -> None:
    signal_uv = eeg()
    raw_of(signal_uv * 1e-6).save(tmp_path / "x_raw.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "x_raw.fif")
    assert (recording.format, recording.sfreq_hz, recording.warnings) == ("fif", RATE_HZ, [])
    assert {channel.unit for channel in recording.channels} == {"V"}
    np.testing.assert_allclose(recording.read_uv([2, 0], 100, 300), signal_uv[[2, 0], 100:300], rtol=1e-5, atol=1e-5)


def test_channels_that_the_file_marks_as_bad_are_told(tmp_path: Path) -> None:
    raw = raw_of(eeg(4) * 1e-6, ["eeg", "eeg", "eeg", "eog"])
    raw.info["bads"] = ["Cz", "Oz"]
    raw.save(tmp_path / "x_raw.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "x_raw.fif")
    assert choose_channels(recording, rename={}, drop=(), montage=None).names == ("FZ", "CZ", "PZ")
    assert recording.warnings == ["the file marks channels as bad: Cz"]


@pytest.mark.parametrize(("unit", "per_uv"), [("uV", 1.0), ("mV", 1e-3), ("nV", 1e3)])
def test_fif_of_other_numbers_is_read_in_the_one_unit_that_makes_eeg(tmp_path: Path, unit: str, per_uv: float) -> None:
    signal_uv = eeg()
    raw_of(signal_uv * per_uv).save(tmp_path / "x_raw.fif", verbose="ERROR")
    found = open_recording(tmp_path / "x_raw.fif")
    declared = open_recording(tmp_path / "x_raw.fif", unit=unit)
    for recording in (found, declared):
        np.testing.assert_allclose(recording.read_uv([0, 1, 2], 0, 1000), signal_uv, rtol=1e-5, atol=1e-5)
        assert {channel.unit for channel in recording.channels} == {unit}
    assert f"read in {unit}: the file says V" in found.warnings[0]
    assert declared.warnings == []


def test_fif_with_a_unit_multiplier_declares_it(tmp_path: Path) -> None:
    raw = raw_of(eeg())
    for channel in raw.info["chs"]:
        channel["unit_mul"] = -6
    raw.save(tmp_path / "x_raw.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "x_raw.fif")
    assert recording.warnings == []
    np.testing.assert_allclose(recording.read_uv([0], 0, 1000)[0], eeg()[0], rtol=1e-5, atol=1e-5)
    with pytest.raises(IngestError, match="the file declares uV, the source declares V"):
        open_recording(tmp_path / "x_raw.fif", unit="V")


@pytest.mark.parametrize("dated", [False, True])
def test_events_count_from_the_first_sample_of_a_cropped_file(tmp_path: Path, dated: bool) -> None:
    raw = raw_of(eeg() * 1e-6, first_samp=700)
    if dated:
        raw.set_meas_date(datetime(2020, 1, 1, tzinfo=UTC))
    raw.set_annotations(mne.Annotations([1.5, 4.0], [0.5, 0.0], ["a", "b"]))
    raw.save(tmp_path / "x_raw.fif", verbose="ERROR")
    events = open_recording(tmp_path / "x_raw.fif").events
    assert [(round(e.onset_s, 6), e.duration_s, e.label) for e in events] == [(1.5, 0.5, "a"), (4.0, 0.0, "b")]


def test_epochs_are_segments(tmp_path: Path) -> None:
    """With a projector that is not applied, as in a raw file."""
    raw = raw_of(eeg(3, 2000) * 1e-6).set_eeg_reference(projection=True, verbose="ERROR")
    samples = np.array([200, 700, 1200])
    epochs = mne.Epochs(
        raw, np.c_[samples, [0] * 3, [1, 2, 1]], {"left": 1, "right": 2}, -0.5, 0.99,
        baseline=None, proj="delayed", preload=True, verbose="ERROR",
    )  # fmt: skip
    epochs.save(tmp_path / "x-epo.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "x-epo.fif")
    assert recording.segments == tuple(Segment(150 * i, 150, 1.5 * i) for i in range(3))
    expected_uv = np.concatenate([eeg(3, 2000)[:, sample - 50 : sample + 100] for sample in samples], axis=1)
    np.testing.assert_allclose(recording.read_uv([0, 1, 2], 0, 450), expected_uv, rtol=1e-5, atol=1e-4)
    assert [(round(event.onset_s, 3), event.label) for event in recording.events] == [
        (0.5, "left"), (2.0, "right"), (3.5, "left")
    ]  # fmt: skip
    epochs.average().save(tmp_path / "x-ave.fif", verbose="ERROR")
    with pytest.raises(IngestError, match=r"x-ave\.fif is no recording: expected raw data or epochs .* Leave it out"):
        open_recording(tmp_path / "x-ave.fif")


def test_skips_and_cuts_break_segments(tmp_path: Path) -> None:
    raw = mne.concatenate_raws([raw_of(eeg() * 1e-6), raw_of(eeg() * 1e-6)], verbose="ERROR")
    raw.annotations.append(3.0, 2.0, "BAD_ACQ_SKIP")
    raw.annotations.append(14.0, 1.0, "BAD_artefact")
    raw.save(tmp_path / "x_raw.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "x_raw.fif")
    assert recording.segments == (Segment(0, 300, 0.0), Segment(500, 500, 5.0), Segment(1000, 1000, 10.0))
    assert [event.label for event in recording.events] == ["BAD_artefact"]


def test_stim_channel_gives_the_events_of_mne(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stim = np.repeat(rng.integers(0, 5, 1500), 10).astype(float)  # longer than a block of 60 s
    values = np.vstack([eeg(2, len(stim)) * 1e-6, stim])
    raw = raw_of(values, ["eeg", "eeg", "stim"], first_samp=300)
    raw.save(tmp_path / "x_raw.fif", verbose="ERROR")
    recording = open_recording(tmp_path / "x_raw.fif")
    wanted = mne.find_events(raw, verbose="ERROR")
    assert [(round(e.onset_s * RATE_HZ), e.label) for e in recording.events] == [
        (int(sample) - 300, str(code)) for sample, _, code in wanted
    ]
    assert choose_channels(recording, rename={}, drop=(), montage=None).names == ("FZ", "CZ")


def test_split_fif_is_one_recording(tmp_path: Path) -> None:
    signal_uv = eeg(3, 400_000)
    raw_of(signal_uv * 1e-6).save(tmp_path / "x_raw.fif", split_size="2MB", buffer_size_sec=10, verbose="ERROR")
    parts = sorted(tmp_path.iterdir())
    assert len(parts) > 2
    first = tmp_path / "x_raw.fif"
    assert set(recording_files(first)) == set(parts)
    assert [path for path in parts if not is_companion(path)] == [first]
    recording = open_recording(first)
    assert recording.n_samples == 400_000
    np.testing.assert_allclose(
        recording.read_uv([1], 399_000, 400_000)[0], signal_uv[1, 399_000:], rtol=1e-5, atol=1e-4
    )


def test_split_fif_with_parts_missing_is_refused(tmp_path: Path) -> None:
    raw_of(eeg(3, 400_000) * 1e-6).save(tmp_path / "x_raw.fif", split_size="2MB", buffer_size_sec=10, verbose="ERROR")
    first, *later = sorted(tmp_path.iterdir(), key=lambda part: (len(part.name), part.name))
    with pytest.raises(IngestError, match="is a later part of a split FIF file"):
        open_recording(later[0])
    whole = later[0].read_bytes()
    later[0].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IngestError, match="incomplete"):
        open_recording(first)
    later[0].write_bytes(whole)
    assert open_recording(first).n_samples == 400_000
    for missing in (later[-1], later[0]):
        missing.unlink()
        with pytest.raises(IngestError, match="MNE cannot read this fif file"):
            open_recording(first)


def test_truncated_fif_is_refused(tmp_path: Path) -> None:
    raw_of(eeg(3, 20_000) * 1e-6).save(tmp_path / "x_raw.fif", buffer_size_sec=1, verbose="ERROR")
    whole = (tmp_path / "x_raw.fif").read_bytes()
    for share in (0.3, 0.9, 0.999):
        (tmp_path / "cut_raw.fif").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(IngestError, match="incomplete"):
            open_recording(tmp_path / "cut_raw.fif")


@pytest.mark.parametrize(("suffix", "saved"), [(".dat", "x_raw.fif"), (".fif", "x_raw.fif.gz")])
def test_fif_under_another_name(tmp_path: Path, suffix: str, saved: str) -> None:
    raw_of(eeg() * 1e-6).save(tmp_path / saved, verbose="ERROR")
    path = tmp_path / f"odd{suffix}"
    shutil.move(tmp_path / saved, path)
    assert detect_format(path) == "fif"
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read_uv([0], 0, 50)[0], eeg()[0, :50], rtol=1e-5, atol=1e-5)
    assert recording.files == (str(path),)
    del recording
    gc.collect()  # the temporary link goes without a ResourceWarning


def test_a_fif_without_a_recording(tmp_path: Path) -> None:
    mne.write_events(tmp_path / "x-eve.fif", np.array([[1, 0, 1]]), verbose="ERROR")
    with pytest.raises(IngestError, match="MNE cannot read this fif file"):
        open_recording(tmp_path / "x-eve.fif")
