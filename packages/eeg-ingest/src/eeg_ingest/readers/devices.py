"""Text files of headsets that say themselves what they are: OpenBCI, Muse (muse-lsl) and Enobio."""

from __future__ import annotations

import re
from pathlib import Path

from eeg_ingest.reader_settings import Marks, TextLayout
from eeg_ingest.readers.clock import Counter, Stamps
from eeg_ingest.readers.device_text import ENOBIO_RATE, MUSE_HZ, enobio_info
from eeg_ingest.readers.parsed import ParsedRecording
from eeg_ingest.readers.table import read_table_recording
from eeg_ingest.readers.text import open_text, split_cells
from eeg_ingest.recording import IngestError
from eeg_ingest.units import voltage_unit

_RAILS_UV = (-187_499.99, 187_499.99)  # of the ADS1299 at gain 24, as the GUI writes them: -187500.02 and 187500.00
_UV_PER_COUNT = 4.5e6 / 24 / (2**23 - 1)
_BOARDS = (16, 8, 4)  # Cyton with Daisy, Cyton, Ganglion
_BESIDE = 5  # columns beside the EEG: sample index, three of acceleration, time


def open_openbci(path: Path, unit: str | None) -> ParsedRecording:
    """Open what the OpenBCI GUI (any version) records: channels `Channel 1` ..., a break where packets were lost."""
    with path.open(encoding="utf-8", errors="replace") as file:
        header = []
        for line in file:
            if not line.startswith("%"):
                break
            header.append(line)
    text, layout = "".join(header), TextLayout(skip_lines=len(header), comment="%")
    rate = re.search(r"%\s*Sample Rate\s*=\s*([\d.]+)", text, re.IGNORECASE)
    if rate is None:
        raise IngestError(
            f"{path.name} cannot be read: expected a line '%Sample Rate = ...', found none. Fetch it again."
        )
    cells = split_cells(line.encode(), layout)
    titled = "sample index" in [cell.lower() for cell in cells]
    declared = re.search(r"%\s*Number of channels\s*=\s*(\d+)", text, re.IGNORECASE)
    count = int(declared[1]) if declared else next((n for n in _BOARDS if n + _BESIDE <= len(cells)), 0)
    if not 0 < count < len(cells):
        raise IngestError(
            f"{path.name} cannot be read: expected 4, 8 or 16 channels, found {len(cells)} columns. Declare its layout "
            "in `reader` of the source."
        )
    names = [f"Channel {number}" for number in range(1, count + 1)]
    columns = ["Sample Index", *names, *(f"misc {number}" for number in range(1, len(cells) - count))]
    sfreq_hz = float(rate[1])
    return read_table_recording(
        path,
        open_text(path, layout.model_copy(update={"skip_lines": len(header) + titled}), columns),
        Marks(scale=_UV_PER_COUNT if re.search(r"in counts", text, re.IGNORECASE) else 1.0),
        names=names,
        time=Counter("Sample Index", 256, sfreq_hz),
        unit=unit,
        declared="uV",
        format="openbci",
        limits_uv=_RAILS_UV,
    )


def open_muse(path: Path, unit: str | None) -> ParsedRecording:
    """Open a CSV file of muse-lsl: µV at the rate that the times tell; rises of a column Marker are events."""
    file = open_text(path, TextLayout())
    markers = tuple(name for name in file.columns if re.fullmatch(r"Marker\d*", name))
    return read_table_recording(
        path,
        file,
        Marks(triggers=markers),
        time=Stamps("timestamps", 1.0, MUSE_HZ),
        unit=unit,
        declared="uV",
        format="muse",
    )


def open_enobio(path: Path, unit: str | None) -> ParsedRecording:
    """Open an `.easy` file of an Enobio by the `.info` beside it (names, rate, unit); triggers are events."""
    info = enobio_info(path) or path.with_suffix(".info")
    text = info.read_text(encoding="utf-8", errors="replace")
    rate, dimension = ENOBIO_RATE.search(text), re.search(r"EEG units:\s*(\S+)", text, re.IGNORECASE)
    names = re.findall(r"^\s*Channel \d+:\s*(.*\S)\s*$", text, re.MULTILINE)
    count = re.search(r"Number of EEG channels:\s*(\d+)", text, re.IGNORECASE)
    if rate is None or dimension is None or not names or (count and int(count[1]) != len(names)):
        raise IngestError(
            f"{info.name} cannot be read: expected the rate, the unit and each channel's name, found them "
            "incomplete. Fetch it again."
        )
    n_columns = _n_columns(path)
    if n_columns not in (len(names) + 2, len(names) + 5):
        raise IngestError(
            f"{path.name} cannot be read: expected {len(names)} channels, perhaps 3 of acceleration, triggers and "
            f"times, found {n_columns} columns. Fetch it and its .info again."
        )
    layout = TextLayout(separator="tab")
    axes = ["acc x", "acc y", "acc z"][: n_columns - len(names) - 2]
    return read_table_recording(
        path,
        open_text(path, layout, [*names, *axes, "Trigger", "Time"]),
        Marks(triggers=("Trigger",)),
        names=names,
        time=Stamps("Time", 1e-3),
        sfreq_hz=float(rate[1]),
        unit=unit,
        declared=voltage_unit(dimension[1]),
        format="enobio",
    )


def _n_columns(path: Path) -> int:
    with path.open("rb") as file:
        return len(split_cells(file.readline(), TextLayout(separator="tab")))
