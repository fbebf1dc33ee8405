"""What a file is, by its content."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from eeg_ingest.readers.companions import beside, curry_companions
from eeg_ingest.readers.completeness import check_hdf5
from eeg_ingest.readers.device_text import device_of
from eeg_ingest.readers.signatures import (
    CURRY_PARAMETERS,
    FIF_START,
    PERSYST_LAYOUT,
    VHDR,
    VMRK,
    is_ant,
    is_edf,
    is_egi_raw,
    is_nihon_kohden,
    is_riff,
)
from eeg_ingest.recording import IngestError

FORMATS = (
    "EDF, BDF, GDF, BrainVision, EEGLAB, FIF, Neuroscan or ANT CNT, EGI MFF or RAW, Nihon Kohden, Curry, Persyst, "
    "eXimia, NWB, XDF, OpenBCI, Muse, Mind Monitor or Enobio"
)
_STARTS: dict[str, Callable[[bytes], bool]] = {
    "edf": is_edf,
    "bdf": lambda head: head.startswith(b"\xffBIOSEMI"),
    "gdf": lambda head: head.startswith(b"GDF "),
    "fif": lambda head: head.startswith(FIF_START),
    "neuroscan-cnt": lambda head: head.startswith(b"Version 3.0"),
    "ant-cnt": is_ant,
    "xdf": lambda head: head.startswith(b"XDF:"),
    "egi-raw": is_egi_raw,
}
_NIHON_KOHDEN_WAVEFORM = 0x17FE  # a 1 here marks the file of the samples


def detect_format(path: Path) -> str:
    """`edf`, `bdf`, `gdf`, `brainvision`, `eeglab`, `fif`, `neuroscan-cnt`, `ant-cnt`, `egi-mff`, `egi-raw`,
    `nihon-kohden`, `curry`, `persyst`, `eximia`, `nwb`, `xdf`, `openbci`,
    `muse`, `mind-monitor` or `enobio`, by the content.

    Raises IngestError for anything else, with what it looks like. The suffix matters only for the samples of Curry and
    eXimia, which have no header.
    """
    try:
        return _detect(path)
    except OSError as error:
        raise IngestError(f"{path.name} cannot be opened: {error.strerror or error}. Check its permissions.") from error


def _detect(path: Path) -> str:
    if path.is_dir():
        if (path / "info.xml").is_file() and (path / "signal1.bin").is_file():
            return "egi-mff"
        raise IngestError(
            "A folder that is no EGI MFF recording: expected info.xml and signal1.bin in it, found "
            "other files. Fetch it again, or leave it out."
        )
    if not path.is_file():
        raise IngestError(f"No file {path.name}.")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise IngestError("The file is empty. Fetch it again.")
    for kind, starts in _STARTS.items():
        if starts(head):
            return kind
    if head.startswith((b"MATLAB 5.0", b"\x89HDF", b"MATLAB 7.3")):
        return _by_variables(path)
    text = head.decode("utf-8", errors="replace")
    return _compressed(path, head) or _by_text(path, text) or _by_name(path, head, text)


def _compressed(path: Path, head: bytes) -> str | None:
    if not head.startswith(b"\x1f\x8b"):
        return None
    start = _gzip_start(path)
    if start.startswith(b"XDF:"):
        raise IngestError("A compressed XDF file, which cannot be read in parts. Unpack it with gunzip.")
    if start.startswith(FIF_START):
        return "fif"
    if not start:  # gzip by its first two bytes only
        return None
    raise IngestError(
        f"{path.name} is compressed: expected a recording as its device wrote it, found gzip. Unpack it with gunzip; "
        "tables of text may stay as they are, with `reader` of the source."
    )


def _gzip_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(12)
    except (OSError, EOFError):
        return b""


def _by_variables(path: Path) -> str:
    """The format of a MATLAB or HDF5 file by what it holds."""
    import h5py  # noqa: PLC0415  # only these files need it
    import scipy.io  # noqa: PLC0415

    from eeg_ingest.readers.variables import DAMAGE  # noqa: PLC0415

    check_hdf5(path)
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                if "nwb_version" in file.attrs:
                    return "nwb"
                names = set(file.keys())
        else:
            names = {name for name, _, _ in scipy.io.whosmat(path)}
    except DAMAGE as error:
        raise IngestError(f"A damaged MATLAB or HDF5 file: {error}. Fetch it again.") from error
    if "EEG" in names or {"srate", "nbchan", "data"} <= names:
        return "eeglab"
    raise IngestError(
        "A MATLAB or HDF5 file that is neither EEGLAB nor NWB: expected a variable EEG or nwb_version, found neither. "
        "Leave it out, or declare its layout in `reader` of the source."
    )


def _by_text(path: Path, text: str) -> str | None:
    if VHDR.match(text):
        return "brainvision"
    if PERSYST_LAYOUT.match(text):
        return "persyst"
    if VMRK.match(text):
        raise IngestError("A BrainVision marker file: name the .vhdr file beside it instead.")
    if CURRY_PARAMETERS.search(text):
        if path.suffix.lower() in (".dpa", ".dpo"):
            raise IngestError(f"The header of a Curry recording: name {path.stem} beside it instead.")
        return "curry"
    return None


def _by_name(path: Path, head: bytes, text: str) -> str:
    """What no content tells: samples that lie beside their header, or have none. Raises IngestError for the rest."""
    if is_nihon_kohden(head):
        with path.open("rb") as file:
            file.seek(_NIHON_KOHDEN_WAVEFORM)
            if file.read(1) == b"\x01":
                return "nihon-kohden"
        raise IngestError("A file beside a Nihon Kohden recording, or a damaged one: name the .EEG file instead.")
    suffix = path.suffix.lower()
    if suffix == ".cdt" and any(file.is_file() for file in curry_companions(path)[:2]):
        return "curry"
    if suffix == ".cdt":
        raise IngestError(f"The header of a Curry recording, {path.name}.dpa, is missing. Fetch it and put it beside.")
    if suffix == ".dat" and beside(path, f"{path.stem}.dap").is_file():
        raise IngestError(f"The samples of a Curry recording: name {path.stem}.dap beside it instead.")
    device = device_of(path, text)
    if device is not None:
        return device
    if suffix == ".easy":
        raise IngestError(
            f"The description of an Enobio recording, {path.stem}.info with its rate and names, is missing or "
            "incomplete. Fetch it and put it beside."
        )
    looks = "text" if _is_text(head) else "unknown binary data"
    if suffix == ".nxe" and looks != "text":
        return "eximia"
    if is_riff(head):
        looks = f"a RIFF container of {text[8:12]!r}"
    raise IngestError(
        f"No EEG format that is supported: expected {FORMATS}, found {looks}. Leave it out, or declare its layout in "
        "`reader` of the source."
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-3].decode("utf-8-sig")  # a character may be cut at the end
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t" for character in text)
