"""Text files that say themselves which headset they are from."""

from __future__ import annotations

import re
from pathlib import Path

_OPENBCI = re.compile(r"(\ufeff)?%OpenBCI Raw E[EX]G Data")
_MUSE = re.compile(r"(\ufeff)?timestamps,TP9,AF7,AF8,TP10\b")
_MIND_MONITOR = re.compile(r"(\ufeff)?TimeStamp,[^\n]*\bRAW_TP9,")
MUSE_HZ = (220.0, 256.0, 500.0)  # of the first Muse, the later ones, and the first with its research preset
ENOBIO_RATE = re.compile(r"EEG sampling rate:\s*([\d.]+)", re.IGNORECASE)


def device_of(path: Path, start: str) -> str | None:
    """Return `openbci`, `muse`, `mind-monitor` or `enobio` for text that begins with `start`, None for any other.

    An Enobio recording is numbers only: the description beside it says what they are.
    """
    if _OPENBCI.match(start):
        return "openbci"
    if _MUSE.match(start):
        return "muse"
    if _MIND_MONITOR.match(start):
        return "mind-monitor"
    return "enobio" if enobio_info(path) is not None else None


def enobio_info(path: Path) -> Path | None:
    """Return the description (`x.info`) that Neuroelectrics' NIC writes beside a recording `x.easy`, if it is there."""
    if path.suffix.lower() != ".easy":
        return None
    names = (f"{path.stem}{suffix}" for suffix in (".info", ".INFO", ".Info"))
    info = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if info is None:
        return None
    with info.open(encoding="utf-8", errors="replace") as file:
        return info if ENOBIO_RATE.search(file.read(100_000)) else None
