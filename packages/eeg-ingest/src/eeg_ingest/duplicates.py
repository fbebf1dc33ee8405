"""Content of recordings: a cheap fingerprint of every one, and a full hash where two could be the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

BLOCK_BYTES = 64 * 1024
STREAM_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Fingerprint:
    """Sizes and sampled blocks of a recording's files; equal content has an equal fingerprint."""

    n_bytes: int
    digest: str


def fingerprint(files: Sequence[str]) -> Fingerprint:
    """Hash the sizes and the first, middle and last blocks of the files of a recording. Raises OSError."""
    digest = hashlib.sha256()
    total = 0
    for name in files:
        with open(name, "rb", buffering=0) as file:  # noqa: PTH123  # many small reads
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{size}\n".encode())
            for start in sorted({0, max(0, size // 2 - BLOCK_BYTES // 2), max(0, size - BLOCK_BYTES)}):
                digest.update(os.pread(file.fileno(), BLOCK_BYTES, start))
        total += size
    return Fingerprint(total, digest.hexdigest())


def content_hash(files: Sequence[str]) -> str:
    """Hash the whole content of the files of a recording, in memory that does not depend on their size. Raises OSError.

    Names do not enter: a copy under another name has the same hash.
    """
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(STREAM_BYTES))
    for name in files:
        with open(name, "rb", buffering=0) as file:  # noqa: PTH123
            digest.update(f"{os.fstat(file.fileno()).st_size}\n".encode())
            while n := file.readinto(buffer):
                digest.update(buffer[:n])
    return digest.hexdigest()
