"""EEGLAB data sets through MNE: continuous ones as they are, epoched ones as runs of unbroken samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np

from eeg_ingest.readers.completeness import check_fdt


def open_eeglab(path: Path) -> Any:
    """An `mne.io.Raw` of a .set file (MAT v5 or v7.3, data inside or in .fdt).

    The epochs of an epoched data set follow each other, with a boundary between them.
    """
    try:
        raw = mne.io.read_raw_eeglab(path, preload=False, verbose="ERROR")
    except TypeError as error:
        if "read_epochs_eeglab" not in str(error):
            raise
    else:
        for data in raw.filenames:
            if data is not None and Path(data).suffix in (".fdt", ".dat"):
                check_fdt(Path(data), len(raw.ch_names), raw.n_times)
        return raw
    epochs = mne.io.read_epochs_eeglab(path, verbose="ERROR")
    values = epochs.get_data(copy=False)  # (epochs, C, S)
    raw = mne.io.RawArray(np.concatenate(list(values), axis=1), epochs.info, verbose="ERROR")
    n_samples, sfreq_hz = values.shape[2], epochs.info["sfreq"]
    starts_s = np.arange(len(values)) * n_samples / sfreq_hz
    names = {code: name for name, code in epochs.event_id.items()}
    labels = [names[code] for code in epochs.events[:, 2]]
    raw.set_annotations(
        mne.Annotations(
            onset=np.concatenate([starts_s[1:], starts_s - epochs.tmin]),
            duration=0,
            description=["EDGE boundary"] * (len(values) - 1) + labels,
            orig_time=None,
        ),
        verbose="ERROR",
    )
    return raw
