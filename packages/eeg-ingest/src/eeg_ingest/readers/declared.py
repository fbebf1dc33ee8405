"""Open a file whose layout the source declares in `reader`, if its content is of that format."""

from __future__ import annotations

from pathlib import Path

from eeg_ingest.reader_settings import ArffSettings, LayoutSettings, TableSettings
from eeg_ingest.readers.arrays import open_arrays
from eeg_ingest.readers.parsed import ParsedRecording
from eeg_ingest.readers.table import open_arff, open_table
from eeg_ingest.recording import IngestError

_CONTENT = {
    "matlab": ("a MATLAB file",),
    "table": ("text", "gzipped data"),
    "arff": ("text",),
    "npz": ("a ZIP archive",),
}
_STARTS = {
    b"MATLAB 5.0": "a MATLAB file",
    b"MATLAB 7.3": "a MATLAB file",
    b"\x89HDF": "a MATLAB file",
    b"\x1f\x8b": "gzipped data",
    b"PK\x03\x04": "a ZIP archive",
}


def open_declared(path: Path, settings: LayoutSettings, unit: str | None) -> ParsedRecording:
    """Open a file as `settings` say. Raises IngestError if its content is something else."""
    found = _content(path)
    if found not in _CONTENT[settings.format]:
        raise IngestError(
            f"{path.name} is not what `reader` of the source says: expected {settings.format}, found {found}. "
            "Correct `reader` or `files` of the source."
        )
    if isinstance(settings, TableSettings):
        return open_table(path, settings, unit)
    if isinstance(settings, ArffSettings):
        return open_arff(path, settings, unit)
    return open_arrays(path, settings, unit)


def _content(path: Path) -> str:
    if not path.is_file():
        return "a folder" if path.is_dir() else "nothing"
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    known = next((what for start, what in _STARTS.items() if head.startswith(start)), None)
    return known or ("other binary data" if b"\x00" in head else "text")
