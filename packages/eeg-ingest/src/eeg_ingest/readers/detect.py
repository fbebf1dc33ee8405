"""What a file is, by its content, and which files belong to it."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import h5py
import scipy.io

from eeg_ingest.readers.device_text import device_of, enobio_info
from eeg_ingest.recording import IngestError

_VHDR = re.compile(r"(\ufeff)?Brain ?Vision (Core Data Format|(V-Amp )?Data( Exchange)?) Header File", re.IGNORECASE)
_VMRK = re.compile(r"(\ufeff)?Brain ?Vision .*Marker File", re.IGNORECASE)
_FIF_START = bytes.fromhex("00000064 0000001f 00000014")  # the file-id tag: kind 100, type 31, 20 bytes
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{1,3})(?P<end>\.fif(\.gz)?)")
_BIDS_SPLIT = re.compile(r"(?P<stem>.+_split-)(?P<part>\d{1,2})(?P<end>_.*\.fif(\.gz)?)")


def detect_format(path: Path) -> str:
    """`edf`, `bdf`, `gdf`, `brainvision`, `eeglab`, `fif`, `neuroscan-cnt`, `egi-mff`, `openbci`, `muse` or `enobio`,
    by the content.

    Raises IngestError for anything else, with what it looks like. The suffix does not matter.
    """
    try:
        return _detect(path)
    except OSError as error:
        raise IngestError(f"{path.name} cannot be opened: {error.strerror or error}. Check its permissions.") from error


def _detect(path: Path) -> str:
    if path.is_dir():
        if (path / "info.xml").is_file() and (path / "signal1.bin").is_file():
            return "egi-mff"
        raise IngestError("A folder that is no EGI MFF recording: expected info.xml and signal1.bin in it.")
    if not path.is_file():
        raise IngestError(f"No file {path.name}.")
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise IngestError("The file is empty. Fetch it again.")
    return _by_first_bytes(path, head)


def _by_first_bytes(path: Path, head: bytes) -> str:  # noqa: PLR0911  one return for each format
    if head[:1] == b"0" and not head[1:8].strip(b" \x00"):
        return "edf"
    if head.startswith(b"\xffBIOSEMI"):
        return "bdf"
    if head.startswith(b"GDF "):
        return "gdf"
    if head.startswith(_FIF_START) or (head.startswith(b"\x1f\x8b") and _gzip_start(path).startswith(_FIF_START)):
        return "fif"
    if head.startswith(b"Version 3.0"):
        return "neuroscan-cnt"
    text = head.decode("utf-8", errors="replace")
    if _VHDR.match(text):
        return "brainvision"
    if head.startswith((b"MATLAB 5.0", b"\x89HDF", b"MATLAB 7.3")):
        if _holds_eeglab(path):
            return "eeglab"
        raise IngestError("A MATLAB file without an EEGLAB data set: expected a variable EEG.")
    if head.startswith((b"RIFF", b"RF64")):
        raise IngestError("An ANT Neuro recording (.cnt in a RIFF container): this format is not supported yet.")
    if _VMRK.match(text):
        raise IngestError("A BrainVision marker file: name the .vhdr file beside it instead.")
    device = device_of(path, text)
    if device is not None:
        return device
    looks = "text" if _is_text(head) else "unknown binary data"
    raise IngestError(
        f"No EEG format that is supported: expected EDF, BDF, GDF, BrainVision, EEGLAB, FIF, Neuroscan CNT or EGI MFF, "
        f"found {looks}."
    )


def _gzip_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            return file.read(12)
    except (OSError, EOFError):
        return b""


def _holds_eeglab(path: Path) -> bool:
    """True for a MAT file (v5 or v7.3) with a variable EEG, or with an EEG's fields as variables."""
    try:
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                names = set(file.keys())
        else:
            names = {name for name, _, _ in scipy.io.whosmat(path)}
    except (OSError, ValueError, TypeError, NotImplementedError, scipy.io.matlab.MatReadError) as error:
        raise IngestError(f"A damaged MATLAB file: {error}. Fetch it again.") from error
    return "EEG" in names or {"srate", "nbchan", "data"} <= names


