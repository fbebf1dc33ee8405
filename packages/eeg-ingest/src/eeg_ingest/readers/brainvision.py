"""BrainVision as MNE takes it: a header that names its files as they lie on the disk, and markers in UTF-8."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from eeg_ingest.readers.companions import read_text, vhdr_companions, vhdr_names
from eeg_ingest.readers.completeness import check_brainvision
from eeg_ingest.recording import IngestError

_PLAIN_NAMES = {"DataFile": "data.eeg", "MarkerFile": "markers.vmrk"}


def brainvision_for_mne(path: Path) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """The header itself, or a copy in a temporary folder where MNE would not read it or what it names.

    MNE takes `$b` (the header's own name) and Windows paths as they are written, insists on the case of suffixes, where
    files may come from a system that ignores case, and on markers in UTF-8.

    Raises IngestError where a file is missing, or holds fewer samples than the header promises.
    """
    names, files = vhdr_names(path), vhdr_companions(path)
    if not files:
        raise IngestError(f"{path.name} names no DataFile. Fetch it again.")
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise IngestError(f"{path.name} names {missing[0]}, which is missing. Fetch it and put it beside.")
    check_brainvision(path, files[0])
    as_named = all(path.parent / name == file for name, file in zip(names.values(), files, strict=True))
    recoded = {file: text for file in files[1:] if (text := _latin_1(file)) is not None}
    if path.name.endswith(".vhdr") and as_named and not recoded:
        return path, None
    folder = tempfile.TemporaryDirectory(prefix="eeg-ingest-")
    header = path.read_bytes()
    for key, file in zip(names, files, strict=True):
        plain = Path(folder.name) / _PLAIN_NAMES[key]
        header = re.sub(
            rb"(?im)^[ \t]*%b[ \t]*=[^\r\n]*" % key.encode(), f"{key}={plain.name}".encode(), header, count=1
        )
        if file in recoded:
            plain.write_text(recoded[file], encoding="utf-8")
        else:
            plain.symlink_to(file.resolve())
    copy = Path(folder.name) / f"{path.stem}.vhdr"
    copy.write_bytes(header)
    return copy, folder


def _latin_1(markers: Path) -> str | None:
    """The text of a marker file that is no UTF-8, made to say that it is; None for one that is."""
    try:
        markers.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return re.sub(r"(?im)^Codepage=.*$", "Codepage=UTF-8", read_text(markers))
    return None
