"""CSV files of Mind Monitor, an app for the Muse: rows of samples and of events, with the date of their arrival."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.reader_settings import TextLayout
from eeg_ingest.readers.clock import Times, check_rising, nominal_rate, unbroken_stretches
from eeg_ingest.readers.device_text import MUSE_HZ
from eeg_ingest.readers.parsed import ParsedRecording, SampleFile, make_channels
from eeg_ingest.readers.text import open_text
from eeg_ingest.recording import Channel, Event, IngestError

_RAILS_UV = (0.2, 1682.3)  # outside lie 0 and the largest value, 1682.4 of 12 bits and 1682.8 of 10
_SAMPLES = re.compile(r"RAW_(.+)")
_LEAST_LOST = 6  # samples: Bluetooth brings 12 at once, or loses them
_TIMES, _EVENTS = "TimeStamp", "Elements"


def open_mind_monitor(path: Path, unit: str | None) -> ParsedRecording:
    """Open a recording with all samples: `RAW_` columns in µV, at the Muse's own rate, which the dates must bear out.

    Cells of `Elements` (blinks, clenched jaws, markers) are events. The other columns are listed and not read: the app
    repeats its band powers and what its other sensors say in every row. Raises IngestError where the app was set to
    write at intervals.
    """
    file = open_text(path, TextLayout())
    file.check([], [_TIMES])
    file.texts |= {_TIMES, _EVENTS} & set(file.columns)
    samples_of = {name: match[1] for name in file.columns if (match := _SAMPLES.fullmatch(name))}
    file.check(samples_of)
    samples, times = SampleFile(len(samples_of)), SampleFile(1, "<f8")
    marks: list[tuple[float, str]] = []
    for block in file.blocks([*samples_of, *({_TIMES, _EVENTS} & set(file.columns))]):
        times_s = _seconds(block[_TIMES], path)
        signal = np.stack([block[name] for name in samples_of], axis=1)
        rows = ~np.isnan(signal).all(axis=1)  # rows of events have no samples
        samples.append(signal[rows])
        times.append(times_s[rows][:, None])
        texts = block.get(_EVENTS, np.empty(0, object))
        marks += [(float(times_s[row]), _label(texts[row])) for row in np.flatnonzero(texts != "")]
    if not samples.n_samples:
        raise IngestError(f"{path.name} cannot be read: expected rows of samples, found none. Fetch it again.")
    clock_s, where = times.values()[:, 0].view(np.float64), f"Column {_TIMES!r} of {path.name}"
    check_rising(clock_s, where)
    sfreq_hz, warnings = nominal_rate(clock_s, MUSE_HZ), file.warnings
    if sfreq_hz is None:
        raise IngestError(
            f"{where} tells of no rate of a Muse: expected {', '.join(f'{rate_hz:g}' for rate_hz in MUSE_HZ)} Hz, "
            "found other intervals. Set the recording interval of Mind Monitor to constant."
        )
    channels, settled = make_channels(
        list(samples_of.values()), sfreq_hz, unit=unit, declared="uV", limits_uv=_RAILS_UV
    )
    others = [name for name in file.columns if name and name not in (_TIMES, _EVENTS, *samples_of)]
    return ParsedRecording(
        path,
        format="mind-monitor",
        sfreq_hz=sfreq_hz,
        channels=[*channels, *(Channel(name, "misc", sfreq_hz, None) for name in others)],
        samples=samples,
        unit=settled,
        segments=unbroken_stretches(clock_s, sfreq_hz, warnings, least_lost=_LEAST_LOST),
        events=[Event(time_s - float(clock_s[0]), 0.0, label) for time_s, label in marks],
        warnings=warnings,
        clock_zero_s=float(clock_s[0]),
    )


def _seconds(dates: npt.NDArray[Any], path: Path) -> Times:
    """Return dates as seconds since 1970. They are local times, which does not matter within a recording."""
    try:
        known = dates.astype("datetime64[us]")
    except ValueError as error:
        raise IngestError(
            f"{path.name} cannot be read: expected dates such as 2025-07-01 14:56:05.422 in {_TIMES!r}, found: "
            f"{error}. Export it again."
        ) from error
    return np.where(np.isnat(known), np.nan, known.astype(np.int64) / 1e6)


def _label(element: str) -> str:
    """`blink` for /muse/elements/blink, `connected` for /muse/event/connected and the headset's name, `Marker/1`."""
    return re.sub(r"^/?(muse/(elements|event)/)?", "", element).split(" ")[0]
