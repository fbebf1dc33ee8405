"""HBN-EEG: recordings of another net are refused, and subjects that others leave out are marked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.events import FileLabels
from eeg_ingest.recording import IngestError, Recording

_ELECTRODES = tuple(f"E{number}" for number in range(1, 129))
# The start kit of the EEG 2025 challenge leaves these out for "known issues", and neuralfetch with it; nobody says what
# the issues are. They are kept, for whoever trains to decide.
_LEFT_OUT_BY_OTHERS = (
    *("NDARWV769JM7", "NDARME789TD2", "NDARUA442ZVF", "NDARJP304NK1", "NDARTY128YLU", "NDARDW550GU6"),
    *("NDARLD243KRE", "NDARUJ292JXV", "NDARBA381JGH"),
)


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Mark the recordings of nine subjects. Raises IngestError for those without the net's 128 electrodes."""
    names = [channel.name for channel in recording.channels]
    if not set(_ELECTRODES) <= set(names):
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise IngestError(
            f"{path.name} cannot be used: expected the 128 electrodes of the HydroCel net, E1 to E128, found "
            f"{len(names)} channels ({shown}). Leave the file out; ten of release 7 have 6 channels."
        )
    if groups["subject"] not in _LEFT_OUT_BY_OTHERS:
        return FileLabels()
    return FileLabels(warnings=("one of the nine subjects that the EEG 2025 challenge leaves out for known issues",))
