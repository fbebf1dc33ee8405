"""Labels from annotations, from the path and from tables, and where they come to lie in the stored seconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyedflib
import pytest
from eeg_ingest.events import FileLabels, event_rows, read_labels, rename_annotations, without_repeats
from eeg_ingest.file import StoredSegment
from eeg_ingest.labels import (
    AnnotationLabels,
    AnyLabels,
    FlagLabels,
    PathLabels,
    RemainderLabels,
    TableLabels,
    TrialLabels,
)
from eeg_ingest.recording import Event, IngestError, Recording, Segment
from eeg_ingest.tables import read_table
from hypothesis import given
from hypothesis import strategies as st


class Minute(Recording):
    """A recording of 60 s at 100 Hz, in segments of (seconds, onset), that is never read."""

    def __init__(self, *segments: tuple[float, float]) -> None:
        self.segments = tuple(Segment(0, round(100 * length_s), onset_s) for length_s, onset_s in segments or [(60, 0)])
        self.sfreq_hz = 100.0

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> NoReturn:
        raise AssertionError("labels need no samples")


def _table(**keys: Any) -> TableLabels:
    return TableLabels.model_validate({"from": "table", "column": "label", **keys})


def _read(
    label: AnyLabels,
    file: Path,
    source: Path | None = None,
    recording: Recording | None = None,
    **groups: str | None,
) -> FileLabels:
    return read_labels([label], groups, file, source or file.parent, recording or Minute())


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def test_annotations_keep_their_labels_or_get_new_ones() -> None:
    label = AnnotationLabels.model_validate({"from": "annotations", "rename": {"T0": "rest"}})
    events = [Event(0.0, 4.2, "T0"), Event(4.2, 4.1, "T1")]
    assert rename_annotations([label], {}, events) == [Event(0.0, 4.2, "rest"), Event(4.2, 4.1, "T1")]
    assert rename_annotations([], {}, events) == events


def test_the_path_labels_the_whole_recording(tmp_path: Path) -> None:
    label = PathLabels.model_validate({"from": "path", "group": "state", "rename": {"1": "rest"}})
    assert _read(label, tmp_path / "s_1.edf", state="1").whole == ("rest",)
    assert _read(label, tmp_path / "s_2.edf", state="2").whole == ("2",)
    with pytest.raises(IngestError, match="named group 'state'"):
        _read(label, tmp_path / "s.edf", state=None)


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_row_an_event(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = [("onset", "duration", "label"), ("1.5", "2", "go"), ("4", "n/a", "stop"), ("6", "1", "n/a")]
    _write(tmp_path / "a_events.tsv", "# made by hand\n\n" + "\n".join(separator.join(row) for row in rows), encoding)
    label = _table(table="{stem}_events.tsv", onset="onset", duration="duration", rename={"go": "walk"})
    found = _read(label, tmp_path / "a.edf")
    assert found.events == (Event(1.5, 2.0, "walk"), Event(4.0, 0.0, "stop"))
    assert found.warnings == ("1 rows without a label in a_events.tsv",)


def test_a_table_without_a_header_row_has_named_columns(tmp_path: Path) -> None:
    label = _table(table="t.tsv", onset="start", stop="stop", column="kind", columns=["start", "stop", "kind"])
    _write(tmp_path / "t.tsv", "# Gender: Male\n \n781\t807\tFIA\tHem:L\n900\tNone\tFIA\n")
    assert _read(label, tmp_path / "a.edf").events == (Event(781.0, 26.0, "FIA"), Event(900.0, 0.0, "FIA"))
    _write(tmp_path / "t.tsv", "# nothing happened\n")
    assert _read(label, tmp_path / "a.edf").events == ()


def test_a_row_a_recording(tmp_path: Path) -> None:
    table = _write(
        tmp_path / "participants.tsv", "participant_id\tlabel\nsub-01\tpatient\nsub-02\tcontrol\nsub-03\tn/a\n"
    )
    label = _table(table="participants.tsv", key="participant_id", value="sub-{subject}")
    file = tmp_path / "sub-01" / "eeg" / "a.edf"
    assert _read(label, file, tmp_path, subject="01").whole == ("patient",)
    assert _read(label, file, tmp_path, subject="02").whole == ("control",)
    unknown = _read(label, file, tmp_path, subject="03")
    assert (unknown.whole, unknown.warnings) == ((), ("no label in participants.tsv",))
    with pytest.raises(IngestError, match="where participant_id is 'sub-04', found no such row"):
        _read(label, file, tmp_path, subject="04")
    table.write_text(table.read_text() + "sub-01\tcontrol\n")
    with pytest.raises(IngestError, match="found the labels control, patient"):
        _read(label, file, tmp_path, subject="01")


def test_a_table_beside_the_recording_comes_before_the_source_s(tmp_path: Path) -> None:
    label = _table(table="t.csv", key="id", value="1")
    _write(tmp_path / "t.csv", "id,label\n1,far\n")
    assert _read(label, tmp_path / "s" / "a.edf", tmp_path).whole == ("far",)
    _write(tmp_path / "s" / "t.csv", "id,label\n1,near\n")
    assert _read(label, tmp_path / "s" / "a.edf", tmp_path).whole == ("near",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("onset,kind\n1,x\n", "expected a column 'label', found onset, kind"),
        ("", "expected a column 'label', found an empty table"),
        ("onset,label\nsoon,x\n", "expected seconds in column 'onset' on line 2, found 'soon'"),
        ("# c\nonset,label\n1,x\nnan,y\n", "on line 4, found 'nan'"),
        ("onset,end,label\n5,4,x\n", "expected a duration of 0 s or more on line 2, found -1 s"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, text: str, reason: str) -> None:
    _write(tmp_path / "t.csv", text)
    stop = "end" if "end" in text else None
    with pytest.raises(IngestError) as error:
        _read(_table(table="t.csv", onset="onset", stop=stop), tmp_path / "a.edf")
    assert reason in str(error.value)


def test_a_missing_table_and_one_that_is_no_text(tmp_path: Path) -> None:
    label = _table(table="{stem}.csv", onset="onset")
    with pytest.raises(IngestError, match=r"expected the table a\.csv beside the recording or in"):
        _read(label, tmp_path / "a.edf")
    (tmp_path / "a.csv").write_bytes(b"onset,label\n1,\xe9t\xe9\n")
    with pytest.raises(IngestError, match="expected UTF-8 text, found the byte 0xe9"):
        _read(label, tmp_path / "a.edf")


def test_a_changed_table_is_read_again(tmp_path: Path) -> None:
    table = _write(tmp_path / "t.csv", "a\n1\n")
    assert read_table(table, None).rows == (("1",),)
    _write(table, "a\n1\n2\n")
    assert read_table(table, None).rows == (("1",), ("2",))


def _segments(*places: tuple[int, float]) -> list[StoredSegment]:
    """Make segments of (n_seconds, original_onset_s), one after the other."""
    first, segments = 0, []
    for n_seconds, onset_s in places:
        segments.append(StoredSegment(first_second=first, n_seconds=n_seconds, original_onset_s=onset_s, dropped_s=0.0))
        first += n_seconds
    return segments


@pytest.mark.parametrize(
    ("onset_s", "stored_s"),
    [(0.0, 0.0), (9.99, 9.99), (10.0, None), (12.5, None), (20.0, 10.0), (19.9999, 10.0), (24.5, 14.5), (25.0, None)],
)
def test_onsets_count_along_the_stored_seconds(onset_s: float, stored_s: float | None) -> None:
    """10 s from 0 s, a break, 5 s from 20 s; between them a stretch too short to be stored."""
    rows = event_rows([Event(onset_s, 1.0, "x")], (), _segments((10, 0.0), (0, 15.0), (5, 20.0)))
    assert rows == [{"onset_s": stored_s, "duration_s": 1.0, "label": "x", "original_onset_s": onset_s}]


@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(0, 3)), min_size=1, max_size=5),
    st.lists(st.floats(-5, 120), max_size=20),
)
def test_an_onset_lies_in_the_second_that_holds_its_sample(
    gaps: list[tuple[int, float]], onsets_s: list[float]
) -> None:
    places, clock_s = [], 0.0
    for n_seconds, gap_s in gaps:
        places.append((n_seconds, clock_s))
        clock_s += n_seconds + gap_s
    segments = _segments(*places)
    rows = event_rows([Event(onset_s, 0.0, "x") for onset_s in onsets_s], (), segments)
    assert [row["original_onset_s"] for row in rows] == sorted(onsets_s)
    for row in rows:
        into = [(row["original_onset_s"] - segment["original_onset_s"], segment) for segment in segments]
        holding = [(into_s, segment) for into_s, segment in into if 0 <= into_s < segment["n_seconds"]]
        if row["onset_s"] is None:  # outside, or nearer to the end than half a sample
            assert all(segment["n_seconds"] - into_s <= 0.5 / 200 for into_s, segment in holding)
        else:
            assert 0 <= row["onset_s"] < sum(n_seconds for n_seconds, _ in places)
            expected = [segment["first_second"] + into_s for into_s, segment in holding]
            assert not expected or row["onset_s"] == pytest.approx(expected[0], abs=0.5 / 200)


def test_labels_of_the_mental_arithmetic_recordings(eeg_data: Path) -> None:
    """The number of subtractions is given once a subject, the task by the file's suffix."""
    folder = eeg_data / "physionet_eegmat"
    label = _table(table="subject-info.csv", key="Subject", column="Count quality", rename={"1": "good"})
    assert _read(label, folder / "Subject00_1.edf", subject="Subject00").whole == ("0",)
    assert _read(label, folder / "Subject01_2.edf", subject="Subject01").whole == ("good",)


