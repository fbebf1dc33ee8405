"""BIDS: a dataset that mne-bids wrote, as mne-bids reads it; and the departures of real datasets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import edfio
import mne
import mne_bids
import numpy as np
import pytest
from eeg_ingest.bids import apply_sidecars, entities, read_sidecars
from eeg_ingest.events import read_labels
from eeg_ingest.file import harmonize_file
from eeg_ingest.files import find_files
from eeg_ingest.labels import TableLabels
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.sources import Source, load_sources

SFREQ_HZ = 200
NAMES = ("Fp1", "Cz", "Oz", "X1", "EKG")
FILE = "sub-01/ses-a/eeg/sub-01_ses-a_task-rest_run-02_eeg.edf"


def write_edf(path: Path, *, unit: str = "uV", names: tuple[str, ...] = NAMES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(rng.normal(0, 20, 40 * SFREQ_HZ), SFREQ_HZ, label=name, physical_dimension=unit)
        for name in names
    ]
    edfio.Edf(signals, annotations=[edfio.EdfAnnotation(3, None, "of the file")]).write(path)
    return path


def write(root: Path, /, **files: str | dict[str, Any]) -> None:
    """Write sidecars beside FILE: `channels` and `events` tables (; for tabs), `eeg` and `root` JSON."""
    stem = root / FILE.removesuffix("_eeg.edf")
    for name, content in files.items():
        path = root / "task-rest_eeg.json" if name == "root" else stem.with_name(f"{stem.name}_{name}")
        if isinstance(content, dict):
            path.with_suffix(".json").write_text(json.dumps(content))
        else:
            path.with_suffix(".tsv").write_text(content.replace(";", "\t"))


def read(root: Path) -> Recording:
    recording = open_recording(root / FILE)
    apply_sidecars(recording, read_sidecars(root / FILE, root))
    return recording


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_dataset_of_mne_bids_is_as_mne_bids_reads_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "Cz", "Oz", "left", "EKG"], SFREQ_HZ, ["eeg", "eeg", "eeg", "eog", "ecg"])
    raw = mne.io.RawArray(rng.normal(0, 20e-6, (5, 40 * SFREQ_HZ)), info, verbose="ERROR")
    raw.set_meas_date(datetime(2020, 1, 1, tzinfo=UTC))
    raw.info["line_freq"], raw.info["bads"] = 60, ["Cz"]
    raw.set_annotations(mne.Annotations([2.0, 5.5], [1.0, 0.5], ["left", "right"]))
    place = mne_bids.BIDSPath(subject="01", session="a", task="rest", run="02", datatype="eeg", root=tmp_path)
    mne_bids.write_raw_bids(raw, place, format="EDF", allow_preload=True, verbose="ERROR")
    wanted = mne_bids.read_raw_bids(place.update(extension=".edf", suffix="eeg"), verbose="ERROR")
    recording, sidecars = read(tmp_path), read_sidecars(tmp_path / FILE, tmp_path)
    assert [channel.name for channel in recording.channels] == wanted.ch_names
    assert [channel.type for channel in recording.channels] == wanted.get_channel_types()
    assert [(e.onset_s, e.duration_s, e.label) for e in recording.events] == [
        (a["onset"], a["duration"], a["description"]) for a in wanted.annotations
    ]
    assert sidecars.line_freq_hz == wanted.info["line_freq"]
    assert wanted.info["bads"] == ["Cz"]
    assert recording.warnings == ["channels.tsv marks as bad: Cz"]
    wanted_entities = mne_bids.get_entities_from_fname(FILE)
    assert entities(FILE) == {key: value for key, value in wanted_entities.items() if value is not None}


def test_tables_as_they_are_found(tmp_path: Path) -> None:
    """No columns but two, types in lower case, n/a, names in another case, channels that the file lacks."""
    write_edf(tmp_path / FILE)
    write(tmp_path, channels="name;type\nfp1;eeg\nCz;EEG\nOz;n/a\nX1;eog\nEKG;ECG\nStatus;TRIG\n")
    recording = read(tmp_path)
    assert [channel.type for channel in recording.channels] == ["eeg", "eeg", "eeg", "eog", "ecg"]
    assert recording.warnings == ["channels.tsv lists channels that the file lacks: Status"]
    assert [event.label for event in recording.events] == ["of the file"]
    write(tmp_path, channels="name;units;status;status_description\nCz;mV;BAD;loose\nOz;uV;bad;n/a\nFp1;uV;good;n/a\n")
    assert read(tmp_path).warnings == [
        "channels.tsv marks as bad: Cz (loose), Oz",
        "channels.tsv says mV; the file's own unit counts",
    ]


def test_a_type_of_the_table_adds_and_removes_eeg(tmp_path: Path) -> None:
    write_edf(tmp_path / FILE, names=("Fp1", "Cz", "E99", "VEOG", "Oz"))
    write(tmp_path, channels="name;type\nFp1;EEG\nCz;MISC\nE99;EEG\nVEOG;EEG\nOz;EEG\n")
    kinds = {channel.name: channel.type for channel in read(tmp_path).channels}
    assert kinds == {"Fp1": "eeg", "Cz": "misc", "E99": "eeg", "VEOG": "eog", "Oz": "eeg"}


def test_events_as_they_are_found(tmp_path: Path) -> None:
    write_edf(tmp_path / FILE)
    rows = "1;0.5;go;n/a\n2;n/a;n/a;7\nn/a;1;lost;n/a\n4;1;n/a;n/a\n5;-1;stop;9\n"
    write(tmp_path, events="onset;duration;trial_type;value\n" + rows)
    recording = read(tmp_path)
    assert recording.events == (Event(1.0, 0.5, "go"), Event(2.0, 0.0, "7"), Event(5.0, 0.0, "stop"))
    assert recording.warnings == ["2 rows of sub-01_ses-a_task-rest_run-02_events.tsv have no onset or no label"]
    write(tmp_path, events="onset;value\n1.5;12\n")
    assert read(tmp_path).events == (Event(1.5, 0.0, "12"),)
    write(tmp_path, events="onset;duration;trial_type\n")
    assert [event.label for event in read(tmp_path).events] == ["of the file"]
    write(tmp_path, events="onset;trial_type\nsoon;go\n")
    with pytest.raises(IngestError, match="expected seconds in column 'onset' on line 2, found 'soon'"):
        read(tmp_path)


def test_sidecars_are_inherited(tmp_path: Path) -> None:
    path = write_edf(tmp_path / "data" / FILE)
    root = tmp_path / "data"
    (tmp_path / "task-rest_eeg.json").write_text('{"PowerLineFrequency": 16}')  # above the dataset
    (root / "dataset_description.json").write_text("{}")
    assert read_sidecars(path, tmp_path).line_freq_hz is None
    write(root, root={"PowerLineFrequency": 50})
    write(root, eeg={"EEGReference": "Cz"})
    assert read_sidecars(path, tmp_path).line_freq_hz == 50
    (root / "sub-01" / "sub-01_ses-a_eeg.json").write_text('{"PowerLineFrequency": 60}')
    (root / "sub-01" / "sub-01_ses-b_eeg.json").write_text('{"PowerLineFrequency": 70}')
    assert read_sidecars(path, tmp_path).line_freq_hz == 60
    write(root, eeg={"PowerLineFrequency": "n/a"})
    assert read_sidecars(path, tmp_path).line_freq_hz is None
    (root / "task-rest_channels.tsv").write_text("name\ttype\nFp1\tEOG\n")
    assert [row.type for row in read_sidecars(path, tmp_path).channels] == ["eog"]
    write(root, channels="name;type\nFp1;EEG\n")
    assert [row.type for row in read_sidecars(path, tmp_path).channels] == ["eeg"]
    (root / "task-rest_eeg.json").write_text("{")
    with pytest.raises(IngestError, match=r"task-rest_eeg\.json cannot be read: expected JSON"):
        read_sidecars(path, tmp_path)


def test_the_unit_of_the_table_counts_where_nobody_else_says(tmp_path: Path) -> None:
    path = write_edf(tmp_path / FILE, unit="")
    write(tmp_path, channels="name;type;units\nFp1;EEG;mV\nCz;EEG;mV\nOz;EEG;mV\nEKG;ECG;V\n")
    file = harmonize_file(path, sidecars=read_sidecars(path, tmp_path), line_freq_hz=None)
    assert {channel.unit for channel in file.recording.channels if channel.type == "eeg"} == {"mV"}
    file = harmonize_file(path, unit="uV", sidecars=read_sidecars(path, tmp_path), line_freq_hz=None)
    assert {channel.unit for channel in file.recording.channels if channel.type == "eeg"} == {"uV"}


def test_the_sidecar_says_what_auto_is(tmp_path: Path) -> None:
    """Noise without hum: the search would find none."""
    path = write_edf(tmp_path / FILE)
    write(tmp_path, root={"PowerLineFrequency": 60})
    sidecars = read_sidecars(path, tmp_path)
    assert harmonize_file(path, sidecars=sidecars).line_freq_hz == 60
    assert harmonize_file(path, sidecars=sidecars, line_freq_hz=50).line_freq_hz == 50
    assert harmonize_file(path).line_freq_hz is None


def test_a_source_finds_its_recordings_and_their_groups(tmp_path: Path) -> None:
    for folder in ("", "derivatives/clean/", "sourcedata/"):
        write_edf(tmp_path / "data" / f"{folder}{FILE}")
    write_edf(tmp_path / "data" / "sub-02/eeg/sub-02_task-rest_eeg.edf")
    write_edf(tmp_path / "data" / "sub-02/meg/sub-02_task-rest_meg.edf")
    (tmp_path / "data" / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tpatient\nsub-02\tn/a\n")
    text = (
        "sources:\n  - name: study\n    path: data\n    bids: true\n    labels: {from: table, table: participants.tsv, "
        "key: participant_id, value: 'sub-{subject}', column: group}\n"
    )
    (tmp_path / "sources.yaml").write_text(text)
    (source,) = load_sources(tmp_path / "sources.yaml")
    found, failures = find_files(source)
    assert [file.file for file in found] == [FILE, "sub-02/eeg/sub-02_task-rest_eeg.edf"]
    assert failures == []
    groups = [source.groups(file.file) for file in found]
    assert groups == [
        {"subject": "01", "session": "a", "task": "rest", "run": "02"},
        {"subject": "02", "task": "rest"},
    ]
    assert isinstance(source.labels[0], TableLabels)
    recording = open_recording(found[0].path)
    assert read_labels(source.labels, groups[0] or {}, found[0].path, source.path, recording).whole == ("patient",)
    assert source.groups("phantom/eeg/phantom_eeg.edf") is None
    every = source.model_copy(update={"files": ("**/*.edf",)})
    assert len(find_files(every)[0]) == 3  # meg, too; what is derived is not


def test_plain_sources_keep_their_spec() -> None:
    """A store that was built before BIDS was known goes on."""
    plain = Source(name="x", path=Path())
    assert not {"bids", "reader"} & set(plain.spec())
    assert plain.model_copy(update={"bids": True}).spec()["bids"] is True
