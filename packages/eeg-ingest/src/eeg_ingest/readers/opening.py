"""Open any supported file."""

from __future__ import annotations

from pathlib import Path

from eeg_ingest.readers.detect import detect_format
from eeg_ingest.readers.edf import EdfRecording
from eeg_ingest.readers.mff import MffRecording
from eeg_ingest.readers.mne_formats import open_with_mne
from eeg_ingest.recording import IngestError, Recording
from eeg_ingest.units import UV_PER_UNIT, amplitude_uv, judge_amplitude


def open_recording(path: Path, *, unit: str | None = None) -> Recording:
    """Open a file lazily; the format comes from its content.

    `unit` (`nV`, `uV`, `mV`, `V`) counts only where the file does not say, or where the format or its writer puts a
    constant in place of a unit (FIF, EEGLAB, GDF of OpenViBE): see docs/decisions/units.md.

    Raises IngestError, with the reason for the failures table, if the file cannot be read as what it says it is.
    """
    if unit is not None and unit not in UV_PER_UNIT:
        raise IngestError(f"`unit` of the source: expected one of {', '.join(UV_PER_UNIT)}, found {unit!r}.")
    kind = detect_format(path)
    if kind in ("edf", "bdf"):
        recording: Recording = EdfRecording(path, unit)
    elif kind == "egi-mff":
        recording = MffRecording(path, unit)
    else:
        recording = open_with_mne(path, kind, unit)
    units = {channel.unit or unit for channel in recording.channels if channel.type == "eeg"}
    if len(units) == 1:
        warning = judge_amplitude(amplitude_uv(recording), units.pop() or "uV")
        if warning:
            recording.warnings.append(warning)
    return recording
