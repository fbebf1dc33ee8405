"""What became of a task: the border where a bad recording becomes a row of the failures table."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from eeg_ingest.recording import IngestError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failed:
    """A recording that cannot be ingested, and why. `trace` is the traceback of an error that nobody expected."""

    reason: str
    trace: str | None = None

    def __post_init__(self) -> None:
        """Escape what UTF-8, and so the failures table, cannot hold: bytes of a file's name or header."""
        object.__setattr__(self, "reason", self.reason.encode(errors="backslashreplace").decode())


@dataclass(frozen=True)
class StoreFailed:
    """The store cannot be written (a full disk, say): no recording's fault, and the end of the build."""

    reason: str


class StoreWriteError(Exception):
    """The store cannot be written; the message says what the system found."""


@contextmanager
def writing_store() -> Iterator[None]:
    """Tell errors of writing the store apart from errors of reading a recording."""
    try:
        yield
    except OSError as error:
        raise StoreWriteError(error.strerror or str(error)) from error


def outcome_of(task: Callable[[Item], Result], item: Item) -> Result | Failed | StoreFailed:
    """Run a task for one recording; every error becomes an outcome, so that none stops the build."""
    try:
        return task(item)
    except IngestError as error:
        return Failed(str(error))
    except StoreWriteError as error:
        return StoreFailed(str(error))
    except OSError as error:
        what = error.strerror or type(error).__name__
        return Failed(f"The file cannot be read: expected a readable file, found: {what}. Correct it and build again.")
    except MemoryError:
        return Failed(
            "The file cannot be read: expected a recording that fits the reader's memory, found that memory ran out. "
            "Use fewer workers."
        )
    except Exception as error:  # noqa: BLE001  # the one border where any error becomes a failure row
        found = f"{type(error).__name__}: {error}".strip().replace("\n", " ")
        reason = f"Reading failed in a way that was not foreseen: expected a valid recording, found {found}."
        return Failed(f"{reason} Please report it with the traceback in the log.", traceback.format_exc())