def test_labels_of_the_tuh_recordings(eeg_data: Path) -> None:
    folder = eeg_data / "HEADER_ONLY_random_signal" / "tuh" / "train" / "aaaaakpu" / "s001_2010" / "01_tcp_ar"
    label = _table(table="{stem}.csv_bi", onset="start_time", stop="stop_time")
    (event,) = _read(label, folder / "aaaaakpu_s001_t000.edf").events
    assert (event.onset_s, event.label) == (1162.5973, "seiz")
    assert event.duration_s == pytest.approx(1245.4228 - 1162.5973)


def test_labels_of_the_seizeit_recordings(eeg_data: Path) -> None:
    folder = eeg_data / "HEADER_ONLY_random_signal" / "seizeit" / "P_ID64"
    columns = ["start", "stop", "kind", "details"]
    label = _table(table="{stem}_a1.tsv", onset="start", stop="stop", column="kind", columns=columns)
    assert _read(label, folder / "P_ID64_r3.edf").events == (Event(781.0, 26.0, "FIA"), Event(7145.0, 30.0, "FIA"))
    assert _read(label, folder / "P_ID64_r1.edf").events == (Event(8971.0, 0.0, "FIA"),)


def test_a_label_may_be_for_some_files_only(tmp_path: Path) -> None:
    """T1 is the left fist in some runs and both fists in others."""
    one = AnnotationLabels.model_validate(
        {"from": "annotations", "where": {"run": ["04", "08"]}, "rename": {"T1": "l"}}
    )
    two = AnnotationLabels.model_validate({"from": "annotations", "where": {"run": "06"}, "rename": {"T1": "both"}})
    events = [Event(0.0, 4.2, "T1")]
    assert rename_annotations([one, two], {"run": "08"}, events) == [Event(0.0, 4.2, "l")]
    assert rename_annotations([one, two], {"run": "06"}, events) == [Event(0.0, 4.2, "both")]
    assert rename_annotations([one, two], {"run": None}, events) == events
    table = _table(table="{stem}.csv", onset="onset", where={"part": "train"})
    assert _read(table, tmp_path / "a.edf", part="test") == FileLabels()
    with pytest.raises(IngestError, match=r"the table a\.csv"):
        _read(table, tmp_path / "a.edf", part="train")


