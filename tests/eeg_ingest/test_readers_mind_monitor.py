"""CSV files of Mind Monitor: packets of twelve samples with the dates of their arrival, and rows of events."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.file import harmonize_file
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import IngestError

BANDS = [f"{band}_{name}" for band in ("Delta", "Alpha") for name in ("TP9", "AF7", "AF8", "TP10")]
NAMES = ["TP9", "AF7", "AF8", "TP10", "AUX_RIGHT"]
HEADER = ["TimeStamp", *BANDS, *(f"RAW_{name}" for name in NAMES[:4]), "AUX_RIGHT", "Battery", "Elements"]
PACKET = 12
START = datetime(2025, 7, 1, 14, 56, 5, tzinfo=UTC)


def write(path: Path, uv: npt.NDArray[np.float64], arrival_s: npt.NDArray[np.float64]) -> Path:
    """Write samples (S, 5) with the times of their arrival, and a blink, a marker and a connection in between."""
    rows = [
        (time_s, ["0.5"] * len(BANDS) + [f"{value:.4f}" for value in row] + ["80", ""])
        for time_s, row in zip(arrival_s, uv, strict=True)
    ]
    for time_s, text in [(0, "/muse/event/connected MuseS-84AC"), (4, "/muse/elements/blink"), (6, "/Marker/1")]:
        rows.append((time_s, [""] * (len(HEADER) - 2) + [text]))
    lines = [",".join(HEADER)]
    for time_s, cells in sorted(rows, key=lambda row: row[0]):
        date = (START + timedelta(seconds=time_s)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        lines.append(",".join([date, *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


def packets(n_packets: int, sfreq_hz: float, first_s: float = 0.2) -> npt.NDArray[np.float64]:
    """Arrival of each sample (S): up to 45 ms after its packet is full, never before the packet before."""
    rng = np.random.default_rng(0)
    full_s = first_s + np.arange(n_packets) * PACKET / sfreq_hz
    arrival_s = np.maximum.accumulate(full_s + rng.uniform(0, 0.045, n_packets))
    return np.repeat(arrival_s, PACKET)


@pytest.mark.parametrize(("device_hz", "sfreq_hz"), [(256.2, 256), (220, 220)])
def test_rate_events_and_a_lost_packet(tmp_path: Path, device_hz: float, sfreq_hz: float) -> None:
    """Dates jitter by the length of a packet; what Bluetooth lost is a break, and at most a late packet beside it."""
    arrival_s = packets(500, device_hz)
    kept = np.ones(len(arrival_s), bool)
    kept[3000:3024] = False
    uv = np.random.default_rng(1).normal(850, 20, (len(arrival_s), 5)).round(4)
    uv[:, 4] = 0
    recording = open_recording(write(tmp_path / "x.csv", uv[kept], arrival_s[kept]))
    assert (recording.format, recording.sfreq_hz) == ("mind-monitor", sfreq_hz)
    onsets_s = {segment.start_sample: segment.onset_s for segment in recording.segments}
    assert onsets_s[3000] == pytest.approx(3024 / device_hz, abs=0.06)
    assert set(onsets_s) <= {0, 3000 - PACKET, 3000, 5976 - PACKET}
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert choice.names == ("TP9", "AF7", "AF8", "TP10")
    np.testing.assert_allclose(recording.read_uv(choice.indices, 0, 5976), uv[kept, :4].T, rtol=1e-6)
    assert [event.label for event in recording.events] == ["connected", "blink", "Marker/1"]
    onsets = [event.onset_s + arrival_s[0] for event in recording.events]
    np.testing.assert_allclose(onsets, [0, 4, 6], atol=2e-3)
    assert "MuseS" not in str(recording.events)


def test_rails_are_clipped_and_events_land_in_the_store(tmp_path: Path) -> None:
    arrival_s = packets(250, 256)
    uv = np.random.default_rng(1).normal(850, 20, (len(arrival_s), 5))
    uv[:, 0], uv[:, 1] = 1682.4, 0
    file = harmonize_file(write(tmp_path / "x.csv", uv, arrival_s), line_freq_hz=None)
    (block,) = file.blocks
    assert (block.quality[:, :2, 1] == 1).all()
    assert (block.quality[:, 2:, 1] == 0).all()
    assert "blink" in [event.label for event in file.events]


def test_files_without_every_sample(tmp_path: Path) -> None:
    uv = np.random.default_rng(1).normal(850, 20, (600, 5))
    with pytest.raises(IngestError, match=r"found other intervals. Set the recording interval"):
        open_recording(write(tmp_path / "x.csv", uv, np.arange(0.0, 300.0, 0.5)))
    with pytest.raises(IngestError, match="expected rows of samples, found none"):
        open_recording(write(tmp_path / "x.csv", uv[:0], np.zeros(0)))
    text = write(tmp_path / "x.csv", uv, np.arange(600) / 256).read_text()
    (tmp_path / "x.csv").write_text(text.replace("2025-07-01 14:56:06.", "yesterday "))
    with pytest.raises(IngestError, match=r"expected dates such as 2025-07-01 14:56:05.422 in 'TimeStamp', found"):
        open_recording(tmp_path / "x.csv")
