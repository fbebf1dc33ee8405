"""Is a file whole? MNE reads what is there of a file that was cut short, without a word."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from eeg_ingest.readers.companions import read_text
from eeg_ingest.recording import IngestError

_BLOCK_START, _BLOCK_END = 104, 105
_ROLE, _OF_EARLIER_PART = 115, 1  # the role of a file that is referred to
_BRAINVISION_BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}


def check_fif(path: Path, *, is_first: bool = True) -> None:
    """Walk the tags of a FIF file.

    Raises IngestError if it ends inside a tag or a block, or if another part comes before one that should be the first.

    Source: the FIFF format definition (Elekta Neuromag): tags of kind, type, size, next; blocks open and close.
    """
    size = path.stat().st_size
    position, depth = 0, 0
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return  # gzip carries its own length and checksum
        while position + 16 <= size:
            file.seek(position)
            kind, _, n_bytes, following = struct.unpack(">iiii", file.read(16))
            depth += {_BLOCK_START: 1, _BLOCK_END: -1}.get(kind, 0)
            end = position + 16 + n_bytes
            if is_first and kind == _ROLE and struct.unpack(">i", file.read(4))[0] == _OF_EARLIER_PART:
                raise IngestError(f"{path.name} is a later part of a split FIF file. Fetch the first part, too.")
            if following == -1 and end <= size:
                break
            position = end if following == 0 else following
            if n_bytes < 0 or position < end:
                raise IngestError(f"A damaged tag before byte {end} of the FIF file. Fetch it again.")
    if depth or position > size:
        raise IngestError("The FIF file ends inside its data: the copy is incomplete. Fetch it again.")


def check_brainvision(header: Path, data: Path) -> None:
    """Raises IngestError if the data are no whole number of samples, or fewer than the header promises."""
    text = read_text(header)
    binary = re.search(r"^\s*BinaryFormat\s*=\s*(\w+)", text, re.IGNORECASE | re.MULTILINE)
    channels = re.search(r"^\s*NumberOfChannels\s*=\s*(\d+)", text, re.IGNORECASE | re.MULTILINE)
    points = re.search(r"^\s*DataPoints\s*=\s*(\d+)", text, re.IGNORECASE | re.MULTILINE)
    n_bytes = _BRAINVISION_BYTES.get(binary.group(1).upper()) if binary else None
    if n_bytes is None or channels is None or not int(channels.group(1)):
        return  # data as text, or a header that MNE refuses
    found, rest = divmod(data.stat().st_size, n_bytes * int(channels.group(1)))
    promised = int(points.group(1)) if points else found
    if rest or found < promised:
        raise IngestError(
            f"{data.name} holds {found} samples and {rest} bytes of {max(promised, found + bool(rest))}: "
            "the copy is incomplete. Fetch it again."
        )


def check_fdt(data: Path, n_channels: int, n_samples: int) -> None:
    """Raises IngestError if an EEGLAB data set's float32 samples are not as many as it promises."""
    found, promised = data.stat().st_size, 4 * n_channels * n_samples
    if found < promised:
        raise IngestError(
            f"{data.name} holds {found // (4 * n_channels)} of {n_samples} samples: the copy is incomplete. "
            "Fetch it again."
        )
    if found > promised:
        raise IngestError(
            f"{data.name} holds {found - promised} bytes more than the {n_samples} samples of {n_channels} channels "
            "that its .set file promises. Fetch both again."
        )


def check_hdf5(path: Path) -> None:
    """Raises IngestError if an HDF5 file is longer than it says: bytes that were doubled shift all samples after them.

    HDF5 itself refuses a shorter one. Layout of the superblock by the HDF5 file format specification, 3.0; it begins at
    byte 0, or at a power of two behind a block of the user's.
    """
    size, start = path.stat().st_size, 0
    with path.open("rb") as file:
        while (head := file.read(64))[:8] != b"\x89HDF\r\n\x1a\n":
            start = max(2 * start, 512)
            if start >= size:
                return  # no HDF5
            file.seek(start)
    version = head[8]
    n_bytes, place = (head[13], 28 if version == 1 else 24) if version < 2 else (head[9], 12)
    base = int.from_bytes(head[place : place + n_bytes], "little")
    end = int.from_bytes(head[place + 2 * n_bytes : place + 3 * n_bytes], "little")
    if size > end > 0 and size != end + base:  # some may count the end from the base
        raise IngestError(
            f"{path.name}: expected the {end} bytes that its HDF5 header declares, found {size - end} more. Fetch it "
            "again."
        )


def check_nxe(data: Path) -> None:
    """Raises IngestError if an eXimia file, which has no header, is no whole number of samples of 64 channels."""
    if data.stat().st_size % 128:
        raise IngestError(f"{data.name} ends inside a sample of 64 channels: the copy is incomplete. Fetch it again.")


def check_nihon_kohden(path: Path) -> None:
    """Raises IngestError if a data block that the header of a Nihon Kohden file promises lies beyond its end.

    Layout as in MNE: addresses of control blocks from byte 0x92, of their data blocks from 18, each every 20 bytes.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def number(position: int, layout: str) -> int:
            file.seek(position)
            raw = file.read(struct.calcsize(layout))
            if len(raw) < struct.calcsize(layout):
                raise IngestError(f"{path.name} ends inside its header: the copy is incomplete. Fetch it again.")
            return int(struct.unpack(layout, raw)[0])

        for control in range(number(0x91, "<B")):
            block = number(0x92 + 20 * control, "<I")
            for index in range(number(block + 17, "<B")):
                data = number(block + 18 + 20 * index, "<I")
                n_channels, rate_hz = number(data + 0x26, "<B"), number(data + 0x1A, "<H") & 0x3FFF
                n_samples = number(data + 0x1C, "<I") * rate_hz // 10
                end = data + 0x27 + 10 * n_channels + 2 * (n_channels + 1) * n_samples
                if end > size:
                    raise IngestError(
                        f"{path.name} holds {size} of {end} bytes: the copy is incomplete. Fetch it again."
                    )
