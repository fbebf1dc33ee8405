"""The patch store: contract version 1, its channel vocabulary, writer and reader."""

from eeg_store.arrays import SignalArray
from eeg_store.contract import QUALITY_MEASURES, SCALE_UV, SFREQ_HZ, StoreError
from eeg_store.slots import Slot, SlotRequest
from eeg_store.store import Store
from eeg_store.windows import WindowReader
from eeg_store.writer import RecordingWriter

__all__ = [
    "QUALITY_MEASURES",
    "SCALE_UV",
    "SFREQ_HZ",
    "RecordingWriter",
    "SignalArray",
    "Slot",
    "SlotRequest",
    "Store",
    "StoreError",
    "WindowReader",
]
