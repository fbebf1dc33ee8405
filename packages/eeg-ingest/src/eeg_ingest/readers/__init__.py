"""Readers: any supported file to a `Recording`.

signatures.py   how the files of each format begin
companions.py   the files of a recording
detect.py       the format by the content
edf*.py         EDF and BDF by mapping the samples
mff.py          EGI MFF by mapping the samples
mapped.py       one recording for all multiplexed samples: egi_raw.py, curry.py, persyst.py, nwb.py, xdf.py
ant.py          ANT CNT, in a process of its own
mne_raw.py      one wrapper for everything that MNE reads
mne_formats.py  GDF, BrainVision, EEGLAB, FIF, Neuroscan CNT, Nihon Kohden, eXimia: how MNE is asked, what units mean
opening.py      one door for all of them
"""

from eeg_ingest.readers.companions import is_companion, recording_files
from eeg_ingest.readers.detect import detect_format
from eeg_ingest.readers.opening import open_recording

__all__ = ["detect_format", "is_companion", "open_recording", "recording_files"]
