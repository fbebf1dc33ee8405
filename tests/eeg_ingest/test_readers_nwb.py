"""NWB: files written and read by pynwb are the reference."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import detect_format, open_recording
from eeg_ingest.recording import IngestError
from eeg_ingest.stream_settings import NwbSettings
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ecephys import ElectricalSeries

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
LABELS = ["Fp1", "Cz", "Oz", "EOG"]
RATE_HZ = 250.0


def write_nwb(
    path: Path, series: Sequence[dict[str, Any]], *, column: str = "label", labels: Sequence[str] = LABELS
) -> Path:
    file = NWBFile("private", "identifier", datetime(2020, 1, 1, tzinfo=UTC), experimenter="Jane Doe")
    device = file.create_device("amp")
    group = file.create_electrode_group("cap", "scalp", "head", device)
    if column != "location":
        file.add_electrode_column(column, "name")
    for label in labels:
        names = {"location": label} if column == "location" else {"location": "head", column: label}
        file.add_electrode(group=group, **names)
    for keys in series:
        region = file.create_electrode_table_region(keys.pop("rows", list(range(len(labels)))), "cap")
        file.add_acquisition(ElectricalSeries(electrodes=region, **keys))
    file.add_trial_column("condition", "what")
    file.add_trial(start_time=12.0, stop_time=14.5, condition="left")
    file.add_trial(start_time=20.0, stop_time=21.0, condition="right")
    with NWBHDF5IO(path, "w") as io:
        io.write(file)
    return path


def values(n_samples: int = 5000, scale: float = 300.0) -> npt.NDArray[np.int16]:
    return np.random.default_rng(0).normal(0, scale, (n_samples, 4)).astype(np.int16)


def test_numbers_names_and_events_equal_pynwb(tmp_path: Path) -> None:
    one = {"name": "eeg", "data": values(), "conversion": 1e-7, "offset": 1e-5, "rate": RATE_HZ, "starting_time": 10.0}
    path = write_nwb(tmp_path / "x.nwb", [one | {"channel_conversion": [1.0, 2.0, 1.0, 0.5]}])
    recording = open_recording(path)
    with NWBHDF5IO(path, "r") as io:
        series = io.read().acquisition["eeg"]
        volts = series.data[:] * series.conversion * np.array(series.channel_conversion) + series.offset
        labels = list(series.electrodes.to_dataframe()["label"])
    assert (detect_format(path), recording.format, recording.sfreq_hz) == ("nwb", "nwb", RATE_HZ)
    assert [channel.name for channel in recording.channels] == labels
    assert [channel.type for channel in recording.channels] == ["eeg", "eeg", "eeg", "eog"]
    np.testing.assert_allclose(recording.read_uv(range(4), 100, 4000), volts[100:4000].T * 1e6, rtol=1e-6, atol=1e-5)
    assert [(e.onset_s, e.duration_s, e.label) for e in recording.events] == [(2.0, 2.5, "left"), (10.0, 1.0, "right")]


def test_gaps_in_the_times_are_breaks(tmp_path: Path) -> None:
    times_s = 3.0 + np.arange(5000) / RATE_HZ + np.random.default_rng(0).normal(0, 2e-5, 5000)
    times_s[2000:] += 0.1
    times_s[4000:] += 30.0
    one = {"name": "eeg", "data": values(), "conversion": 1e-7, "timestamps": times_s}
    recording = open_recording(write_nwb(tmp_path / "x.nwb", [one]))
    assert recording.sfreq_hz == RATE_HZ
    assert [s.start_sample for s in recording.segments] == [0, 2000, 4000]
    np.testing.assert_allclose([s.onset_s for s in recording.segments], [0, 8.1, 46.1], atol=1e-3)


def test_names_come_from_the_column_that_names_sites(tmp_path: Path) -> None:
    one = {"name": "eeg", "data": values()[:, :2], "conversion": 1e-7, "rate": RATE_HZ, "rows": [2, 0]}
    path = write_nwb(tmp_path / "x.nwb", [one], column="location")
    assert [channel.name for channel in open_recording(path).channels] == ["Oz", "Fp1"]


def test_numbers_that_nobody_converted_are_no_volts(tmp_path: Path) -> None:
    """The schema calls everything V; whoever writes µV without a conversion leaves no other trace."""
    numbers = np.random.default_rng(0).normal(0, 20, (5000, 4))
    recording = open_recording(write_nwb(tmp_path / "x.nwb", [{"name": "eeg", "data": numbers, "rate": RATE_HZ}]))
    assert {channel.unit for channel in recording.channels if channel.type == "eeg"} == {"uV"}
    np.testing.assert_allclose(recording.read_uv([1], 0, 5000)[0], numbers[:, 1], rtol=1e-6)
    assert "read in uV" in recording.warnings[0]
    assert open_recording(tmp_path / "x.nwb", unit="uV").warnings == []


def test_one_of_several_series_has_to_be_chosen(tmp_path: Path) -> None:
    both = [
        {"name": name, "data": values(), "conversion": 1e-7, "rate": rate}
        for name, rate in (("a", 250.0), ("b", 500.0))
    ]
    path = write_nwb(tmp_path / "x.nwb", both)
    with pytest.raises(IngestError, match="found acquisition/a, acquisition/b\\. Name one"):
        open_recording(path)
    with pytest.raises(IngestError, match="expected one ElectricalSeries 'c', found acquisition/a, acquisition/b"):
        open_recording(path, settings=NwbSettings(format="nwb", series="c"))
    for name in ("b", "acquisition/b"):
        assert open_recording(path, settings=NwbSettings(format="nwb", series=name)).sfreq_hz == 500


def test_recordings_that_are_no_eeg_and_damaged_files(tmp_path: Path) -> None:
    one = {"name": "lfp", "data": values(), "conversion": 1e-7, "rate": RATE_HZ}
    path = write_nwb(tmp_path / "x.nwb", [one], labels=["CA1", "CA3", "DG", "V1"])
    with pytest.raises(IngestError, match="No EEG channel is left"):
        choose_channels(open_recording(path), rename={}, drop=(), montage=None)
    (tmp_path / "cut.nwb").write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(IngestError, match="damaged MATLAB or HDF5 file"):
        open_recording(tmp_path / "cut.nwb")
    with h5py.File(path, "a") as file:
        del file["acquisition/lfp/electrodes"]
    with pytest.raises(IngestError, match="not as its schema says"):
        open_recording(path)
    with pytest.raises(IngestError, match="expected one ElectricalSeries, found none"):
        open_recording(write_nwb(tmp_path / "y.nwb", []))
