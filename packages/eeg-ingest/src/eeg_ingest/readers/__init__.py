"""Readers: any supported file to a `Recording`.

detect.py      the format by the content; the files of a recording
edf*.py        EDF and BDF by mapping the samples
mff.py         EGI MFF by mapping the samples
declared.py    files whose layout the source declares in `reader`: table.py (text, ARFF), arrays.py (MATLAB, NPZ)
devices.py     text of OpenBCI, Muse and Enobio, which says itself what it is
parsed.py      samples that are parsed once, into a temporary file that is mapped
text.py        text in blocks of lines; clock.py rate and gaps from times; marks.py events from channels
variables.py   what MATLAB and NPZ files hold
mne_raw.py     one wrapper for everything that MNE reads
mne_formats.py GDF, BrainVision, EEGLAB, FIF, Neuroscan CNT: how MNE is asked, what each format's units mean
"""

from eeg_ingest.readers.detect import detect_format, is_companion, recording_files
from eeg_ingest.readers.opening import open_recording, read_annotations

__all__ = ["detect_format", "is_companion", "open_recording", "read_annotations", "recording_files"]
