"""What the workers do: read the header of a recording, hash its content, put it into the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from eeg_store import SFREQ_HZ, RecordingWriter, Slot, Store

from eeg_ingest.bids import read_sidecars
from eeg_ingest.duplicates import Fingerprint, content_hash, fingerprint
from eeg_ingest.events import event_rows, read_labels, rename_annotations, without_repeats
from eeg_ingest.file import HarmonizedFile, harmonize_file
from eeg_ingest.files import FoundFile
from eeg_ingest.harmonize import band_of
from eeg_ingest.outcome import Failed, StoreFailed, outcome_of, writing_store
from eeg_ingest.recording import IngestError, Recording
from eeg_ingest.sources import Source
from eeg_ingest.targets import Targets, find_targets
from eeg_ingest.time_limit import time_limit

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class FileTask:
    """One recording to look at: its file, its source, all files that belong to it, and the groups of its path."""

    found: FoundFile
    source: Source
    files: tuple[str, ...]
    groups: Mapping[str, str | None]
    fingerprint: Fingerprint


@dataclass(frozen=True)
class Header:
    """What the plan knows of a recording before it is ingested. `channels` are the names in the store."""

    format: str
    sfreq_hz: float
    channels: tuple[str, ...]
    reference: str | None
    n_seconds: int


@dataclass(frozen=True)
class IngestTask:
    """One recording to put into its slot of the store."""

    file: FileTask
    slot: Slot
    store: Store


def read_headers(tasks: Sequence[FileTask]) -> list[Header | Failed | StoreFailed]:
    """Read the header and the labels of each recording."""
    return [_limited(_read_header, task, task) for task in tasks]


def hash_contents(tasks: Sequence[FileTask]) -> list[str | Failed | StoreFailed]:
    """Hash the whole content of each recording."""
    return [_limited(lambda task: content_hash(task.files), task, task) for task in tasks]


def ingest(tasks: Sequence[IngestTask]) -> list[int | Failed | StoreFailed]:
    """Put each recording into the store; its whole seconds."""
    return [_limited(_ingest, task, task.file) for task in tasks]


def _limited(work: Callable[[Item], Result], item: Item, file: FileTask) -> Result | Failed | StoreFailed:
    with time_limit(file.fingerprint.n_bytes):
        return outcome_of(work, item)


def _read_header(task: FileTask) -> Header:
    # Without the search for the mains, which reads samples all over the file: nothing in the header depends on it.
    file = open_as(task.source, task.found.path, line_freq_hz=None)
    recording = file.recording
    read_labels(task.source.labels, task.groups, task.found.path, task.source.path, recording)
    if task.source.targets is not None:
        find_targets(task.source.targets, task.groups, task.found.path, task.source.path)
    return Header(recording.format, recording.sfreq_hz, file.names, _reference(task, recording), file.n_seconds)


def _reference(task: FileTask, recording: Recording) -> str | None:
    """The reference that the path names (TUH's montage folders), or else the file."""
    return task.groups.get("reference") or recording.reference


def open_as(source: Source, path: Path, line_freq_hz: float | Literal["auto"] | None) -> HarmonizedFile:
    """Open a recording by the keys of its source, but for the mains. Raises IngestError as `harmonize_file` does."""
    rules = source.channels
    return harmonize_file(
        path,
        unit=source.unit,
        line_freq_hz=line_freq_hz,
        rename=rules.rename,
        drop=rules.drop,
        montage=rules.montage,
        names=rules.names,
        settings=source.reader,
        sidecars=read_sidecars(path, source.path) if source.bids else None,
    )


def _ingest(task: IngestTask) -> int:
    """Stream one recording into its slot, and commit it with its events."""
    if task.store.is_committed(task.slot.recording):  # by a worker whose answer was lost
        return task.slot.n_seconds
    source = task.file.source
    file = open_as(source, task.file.found.path, source.line_freq_hz)
    labels = read_labels(source.labels, task.file.groups, task.file.found.path, source.path, file.recording)
    targets = _targets(task.file, file)
    with writing_store():
        writer = RecordingWriter(task.store, task.slot)
    try:
        with ThreadPoolExecutor(1) as hashing:  # beside the signal: the files are read twice, but waited for once
            digest = hashing.submit(content_hash, task.file.files)
            warnings = _write_blocks(file, targets, writer)
        row = _row(task.file, file, digest.result())
        row["warnings"] += [*warnings, *labels.warnings]
        if fingerprint(task.file.files) != task.file.fingerprint:
            raise IngestError("The file changed while it was read: expected one content, found two. Build again.")
        annotations = rename_annotations(source.labels, task.file.groups, file.events)
        events = [*without_repeats(annotations, labels.events), *labels.events]
        with writing_store():
            writer.commit(row, event_rows(events, labels.whole, file.segments))
    finally:
        with writing_store():
            writer.discard()
    return task.slot.n_seconds


def _write_blocks(file: HarmonizedFile, targets: Targets | None, writer: RecordingWriter) -> list[str]:
    """Append the blocks of a recording, with their targets; what the recording's row should warn of."""
    n_beyond = n_without = 0
    for block in file.blocks:
        n_beyond += block.n_beyond
        wanted = None
        if targets is not None:
            wanted = targets.at(file.segments[block.segment]["original_onset_s"] + block.first_s, len(block.signal))
            n_without += int(np.isnan(wanted).all(axis=(1, 2)).sum())
        with writing_store():
            writer.append(block.signal, block.quality, wanted)
        del block  # before the next one is made
    warnings = []
    if n_beyond:
        share = n_beyond / (file.n_seconds * len(file.names) * SFREQ_HZ)
        warnings.append(f"{n_beyond} samples ({share:.1%}) beyond the stored range were set to its limit")
    if n_without:
        warnings.append(f"{n_without} of {file.n_seconds} seconds have no targets")
    return warnings


def _targets(task: FileTask, file: HarmonizedFile) -> Targets | None:
    settings = task.source.targets
    if settings is None:
        return None
    table = find_targets(settings, task.groups, task.found.path, task.source.path)
    return Targets(settings, table, file.recording.clock_zero_s)


def _row(task: FileTask, file: HarmonizedFile, digest: str) -> dict[str, Any]:
    """Return the recording's row, but for what follows from its slot and its data."""
    recording = file.recording
    kept = [recording.channels[index] for index in file.indices]
    low_hz, high_hz = band_of(recording.sfreq_hz)
    highpass_hz = [channel.highpass_hz for channel in kept if channel.highpass_hz is not None]
    lowpass_hz = [channel.lowpass_hz for channel in kept if channel.lowpass_hz is not None]
    units = sorted({channel.unit for channel in kept if channel.unit is not None})
    return {
        "source": task.source.name,
        "subject": task.groups.get("subject"),
        "session": task.groups.get("session"),
        "run": task.groups.get("run"),
        "file": task.found.file,
        "format": recording.format,
        "n_channels": len(kept),
        "original_sfreq_hz": float(recording.sfreq_hz),
        "original_duration_s": float(recording.n_samples / recording.sfreq_hz),
        "line_freq_hz": file.line_freq_hz,
        "band_low_hz": float(low_hz),
        "band_high_hz": float(high_hz),
        # The narrowest that a kept channel declares.
        "original_highpass_hz": max(highpass_hz, default=None),
        "original_lowpass_hz": min(lowpass_hz, default=None),
        "original_unit": ", ".join(units) or task.source.unit,
        "reference": _reference(task, recording),
        "original_names": [channel.name for channel in kept],
        "left_out": [asdict(channel) for channel in file.left_out],
        "segments": list(file.segments),
        "content_hash": digest,
        "fingerprint": task.fingerprint.digest,
        "n_bytes": task.fingerprint.n_bytes,
        "licence": task.source.licence,
        "warnings": list(file.warnings),
    }
