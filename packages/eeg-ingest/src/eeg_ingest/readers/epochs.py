"""Epochs as MNE has them, as a run of unbroken samples each."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np


def raw_of_epochs(epochs: Any, marks: mne.Annotations | None = None) -> Any:
    """An `mne.io.Raw` in which the epochs follow each other, with a boundary between them.

    `marks` are events on its clock; without any, each epoch has its own, at its time zero.
    """
    values = epochs.get_data(copy=False)  # (epochs, C, S)
    raw = mne.io.RawArray(np.concatenate(list(values), axis=1), epochs.info, verbose="ERROR")
    n_samples, sfreq_hz = values.shape[2], epochs.info["sfreq"]
    starts_s = np.arange(len(values)) * n_samples / sfreq_hz
    if not marks:
        names = {code: name for name, code in epochs.event_id.items()}
        labels = [names[code] for code in epochs.events[:, 2]]
        marks = mne.Annotations(starts_s - epochs.tmin, 0, labels)
    cuts = mne.Annotations(starts_s[1:], 0, ["EDGE boundary"] * (len(values) - 1))
    raw.set_annotations(cuts + marks, verbose="ERROR")
    return raw
