"""EEGLAB: MAT v5, v7.3 and .fdt, boundaries, epochs."""

from __future__ import annotations

from pathlib import Path

import h5py
import mne
import numpy as np
import numpy.typing as npt
import pytest
import scipy.io
from eeg_ingest.readers import detect_format, is_companion, open_recording, recording_files
from eeg_ingest.recording import IngestError, Segment

RATE_HZ = 100.0


def eeg(n_channels: int = 3, n_samples: int = 1000, scale: float = 20.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, scale, (n_channels, n_samples))


def raw_of(values_v: npt.NDArray[np.float64], types: str | list[str] = "eeg", first_samp: int = 0) -> mne.io.RawArray:
    names = ["Fz", "Cz", "Pz", "Oz"][: len(values_v)]
    info = mne.create_info(names, RATE_HZ, types)
    return mne.io.RawArray(values_v, info, first_samp=first_samp, verbose="ERROR")


@pytest.mark.parametrize("boundary", ["boundary", "-99"])  # the latter where events are numbers
def test_eeglab_with_boundary(tmp_path: Path, boundary: str) -> None:
    signal_uv = eeg()
    raw = raw_of(signal_uv * 1e-6)
    raw.set_annotations(mne.Annotations([2.0, 3.995], [0, 0], ["go", boundary]))
    mne.export.export_raw(tmp_path / "x.set", raw, verbose="ERROR")
    recording = open_recording(tmp_path / "x.set")
    assert {channel.unit for channel in recording.channels} == {"uV"}
    np.testing.assert_allclose(recording.read_uv([0, 1, 2], 0, 1000), signal_uv, rtol=1e-5, atol=1e-4)
    assert recording.segments == (Segment(0, 400, 0.0), Segment(400, 600, 4.0))
    assert [event.label for event in recording.events] == ["go", boundary]


def test_eeglab_in_volt_is_noticed(tmp_path: Path) -> None:
    mne.export.export_raw(tmp_path / "x.set", raw_of(eeg() * 1e-12), verbose="ERROR")
    recording = open_recording(tmp_path / "x.set")
    np.testing.assert_allclose(recording.read_uv([0], 0, 1000)[0], eeg()[0], rtol=1e-5, atol=1e-4)
    assert "read in V: the file says uV" in recording.warnings[0]


def test_epochs_are_segments(tmp_path: Path) -> None:
    values = eeg(3, 600).reshape(3, 4, 150).swapaxes(0, 1)
    info = mne.create_info(["Fz", "Cz", "Pz"], RATE_HZ, "eeg")
    epochs = mne.EpochsArray(values * 1e-6, info, np.c_[np.arange(4) * 200, [0] * 4, [1, 2, 1, 2]], -0.5,
                             {"left": 1, "right": 2}, verbose="ERROR")  # fmt: skip
    mne.export.export_epochs(tmp_path / "x.set", epochs, verbose="ERROR")
    recording = open_recording(tmp_path / "x.set")
    assert recording.segments == tuple(Segment(150 * i, 150, 1.5 * i) for i in range(4))
    np.testing.assert_allclose(recording.read_uv([2], 300, 450)[0], values[2, 2], rtol=1e-5, atol=1e-4)
    assert [(round(e.onset_s, 3), e.label) for e in recording.events] == [
        (0.5, "left"), (2.0, "right"), (3.5, "left"), (5.0, "right")
    ]  # fmt: skip


def test_every_event_of_an_epoch_is_one(tmp_path: Path) -> None:
    """A response 0.4 s after its target; MNE's epochs join them to `target/response` at the target."""
    events = np.zeros(4, dtype=[("type", "O"), ("latency", "O"), ("epoch", "O")])
    events[:] = [("target", 51.0, 1), ("response", 91.0, 1), ("target", 201.0, 2), ("response", 261.0, 2)]
    epochs = np.zeros(2, dtype=[("event", "O"), ("eventlatency", "O"), ("eventtype", "O")])
    for place in range(2):
        times_ms = np.array([0.0, 400.0 + 200 * place], object)
        epochs[place] = (np.array([1, 2]) + 2 * place, times_ms, np.array(["target", "response"], object))
    locations = np.array([("Fz",), ("Cz",), ("Pz",)], dtype=[("labels", "O")])
    values = eeg(3, 300).reshape(3, 2, 150).swapaxes(1, 2)
    content = {"nbchan": 3, "pnts": 150, "trials": 2, "srate": RATE_HZ, "xmin": -0.5, "xmax": 0.99, "data": values}
    scipy.io.savemat(
        tmp_path / "x.set",
        {"EEG": content | {"chanlocs": locations, "event": events, "epoch": epochs}},
        appendmat=False,
    )
    recording = open_recording(tmp_path / "x.set")
    assert [(round(event.onset_s, 3), event.label) for event in recording.events] == [
        (0.5, "target"), (0.9, "response"), (2.0, "target"), (2.6, "response")
    ]  # fmt: skip


