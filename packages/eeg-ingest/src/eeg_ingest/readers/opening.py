"""Open any supported file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from eeg_ingest.reader_settings import LayoutSettings, NeuroscanSettings, ReaderSettings
from eeg_ingest.readers.ant import AntRecording
from eeg_ingest.readers.curry import open_curry
from eeg_ingest.readers.detect import detect_format
from eeg_ingest.readers.devices import open_enobio, open_muse, open_openbci
from eeg_ingest.readers.edf import EdfRecording, read_edf_annotations
from eeg_ingest.readers.egi_raw import open_egi_raw
from eeg_ingest.readers.gdf import GdfRecording
from eeg_ingest.readers.mff import MffRecording
from eeg_ingest.readers.mind_monitor import open_mind_monitor
from eeg_ingest.readers.persyst import open_persyst
from eeg_ingest.readers.xdf import open_xdf
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.stream_settings import NwbSettings, XdfSettings
from eeg_ingest.units import (
    UV_PER_UNIT,
    UndeclaredUnitError,
    UnitConflictError,
    amplitude_uv,
    is_plausible,
    judge_amplitude,
    likely_unit,
)

_READERS: dict[str, Callable[..., Recording]] = {
    "edf": EdfRecording,
    "bdf": EdfRecording,
    "gdf": GdfRecording,
    "ant-cnt": AntRecording,
    "egi-raw": open_egi_raw,
    "curry": open_curry,
    "persyst": open_persyst,
}
_IN_ONE_UNIT: dict[str, Callable[[Path, str | None], Recording]] = {  # no declared unit overrules theirs
    "egi-mff": MffRecording,
    "openbci": open_openbci,
    "muse": open_muse,
    "mind-monitor": open_mind_monitor,
    "enobio": open_enobio,
}


def open_recording(path: Path, *, unit: str | None = None, settings: ReaderSettings | None = None) -> Recording:
    """Open a file lazily; the format comes from its content, or from `settings` where the source declares a layout.

    `unit` (`nV`, `uV`, `mV`, `V`) counts only where the file does not say, where the format or its writer puts a
    constant in place of a unit (FIF, EEGLAB, GDF of OpenViBE, NWB), or where the file's own unit makes no EEG and
    `unit` does: see docs/decisions/units.md. `auto` takes the file's own unit if it makes EEG, else the only one that
    does. `settings` also choose among several signals in one file (XDF, NWB).

    Raises IngestError, with the reason for the failures table, if the file cannot be read as what it says it is.
    """
    if unit is not None and unit not in (*UV_PER_UNIT, "auto"):
        raise IngestError(f"`unit` of the source: expected one of {', '.join(UV_PER_UNIT)}, auto, found {unit!r}.")
    if isinstance(settings, LayoutSettings):
        from eeg_ingest.readers.declared import open_declared  # noqa: PLC0415  # libraries of the few that need them

        recording: Recording = open_declared(path, settings, None if unit == "auto" else unit)
    else:
        kind = detect_format(path)
        if settings is not None and settings.format != kind:
            raise IngestError(
                f"{path.name} is not what `reader` of the source says: expected {settings.format}, found {kind}. "
                "Correct `reader` or `files` of the source."
            )
        read = partial(_open, path, kind, settings)
        try:
            recording = _open_likely(read) if unit == "auto" else read(unit)
        except UnitConflictError as conflict:
            recording = _overrule(read, kind, unit, conflict)
    units = _units(recording)
    if len(units) == 1:
        warning = judge_amplitude(amplitude_uv(recording), units.pop())
        if warning:
            recording.warnings.append(warning)
    return recording


def read_annotations(path: Path) -> tuple[Event, ...]:
    """Read the annotations of a file beside a recording, which may hold nothing else. Raises IngestError."""
    if detect_format(path) in ("edf", "bdf"):
        return tuple(read_edf_annotations(path))
    return open_recording(path).events


def _open(
    path: Path, kind: str, settings: ReaderSettings | None, unit: str | None, *, overrule: bool = False
) -> Recording:
    if kind in _IN_ONE_UNIT:
        return _IN_ONE_UNIT[kind](path, unit)
    if kind == "xdf":
        stream = settings.stream if isinstance(settings, XdfSettings) else None
        return open_xdf(path, unit, stream=stream, overrule=overrule)
    if kind == "nwb":
        from eeg_ingest.readers.nwb import open_nwb  # noqa: PLC0415

        series = settings.series if isinstance(settings, NwbSettings) else None
        return open_nwb(path, unit, series=series, overrule=overrule)
    if kind in _READERS:
        return _READERS[kind](path, unit, overrule=overrule)
    from eeg_ingest.readers.mne_formats import open_with_mne  # noqa: PLC0415

    sample_bits = settings.sample_bits if isinstance(settings, NeuroscanSettings) else None
    return open_with_mne(path, kind, unit, overrule=overrule, sample_bits=sample_bits)


def _units(recording: Recording) -> set[str]:
    """The units that the EEG channels are read in."""
    return {channel.unit for channel in recording.channels if channel.type == "eeg" and channel.unit is not None}


def _open_likely(read: Callable[..., Recording]) -> Recording:
    """Read the file in its own unit if that makes EEG, else in the only unit that does, with a warning."""
    undeclared = None
    try:
        recording = read(None)
    except UndeclaredUnitError as error:
        undeclared, recording = error, read("uV")
    units = _units(recording)
    amplitude = amplitude_uv(recording)
    if undeclared and amplitude is None:
        raise undeclared
    if amplitude is None or len(units) != 1 or (is_plausible(amplitude) and not undeclared):
        return recording
    (read_as,) = units
    better = read_as if is_plausible(amplitude) else likely_unit(amplitude, read_as)
    if better is not None:
        recording = read(better, overrule=True)
        declared = "none" if undeclared else f"{read_as}, which would make {amplitude:.3g} µV"
        recording.warnings.append(f"read in {better}, which makes EEG of its numbers; the file declares {declared}")
    return recording


def _overrule(read: Callable[..., Recording], kind: str, unit: str | None, conflict: UnitConflictError) -> Recording:
    """Read the file in the source's unit if its own makes no EEG and the source's does. Raises `conflict` otherwise."""
    if kind in _IN_ONE_UNIT:
        raise conflict
    declared = amplitude_uv(read(None))
    recording = read(unit, overrule=True)
    if is_plausible(declared) or not is_plausible(amplitude_uv(recording)):
        raise conflict
    recording.warnings.append(
        f"read in {unit} as the source declares: the file's own unit would make {declared:.3g} µV"
    )
    return recording
