"""Open any supported file."""

from __future__ import annotations

from pathlib import Path

from eeg_ingest.reader_settings import ReaderSettings
from eeg_ingest.readers.declared import open_declared
from eeg_ingest.readers.detect import detect_format
from eeg_ingest.readers.devices import open_enobio, open_muse, open_openbci
from eeg_ingest.readers.edf import EdfRecording, read_edf_annotations
from eeg_ingest.readers.mff import MffRecording
from eeg_ingest.readers.mne_formats import open_with_mne
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.units import UV_PER_UNIT, UnitConflictError, amplitude_uv, is_plausible, judge_amplitude

_DEVICES = {"openbci": open_openbci, "muse": open_muse, "enobio": open_enobio}


def open_recording(path: Path, *, unit: str | None = None, settings: ReaderSettings | None = None) -> Recording:
    """Open a file lazily; the format comes from its content, or from `settings` where the source declares a layout.

    `unit` (`nV`, `uV`, `mV`, `V`) counts only where the file does not say, where the format or its writer puts a
    constant in place of a unit (FIF, EEGLAB, GDF of OpenViBE), or where the file's own unit makes no EEG and `unit`
    does: see docs/decisions/units.md.

    Raises IngestError, with the reason for the failures table, if the file cannot be read as what it says it is.
    """
    if unit is not None and unit not in UV_PER_UNIT:
        raise IngestError(f"`unit` of the source: expected one of {', '.join(UV_PER_UNIT)}, found {unit!r}.")
    if settings is not None:
        recording: Recording = open_declared(path, settings, unit)
    else:
        kind = detect_format(path)
        try:
            recording = _open(path, kind, unit)
        except UnitConflictError as conflict:
            recording = _overrule(path, kind, unit, conflict)
    units = {channel.unit for channel in recording.channels if channel.type == "eeg"}
    if len(units) == 1:
        warning = judge_amplitude(amplitude_uv(recording), str(units.pop()))
        if warning:
            recording.warnings.append(warning)
    return recording


def read_annotations(path: Path) -> tuple[Event, ...]:
    """Read the annotations of a file beside a recording, which may hold nothing else. Raises IngestError."""
    if detect_format(path) in ("edf", "bdf"):
        return tuple(read_edf_annotations(path))
    return open_recording(path).events


def _open(path: Path, kind: str, unit: str | None, *, overrule: bool = False) -> Recording:
    if kind in ("edf", "bdf"):
        return EdfRecording(path, unit, overrule=overrule)
    if kind == "egi-mff":
        return MffRecording(path, unit)
    if kind in _DEVICES:
        return _DEVICES[kind](path, unit)
    return open_with_mne(path, kind, unit, overrule=overrule)


def _overrule(path: Path, kind: str, unit: str | None, conflict: UnitConflictError) -> Recording:
    """Read the file in the source's unit if its own makes no EEG and the source's does. Raises `conflict` otherwise."""
    if kind == "egi-mff" or kind in _DEVICES:
        raise conflict
    declared = amplitude_uv(_open(path, kind, None))
    recording = _open(path, kind, unit, overrule=True)
    if is_plausible(declared) or not is_plausible(amplitude_uv(recording)):
        raise conflict
    recording.warnings.append(
        f"read in {unit} as the source declares: the file's own unit would make {declared:.3g} µV"
    )
    return recording
