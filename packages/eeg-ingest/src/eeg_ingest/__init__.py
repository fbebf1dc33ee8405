"""EEG recordings, as they are published, into one harmonized patch store."""
