"""A limit of time for each recording: a reader that loops over a damaged file must not hold the build up for ever."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

LEAST_S = 300
BYTES_PER_S = 1_000_000  # far below what a shared network drive gives and the reader of text takes


@contextmanager
def time_limit(n_bytes: int) -> Iterator[None]:
    """End this worker where the block takes longer than 5 min and a second for each MB of a recording.

    By the alarm of the system, since a loop in a library's C code lets no other thread run. What becomes of the
    recording is for `Workers.run` to say, as where a reader crashes. No limit beside other threads that work (workers
    of a scheduler that was not started here), nor outside of workers.
    """
    if not (hasattr(signal, "setitimer") and _works_alone()):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, LEAST_S + n_bytes / BYTES_PER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _works_alone() -> bool:
    from distributed import get_worker  # noqa: PLC0415  # who only opens a recording does not wait for it

    try:
        return bool(get_worker().state.nthreads == 1)
    except ValueError:  # no worker
        return False