def _is_text(head: bytes) -> bool:
    try:
        text = head[:-3].decode("utf-8")  # a character may be cut at the end
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t" for character in text)


def recording_files(path: Path) -> tuple[Path, ...]:
    """All existing files of a recording, the named one first: `.vhdr` with its data and markers, `.set` with `.fdt`,
    the parts of a split FIF, every file of an `.mff` folder. Reads little and never raises for a missing file."""
    try:
        if path.is_dir():
            return tuple(sorted(file for file in path.rglob("*") if file.is_file()))
        return (path, *_companions(path))
    except OSError:
        return (path,)  # opening it will tell why


def _companions(path: Path) -> list[Path]:
    with path.open("rb") as file:
        head = file.read(64)
    companions: list[Path] = []
    if _VHDR.match(head.decode("utf-8", errors="replace")):
        companions = list(vhdr_companions(path))
    elif (info := enobio_info(path)) is not None:
        companions = [info]
    elif head.startswith((b"MATLAB", b"\x89HDF")):
        companions = [path.with_suffix(suffix) for suffix in (".fdt", ".dat")]
    elif head.startswith((_FIF_START, b"\x1f\x8b")):
        companions = _fif_parts(path)
    return [file for file in companions if file.is_file()]


def vhdr_companions(path: Path) -> tuple[Path, ...]:
    """The data and marker files that a BrainVision header names, in this order, whether they exist or not."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    names = []
    for key in ("DataFile", "MarkerFile"):
        match = re.search(rf"^\s*{key}\s*=\s*(\S.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
        if match:
            names.append(match.group(1).replace("$b", path.stem))
    return tuple(path.parent / name.replace("\\", "/") for name in names)


def _fif_parts(path: Path) -> list[Path]:
    """The parts 2, 3 ... of a split FIF (`x_raw-1.fif`, or `x_split-02_eeg.fif` in BIDS), as far as they exist."""
    parts: list[Path] = []
    bids = _BIDS_SPLIT.fullmatch(path.name)
    for number in range(1, 1000):
        if bids:
            name = f"{bids['stem']}{int(bids['part']) + number:02d}{bids['end']}"
        else:
            stem, dot, end = path.name.partition(".fif")
            name = f"{stem}-{number}{dot}{end}"
        part = path.with_name(name)
        if not part.is_file():
            break
        parts.append(part)
    return parts


def is_companion(path: Path) -> bool:
    """True for a file that belongs to another recording and is none of its own.

    That is a file inside an `.mff` folder, the data of a `.vhdr` or `.set`, or a later part of a split FIF.
    """
    if any(folder.suffix.lower() == ".mff" for folder in path.parents):
        return True
    suffix = path.suffix.lower()
    if suffix in (".fdt", ".dat") and path.with_suffix(".set").is_file():
        return True
    if suffix in (".eeg", ".vmrk", ".dat", ".avg", ".seg"):
        headers = [path.with_suffix(".vhdr")] if path.with_suffix(".vhdr").is_file() else path.parent.glob("*.vhdr")
        return any(path.name in [file.name for file in vhdr_companions(header)] for header in headers)
    bids = _BIDS_SPLIT.fullmatch(path.name)
    if bids:
        return (
            int(bids["part"]) > 1
            and path.with_name(f"{bids['stem']}{int(bids['part']) - 1:02d}{bids['end']}").is_file()
        )
    split = _SPLIT.fullmatch(path.name)
    if split:
        number = int(split["part"])
        before = split["stem"] + (f"-{number - 1}" if number > 1 else "") + split["end"]
        return number >= 1 and path.with_name(before).is_file()
    return False
