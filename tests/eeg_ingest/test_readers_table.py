"""Tables of text as a source declares them: numbers as pandas reads them, rates, gaps and events; bad ones refused."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from eeg_ingest.reader_settings import ReaderSettings
from eeg_ingest.readers import open_recording, text
from eeg_ingest.recording import Event, IngestError, Recording
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

NAMES = ["Fp1", "Cz", "O2"]


def declare(**keys: Any) -> ReaderSettings:
    settings: ReaderSettings = TypeAdapter(ReaderSettings).validate_python({"format": "table", **keys})
    return settings


def open_table(path: Path, unit: str | None = "uV", **keys: Any) -> Recording:
    return open_recording(path, unit=unit, settings=declare(**keys))


def samples(n_samples: int = 1000, seed: int = 0) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(0, 20, (n_samples, 3)).round(3)
    return pd.DataFrame(values, columns=NAMES)


def write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


def read_all(recording: Recording) -> Any:
    return recording.read_uv(range(3), 0, recording.n_samples).T


def reason(path: Path, unit: str | None = "uV", **keys: Any) -> str:
    with pytest.raises(IngestError) as caught:
        open_table(path, unit, **keys)
    return str(caught.value)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_layout_gives_the_numbers_of_pandas(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    separator, sign = data.draw(st.sampled_from([("comma", ","), ("tab", "\t"), ("semicolon", ";"), ("space", " ")]))
    decimal = data.draw(st.sampled_from([".", ","] if sign != "," else ["."]))
    n_samples = data.draw(st.integers(2, 300))
    header, comments = data.draw(st.booleans()), data.draw(st.booleans())
    newline = data.draw(st.sampled_from(["\n", "\r\n"]))
    end = data.draw(st.sampled_from(["", newline, newline * 2]))
    frame = samples(n_samples, data.draw(st.integers(0, 9)))
    frame[frame > data.draw(st.sampled_from([40, 1000]))] = np.nan
    lines = frame.to_csv(index=False, header=header, sep=sign, decimal=decimal, na_rep="NaN").splitlines()
    skipped = data.draw(st.integers(0, 3))
    if comments:
        lines.insert(data.draw(st.integers(0, len(lines))), "% a comment, with commas")
        lines.insert(0, "% another")
    padded = [line.replace(" ", "   ") for line in lines] if sign == " " else lines
    path = tmp_path_factory.mktemp("any") / "x.txt"
    content = (newline.join(["not, of this table"] * skipped + padded) + end).encode("utf-8-sig")
    path.write_bytes(gzip.compress(content) if data.draw(st.booleans()) else content)
    recording = open_table(
        path,
        separator=separator,
        decimal=decimal,
        skip_lines=skipped,
        comment="%" if comments else None,
        columns=None if header else NAMES,
        sfreq_hz=100,
    )
    assert [channel.name for channel in recording.channels] == NAMES
    np.testing.assert_allclose(read_all(recording), frame.to_numpy(), rtol=1e-6, strict=False)


def test_blocks_of_lines_fit_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = samples(5000)
    frame.insert(0, "time", np.arange(5000) / 250)
    frame["mark"] = (np.arange(5000) % 400 >= 390).astype(int)
    frame.to_csv(tmp_path / "x.csv", index=False)
    keys: dict[str, Any] = {"time": {"column": "time"}, "flags": ["mark"]}
    whole = open_table(tmp_path / "x.csv", **keys)
    monkeypatch.setattr(text, "_BLOCK_BYTES", 1000)
    pieces = open_table(tmp_path / "x.csv", **keys)
    np.testing.assert_array_equal(read_all(pieces), read_all(whole))
    np.testing.assert_allclose(read_all(pieces), frame[NAMES].to_numpy(), rtol=1e-6)
    assert pieces.events == whole.events
    assert pieces.segments == whole.segments
    assert len(pieces.events) == 12
    assert (pieces.events[0].onset_s, pieces.events[0].label) == (390 / 250, "mark")
    assert pieces.events[0].duration_s == pytest.approx(10 / 250)


@pytest.mark.parametrize(("unit", "scale", "factor"), [("uV", 0.1, 0.1), ("nV", 1, 1e-3), ("mV", 1e-3, 1.0)])
def test_number_times_scale_is_the_unit(tmp_path: Path, unit: str, scale: float, factor: float) -> None:
    samples().to_csv(tmp_path / "x.csv", index=False)
    recording = open_table(tmp_path / "x.csv", unit, sfreq_hz=100, scale=scale)
    np.testing.assert_allclose(read_all(recording), samples().to_numpy() * factor, rtol=1e-6)
    assert {channel.unit for channel in recording.channels} == {unit}
    assert "unit of channel 'Fp1' is unknown" in reason(tmp_path / "x.csv", None, sfreq_hz=100)


def test_columns_that_are_eeg_by_pattern_and_columns_that_are_not(tmp_path: Path) -> None:
    frame = samples().rename(columns={"Fp1": "raw_1", "Cz": "raw_2"})
    frame.insert(0, "id", [f"s{row}" for row in range(len(frame))])
    frame["EOG"] = 1.5
    frame.to_csv(tmp_path / "x.csv", index=False)
    recording = open_table(tmp_path / "x.csv", sfreq_hz=100, names=["raw_*"])
    assert [(channel.name, channel.type) for channel in recording.channels] == [
        ("raw_1", "eeg"), ("raw_2", "eeg"), ("O2", "misc"), ("EOG", "eog"), ("id", "misc"),
    ]  # fmt: skip
    with pytest.raises(IngestError, match="'id' cannot be read: expected numbers, found texts"):
        recording.read_uv([4], 0, 10)
    assert "The channel 'raw_9' is not in the file: expected one of raw_1" in reason(
        tmp_path / "x.csv", sfreq_hz=100, names=["raw_9"]
    )


@pytest.mark.parametrize(("unit", "per_second"), [("s", 1), ("ms", 1e3), ("us", 1e6)])
@pytest.mark.parametrize("rate_hz", [100, 256, 1000 / 3])
def test_the_rate_comes_from_the_times(tmp_path: Path, unit: str, per_second: float, rate_hz: float) -> None:
    """Also from stamps that are rounded to milliseconds, as most are."""
    frame = samples(4000)
    times = 1.5e9 + np.arange(4000) / rate_hz
    frame["t"] = np.round(times, 3) * per_second
    frame.to_csv(tmp_path / "x.csv", index=False, float_format="%.3f")
    recording = open_table(tmp_path / "x.csv", time={"column": "t", "unit": unit})
    assert recording.sfreq_hz == pytest.approx(rate_hz, rel=2e-5)
    assert rate_hz in (recording.sfreq_hz, 1000 / 3)
    assert [(segment.n_samples, segment.onset_s) for segment in recording.segments] == [(4000, 0)]
    assert recording.clock_zero_s == pytest.approx(1.5e9)
    assert recording.warnings == []


def test_a_gap_in_the_times_is_a_break(tmp_path: Path) -> None:
    times_s = np.arange(3000) / 250
    times_s[1000:] += 0.004  # one sample is lost
    times_s[2000:] += 7
    frame = samples(3000)
    frame["t"] = times_s
    frame["state"] = np.repeat(["a", "b", "b"], 1000)
    frame.to_csv(tmp_path / "x.csv", index=False, float_format="%.4f")
    recording = open_table(tmp_path / "x.csv", time={"column": "t"}, states=["state"])
    assert recording.sfreq_hz == 250
    found = [(segment.start_sample, segment.n_samples, round(segment.onset_s, 4)) for segment in recording.segments]
    assert found == [(0, 1000, 0), (1000, 1000, 4.004), (2000, 1000, 15.004)]
    assert recording.warnings == ["gaps in the times: 2, the longest of 7 s; the signal is cut there"]
    events = [(round(e.onset_s, 4), round(e.duration_s, 4), e.label) for e in recording.events]
    assert events == [(0, 4, "a"), (4.004, 15, "b")]


def test_stamps_that_come_in_bursts_are_no_gaps(tmp_path: Path) -> None:
    """A receiver that empties its buffer every 120 samples stamps them all alike, late and never early."""
    true_s = np.arange(6000) / 250
    late_s = np.ceil(np.arange(1, 6001) / 120) * 120 / 250 + 0.01
    late_s[3000:] += 2  # and once it lost two seconds
    frame = samples(6000)
    frame["t"] = late_s
    frame.to_csv(tmp_path / "x.csv", index=False, float_format="%.4f")
    recording = open_table(tmp_path / "x.csv", time={"column": "t"}, sfreq_hz=250)
    assert [segment.n_samples for segment in recording.segments] == [3000, 3000]
    assert recording.segments[1].onset_s == pytest.approx(true_s[3000] + 2, abs=0.5)
    assert recording.warnings[1] == "5950 of 6000 times repeat the one before or go back"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(t=np.roll(f["t"], 300)), "expected times that rise, found 0 after 9.99 in row 301"),
        (lambda f: f.assign(t=f["t"].where(f.index != 7)), "expected times that rise, found nan in row 8"),
        (lambda f: f.assign(t=1.0), "tells no rate: expected regular times, found bursts every 0 s"),
        (lambda f: f.rename(columns={"t": "time"}), "has no column 't': expected one of Fp1, Cz, O2, time"),
    ],
)
def test_times_that_cannot_be(tmp_path: Path, change: Any, message: str) -> None:
    frame = samples()
    frame["t"] = np.arange(1000) / 100
    change(frame).to_csv(tmp_path / "x.csv", index=False)
    assert message in reason(tmp_path / "x.csv", time={"column": "t"})


def test_a_declared_rate_that_the_times_contradict(tmp_path: Path) -> None:
    frame = samples(5000)
    frame["t"] = np.arange(5000) / 333
    frame.to_csv(tmp_path / "x.csv", index=False)
    found = reason(tmp_path / "x.csv", time={"column": "t"}, sfreq_hz=100)
    assert "contradicts the source: expected 100 Hz, found 333 Hz" in found


def test_rises_of_the_sum_of_triggers(tmp_path: Path) -> None:
    frame = samples()
    frame["flash"], frame["target"] = 0, 0
    frame.loc[[100, 300, 301, 500], "flash"] = 1
    frame.loc[[300, 500], "target"] = 1
    frame.to_csv(tmp_path / "x.csv", index=False)
    recording = open_table(tmp_path / "x.csv", sfreq_hz=100, triggers=["flash", "target"])
    assert recording.events == (Event(1.0, 0.0, "1"), Event(3.0, 0.0, "2"), Event(5.0, 0.0, "2"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Fp1,Cz,O2\n" + "1,2,3\n" * 9 + "1,2\n" + "1,2,3\n", "expected 3 cells on line 11, found 2"),
        ("Fp1,Cz,O2\n" + "1,2,3\n" * 999 + "1,2,3,4\n" + "1,2,3\n", "expected 3 cells on line 1001, found 4"),
        ("Fp1,Cz,O2\n" + "1,2,3\n" * 999 + "1,x,3\n", "expected a number in column 'Cz' on line 1001, found 'x'"),
        ("Fp1,Cz,O2\n", "expected rows of numbers, found none"),
        ("", "expected table, found an empty file"),
        ("Fp1,Cz,Cz\n1,2,3\n", "expected each column once, found Cz more often"),
        ("1,2,3\n1,2,3\n", "No EEG channel"),
        ("Fp1,Cz,O2\n1,2,3,4\n", "expected 3 columns (Fp1, Cz, O2), found 4 on line 2"),
    ],
)
def test_bad_rows_are_refused_with_their_line(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path / "x.csv", content)
    if message == "No EEG channel":  # a header row that is none: its names are numbers
        assert [channel.name for channel in open_table(path, sfreq_hz=100).channels] == ["1", "2", "3"]
        return
    assert message in reason(path, sfreq_hz=100)


def test_a_last_line_that_was_cut_short_is_left_out_with_a_word(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "Fp1,Cz,O2\n" + "1,2,3\n" * 300 + "1,2")
    recording = open_table(path, sfreq_hz=100)
    assert recording.n_samples == 300
    assert recording.warnings == ["line 302, the last, was cut short (2 of 3 cells) and is left out"]


def test_damaged_gzip_and_other_content(tmp_path: Path) -> None:
    samples().to_csv(tmp_path / "x.csv.gz", index=False)
    whole = (tmp_path / "x.csv.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    assert "cut.gz is damaged" in reason(tmp_path / "cut.gz", sfreq_hz=100)
    (tmp_path / "x.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(200))
    assert "expected table, found a MATLAB file" in reason(tmp_path / "x.mat", sfreq_hz=100)
    assert "expected table, found a folder" in reason(tmp_path, sfreq_hz=100)


def test_a_first_row_of_numbers_names_no_columns(tmp_path: Path) -> None:
    """It would be taken for names, and the sample would be lost; numbers that count the columns are names."""
    path = tmp_path / "x.csv"
    samples().to_csv(path, index=False, header=False)
    assert reason(path, sfreq_hz=100) == (
        "x.csv cannot be read: expected the names of its columns on line 1, found numbers. Give `columns` in `reader` "
        "of the source."
    )
    assert open_table(path, sfreq_hz=100, columns=NAMES).n_samples == 1000
    for first in (0, 1):
        samples().to_csv(path, index=False, header=[str(first + number) for number in range(3)])
        recording = open_table(path, sfreq_hz=100)
        np.testing.assert_allclose(read_all(recording), samples().to_numpy(), rtol=1e-6)


def test_flags_hold_0_and_1_only(tmp_path: Path) -> None:
    samples().assign(on=2).to_csv(tmp_path / "x.csv", index=False)
    assert "expected 0 and 1 in 'on', which is one of flags, found 2" in reason(
        tmp_path / "x.csv", sfreq_hz=100, flags=["on"]
    )


@pytest.mark.parametrize("key", ["flags", "triggers"])
def test_marks_and_times_are_numbers(tmp_path: Path, key: str) -> None:
    samples().assign(on="yes", t="10:00:00").to_csv(tmp_path / "x.csv", index=False)
    keys: dict[str, Any] = {key: ["on"]}
    found = reason(tmp_path / "x.csv", sfreq_hz=100, **keys)
    assert "expected numbers in column 'on', found texts" in found
    assert "expected numbers in column 't', found texts" in reason(tmp_path / "x.csv", time={"column": "t"})


def test_states_of_which_some_are_missing(tmp_path: Path) -> None:
    frame = samples(100).assign(stage=np.repeat([1.0, np.nan, 1.0, 2.0], 25))
    frame.to_csv(tmp_path / "x.csv", index=False)
    recording = open_table(tmp_path / "x.csv", sfreq_hz=100, states=["stage"])
    found = [(event.onset_s, round(event.duration_s, 6), event.label) for event in recording.events]
    assert found == [(0, 0.25, "1"), (0.5, 0.25, "1"), (0.75, 0.25, "2")]


ARFF = """% a comment
@RELATION eeg
@attribute 'AF3' NUMERIC
@ATTRIBUTE O1 real
@attribute eyes {open,'half closed'}
@data
1.5,2,open
% in between
?,3,'half closed'
4,5,'half closed'
"""


def test_arff(tmp_path: Path) -> None:
    path = write(tmp_path / "x.arff", ARFF)
    recording = open_recording(path, unit="uV", settings=declare(format="arff", sfreq_hz=2))
    assert recording.format == "arff"
    np.testing.assert_array_equal(recording.read_uv([0, 1], 0, 3), [[1.5, np.nan, 4], [2, 3, 5]])
    assert recording.events == (Event(0.0, 0.5, "open"), Event(0.5, 1.0, "half closed"))
    sparse = ARFF.partition("1.5,2")[0] + "% sparse\n{0 1.5, 1 2, 2 'half closed'}\n"
    with pytest.raises(IngestError, match="found sparse rows in braces"):
        open_recording(write(path, sparse), unit="uV", settings=declare(format="arff", sfreq_hz=2))
    with pytest.raises(IngestError, match="expected a line @DATA, found none"):
        open_recording(write(path, ARFF.replace("@data", "")), unit="uV", settings=declare(format="arff", sfreq_hz=2))


PROGRAM = r"""
import re, sys
from pathlib import Path
import eeg_ingest.readers.declared  # else loaded with the first file that needs it, and counted as its memory
from eeg_ingest.reader_settings import TableSettings
from eeg_ingest.readers import open_recording
def peak_mb():
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
imported_mb = peak_mb()
settings = TableSettings(format="table", time={"column": "t"}, sfreq_hz=500)
recording = open_recording(Path(sys.argv[1]), unit="uV", settings=settings)
print(recording.n_samples, peak_mb() - imported_mb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux only")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    values = ",".join(f"{value:.3f}" for value in np.random.default_rng(0).normal(0, 20, 16))
    peaks_mb = []
    for n_rows in (150_000, 600_000):  # 23 and 90 MB
        path = tmp_path / f"{n_rows}.csv"
        with path.open("w") as file:
            file.write(
                "t," + ",".join(f"C{i}" for i in range(1, 7)) + "," + ",".join(f"P{i}" for i in range(1, 11)) + "\n"
            )
            file.writelines(f"{row / 500},{values}\n" for row in range(n_rows))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path)], env=dict(os.environ), capture_output=True, text=True, check=True
        )
        n_samples, peak = done.stdout.split()
        assert int(n_samples) == n_rows
        peaks_mb.append(float(peak))
        path.unlink()
    assert peaks_mb[1] - peaks_mb[0] < 40
    assert peaks_mb[1] < 160