def test_trials_at_times_and_in_segments(tmp_path: Path) -> None:
    keys = {"from": "trials", "labels": ["sad", "glad"], "rename": {"glad": "happy"}}
    timed = TrialLabels.model_validate({**keys, "start_s": [5, 20.5], "stop_s": [10, 30]})
    assert _read(timed, tmp_path / "a.cnt").events == (Event(5, 5, "sad"), Event(20.5, 9.5, "happy"))
    found = _read(timed, tmp_path / "a.cnt", recording=Minute((25, 0)))
    assert found.events[1] == Event(20.5, 9.5, "happy")
    assert found.warnings == ("1 of 2 trials end after the recording, which ends at 25 s",)
    untimed = TrialLabels.model_validate(keys)
    two = Minute((10, 0), (15, 40))
    assert _read(untimed, tmp_path / "a.mat", recording=two).events == (Event(0, 10, "sad"), Event(40, 15, "happy"))
    with pytest.raises(IngestError, match="expected 2 segments, one for each trial, found 1"):
        _read(untimed, tmp_path / "a.mat")


def test_a_run_of_ones_is_an_event(tmp_path: Path) -> None:
    flags = np.zeros((6000, 2), int)
    flags[100:250, 0] = flags[200:300, 1] = flags[5990:, 0] = 1
    table = pd.DataFrame({"id": [f"s_{n}" for n in range(6000)], "Go": flags[:, 0], "Lift": flags[:, 1]})
    table.to_csv(tmp_path / "s_events.csv", index=False)
    label = FlagLabels.model_validate({"from": "flags", "table": "{subject}_events.csv", "columns": ["Go", "Lift"]})
    found = _read(label, tmp_path / "a.csv", subject="s").events
    assert sorted(found, key=lambda e: e.onset_s) == [Event(1, 1.5, "Go"), Event(2, 1, "Lift"), Event(59.9, 0.1, "Go")]
    with pytest.raises(IngestError, match="expected a row for each of 3000 samples, found 6000"):
        _read(label, tmp_path / "a.csv", subject="s", recording=Minute((30, 0)))
    table.assign(Lift=2).to_csv(tmp_path / "s_events.csv", index=False)
    with pytest.raises(IngestError, match="expected 0 or 1 in column 'Lift', found 2 on line 2"):
        _read(label, tmp_path / "a.csv", subject="s")
    table.assign(Lift="x").to_csv(tmp_path / "s_events.csv", index=False)
    with pytest.raises(IngestError, match="expected columns of 0 and 1, found"):
        _read(label, tmp_path / "a.csv", subject="s")
    table.drop(columns="Lift").to_csv(tmp_path / "s_events.csv", index=False)
    with pytest.raises(IngestError, match="expected a column 'Lift', found id, Go"):
        _read(label, tmp_path / "a.csv", subject="s")


