"""Which files belong to a recording."""

from __future__ import annotations

import re
from pathlib import Path

from eeg_ingest.readers.device_text import enobio_info
from eeg_ingest.readers.signatures import (
    CURRY_PARAMETERS,
    FIF_START,
    PERSYST_LAYOUT,
    VHDR,
    is_nihon_kohden,
)

_SPLIT = re.compile(r"(?P<stem>.+)-(?P<part>\d{1,3})(?P<end>\.fif(\.gz)?)")
_BIDS_SPLIT = re.compile(r"(?P<stem>.+_split-)(?P<part>\d{1,2})(?P<end>_.*\.fif(\.gz)?)")
_NIHON_KOHDEN = (".21E", ".LOG", ".PNT")
_CURRY_8 = (".dpa", ".dpo", ".ceo", ".cef")  # after the whole name of the .cdt file
_BRAINVISION = (".eeg", ".vmrk", ".dat", ".avg", ".seg")
_CURRY_7 = (".dat", ".rs3", ".ceo", ".cef")


def recording_files(path: Path) -> tuple[Path, ...]:
    """All existing files of a recording, the named one first: `.vhdr` with its data and markers, `.set` with `.fdt`,
    the parts of a split FIF, every file of an `.mff` folder, the headers, labels and events of Curry, Persyst and Nihon
    Kohden. Reads little and never raises for a missing file."""
    try:
        if path.is_dir():
            return tuple(sorted(file for file in path.rglob("*") if file.is_file()))
        return (path, *(file for file in _companions(path) if file != path and file.is_file()))
    except OSError:
        return (path,)  # opening it will tell why


def _companions(path: Path) -> list[Path]:  # noqa: PLR0911  one return for each format
    with path.open("rb") as file:
        head = file.read(512)
    text = head.decode("utf-8", errors="replace")
    if VHDR.match(text):
        return list(vhdr_companions(path))
    if head.startswith((b"MATLAB", b"\x89HDF")):
        return [beside(path, f"{path.stem}.fdt"), path.with_suffix(".dat")]
    if (info := enobio_info(path)) is not None:
        return [info]
    if head.startswith((FIF_START, b"\x1f\x8b")):
        return _fif_parts(path)
    if is_nihon_kohden(head):
        return [beside(path, path.stem + suffix) for suffix in _NIHON_KOHDEN]
    if path.suffix.lower() == ".cdt":
        return curry_companions(path)
    if CURRY_PARAMETERS.search(text) and path.suffix.lower() == ".dap":
        return curry_companions(path)
    if PERSYST_LAYOUT.match(text):
        return [data for data in [persyst_data(path)] if data is not None]
    return []


def beside(path: Path, name: str) -> Path:
    """The file called `name` in the folder of `path`, or so but for the case; `name` as it is if there is none.

    Tries names and lists no folder, which may hold thousands of recordings.
    """
    stem, dot, suffix = name.rpartition(".")
    names = (name, f"{stem}{dot}{suffix.lower()}", f"{stem}{dot}{suffix.upper()}", name.lower(), name.upper())
    return next((path.parent / other for other in names if (path.parent / other).is_file()), path.parent / name)


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in Latin-1 where it is none."""
    raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def vhdr_names(path: Path) -> dict[str, str]:
    """The data and the marker file of a BrainVision header as it writes them, by their keys, in this order."""
    text = read_text(path)
    names = {}
    for key in ("DataFile", "MarkerFile"):
        match = re.search(rf"^[ \t]*{key}[ \t]*=[ \t]*(\S.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
        if match:
            names[key] = match.group(1)
    return names


def vhdr_companions(path: Path) -> tuple[Path, ...]:
    """The data and marker files that a BrainVision header names, in this order, whether they exist or not."""
    return tuple(beside(path, name.replace("$b", path.stem).replace("\\", "/")) for name in vhdr_names(path).values())


def curry_companions(path: Path) -> list[Path]:
    """What lies beside a Curry recording that is named by its `.cdt` (Curry 8, 9) or its `.dap` (Curry 7)."""
    if path.suffix.lower() == ".cdt":
        return [beside(path, path.name + suffix) for suffix in _CURRY_8]
    return [beside(path, path.stem + suffix) for suffix in _CURRY_7]


def persyst_data(path: Path) -> Path | None:
    """The data file that a Persyst layout names, in the layout's folder; None if it names none."""
    text = read_text(path)
    match = re.search(r"^[ \t]*File[ \t]*=[ \t]*(\S.*?)\s*$", text, re.IGNORECASE | re.MULTILINE)
    return beside(path, re.split(r"[\\/]", match.group(1))[-1]) if match else None


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

    That is a file inside an `.mff` folder, the data of a `.vhdr`, `.set`, `.dap` or `.lay`, what lies beside a `.cdt`
    or beside Nihon Kohden's `.EEG`, or a later part of a split FIF.
    """
    in_mff = any(folder.suffix.lower() == ".mff" for folder in path.parents)
    return in_mff or _has_header(path) or _is_later_part(path)


def _has_header(path: Path) -> bool:
    suffix = path.suffix.lower()
    return (
        (suffix in (".fdt", ".dat") and path.with_suffix(".set").is_file())
        or (suffix.upper() in _NIHON_KOHDEN and beside(path, f"{path.stem}.EEG").is_file())
        or (suffix in _CURRY_8 and path.stem.lower().endswith(".cdt") and beside(path, path.stem).is_file())
        or (suffix in _CURRY_7 and beside(path, f"{path.stem}.dap").is_file())
        or (suffix == ".dat" and any(persyst_data(layout) == path for layout in path.parent.glob("*.lay")))
        or (suffix in _BRAINVISION and _is_named_by_vhdr(path))
    )


def _is_named_by_vhdr(path: Path) -> bool:
    headers = [path.with_suffix(".vhdr")] if path.with_suffix(".vhdr").is_file() else path.parent.glob("*.vhdr")
    return any(path.name in [file.name for file in vhdr_companions(header)] for header in headers)


def _is_later_part(path: Path) -> bool:
    bids = _BIDS_SPLIT.fullmatch(path.name)
    if bids:
        before = f"{bids['stem']}{int(bids['part']) - 1:02d}{bids['end']}"
        return int(bids["part"]) > 1 and path.with_name(before).is_file()
    split = _SPLIT.fullmatch(path.name)
    if split:
        number = int(split["part"])
        before = split["stem"] + (f"-{number - 1}" if number > 1 else "") + split["end"]
        return number >= 1 and path.with_name(before).is_file()
    return False
