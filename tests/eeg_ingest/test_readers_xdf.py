"""XDF: samples, times and segments against pyxdf, on real recordings and on written ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyxdf
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import IngestError
from eeg_ingest.stream_settings import XdfSettings

from tests.eeg_ingest.xdf_writer import XdfWriter

REAL = ["ssvep_example_151b6f.xdf", "sub-P001_ses-S001_task-MISwitch_run-002_eeg_e22d84.xdf"]
LABELS = ["Fz", "Cz", "Oz"]


def read_by_pyxdf(path: Path) -> dict[str, Any]:
    streams, _ = pyxdf.load_xdf(path, jitter_break_threshold_samples=0, verbose=False)
    return {stream["info"]["name"][0]: stream for stream in streams}


@pytest.mark.parametrize("name", REAL)
def test_real_recordings_equal_pyxdf(eeg_data: Path, name: str) -> None:
    path = eeg_data / "bci_essentials_xdf" / name
    recording = open_recording(path)
    streams = read_by_pyxdf(path)
    eeg = next(stream for stream in streams.values() if stream["info"]["type"] == ["EEG"])
    markers = [stream for stream in streams.values() if stream["info"]["channel_format"] == ["string"]]
    wanted = eeg["time_series"].T
    np.testing.assert_array_equal(recording.read_uv(range(len(wanted)), 0, recording.n_samples), wanted)
    found = sorted((event.label, event.onset_s) for event in recording.events)
    events = [
        (text[0], np.interp(time_s, eeg["time_stamps"], np.arange(wanted.shape[1])) / recording.sfreq_hz)
        for stream in markers
        for time_s, text in zip(stream["time_stamps"], stream["time_series"], strict=True)
        if eeg["time_stamps"][0] <= time_s <= eeg["time_stamps"][-1]
    ]
    inside = [event for event in found if 0 <= event[1] <= recording.n_samples / recording.sfreq_hz]
    assert [label for label, _ in inside] == [label for label, _ in sorted(events)]
    np.testing.assert_allclose([s for _, s in inside], [s for _, s in sorted(events)], atol=1e-5)


def jittered(n_samples: int, rate_hz: float, *, start_s: float = 1000.0) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return start_s + np.arange(n_samples) / rate_hz + rng.uniform(0, 0.004, n_samples)


def write_two_parts(path: Path, rate_hz: float = 250.0, gap_s: float = 7.0) -> npt.NDArray[np.float32]:
    """Two minutes, a gap in the middle, half of the times left out, and a sender whose clock drifts by 50 ppm."""
    values = np.random.default_rng(1).normal(0, 20, (int(120 * rate_hz), 3)).astype("<f4")
    stamps_s = jittered(len(values), rate_hz)
    stamps_s[len(values) // 2 :] += gap_s
    xdf = XdfWriter()
    xdf.header(1, "amp", "EEG", LABELS, 250)
    xdf.header(2, "markers", "Markers", ["m"], 0, number="string")
    for start in range(0, len(values), 25):
        some = [
            None if start and i % 25 > 12 else stamp for i, stamp in enumerate(stamps_s[start : start + 25].tolist())
        ]
        xdf.samples(1, values[start : start + 25], some)
    for time_s in np.arange(1000, 1127, 5.0).tolist():
        xdf.offset(1, time_s, -300 + 50e-6 * time_s)
        xdf.offset(2, time_s, 0.0)
    xdf.samples(2, ["go", "stop", "gone"], [1010 - 299.95, 1100 - 299.95, 1063.5 - 299.95])
    xdf.footer(1, len(values))
    xdf.write(path)
    return values


def test_clocks_gaps_and_missing_times_equal_pyxdf(tmp_path: Path) -> None:
    path = tmp_path / "x.xdf"
    values = write_two_parts(path)
    recording = open_recording(path)
    eeg = read_by_pyxdf(path)["amp"]
    first, last = eeg["info"]["segments"]
    assert [s.start_sample for s in recording.segments] == [first[0], last[0]]
    times_s = eeg["time_stamps"]
    assert recording.segments[1].onset_s == pytest.approx(times_s[last[0]] - times_s[0], abs=1e-6)
    np.testing.assert_array_equal(recording.read_uv([2, 0], 14_000, 16_000), values[14_000:16_000, [2, 0]].T)
    onsets_s = {event.label: event.onset_s for event in recording.events}
    go = np.interp(1010 - 299.95, times_s, np.arange(len(times_s)))
    stop = np.interp(1100 - 299.95, times_s, np.arange(len(times_s))) - last[0]
    assert onsets_s["go"] == pytest.approx(go / 250, abs=1e-4)
    assert onsets_s["stop"] == pytest.approx(recording.segments[1].onset_s + stop / 250, abs=1e-4)
    assert 60 < onsets_s["gone"] < recording.segments[1].onset_s  # in the gap
    assert recording.warnings == []


def test_a_rate_that_the_times_contradict_is_not_believed(tmp_path: Path) -> None:
    write_two_parts(tmp_path / "x.xdf", rate_hz=220.0)
    recording = open_recording(tmp_path / "x.xdf")
    assert recording.sfreq_hz == pytest.approx(220, abs=0.02)
    assert any("'amp' declares 250 Hz" in warning for warning in recording.warnings)


def test_samples_that_were_lost_for_less_than_a_second_are_a_gap(tmp_path: Path) -> None:
    """The rate is not another one for that; chunks that come late and are made up for are no gap."""
    values = np.random.default_rng(1).normal(0, 20, (30_000, 3)).astype("<f4")
    for gap_s, n_segments in ((0.3, 2), (0.0, 1)):
        xdf = XdfWriter()
        xdf.header(1, "amp", "EEG", LABELS, 250)
        xdf.header(2, "markers", "Markers", ["m"], 0, number="string")
        stamps_s = jittered(len(values), 250)
        stamps_s[20_000:] += gap_s
        stamps_s[5000:5100] = stamps_s[5100]
        for start in range(0, len(values), 25):
            xdf.samples(1, values[start : start + 25], stamps_s[start : start + 25].tolist())
        xdf.samples(2, ["go"], [float(stamps_s[25_000])])
        xdf.write(tmp_path / "x.xdf")
        recording = open_recording(tmp_path / "x.xdf", unit="uV")
        assert recording.sfreq_hz == 250
        assert [part.start_sample for part in recording.segments] == [0, 20_000][:n_segments]
        assert recording.segments[-1].onset_s == pytest.approx((80 + gap_s) if gap_s else 0, abs=5e-3)
        assert recording.events[0].onset_s == pytest.approx(100 + gap_s, abs=5e-3)
        assert [warning.partition(":")[0] for warning in recording.warnings] == ["gaps in the times"] * (n_segments - 1)


def two_amplifiers(path: Path) -> Path:
    xdf = XdfWriter()
    xdf.header(1, "DSI7", "EEG", LABELS, 300)
    xdf.header(5, "g.USBamp", "EEG", ["C3", "C4", "TRG"], 256, unit="")
    xdf.header(7, "ACC", "Accelerometer", ["x", "y", "z"], 50)
    for stream, rate_hz in ((1, 300), (5, 256), (7, 50)):
        values = np.random.default_rng(stream).normal(0, 20, (10 * rate_hz, 3)).astype("<f4")
        xdf.samples(stream, values, jittered(len(values), rate_hz))
    return xdf.write(path)


def test_one_of_two_amplifiers_has_to_be_chosen(tmp_path: Path) -> None:
    path = two_amplifiers(tmp_path / "x.xdf")
    with pytest.raises(
        IngestError, match=r"expected one stream of type EEG, found 'DSI7' .* 300 Hz, id 1\); 'g\.USBamp'"
    ):
        open_recording(path)
    with pytest.raises(IngestError, match="expected one stream 'DSI' of samples, found 'DSI7'"):
        open_recording(path, settings=XdfSettings(format="xdf", stream="DSI"))
    recording = open_recording(path, settings=XdfSettings(format="xdf", stream="DSI7"))
    assert (recording.sfreq_hz, [channel.name for channel in recording.channels]) == (300, LABELS)
    assert "'g.USBamp' (EEG, 3 channels, 256 Hz, id 5)" in recording.warnings[0]
    with pytest.raises(IngestError, match="The unit of channel 'C3' is unknown"):
        open_recording(path, settings=XdfSettings(format="xdf", stream="5"))
    other = open_recording(path, unit="uV", settings=XdfSettings(format="xdf", stream="5"))
    assert [(channel.name, channel.type) for channel in other.channels] == [
        ("C3", "eeg"),
        ("C4", "eeg"),
        ("TRG", "stim"),
    ]
    assert choose_channels(other, rename={"TRG": "Cz"}, drop=(), montage=None).names == ("C3", "C4", "CZ")


@pytest.mark.parametrize("number", ["double64", "int16", "int32", "int64", "int8"])
def test_every_kind_of_number(tmp_path: Path, number: str) -> None:
    kind = {"double64": "<f8"}.get(number, f"<i{int(number.removeprefix('int') or 0) // 8}" if "int" in number else "")
    values = np.random.default_rng(0).integers(-90, 90, (1000, 3)).astype(kind)
    xdf = XdfWriter()
    xdf.header(1, "amp", "EEG", LABELS, 250, number=number)
    xdf.samples(1, values, jittered(1000, 250))
    recording = open_recording(xdf.write(tmp_path / "x.xdf"))
    np.testing.assert_array_equal(recording.read_uv([0, 1, 2], 0, 1000), values.T)
    np.testing.assert_array_equal(read_by_pyxdf(tmp_path / "x.xdf")["amp"]["time_series"], values)


def test_labels_that_say_nothing(tmp_path: Path) -> None:
    """No label names an electrode: the type counts. No labels at all: channels are counted."""
    for labels, wanted in ((["left", "right", "TRG"], ["eeg", "eeg", "stim"]), (["", "", ""], ["eeg"] * 3)):
        xdf = XdfWriter()
        xdf.header(1, "amp", "EEG", labels, 250)
        xdf.samples(1, np.random.default_rng(0).normal(0, 20, (1000, 3)).astype("<f4"), jittered(1000, 250))
        recording = open_recording(xdf.write(tmp_path / "x.xdf"))
        assert [channel.type for channel in recording.channels] == wanted
    assert [channel.name for channel in recording.channels] == ["1", "2", "3"]


def test_damaged_files_are_refused(eeg_data: Path, tmp_path: Path) -> None:
    sound = (eeg_data / "bci_essentials_xdf" / REAL[0]).read_bytes()
    path = tmp_path / "x.xdf"
    rng = np.random.default_rng(0)
    for length in (5, 100, 500_000, len(sound) - 1):
        path.write_bytes(sound[:length])
        with pytest.raises(IngestError, match=r"ends inside a chunk|damaged length|streams of the file"):
            open_recording(path)
    for _ in range(40):
        content = bytearray(sound)
        for place in rng.integers(4, 60_000, 20):
            content[int(place)] = int(rng.integers(256))
        path.write_bytes(content)
        try:
            open_recording(path)
        except IngestError:
            continue


def test_fewer_samples_than_promised(tmp_path: Path) -> None:
    xdf = XdfWriter()
    xdf.header(1, "amp", "EEG", LABELS, 250)
    xdf.samples(1, np.zeros((1000, 3), "<f4"), jittered(1000, 250))
    xdf.footer(1, 2000)
    with pytest.raises(IngestError, match="holds 1000 of 2000 samples"):
        open_recording(xdf.write(tmp_path / "x.xdf"))


def test_a_clock_that_was_set_is_refused(tmp_path: Path) -> None:
    xdf = XdfWriter()
    xdf.header(1, "amp", "EEG", LABELS, 250)
    xdf.samples(1, np.zeros((1000, 3), "<f4"), jittered(1000, 250))
    for at_s in range(1000, 1010):
        xdf.offset(1, at_s, 0.0 if at_s < 1005 else 3600.0)
    with pytest.raises(IngestError, match="clock of stream 'amp' was set"):
        open_recording(xdf.write(tmp_path / "x.xdf"))
