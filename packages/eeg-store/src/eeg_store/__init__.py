"""The patch store: contract version 1, its channel vocabulary, writer and reader."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eeg_store.contract import QUALITY_MEASURES, SCALE_UV, SFREQ_HZ, StoreError

if TYPE_CHECKING:
    from eeg_store.arrays import SignalArray
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

# Loaded when they are first asked for: Arrow and TensorStore take a fifth of a second, before which a command can have
# read its options and started its workers.
_MODULES = {
    "RecordingWriter": "writer",
    "SignalArray": "arrays",
    "Slot": "slots",
    "SlotRequest": "slots",
    "Store": "store",
    "WindowReader": "windows",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
