"""The channel vocabulary `labram-v1`: the names with ids, in the order that released weights depend on."""

from __future__ import annotations

from importlib.resources import files

VOCABULARY_NAME = "labram-v1"

# The 136 names of the official `standard_1020` list. It is data, because the order fixes the meaning of learned ids.
VOCABULARY: tuple[str, ...] = tuple((files("eeg_store") / "labram_v1.txt").read_text(encoding="utf-8").split())

# The official model learned a table of 1 + 128 rows (row 0 is cls), so the last 8 names of the list have no row.
N_SLOTS = 128

_SPELLING = {name.casefold(): name for name in VOCABULARY}
_SLOTS = {name: index + 1 for index, name in enumerate(VOCABULARY[:N_SLOTS])}


def canonical_name(name: str) -> str:
    """Return the vocabulary's spelling of `name` (`Fz`: `FZ`, `FTT9H`: `FTT9h`), or `name` itself if it has none.

    Names of one place are not merged (T7 and T3, P7 and T5): the vocabulary holds both, with different ids.
    """
    return _SPELLING.get(name.strip().casefold(), name)


def slot_of(name: str) -> int | None:
    """Return the id of a channel, 1 to 128, or None: an unknown name, or one of the last 8 (no learned row)."""
    return _SLOTS.get(canonical_name(name))
