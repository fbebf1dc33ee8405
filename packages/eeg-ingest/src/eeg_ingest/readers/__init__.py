"""Readers: any supported file to a `Recording`.

signatures.py   how the files of each format begin; device_text.py: text that says which headset it is from
companions.py   the files of a recording
detect.py       the format by the content
edf*.py         EDF and BDF by mapping the samples
gdf*.py         GDF by mapping the samples
mff.py          EGI MFF by mapping the samples
mapped.py       one recording for all multiplexed samples: egi_raw.py, curry.py, persyst.py, nwb.py, xdf.py
ant.py          ANT CNT, in a process of its own
mne_raw.py      one wrapper for everything that MNE reads
mne_formats.py  BrainVision, EEGLAB, FIF, Neuroscan CNT, Nihon Kohden, eXimia: how MNE is asked, what units mean
declared.py     files whose layout the source declares in `reader`: table.py (text, ARFF), arrays.py (MATLAB, NPZ)
devices.py      text of OpenBCI, Muse and Enobio, which says itself what it is; mind_monitor.py another of the Muse
parsed.py       samples that are parsed once, into a temporary file that is mapped
text.py         text in blocks of lines; clock.py rate and gaps from times; marks.py events from channels
variables.py    what MATLAB and NPZ files hold
opening.py      one door for all of them
"""

from eeg_ingest.readers.companions import is_companion, recording_files
from eeg_ingest.readers.detect import detect_format
from eeg_ingest.readers.opening import open_recording, read_annotations

__all__ = ["detect_format", "is_companion", "open_recording", "read_annotations", "recording_files"]
