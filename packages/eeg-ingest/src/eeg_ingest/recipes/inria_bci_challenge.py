"""Feedbacks of the Inria BCI Challenge: the k-th rise of FeedBackEvent in a session is row FB<k> of TrainLabels.csv."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eeg_ingest.beside import find_beside
from eeg_ingest.events import FileLabels
from eeg_ingest.reader_settings import TextLayout
from eeg_ingest.readers.text import open_text
from eeg_ingest.recording import Event, IngestError, Recording
from eeg_ingest.tables import read_table

SFREQ_HZ = 200
NAMES = {"0": "wrong", "1": "correct"}


def read_labels(path: Path, groups: Mapping[str, str | None], source_path: Path, recording: Recording) -> FileLabels:
    """Read the labels of one session. Raises IngestError where feedbacks and rows are not as many."""
    table = read_table(find_beside(["TrainLabels.csv"], groups, path, source_path), None)
    key, value = table.column("IdFeedBack"), table.column("Prediction")
    session = f"S{groups['subject']}_Sess{groups['session']}_FB"
    rows = sorted((cells[key], cells[value]) for cells in table.rows if cells[key].startswith(session))
    on = np.concatenate([block["FeedBackEvent"] for block in open_text(path, TextLayout()).blocks(["FeedBackEvent"])])
    samples = np.flatnonzero(np.diff(on, prepend=0) > 0)
    labels = [NAMES.get(text) for _, text in rows]
    if len(samples) != len(rows) or None in labels:
        raise IngestError(
            f"The labels of {path.name} cannot be used: expected 0 or 1 for each of {len(samples)} feedbacks in "
            f"TrainLabels.csv, found {len(rows)} rows of {session}. Fetch both again."
        )
    return FileLabels(
        tuple(Event(sample / SFREQ_HZ, 0.0, str(label)) for sample, label in zip(samples, labels, strict=True))
    )
