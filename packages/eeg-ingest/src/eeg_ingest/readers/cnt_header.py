"""The header of a Neuroscan CNT file, as far as it tells 16-bit from 32-bit samples.

Source: http://paulbourke.net/dataformats/eeg/ (SETUP, ELECTLOC, TEEG and EVENT structures).
"""

from __future__ import annotations

import struct
from pathlib import Path

from eeg_ingest.recording import IngestError

_SETUP_BYTES = 900
_CHANNEL_BYTES = 75
_EVENT_BYTES = {1: 8, 2: 19, 3: 19}
_PROVING_EVENTS = 20  # of 16-bit samples half would lie between two of 32 bits: once in a million files none does


def cnt_data_format(path: Path, sample_bits: int | None = None) -> str:
    """`int16` or `int32`, or what the source declares with `sample_bits` where the file does not tell.

    Three fields can tell: the data between the header and the event table against the sample count; the 32-bit flag in
    the second header at the end of the file; and byte offsets of events, which are multiples of a 32-bit sample or not.

    Raises IngestError if none of them tells, if two contradict each other or the source, or if the header does not fit
    the file.
    """
    votes = _votes(path)
    if sample_bits is not None:
        votes["the source"] = sample_bits // 8
    if not votes:
        raise IngestError(
            "The header does not tell 16-bit from 32-bit samples. Declare `reader: {format: neuroscan-cnt, "
            "sample_bits: 32}` (or 16) for the source in sources.yaml."
        )
    if len(set(votes.values())) > 1:
        raise IngestError(
            f"The header contradicts itself about the bytes of a sample: {votes}. Convert the file or correct `reader`."
        )
    return "int16" if 2 in votes.values() else "int32"


def _votes(path: Path) -> dict[str, int]:
    """The bytes of a sample by each field that tells. Raises IngestError for a header that does not fit the file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        setup = file.read(_SETUP_BYTES)
        if len(setup) < _SETUP_BYTES:
            raise IngestError(f"The header holds {len(setup)} of {_SETUP_BYTES} bytes. Fetch the file again.")
        (next_header,) = struct.unpack_from("<I", setup, 12)
        (n_channels,) = struct.unpack_from("<H", setup, 370)
        (rate_hz,) = struct.unpack_from("<H", setup, 376)
        (n_samples,) = struct.unpack_from("<I", setup, 864)
        (table,) = struct.unpack_from("<I", setup, 886)
        data = _SETUP_BYTES + _CHANNEL_BYTES * n_channels
        if n_channels == 0 or rate_hz == 0 or data >= size:
            raise IngestError(
                f"The header declares {n_channels} channels at {rate_hz} Hz, which does not fit a file of {size} "
                "bytes. Fetch it again."
            )
        votes: dict[str, int] = {}
        for n_bytes in (2, 4):
            # the table's position is stored in 32 bits and wraps in files over 4 GB
            if n_samples and (data + n_samples * n_channels * n_bytes) % 2**32 == table:
                votes["sample count"] = n_bytes
        if data < next_header < size - 52:
            file.seek(next_header + 52)
            flag = file.read(1)[0]
            if flag in (0, 1):
                votes["second header"] = 4 if flag else 2
        if size < 2**32:
            if table > size:
                raise IngestError(
                    f"The event table should start at byte {table} of {size}: the copy is incomplete. Fetch it again."
                )
            file.seek(table)
            events = _event_offsets(file.read(size - table if table < size else 0), n_channels)
            if any((offset - data) % (4 * n_channels) for offset in events):
                votes["event offsets"] = 2
            elif len(set(events)) >= _PROVING_EVENTS:
                votes["event offsets"] = 4
    return votes


def _event_offsets(table: bytes, n_channels: int) -> list[int]:
    """Byte offsets of the events that lie on a 16-bit sample (others are damaged and tell nothing)."""
    if len(table) < 9:
        return []
    kind, n_bytes, _ = struct.unpack_from("<Bii", table)
    if kind not in (1, 2) or n_bytes < 0:  # type 3 counts samples, not bytes
        return []
    width = _EVENT_BYTES[kind]
    body = table[9 : 9 + n_bytes]
    offsets = [struct.unpack_from("<i", body, start + 4)[0] for start in range(0, len(body) - width + 1, width)]
    return [
        offset for offset in offsets if (offset - _SETUP_BYTES - _CHANNEL_BYTES * n_channels) % (2 * n_channels) == 0
    ]
