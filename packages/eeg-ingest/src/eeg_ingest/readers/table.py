"""Tables of text with a row for each sample, whose layout the source declares: CSV, TSV, ARFF."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from eeg_ingest.reader_settings import (
    SECONDS_PER_UNIT,
    ArffSettings,
    ColumnsFrom,
    Marks,
    TableSettings,
    TextLayout,
)
from eeg_ingest.readers.clock import Counter, Stamps, check_rising, rate_of, unbroken_stretches
from eeg_ingest.readers.marks import MarkReader
from eeg_ingest.readers.parsed import ParsedRecording, SampleFile, make_channels
from eeg_ingest.readers.text import TextFile, count_cells, open_text
from eeg_ingest.recording import Channel, IngestError, Segment

_ATTRIBUTE = re.compile(r"@attribute\s+(\"[^\"]*\"|'[^']*'|\S+)\s+(.*\S)", re.IGNORECASE)


def open_table(path: Path, settings: TableSettings, unit: str | None) -> ParsedRecording:
    """Open a table of text as `settings` declare it. Raises IngestError where it is another one."""
    columns = settings.columns
    if settings.columns_from is not None:
        columns = _listed_columns(path, settings.columns_from)[: count_cells(path, settings)]
    time = Stamps(settings.time.column, SECONDS_PER_UNIT[settings.time.unit]) if settings.time else None
    return read_table_recording(
        path,
        open_text(path, settings, columns),
        settings,
        names=settings.names,
        time=time,
        sfreq_hz=settings.sfreq_hz,
        unit=unit,
    )


def read_table_recording(
    path: Path,
    file: TextFile,
    marks: Marks,
    *,
    names: Sequence[str] = (),
    states: Sequence[str] = (),
    time: Stamps | Counter | None = None,
    sfreq_hz: float | None = None,
    unit: str | None = None,
    declared: str | None = None,
    format: str = "table",  # noqa: A002  as in Recording
    limits_uv: tuple[float, float] | None = None,
) -> ParsedRecording:
    """Read the columns of a text file: the signal into a `SampleFile`, marks into events, times into rate and gaps.

    Columns that are not numbers are listed as channels and not read; those of marks and times are used up.
    """
    reader = MarkReader(marks, path.name, states)
    used = [*reader.channels, *([time.column] if time else [])]
    classes = {*marks.states, *states}
    file.check([name for name in used if name not in classes], classes)
    labels = [name for name in file.columns if name and name not in used and name not in file.texts]
    samples, times = SampleFile(len(labels)), SampleFile(1, "<f8")
    for block in file.blocks([*labels, *used]):
        n_samples = len(next(iter(block.values())))
        signal = np.stack([block[name] for name in labels], axis=1) if labels else np.empty((n_samples, 0))
        samples.append(signal if marks.scale == 1 else signal * marks.scale)
        if time:
            times.append(time.seconds(block[time.column])[:, None])
        reader.feed(block, n_samples)
    if not samples.n_samples:
        raise IngestError(f"{path.name} cannot be read: expected rows of numbers, found none. Fetch it again.")
    segments: tuple[Segment, ...] = (Segment(0, samples.n_samples, 0.0),)
    zero_s, warnings = 0.0, file.warnings
    if time:
        times_s, where = times.values()[:, 0].view(np.float64), f"Column {time.column!r} of {path.name}"
        check_rising(times_s, where)
        if isinstance(time, Counter):
            sfreq_hz = time.sfreq_hz
            if not time.step:
                warnings.append(f"{time.column} does not count: lost samples cannot be noticed")
        else:
            sfreq_hz = rate_of(times_s, sfreq_hz, time.nominal_hz, where)
        segments = unbroken_stretches(times_s, sfreq_hz, warnings)
        zero_s = float(times_s[0])
    if sfreq_hz is None:
        raise TypeError("either time or sfreq_hz")
    channels, settled = make_channels(labels, sfreq_hz, unit=unit, eeg=names, declared=declared, limits_uv=limits_uv)
    texts = [Channel(name, "misc", sfreq_hz, None) for name in file.columns if name in file.texts and name not in used]
    return ParsedRecording(
        path,
        format=format,
        sfreq_hz=sfreq_hz,
        channels=[*channels, *texts],
        samples=samples,
        unit=settled,
        segments=segments,
        events=reader.events(segments, sfreq_hz),
        warnings=warnings,
        clock_zero_s=zero_s,
    )


def _listed_columns(path: Path, listed: ColumnsFrom) -> tuple[str, ...]:
    """Read the names that another table beside the file lists below the header `column`; it may list more."""
    table = path.parent / listed.table
    try:
        lines = table.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise IngestError(
            f"The columns of {path.name} are not known: expected the table {listed.table} beside it, found: "
            f"{error.strerror}. Fetch it, and put it beside."
        ) from error
    rows = [[cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())] for line in lines]
    header = next((number for number, row in enumerate(rows) if listed.column in row), None)
    if header is None:
        raise IngestError(
            f"The columns of {path.name} are not known: expected a column {listed.column!r} in {listed.table}, found "
            "none. Correct columns_from of the source's reader."
        )
    place = rows[header].index(listed.column)
    names = [row[place] for row in rows[header + 1 :] if len(row) > place and row[place]]
    return (*listed.before, *names)


def open_arff(path: Path, settings: ArffSettings, unit: str | None) -> ParsedRecording:
    """Open an ARFF file: attributes are columns, nominal ones mark states. Raises IngestError if it is none."""
    names: list[str] = []
    nominal: list[str] = []
    n_lines = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            n_lines += 1
            attribute = _ATTRIBUTE.match(line.strip())
            if attribute:
                names.append(attribute[1].strip("\"'"))
                nominal += [names[-1]] if attribute[2].startswith("{") else []
            if line.strip().lower().startswith("@data"):
                break
        else:
            raise IngestError(f"{path.name} is no ARFF file: expected a line @DATA, found none. Fetch it again.")
        if next((line for line in file if line.strip() and not line.startswith("%")), "").lstrip().startswith("{"):
            raise IngestError(
                f"{path.name} cannot be read: expected rows of values, found sparse rows in braces. Convert it with "
                "Weka's SparseToNonSparse."
            )
    layout = TextLayout(skip_lines=n_lines, comment="%")
    file_of_text = open_text(path, layout, names)
    states = () if settings.states or settings.flags or settings.triggers else nominal
    # a class such as {0,1} is a name, however much it looks like a number
    text = replace(file_of_text, texts=file_of_text.texts | set(nominal) - {*settings.flags, *settings.triggers})
    return read_table_recording(
        path, text, settings, names=settings.names, states=states, sfreq_hz=settings.sfreq_hz, unit=unit, format="arff"
    )
