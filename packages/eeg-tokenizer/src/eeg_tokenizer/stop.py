"""SIGTERM and SIGINT as a request to save and end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """The signal that came, or None."""

    signal: signal.Signals | None = None


_outer: StopRequest | None = None  # of the block that this process is in


@contextmanager
def stop_on_signal(*numbers: signal.Signals) -> Iterator[StopRequest]:
    """Turn signals of these numbers within the block into a request, which blocks inside of it share.

    SIGTERM may come again: a batch system signals all processes of a job, and torchrun passes its own on to processes
    that have one already. A second SIGINT acts as usual.
    """
    global _outer  # noqa: PLW0603  # as the handlers are the process's, so is the request
    if threading.current_thread() is not threading.main_thread():
        yield _outer or StopRequest()  # only the main thread may set handlers
        return
    before = {number: signal.getsignal(number) for number in numbers}
    outside, stop = _outer, _outer or StopRequest()

    def request(number: int, _frame: FrameType | None) -> None:
        stop.signal = signal.Signals(number)
        if number == signal.SIGINT:
            signal.signal(number, before[stop.signal])

    for number in numbers:
        signal.signal(number, request)
    _outer = stop
    try:
        yield stop
    finally:
        _outer = outside
        for number, handler in before.items():
            signal.signal(number, handler)
