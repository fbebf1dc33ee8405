"""Progress with the time that is left, on stderr: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
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

    def log(self, outcome: Failed) -> None:
        """Write the traceback of an error that nobody expected to the log."""
        if outcome.trace is not None:
            with tqdm.external_write_mode(file=sys.stderr):
                LOG.error("%s\n%s", outcome.reason, outcome.trace.rstrip())

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