def test_the_first_table_that_exists_counts_and_one_may_be_missing(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"table": ["{stem}.csv", "{stem}.csv_bi"], "onset": "onset", "channel": "channel"}
    assert _read(_table(**keys, optional=True), tmp_path / "a.edf").warnings == (
        f"The labels of a.edf cannot be read: expected the table a.csv or a.csv_bi beside the recording or in "
        f"{tmp_path}, found no such file. Add the table, or correct labels in sources.yaml.",
    )
    _write(tmp_path / "a.csv_bi", "channel,onset,label\nTERM,1,seiz\n")
    assert _read(_table(**keys), tmp_path / "a.edf").events == (Event(1.0, 0.0, "seiz TERM"),)
    _write(tmp_path / "a.csv", "# six\n# lines\nchannel,onset,label\nFP1-F7,2,musc\n")
    assert _read(_table(**keys), tmp_path / "a.edf").events == (Event(2.0, 0.0, "musc FP1-F7"),)


@pytest.mark.parametrize("kind", [pyedflib.FILETYPE_EDFPLUS, pyedflib.FILETYPE_BDFPLUS])
def test_annotations_of_another_file(tmp_path: Path, kind: int) -> None:
    """A hypnogram holds annotations and no signal; its name differs by the scorer's letter."""
    for name in ("SC4001EC-Hypnogram.edf", "SC4002EC-Hypnogram.edf"):
        with pyedflib.EdfWriter(str(tmp_path / name), 0, file_type=kind) as writer:
            writer.writeAnnotation(0, 30630, "Sleep stage W")
            writer.writeAnnotation(30630, 120, "Sleep stage 1")
    label = AnnotationLabels.model_validate(
        {"from": "annotations", "file": "{subject}*-Hypnogram.edf", "rename": {"Sleep stage W": "W"}}
    )
    found = _read(label, tmp_path / "SC4001E0-PSG.edf", subject="SC4001").events
    assert found == (Event(0, 30630, "W"), Event(30630, 120, "Sleep stage 1"))
    assert rename_annotations([label], {}, [Event(0, 1, "Sleep stage W")]) == [Event(0, 1, "Sleep stage W")]
    with pytest.raises(IngestError, match=r"expected one file SC400\*-Hypnogram\.edf, found SC4001EC-.*, SC4002EC-"):
        _read(label, tmp_path / "SC4001E0-PSG.edf", subject="SC400")
    with pytest.raises(IngestError, match=r"expected the file SC4003\*-Hypnogram\.edf beside the recording"):
        _read(label, tmp_path / "SC4001E0-PSG.edf", subject="SC4003")


