"""Movements of the GDF files of BCI Competition IV-2a: codes of cues, which the E files do not give away.

There each cue has the code 783; `classlabel` of `A01E.mat`, published after the competition, tells which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.beside import MissingFileError, find_beside
from eeg_ingest.events import FileLabels, missing_labels
from eeg_ingest.readers.variables import find, open_variables, vector
from eeg_ingest.recording import Event, IngestError, Recording

_MOVEMENTS = ("left hand", "right hand", "feet", "tongue")
_CUES = {str(769 + number): movement for number, movement in enumerate(_MOVEMENTS)}
_UNKNOWN = "783"
_IMAGERY_S = 4.0  # from the cue on


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Return the imagined movements of the recording at `path`. Raises IngestError where labels and cues differ."""
    cues = [event for event in recording.events if event.label in (*_CUES, _UNKNOWN)]
    n_unknown = sum(cue.label == _UNKNOWN for cue in cues)
    try:
        told = iter(_true_labels(path, groups, source_path, n_unknown) if n_unknown else ())
    except MissingFileError:
        return missing_labels(f"true_labels/{path.stem}.mat")
    movements = [_CUES[cue.label] if cue.label in _CUES else next(told) for cue in cues]
    return FileLabels(tuple(Event(c.onset_s, _IMAGERY_S, label) for c, label in zip(cues, movements, strict=True)))


def _true_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, n_cues: int) -> list[str]:
    file = find_beside(["true_labels/{stem}.mat", "{stem}.mat"], groups, path, source_path, what="file")
    with open_variables(file, "matlab") as variables:
        found = ", ".join(variables.names) or "nothing"
        numbers = vector(find(variables, "classlabel")[0]).tolist() if "classlabel" in variables.names else []
    if len(numbers) != n_cues or not set(numbers) <= {1, 2, 3, 4}:
        found = f"{len(numbers)} of {', '.join(f'{number:g}' for number in sorted(set(numbers)))}" if numbers else found
        raise IngestError(
            f"The labels of {path.name} cannot be used: expected classlabel with one of 1 to 4 for each of {n_cues} "
            f"cues in {file}, found {found}. Put the file of the competition's true labels in its place."
        )
    return [_MOVEMENTS[int(number) - 1] for number in numbers]
