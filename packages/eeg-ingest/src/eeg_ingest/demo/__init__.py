"""A corpus that behaves like EEG, from six sources that differ in everything: to try the whole path, and to test it."""

from eeg_ingest.demo.corpus import write_corpus

__all__ = ["write_corpus"]