def test_the_remainder_is_what_no_label_covers(tmp_path: Path) -> None:
    _write(tmp_path / "a.csv", "onset,stop,label\n10,20,seizure\n18,25,seizure\n40,40,mark\n50,70,seizure\n")
    rest = RemainderLabels.model_validate({"from": "remainder", "label": "background"})
    table = _table(table="{stem}.csv", onset="onset", stop="stop", optional=True)
    found = read_labels([table, rest], {}, tmp_path / "a.edf", tmp_path, Minute((30, 0), (25, 35)))
    assert [event for event in found.events if event.label == "background"] == [
        Event(0, 10, "background"),
        Event(25, 5, "background"),
        Event(35, 15, "background"),
    ]
    # Where the table is missing nobody knows.
    assert read_labels([table, rest], {}, tmp_path / "b.edf", tmp_path, Minute()).events == ()


def test_the_remainder_is_of_the_labels_before_it(tmp_path: Path) -> None:
    """And rows that touch but for rounding leave nothing between them."""
    _write(tmp_path / "a.csv_bi", "onset,stop,label\n0,36.8868,bckg\n36.8868,45.3055,seiz\n")
    _write(tmp_path / "a.csv", "onset,stop,label\n0,60,bckg FP1-F7\n")
    tables = [_table(table=f"{{stem}}.{name}", onset="onset", stop="stop") for name in ("csv_bi", "csv")]
    rest = RemainderLabels.model_validate({"from": "remainder", "label": "bckg"})
    found = read_labels([tables[0], rest, tables[1]], {}, tmp_path / "a.edf", tmp_path, Minute()).events
    assert [(event.onset_s, event.label) for event in found] == [
        (0.0, "bckg"),
        (36.8868, "seiz"),
        (pytest.approx(45.3055), "bckg"),
        (0.0, "bckg FP1-F7"),
    ]


def test_tables_of_nedc_before_2022(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"onset": "start_time", "stop": "stop_time", "channel": "channel"}
    _write(tmp_path / "a.tse_agg", "version = tse_v1.0.0\n\n0.0000 10.5 bckg 1.0000\n10.5  20 slow 1.0000\n")
    table = _table(table=["{stem}.csv", "{stem}.tse_agg"], **keys)
    assert _read(table, tmp_path / "a.edf").events == (Event(0, 10.5, "bckg TERM"), Event(10.5, 9.5, "slow TERM"))
    renamed = _table(table="{stem}.tse_agg", rename_channels={"TERM": ""}, **keys)
    assert _read(renamed, tmp_path / "a.edf").events == (Event(0, 10.5, "bckg"), Event(10.5, 9.5, "slow"))
    _write(tmp_path / "a.tse_agg", "version = tse_v1.0.0\n\n0.0000 soon bckg 1\n")
    with pytest.raises(IngestError, match="expected seconds in column 'stop_time' on line 3, found 'soon'"):
        _read(table, tmp_path / "a.edf")


def test_channels_that_a_table_counts(tmp_path: Path) -> None:
    _write(tmp_path / "a.rec", "0,90.4,91.4,6\n13,90.4,91.4,6\n")
    label = _table(
        table="{stem}.rec", columns=["channel", "start", "stop", "code"], onset="start", stop="stop", column="code",
        channel="channel", rename={"6": "bckg"}, rename_channels={"0": "FP1-F7"},
    )  # fmt: skip
    found = _read(label, tmp_path / "a.edf").events
    assert [(event.onset_s, event.label) for event in found] == [(90.4, "bckg FP1-F7"), (90.4, "bckg 13")]


def test_a_table_whose_absence_says_that_nothing_happened(tmp_path: Path) -> None:
    silent = _table(table="{stem}_seiz.csv", onset="onset", optional="silently")
    rest = RemainderLabels.model_validate({"from": "remainder", "label": "background"})
    found = read_labels([silent, rest], {}, tmp_path / "a.edf", tmp_path, Minute())
    assert found == FileLabels(events=(Event(0, 60, "background"),))


def test_an_annotation_that_a_label_tells_again_is_left_out() -> None:
    own = [Event(0.0, 0.0, "start"), Event(2.0, 0.0, "go"), Event(2.004, 0.0, "go"), Event(3.0, 0.0, "go")]
    told = [Event(2.002, 1.5, "go"), Event(0.0, 0.0, "stop"), Event(5.0, 0.0, "start")]
    assert without_repeats(own, told) == [own[0], own[3]]
    assert without_repeats(own, []) == own
