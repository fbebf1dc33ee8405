"""Emotions of FACED: the marks of `evt.bdf` name a clip (1 to 28), its start (101) and its end (102)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.events import FileLabels, missing_labels
from eeg_ingest.readers import read_annotations
from eeg_ingest.recording import Event, Recording

_START, _END = "101", "102"
_CLIPS = {
    "anger": range(1, 4),
    "disgust": range(4, 7),
    "fear": range(7, 10),
    "sadness": range(10, 13),
    "neutral": range(13, 17),
    "amusement": range(17, 20),
    "inspiration": range(20, 23),
    "joy": range(23, 26),
    "tenderness": range(26, 29),
}
_EMOTIONS = {str(clip): emotion for emotion, clips in _CLIPS.items() for clip in clips}


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Return the marks and the clips of the recording at `path`."""
    file = path.parent / "evt.bdf"
    if not file.is_file():
        return missing_labels(file.name)
    marks = read_annotations(file)
    events, warnings = list(marks), []
    clip: str | None = None
    start_s: float | None = None
    for mark in marks:
        if mark.label in _EMOTIONS:
            clip, start_s = mark.label, None
        elif mark.label == _START:
            start_s = mark.onset_s
        elif mark.label == _END and clip is not None and start_s is not None:
            events.append(Event(start_s, mark.onset_s - start_s, _EMOTIONS[clip]))
            clip = start_s = None
        elif mark.label == _END:
            warnings.append(f"the end at {mark.onset_s:g} s in evt.bdf has no clip or no start")
    return FileLabels(tuple(events), warnings=tuple(warnings))
