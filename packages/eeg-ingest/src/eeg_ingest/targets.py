"""Targets in time: a table with its own clock beside a recording, on the clock of the stored signal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from eeg_store import SFREQ_HZ

from eeg_ingest.beside import MissingFileError, find_beside
from eeg_ingest.reader_settings import SECONDS_PER_UNIT, TargetSettings
from eeg_ingest.readers.parsed import SampleFile
from eeg_ingest.readers.text import TextFile, open_text
from eeg_ingest.recording import IngestError

_LONGEST_STEP = 5  # times the usual one: a longer one is a hole, across which no line is drawn
_DECIMALS = 6  # of seconds, on both clocks: rounding errors must not put a sample beyond the last row
_USUAL_OF = 100_000  # steps that say what is usual


def find_targets(settings: TargetSettings, groups: Mapping[str, str | None], path: Path, source_path: Path) -> TextFile:
    """Find the table of the targets of the recording at `path`. Raises IngestError if it or a column is missing."""
    try:
        table = find_beside([settings.table], groups, path, source_path)
    except MissingFileError as error:
        raise IngestError(
            f"The targets of {path.name} cannot be read: expected the table {settings.table} beside the recording or "
            f"in {source_path}, found no such file. Add the table, or correct targets in sources.yaml."
        ) from error
    file = open_text(table, settings, settings.columns)
    absent = [name for name in (settings.time.column, *settings.names) if name not in file.columns]
    if absent:
        raise IngestError(
            f"{table.name} has no column {absent[0]!r}: expected one of {', '.join(filter(None, file.columns))}. "
            "Correct targets of the source."
        )
    return file


class Targets:
    """The targets (T) of one recording. `zero_s` is the time of the recording's first sample on their clock."""

    def __init__(self, settings: TargetSettings, file: TextFile, zero_s: float) -> None:
        self._zero_s = zero_s
        times, values = SampleFile(1, "<f8"), SampleFile(len(settings.names))
        for block in file.blocks([settings.time.column, *settings.names]):
            times_s = block[settings.time.column][:, None] * SECONDS_PER_UNIT[settings.time.unit]
            times.append(np.round(times_s, _DECIMALS))
            values.append(np.stack([block[name] for name in settings.names], axis=1) * settings.scale)
        self._times_s, self._values = times.values()[:, 0], values.values()
        steps_s = np.diff(self._times_s[:_USUAL_OF])
        self._longest_s = _LONGEST_STEP * float(np.median(steps_s)) if len(steps_s) else 0.0
        for first in range(0, len(self._times_s), _USUAL_OF):
            part = self._times_s[first : first + _USUAL_OF + 1]
            bad = np.flatnonzero(~(np.diff(part) >= 0) | ~np.isfinite(part[:-1]))
            if len(bad):
                raise IngestError(
                    f"{file.path.name} cannot be used: expected times that rise, found {part[bad[0] + 1]:g} after "
                    f"{part[bad[0]]:g} in row {first + int(bad[0]) + 2}. Correct the table."
                )

    def at(self, onset_s: float, n_seconds: int) -> npt.NDArray[np.float32]:
        """Return (n_seconds, T, 200) from `onset_s` of the file's clock on, by linear interpolation.

        NaN before the first row and after the last, where a cell is empty, and across holes in the times.
        """
        times_s = np.round(self._zero_s + onset_s + np.arange(n_seconds * SFREQ_HZ) / SFREQ_HZ, _DECIMALS)
        out = np.full((len(times_s), self._values.shape[1]), np.nan, np.float32)
        first = max(int(np.searchsorted(self._times_s, times_s[0], "right")) - 1, 0)
        stop = int(np.searchsorted(self._times_s, times_s[-1], "left")) + 1
        known_s, values = np.asarray(self._times_s[first:stop]), np.asarray(self._values[first:stop], np.float64)
        if len(known_s):
            before = np.clip(np.searchsorted(known_s, times_s, "right") - 1, 0, len(known_s) - 1)
            after = np.minimum(before + 1, len(known_s) - 1)
            in_hole = (known_s[after] - known_s[before] > self._longest_s) & (times_s != known_s[before])
            for column in range(values.shape[1]):
                line = np.interp(times_s, known_s, values[:, column], left=np.nan, right=np.nan)
                out[:, column] = np.where(in_hole, np.nan, line)
        return np.ascontiguousarray(out.reshape(n_seconds, SFREQ_HZ, -1).swapaxes(1, 2))
