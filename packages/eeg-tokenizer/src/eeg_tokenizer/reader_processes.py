"""Processes that read batches for a training process.

Each has a few slabs of shared memory for its batches, which it writes again and again: fresh shared memory takes twenty
times as long as the copy itself, a page fault for every 4 KB (docs/performance.md). The training process copies a batch
out of its slab before the reader may write there again.
"""

from __future__ import annotations

import atexit
import io
import itertools
import multiprocessing
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import numpy as np
import torch
import torch.multiprocessing  # so that a slab can be sent to another process
from torch import Tensor

from eeg_tokenizer.distributed import keep_freed_memory

SLABS = 4  # batches that a process reads ahead
ROOM = 1.25  # of a new slab, by the batch that did not fit
PATIENCE_S = 5

R = TypeVar("R")
T = TypeVar("T")


class LoaderError(RuntimeError):
    """A process that reads batches has died."""


def read_in_processes(read: Callable[[R], T], requests: Iterable[R], workers: int) -> Generator[T, None, None]:
    """Yield `read(request)` for each request in order, read ahead by processes that take turns.

    They get a copy of `read` and nothing else of this process (they are spawned, not forked: TensorStore's threads do
    not outlive a fork), and end with the generator.

    Raises:
        LoaderError: a process has died.
        Exception: whatever `read` raises, at its request.
    """
    readers = [_Reader(read) for _ in range(workers)]
    end = partial(_end, readers)
    atexit.register(end)  # multiprocessing would wait for them for ever, where nobody closed this generator
    asked: deque[_Reader[R, T]] = deque()
    try:
        for reader, request in zip(itertools.cycle(readers), requests, strict=False):
            ready = [asked.popleft().answer()] if len(asked) == SLABS * workers else []
            reader.ask(request)
            asked.append(reader)
            yield from ready
        while asked:
            yield asked.popleft().answer()
    finally:
        end()
        atexit.unregister(end)


@dataclass(frozen=True)
class _Packed:
    """What `read` returned, pickled; its tensors stand one after the other in a slab, `new` where it was too small."""

    pickled: bytes
    n_bytes: list[int]
    new: Tensor | None


@dataclass(frozen=True)
class _Failure:
    kind: type[Exception]
    message: str
    trace: str

    def error(self) -> Exception:
        try:
            error = self.kind(self.message)
        except TypeError:  # it is made from more than a message
            error = RuntimeError(f"{self.kind.__name__}: {self.message}")
        error.add_note(f"Raised in a process of --loader-workers:\n{self.trace}")
        return error


class _Reader(Generic[R, T]):
    """A process that reads, as the training process sees it."""

    def __init__(self, read: Callable[[R], T]) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, its_own = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(read, its_own), daemon=True)
        with _left_alone():
            self._process.start()
        its_own.close()  # so that its death ends the connection
        self._slabs = [torch.empty(0, dtype=torch.uint8)] * SLABS
        self._slot = 0

    def ask(self, request: R) -> None:
        """Have it read, into the slab after the last one."""
        try:
            self._connection.send(request)
        except OSError as error:
            raise self._death(error) from error

    def answer(self) -> T:
        """Return the first answer that was not yet returned; wait for it."""
        try:
            found: _Packed | _Failure = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._death(error) from error
        if isinstance(found, _Failure):
            raise found.error()
        if found.new is not None:
            self._slabs[self._slot] = found.new
        parts = np.split(self._slabs[self._slot].numpy(), np.cumsum(found.n_bytes))[:-1]
        self._slot = (self._slot + 1) % SLABS
        result: T = pickle.loads(found.pickled, buffers=[part.copy() for part in parts])  # noqa: S301  # our own
        return result

    def leave(self) -> None:
        """Ask for nothing more, at which the process ends."""
        self._connection.close()

    def end(self) -> None:
        """Wait until the process has ended; kill one that takes long, for it has nothing to lose."""
        self._process.join(PATIENCE_S)
        self._process.kill()
        self._process.join()

    def _death(self, error: BaseException) -> LoaderError:
        self._process.join(1)
        return LoaderError(
            "Reading batches failed in a process of --loader-workers: expected it to live, found it dead "
            f"(exit code {self._process.exitcode}, {type(error).__name__}). Look whether memory was short, and go on "
            "with --resume."
        )


def _end(readers: list[_Reader[Any, Any]]) -> None:
    for reader in readers:
        reader.leave()
    for reader in readers:
        reader.end()


@contextmanager
def _left_alone() -> Iterator[None]:
    """Start processes that no signal ends: a batch system and Ctrl-C signal the whole group, and training decides."""
    resource_tracker.ensure_running()  # which would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(read: Callable[[R], T], connection: Connection) -> None:
    """Answer requests until the other end is gone."""
    torch.set_num_threads(1)
    keep_freed_memory()
    slabs = [torch.empty(0, dtype=torch.uint8)] * SLABS
    with suppress(EOFError, ConnectionError):
        for slot in itertools.cycle(range(SLABS)):
            request = connection.recv()
            answer: _Packed | _Failure
            try:
                answer = _pack(read(request), slabs, slot)
            except Exception as error:  # noqa: BLE001  # raised where it was asked for
                answer = _Failure(type(error), str(error), traceback.format_exc())
            connection.send(answer)


def _pack(result: Any, slabs: list[Tensor], slot: int) -> _Packed:
    """Pickle all but the tensors, and write these into a slab, a larger one if need be."""
    stream, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(result)
    parts = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
    n_bytes = [len(part) for part in parts]
    too_small = len(slabs[slot]) < sum(n_bytes)
    if too_small:
        slabs[slot] = torch.empty(int(ROOM * sum(n_bytes)), dtype=torch.uint8)
        slabs[slot].share_memory_()  # type: ignore[no-untyped-call]
    if parts:
        np.concatenate(parts, out=slabs[slot][: sum(n_bytes)].numpy())
    return _Packed(stream.getvalue(), n_bytes, slabs[slot] if too_small else None)


class _Pickler(pickle.Pickler):
    """Leaves the memory of tensors out, as pickle itself does with arrays."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return torch.from_numpy, (value.numpy(),)
        return NotImplemented