def _v73_set(path: Path, signal_uv: npt.NDArray[np.float64], data: str | None = None) -> None:
    """An EEGLAB struct as MATLAB saves it with -v7.3 (HDF5); `data` names an .fdt file instead of holding samples."""

    def text(value: str, group: h5py.Group, name: str) -> h5py.Dataset:
        stored = group.create_dataset(name, data=np.array([[ord(c)] for c in value], dtype="u2"))
        stored.attrs["MATLAB_class"] = np.bytes_("char")
        return stored

    with h5py.File(path, "w", userblock_size=512) as file:
        group = file.create_group("EEG")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        numbers = {"nbchan": 3, "pnts": signal_uv.shape[1], "trials": 1, "srate": RATE_HZ, "xmin": 0.0}
        for name, value in numbers.items():
            group.create_dataset(name, data=[[float(value)]]).attrs["MATLAB_class"] = np.bytes_("double")
        if data:
            text(data, group, "data")
        else:
            stored = group.create_dataset("data", data=signal_uv.T.astype("f4"))
            stored.attrs["MATLAB_class"] = np.bytes_("single")
        references = file.create_group("#refs#")
        locations = group.create_group("chanlocs")
        locations.attrs["MATLAB_class"] = np.bytes_("struct")
        labels = [text(name, references, f"l{i}").ref for i, name in enumerate(["Fz", "Cz", "EOG1"])]
        locations.create_dataset("labels", data=np.array(labels, dtype=h5py.ref_dtype).reshape(-1, 1))
        empty = group.create_dataset("event", data=np.zeros(2, dtype="u8"))
        empty.attrs["MATLAB_class"] = np.bytes_("double")
        empty.attrs["MATLAB_empty"] = np.uint8(1)
    with path.open("r+b") as handle:
        handle.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")


def test_eeglab_v73(tmp_path: Path) -> None:
    signal_uv = eeg()
    path = tmp_path / "x.set"
    _v73_set(path, signal_uv)
    assert detect_format(path) == "eeglab"
    recording = open_recording(path)
    np.testing.assert_allclose(recording.read_uv([0, 1, 2], 0, 1000), signal_uv, rtol=1e-5)
    assert [channel.type for channel in recording.channels] == ["eeg", "eeg", "eog"]


def test_eeglab_with_its_data_beside(tmp_path: Path) -> None:
    signal_uv = eeg()
    path = tmp_path / "x.set"
    _v73_set(path, signal_uv, "x.fdt")
    with pytest.raises(IngestError, match=r"x\.fdt"):
        open_recording(path)
    data = tmp_path / "x.fdt"
    data.write_bytes(signal_uv.T.astype("<f4").tobytes())
    assert recording_files(path) == (path, data)
    assert is_companion(data)
    np.testing.assert_allclose(open_recording(path).read_uv([0, 1], 500, 700), signal_uv[:2, 500:700], rtol=1e-5)
    data = data.rename(tmp_path / "x.FDT")
    assert recording_files(path) == (path, data)
    np.testing.assert_allclose(open_recording(path).read_uv([0], 500, 700)[0], signal_uv[0, 500:700], rtol=1e-5)
    data = data.rename(tmp_path / "x.fdt")
    odd = path.rename(tmp_path / "x.mat")
    np.testing.assert_allclose(open_recording(odd).read_uv([0], 500, 700)[0], signal_uv[0, 500:700], rtol=1e-5)
    data.write_bytes(data.read_bytes()[:-4000])
    with pytest.raises(IngestError, match=r"holds 666 of 1000 samples"):
        open_recording(odd)


def test_damaged_groups_of_a_v73_set_are_a_reason(tmp_path: Path) -> None:
    _v73_set(tmp_path / "x.set", eeg())
    (tmp_path / "x.set").write_bytes((tmp_path / "x.set").read_bytes().replace(b"SNOD", b"XNOD"))
    with pytest.raises(IngestError, match="bad symbol table node signature"):
        open_recording(tmp_path / "x.set")


def test_an_fdt_that_is_longer_than_its_set_says(tmp_path: Path) -> None:
    """Bytes that were doubled shift all samples after them."""
    _v73_set(tmp_path / "x.set", eeg(), data="x.fdt")
    samples = eeg().T.astype("<f4").tobytes()
    (tmp_path / "x.fdt").write_bytes(samples)
    assert open_recording(tmp_path / "x.set").n_samples == 1000
    (tmp_path / "x.fdt").write_bytes(samples[:500] + samples[490:])
    with pytest.raises(IngestError, match=r"x\.fdt holds 10 bytes more than the 1000 samples of 3 channels"):
        open_recording(tmp_path / "x.set")
