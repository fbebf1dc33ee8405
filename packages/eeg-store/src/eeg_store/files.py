"""Files that appear whole or not at all, and the lock that the writers of one store share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eeg_store.contract import StoreError, sentence

# Parquet readers pass over names that begin with a dot, so a half-written table file is never seen.
_PARTIAL = re.compile(r"^\..+\.[0-9a-f]{16}\.partial$")


def write_atomic(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a file so that it appears complete or not at all. Raise OSError (a full or failing disk).

    With `durable` it is on disk at the return; without, call `sync` on the file and its folder later.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Put a file's content, or a folder's entries, on disk. Raise OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_partial(path: Path) -> bool:
    """Whether a file is what a killed writer left of `write_atomic`."""
    return _PARTIAL.match(path.name) is not None


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people to read, atomically."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON. Raise StoreError if the file is absent or is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(sentence("reading JSON failed", path, "a file", "none", "Restore it from a copy")) from error
    except ValueError as error:
        raise StoreError(sentence("reading JSON failed", path, "JSON", error, "Restore it from a copy")) from error


def slug(name: str) -> str:
    """Return a readable file name for any string; different strings get different names."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


@contextmanager
def locked(store: Path) -> Iterator[None]:
    """Hold the store's lock, so that two processes do not grow one array. The kernel frees it if a process dies."""
    with (store / "tables" / ".lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
