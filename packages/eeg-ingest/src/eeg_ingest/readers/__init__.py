"""Readers: any supported file to a `Recording`.

detect.py      the format by the content; the files of a recording
edf*.py        EDF and BDF by mapping the samples
mff.py         EGI MFF by mapping the samples
mne_raw.py     one wrapper for everything that MNE reads
mne_formats.py GDF, BrainVision, EEGLAB, FIF, Neuroscan CNT: how MNE is asked, what each format's units mean
"""

from eeg_ingest.readers.detect import detect_format, is_companion, recording_files
from eeg_ingest.readers.opening import open_recording, read_annotations

__all__ = ["detect_format", "is_companion", "open_recording", "read_annotations", "recording_files"]
