"""EEGLAB data sets through MNE: continuous ones as they are, epoched ones as runs of unbroken samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne

from eeg_ingest.readers.completeness import check_fdt
from eeg_ingest.readers.epochs import raw_of_epochs


def open_eeglab(path: Path) -> Any:
    """An `mne.io.Raw` of a .set file (MAT v5 or v7.3, data inside or in .fdt).

    The epochs of an epoched data set follow each other, with a boundary between them. Its events are those of the data
    set, which counts them so; MNE's epochs join those of an epoch into one (`target/response`).
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
    return raw_of_epochs(mne.io.read_epochs_eeglab(path, verbose="ERROR"), mne.read_annotations(path))
