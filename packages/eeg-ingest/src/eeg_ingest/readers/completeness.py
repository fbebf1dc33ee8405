"""Is a file whole? MNE reads what is there of a file that was cut short, without a word."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from eeg_ingest.readers.detect import vhdr_text
from eeg_ingest.recording import IngestError

_BLOCK_START, _BLOCK_END = 104, 105
_BRAINVISION_BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}


def check_fif(path: Path) -> None:
    """Walk the tags of a FIF file. Raises IngestError if it ends inside a tag or a block.

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
            if following == -1 and end <= size:
                break
            position = end if following == 0 else following
            if n_bytes < 0 or position < end:
                raise IngestError(f"A damaged tag before byte {end} of the FIF file. Fetch it again.")
    if depth or position > size:
        raise IngestError("The FIF file ends inside its data: the copy is incomplete. Fetch it again.")


def check_brainvision(header: Path, data: Path) -> None:
    """Raises IngestError if the data are no whole number of samples, or fewer than the header promises."""
    text = vhdr_text(header)
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
    """Raises IngestError if the float32 samples of an EEGLAB data set are fewer than it promises."""
    found = data.stat().st_size // (4 * n_channels)
    if found < n_samples:
        raise IngestError(f"{data.name} holds {found} of {n_samples} samples: the copy is incomplete. Fetch it again.")
