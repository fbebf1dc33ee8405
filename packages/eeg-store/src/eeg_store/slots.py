"""Who writes where: every recording gets a run of whole shards of its own before anything is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eeg_store import arrays, tables
from eeg_store.contract import StoreError, montage_name, sentence, shard_seconds
from eeg_store.files import read_json, write_json

SLOTS_FILE = Path("tables") / "slots.json"
_SOURCE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")


@dataclass(frozen=True)
class SlotRequest:
    """What is known of a recording before it is read: its channels, in order, and its whole seconds.

    `targets` are the names and units of its targets in time, the same for all recordings of an array.
    """

    recording: str
    source: str
    channels: tuple[str, ...]
    reference: str | None
    n_seconds: int
    licence: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Slot:
    """The place of a recording: `n_seconds` from `first_second` of the signal array `array`, and whole shards."""

    recording: str
    array: str
    first_second: int
    n_seconds: int

    def shards(self, shard_seconds: int) -> range:
        """The shards of the array that are this recording's."""
        first = self.first_second // shard_seconds
        return range(first, first + -(-self.n_seconds // shard_seconds))


def _check(request: SlotRequest) -> None:
    wrong: list[tuple[str, object]] = []
    if not _SOURCE_NAME.match(request.source) or request.source == "tables":
        wrong.append(("a source name of letters, digits, '.', '_' and '-', not 'tables'", repr(request.source)))
    if not request.recording:
        wrong.append(("a recording name", "an empty one"))
    if not request.channels or len(set(request.channels)) != len(request.channels):
        wrong.append(("channel names, each once", request.channels))
    if request.n_seconds < 1:
        wrong.append(("at least one whole second", request.n_seconds))
    if wrong:
        expected = "; ".join(text for text, _ in wrong)
        found = "; ".join(str(value) for _, value in wrong)
        where = f"recording {request.recording!r}"
        raise StoreError(sentence("reserving failed", where, expected, found, "Correct the request"))


class SlotBook:
    """All slots of a store and the arrays that they need, as `tables/slots.json` keeps them.

    `targets` holds the attributes of the targets array of each signal array that has one.
    """

    def __init__(
        self, slots: dict[str, Slot], arrays: dict[str, dict[str, Any]], targets: dict[str, dict[str, Any]]
    ) -> None:
        self.slots = slots
        self.arrays = arrays
        self.targets = targets

    @classmethod
    def read(cls, store: Path) -> SlotBook:
        """Read the book. A store in which nothing was ever reserved has an empty one."""
        path = store / SLOTS_FILE
        if not path.exists():
            return cls({}, {}, {})
        book = read_json(path)
        try:
            slots = {name: Slot(name, *place) for name, place in book["slots"].items()}
            return cls(slots, dict(book["arrays"]), dict(book.get("targets", {})))
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                sentence("reading slots failed", path, "slots and arrays", repr(error), "Restore it")
            ) from error

    def write(self, store: Path) -> None:
        """Put the book on disk."""
        slots = {slot.recording: [slot.array, slot.first_second, slot.n_seconds] for slot in self.slots.values()}
        targets = {"targets": self.targets} if self.targets else {}
        write_json(store / SLOTS_FILE, {"arrays": self.arrays, **targets, "slots": slots})

    def ends(self) -> dict[str, int]:
        """Return the second after the last shard in use, for each array."""
        ends = dict.fromkeys(self.arrays, 0)
        for slot in self.slots.values():
            shard = shard_seconds(len(self.arrays[slot.array]["channels"]))
            stop = slot.first_second + -(-slot.n_seconds // shard) * shard
            ends[slot.array] = max(ends[slot.array], stop)
        return ends

    def reserve(self, requests: Sequence[SlotRequest], is_committed: Callable[[str], bool]) -> bool:
        """Give every request a slot, in order. Return whether the book has changed. Raise StoreError.

        A recording that has changed its channels or length since gets a new slot, unless its row is committed already.
        """
        ends = self.ends()
        changed = False
        for request in requests:
            _check(request)
            array = f"{request.source}/{montage_name(request.channels, request.reference)}/signal"
            attributes = arrays.signal_attributes(
                request.channels, request.reference, request.licence, request.provenance
            )
            held = self.slots.get(request.recording)
            if held is not None and (held.array, held.n_seconds) == (array, request.n_seconds):
                continue
            if is_committed(request.recording):
                expected = f"{held.n_seconds} s in {held.array}" if held else "a slot"
                found = f"{request.n_seconds} s in {array}"
                where = f"recording {request.recording!r}, which is stored"
                raise StoreError(sentence("reserving failed", where, expected, found, "Build a new store"))
            known = self.arrays.setdefault(array, attributes)
            if (known["channels"], known["reference"]) != (attributes["channels"], attributes["reference"]):
                found = f"other channels with the same montage name: {known['channels']}"
                raise StoreError(sentence("reserving failed", array, request.channels, found, "Rename the source"))
            self._add_targets(array, request, known_array=array in ends)
            first_second = ends.get(array, 0)
            self.slots[request.recording] = Slot(request.recording, array, first_second, request.n_seconds)
            shard = shard_seconds(len(request.channels))
            ends[array] = first_second + -(-request.n_seconds // shard) * shard
            changed = True
        return changed

    def _add_targets(self, array: str, request: SlotRequest, *, known_array: bool) -> None:
        """Note the targets of a new array. Raise StoreError where a known array has others."""
        names, units = [name for name, _ in request.targets], [unit for _, unit in request.targets]
        wanted = {"targets": names, "units": units} if names else None
        held = self.targets.get(array)
        if known_array and held != wanted:
            raise StoreError(sentence("reserving failed", array, f"targets {held}", wanted, "Build a new store"))
        if wanted is not None:
            self.targets[array] = wanted

    def grow_arrays(self, store: Path) -> None:
        """Make the arrays that slots need, and lengthen those that are too short. Hold the store's lock."""
        for path, n_seconds in self.ends().items():
            signal = store / path
            quality, targets = signal.with_name("quality"), signal.with_name("targets")
            if (signal / "zarr.json").exists():
                if path in self.targets:
                    arrays.grow(targets, n_seconds)
                arrays.grow(quality, n_seconds)
                arrays.grow(signal, n_seconds)
                continue
            arrays.write_group(signal.parent.parent)
            arrays.write_group(signal.parent)
            attributes = self.arrays[path]
            if path in self.targets:
                tables.create_folder_once(store / "tables" / "targets", tables.TARGETS)
                n_channels = len(attributes["channels"])
                arrays.write_metadata(targets, arrays.targets_metadata(n_seconds, n_channels, self.targets[path]))
            # The signal comes last: an array exists for readers once its signal does.
            arrays.write_metadata(quality, arrays.quality_metadata(n_seconds, attributes["channels"]))
            arrays.write_metadata(signal, arrays.signal_metadata(n_seconds, attributes))
