"""Open any supported file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eeg_ingest.reader_settings import ReaderSettings
from eeg_ingest.readers.ant import AntRecording
from eeg_ingest.readers.curry import open_curry
from eeg_ingest.readers.detect import detect_format
from eeg_ingest.readers.edf import EdfRecording
from eeg_ingest.readers.egi_raw import open_egi_raw
from eeg_ingest.readers.mff import MffRecording
from eeg_ingest.readers.mne_formats import open_with_mne
from eeg_ingest.readers.nwb import open_nwb
from eeg_ingest.readers.persyst import open_persyst
from eeg_ingest.readers.xdf import open_xdf
from eeg_ingest.recording import IngestError, Recording
from eeg_ingest.stream_settings import NwbSettings, XdfSettings
from eeg_ingest.units import UV_PER_UNIT, UnitConflictError, amplitude_uv, is_plausible, judge_amplitude

_READERS: dict[str, Callable[..., Recording]] = {
    "edf": EdfRecording,
    "bdf": EdfRecording,
    "ant-cnt": AntRecording,
    "egi-raw": open_egi_raw,
    "curry": open_curry,
    "persyst": open_persyst,
}


def open_recording(path: Path, *, unit: str | None = None, settings: ReaderSettings | None = None) -> Recording:
    """Open a file lazily; the format comes from its content.

    `unit` (`nV`, `uV`, `mV`, `V`) counts only where the file does not say, where the format or its writer puts a
    constant in place of a unit (FIF, EEGLAB, GDF of OpenViBE, NWB), or where the file's own unit makes no EEG and
    `unit` does: see docs/decisions/units.md. `settings` choose among several signals in one file (XDF, NWB).

    Raises IngestError, with the reason for the failures table, if the file cannot be read as what it says it is.
    """
    if unit is not None and unit not in UV_PER_UNIT:
        raise IngestError(f"`unit` of the source: expected one of {', '.join(UV_PER_UNIT)}, found {unit!r}.")
    kind = detect_format(path)
    if settings is not None and settings.format != kind:
        raise IngestError(
            f"`reader` of the source: expected {kind}, which {path.name} is, found {settings.format}. "
            "Remove `reader` from the source in sources.yaml, or leave the file out."
        )
    try:
        recording = _open(path, kind, unit, settings)
    except UnitConflictError as conflict:
        recording = _overrule(path, kind, unit, settings, conflict)
    units = {channel.unit for channel in recording.channels if channel.type == "eeg"}
    if len(units) == 1:
        warning = judge_amplitude(amplitude_uv(recording), str(units.pop()))
        if warning:
            recording.warnings.append(warning)
    return recording


def _open(
    path: Path, kind: str, unit: str | None, settings: ReaderSettings | None, *, overrule: bool = False
) -> Recording:
    if kind == "egi-mff":
        return MffRecording(path, unit)
    if kind == "xdf":
        stream = settings.stream if isinstance(settings, XdfSettings) else None
        return open_xdf(path, unit, stream=stream, overrule=overrule)
    if kind == "nwb":
        series = settings.series if isinstance(settings, NwbSettings) else None
        return open_nwb(path, unit, series=series, overrule=overrule)
    if kind in _READERS:
        return _READERS[kind](path, unit, overrule=overrule)
    return open_with_mne(path, kind, unit, overrule=overrule)


def _overrule(
    path: Path, kind: str, unit: str | None, settings: ReaderSettings | None, conflict: UnitConflictError
) -> Recording:
    """Read the file in the source's unit if its own makes no EEG and the source's does. Raises `conflict` otherwise."""
    if kind == "egi-mff":
        raise conflict
    declared = amplitude_uv(_open(path, kind, None, settings))
    recording = _open(path, kind, unit, settings, overrule=True)
    if is_plausible(declared) or not is_plausible(amplitude_uv(recording)):
        raise conflict
    recording.warnings.append(
        f"read in {unit} as the source declares: the file's own unit would make {declared:.3g} µV"
    )
    return recording
