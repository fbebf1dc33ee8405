"""Progress with the time that is left, on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from eeg_ingest.outcome import Failed

LOG = logging.getLogger(__name__)
LINE_SECONDS = 5.0
SHORT_SECONDS = 1.0  # what takes less needs no progress


class Progress:
    """Progress through a known amount of work: files, or hours of recordings."""

    def __init__(self, what: str, total: float, unit: str = "files") -> None:
        self._what, self._total, self._unit = what, total, unit
        self._done, self._first, self._shown, self._note = 0.0, 0.0, 0.0, ""
        self._start = self._last_line = self._rate_start = time.monotonic()
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty() and total:
            form = "{l_bar}{bar}| {n:.4g}/{total:.4g} " + unit + " [{elapsed}<{remaining}{postfix}]"
            self._bar = tqdm(total=total, desc=what, bar_format=form, delay=SHORT_SECONDS, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._last_line > self._start and self._done > self._shown and kind is None:
            self._line()

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Count work as done. `note` is shown after the numbers."""
        if not self._done:  # the rate counts from the first result: workers take seconds to start
            self._first, self._rate_start = amount, time.monotonic()
        self._done += amount
        self._note = note
        if self._bar is not None:
            self._bar.update(amount)
            self._bar.set_postfix_str(note, refresh=False)
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._line()

    def _line(self) -> None:
        self._last_line, self._shown = time.monotonic(), self._done
        elapsed_s = self._last_line - self._start
        counted = self._done - self._first
        left_s = (self._last_line - self._rate_start) * (self._total - self._done) / counted if counted else 0.0
        amount = f"{self._done:.4g} of {self._total:.4g} {self._unit}"
        left = f", {tqdm.format_interval(left_s)} left" if left_s >= 1 else ""
        elapsed = tqdm.format_interval(elapsed_s)
        note = f", {self._note}" if self._note else ""
        print(f"{self._what}: {amount}{note}, {elapsed} elapsed{left}", file=sys.stderr, flush=True)  # noqa: T201


class SourceProgress:
    """Progress of a build: the hours of each source while it is worked on, and of all where there are several."""

    def __init__(self, recordings: Sequence[tuple[str, float]]) -> None:
        """`recordings` are the source and the hours of each."""
        self._hours: dict[str, list[float]] = defaultdict(list)
        for source, hours in recordings:
            self._hours[source].append(hours)
        self._done: dict[str, int] = dict.fromkeys(self._hours, 0)
        self._failed: dict[str, int] = dict.fromkeys(self._hours, 0)
        self._bars: dict[str, Progress] = {}
        self._all: Progress | None = None
        if len(self._hours) > 1:
            self._all = Progress("all sources", sum(hours for _, hours in recordings), "h")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for bar in [*self._bars.values(), *([self._all] if self._all else [])]:
            bar.__exit__(kind, error, traceback)

    def advance(self, source: str, hours: float, *, failed: bool) -> None:
        """Count a recording of a source as done, or as failed."""
        if source not in self._bars:
            self._bars[source] = Progress(source, sum(self._hours[source]), "h")
        self._done[source] += 1
        self._failed[source] += failed
        count, left_out = len(self._hours[source]), self._failed[source]
        note = f"{self._done[source] - left_out} of {count} recordings, {left_out} failed"
        self._bars[source].advance(hours, note)
        if self._all is not None:
            self._all.advance(hours)
        if self._done[source] == count:
            self._bars.pop(source).__exit__(None, None, None)


def log_traceback(outcome: Failed) -> None:
    """Write the traceback of an error that nobody expected to the log."""
    if outcome.trace is not None:
        with tqdm.external_write_mode(file=sys.stderr):
            LOG.error("%s\n%s", outcome.reason, outcome.trace.rstrip())
