"""Progress with the time that is left, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

LINE_EVERY_S = 5.0


class Progress:
    """A bar on a terminal; elsewhere (a log, a batch system) a line every few seconds."""

    def __init__(self, name: str, total: int, *, done: int = 0, unit: str, silent: bool = False) -> None:
        self._name, self._unit, self._total, self._first = name, unit, total, done
        self._began = self._last = time.monotonic()
        self._done = done
        self._silent = silent
        self._bar: tqdm[NoReturn] | None = None
        if sys.stderr.isatty() and not silent:
            self._bar = tqdm(desc=name, total=total, initial=done, unit=unit, file=sys.stderr, dynamic_ncols=True)

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units done."""
        self._done += n
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)
        elif not self._silent and (time.monotonic() - self._last >= LINE_EVERY_S or self._done == self._total):
            self._last = time.monotonic()
            meter = tqdm.format_meter(
                self._done,
                self._total,
                self._last - self._began,
                prefix=self._name,
                unit=self._unit,
                initial=self._first,
                postfix=note or None,
            )
            print(meter, file=sys.stderr, flush=True)  # noqa: T201 (stderr is where progress belongs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
