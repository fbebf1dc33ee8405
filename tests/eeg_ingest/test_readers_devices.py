"""Text of OpenBCI, Muse and Enobio: found by content, with names, rate, unit, limits, gaps and events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.file import harmonize_file
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import detect_format, open_recording, recording_files
from eeg_ingest.recording import Event, IngestError

Array = npt.NDArray[np.float64]

HEADER = """%OpenBCI Raw EEG Data
%
%Sample Rate = 250.0 Hz
%First Column = SampleIndex
%Last Column = Timestamp
%Other Columns = EEG data in microvolts followed by Accel Data (in G) interleaved with Aux Data
"""
HEADER_5 = """%OpenBCI Raw EXG Data
%Number of channels = 8
%Sample Rate = 250 Hz
%Board = OpenBCI_GUI$BoardCytonSerial
"""
TITLES_5 = ", ".join(
    [
        *("Sample Index", *(f"EXG Channel {n}" for n in range(8)), *(f"Accel Channel {n}" for n in range(3))),
        *("Other", *(f"Other.{n}" for n in range(1, 7)), *(f"Analog Channel {n}" for n in range(3))),
        *("Timestamp", "Other.7", "Timestamp (Formatted)"),
    ]
)


def values(n_channels: int, n_samples: int = 1000) -> Array:
    return np.random.default_rng(0).normal(0, 20, (n_samples, n_channels)).round(2)


def openbci(path: Path, uv: Array, index: npt.NDArray[np.int64], header: str = HEADER) -> Path:
    rows = [
        f"{number % 256}, {', '.join(f'{value:.2f}' for value in row)}, 0.014, -0.020, 1.024, 14:48:04.635"
        for number, row in zip(index, uv, strict=True)
    ]
    path.write_text(header + "\r\n".join(rows) + "\r\n")
    return path


@pytest.mark.parametrize("n_channels", [4, 8, 16])
def test_openbci_of_every_board(tmp_path: Path, n_channels: int) -> None:
    uv = values(n_channels) + 40_000
    uv[:, -1] = -187_500.02
    recording = open_recording(openbci(tmp_path / "x.txt", uv, np.arange(1000)))
    assert (recording.format, recording.sfreq_hz, len(recording.segments)) == ("openbci", 250, 1)
    choice = choose_channels(recording, rename={"Channel 1": "Fp1"}, drop=(), montage=None)
    assert choice.names == ("FP1", *(f"Channel {number}" for number in range(2, n_channels + 1)))
    np.testing.assert_allclose(recording.read_uv(choice.indices, 0, 1000), uv.T, rtol=1e-6)


def test_railed_inputs_stay_and_quality_tells(tmp_path: Path) -> None:
    uv = values(8)
    uv[:, 6], uv[:, 7] = -187_500.02, 187_500.00
    (block,) = harmonize_file(openbci(tmp_path / "x.txt", uv, np.arange(1000)), line_freq_hz=None).blocks
    flat, clipped = block.quality[..., 0], block.quality[..., 1]
    assert (clipped[:, 6:] == 1).all()
    assert (clipped[:, :6] == 0).all()
    assert flat[:, 6:].min() > 0.99


def test_lost_packets_are_breaks(tmp_path: Path) -> None:
    """The index counts to 255: a jump of 3 is two lost samples."""
    index = np.arange(1000) + np.repeat([0, 2, 102], [300, 300, 400])
    recording = open_recording(openbci(tmp_path / "x.txt", values(8), index))
    found = [(segment.start_sample, segment.n_samples, round(segment.onset_s, 4)) for segment in recording.segments]
    assert found == [(0, 300, 0), (300, 300, 302 / 250), (600, 400, 702 / 250)]
    assert recording.warnings == ["gaps in the times: 2, the longest of 0.4 s; the signal is cut there"]


@pytest.mark.parametrize(("first", "last"), [(0, 200), (1, 200), (0, 127)])
def test_a_counter_that_begins_again_elsewhere_loses_nothing(tmp_path: Path, first: int, last: int) -> None:
    """A Ganglion counts to 200. Three packets are lost all the same."""
    index = first + (np.arange(1000) + np.repeat([0, 3], [500, 500])) % (last - first + 1)
    recording = open_recording(openbci(tmp_path / "x.txt", values(4), index))
    assert [(part.start_sample, round(part.onset_s, 4)) for part in recording.segments] == [(0, 0), (500, 503 / 250)]


def test_two_boards_count_by_two_and_a_counter_that_stands_tells_nothing(tmp_path: Path) -> None:
    index = 2 * (np.arange(1000) + np.repeat([0, 3], [600, 400]))
    recording = open_recording(openbci(tmp_path / "x.txt", values(16), index))
    assert [(segment.n_samples, round(segment.onset_s, 4)) for segment in recording.segments] == [
        (600, 0),
        (400, 603 / 250),
    ]
    recording = open_recording(openbci(tmp_path / "x.txt", values(8), np.zeros(1000, np.int64)))
    assert [segment.n_samples for segment in recording.segments] == [1000]
    assert recording.warnings == ["Sample Index does not count: lost samples cannot be noticed"]


def test_openbci_gui_5_has_titles_and_counts_need_a_scale(tmp_path: Path) -> None:
    uv = values(8)
    rows = [
        ", ".join(
            [f"{n % 256}.0", *(f"{v:.2f}" for v in row), *["0.5"] * 13, "1.6e9", "0.0", "2021-01-01 10:00:00.000"]
        )
        for n, row in enumerate(uv)
    ]
    path = tmp_path / "x.txt"
    path.write_text(HEADER_5 + TITLES_5 + "\n" + "\n".join(rows))
    np.testing.assert_allclose(open_recording(path).read_uv(range(8), 0, 1000), uv.T, rtol=1e-6)
    counts = HEADER.replace("microvolts", "counts")
    recording = open_recording(openbci(path, uv * 1000, np.arange(1000), counts))
    assert recording.read_uv([3], 5, 6)[0, 0] == pytest.approx(uv[5, 3] * 1000 * 4.5e6 / 24 / (2**23 - 1))


def test_openbci_that_lies(tmp_path: Path) -> None:
    path = openbci(tmp_path / "x.txt", values(8), np.arange(1000), HEADER.replace("%Sample Rate = 250.0 Hz\n", ""))
    with pytest.raises(IngestError, match=r"expected a line '%Sample Rate = ...', found none"):
        open_recording(path)
    path.write_text(HEADER)
    with pytest.raises(IngestError, match="cannot be read"):
        open_recording(path)
    with pytest.raises(IngestError, match="the file declares uV, the source declares mV"):
        open_recording(openbci(path, values(8), np.arange(1000)), unit="mV")


def test_muse_with_markers(tmp_path: Path) -> None:
    uv = values(5)
    marks = np.zeros(1000)
    marks[[100, 101, 500]] = [1, 1, 2]
    rows = [
        f"{1.5e9 + n / 256.02:.3f},{','.join(map(str, row))},{mark:.0f}"
        for n, (row, mark) in enumerate(zip(uv, marks, strict=True))
    ]
    path = tmp_path / "x.csv"
    path.write_text("timestamps,TP9,AF7,AF8,TP10,Right AUX,Marker\n" + "\n".join(rows) + "\n")
    recording = open_recording(path)
    assert (detect_format(path), recording.sfreq_hz) == ("muse", 256)
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert choice.names == ("TP9", "AF7", "AF8", "TP10")
    np.testing.assert_allclose(recording.read_uv(choice.indices, 0, 1000), uv[:, :4].T, rtol=1e-6)
    assert recording.events == (Event(100 / 256, 0.0, "1"), Event(500 / 256, 0.0, "2"))


INFO = """StartDate (first EEG timestamp): 1522879933509
Total number of channels: {total}
Number of EEG channels: 2
EEG sampling rate: 500 Samples/second
EEG units: nV
EEG montage:
\tChannel 1: O1
\tChannel 2: Oz
\tChannel 3: X
"""


@pytest.mark.parametrize("n_accelerometer", [0, 3])
def test_enobio_needs_its_description(tmp_path: Path, n_accelerometer: int) -> None:
    nv = np.rint(values(2) * 1000 + 2e7)
    triggers = np.zeros(1000, int)
    triggers[[50, 400]] = 7
    rows = [
        "\t".join([*(f"{v:.0f}" for v in row), *["5"] * n_accelerometer, str(mark), str(1522879933509 + 2 * n)])
        for n, (row, mark) in enumerate(zip(nv, triggers, strict=True))
    ]
    path = tmp_path / "x.easy"
    path.write_text("\n".join(rows) + "\n")
    with pytest.raises(IngestError, match=r"x\.info with its rate and names, is missing or incomplete\. Fetch it"):
        open_recording(path)
    info = path.with_suffix(".INFO" if n_accelerometer else ".info")
    info.write_text(INFO.replace("\tChannel 3: X\n", "").format(total=2))
    recording = open_recording(path)
    assert recording_files(path) == (path, info)
    assert (recording.format, recording.sfreq_hz) == ("enobio", 500)
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert choice.names == ("O1", "OZ")
    np.testing.assert_allclose(recording.read_uv(choice.indices, 0, 1000), nv.T / 1000, rtol=1e-6)
    assert recording.events == (Event(0.1, 0.0, "7"), Event(0.8, 0.0, "7"))
    info.write_text(INFO.format(total=3))
    with pytest.raises(
        IngestError, match=r"x\.(info|INFO) cannot be read: expected the rate, the unit and each channel's name"
    ):
        open_recording(path)
