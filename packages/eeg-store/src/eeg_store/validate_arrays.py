"""Checking the arrays of a store: exactly the metadata of contract version 1, opened as any Zarr reader does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zarr

from eeg_store import contract
from eeg_store.arrays import (
    Metadata,
    SignalArray,
    codes_metadata,
    quality_metadata,
    read_metadata,
    read_signal_array,
    signal_attributes,
    signal_metadata,
    targets_metadata,
)
from eeg_store.contract import StoreError, sentence

_ACTION = "Restore the zarr.json from a copy, or build again"


def check_arrays(store: Path, problems: list[str]) -> dict[str, SignalArray]:
    """Return the sound signal arrays by path, and add a sentence to `problems` for everything that is wrong."""
    sound = {}
    for folder in sorted(store.glob("*/*")):
        if not folder.is_dir() or folder.parent.name == "tables":
            continue
        try:
            found = list(_check_montage(folder))
            if not found:
                array = read_signal_array(store, (folder / "signal").relative_to(store).as_posix())
                sound[array.path] = array
        except StoreError as error:
            found = [str(error)]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            found = [sentence("reading metadata failed", folder, "contract version 1", repr(error), _ACTION)]
        problems += found
    return sound


def _check_montage(folder: Path) -> Iterator[str]:
    """Check signal, quality, targets and codes of one source and montage."""
    for group in (folder.parent, folder):
        if read_metadata(group).get("node_type") != "group":
            yield sentence("a group is missing", group, "a Zarr v3 group", "something else", _ACTION)
    signal = read_metadata(folder / "signal")
    attributes = signal["attributes"]
    channels, reference = attributes["channels"], attributes["reference"]
    n_seconds = signal["shape"][0]
    montage = contract.montage_name(tuple(channels), reference)
    if folder.name != montage:
        yield sentence("channels do not fit the montage's name", folder, montage, folder.name, _ACTION)
    fixed = signal_attributes(tuple(channels), reference, attributes["licence"], attributes["provenance"])
    yield from _compare(folder / "signal", signal, signal_metadata(n_seconds, fixed))
    yield from _opens(folder / "signal", signal)
    if n_seconds % contract.shard_seconds(len(channels)):
        expected = f"whole shards of {contract.shard_seconds(len(channels))} s"
        yield sentence("the length is wrong", folder / "signal", expected, f"{n_seconds} s", _ACTION)
    quality = read_metadata(folder / "quality")
    yield from _compare(folder / "quality", quality, quality_metadata(max(n_seconds, quality["shape"][0]), channels))
    yield from _opens(folder / "quality", quality)
    if (folder / "targets" / "zarr.json").exists():
        targets = read_metadata(folder / "targets")
        attributes = targets["attributes"]
        fixed = {"targets": list(attributes["targets"]), "units": list(attributes["units"])}
        n_target_seconds = max(n_seconds, targets["shape"][0])
        yield from _compare(folder / "targets", targets, targets_metadata(n_target_seconds, len(channels), fixed))
        yield from _opens(folder / "targets", targets)
    for file in sorted(folder.glob("codes/*/zarr.json")):
        codes = read_metadata(file.parent)
        tokenizer_hash = codes["attributes"]["tokenizer_hash"]
        if tokenizer_hash[:16] != file.parent.name:
            yield sentence("the tokenizer's hash is wrong", file, f"{file.parent.name}...", tokenizer_hash, _ACTION)
        yield from _compare(file.parent, codes, codes_metadata(codes["shape"][0], channels, codes["attributes"]))
        yield from _opens(file.parent, codes)


def _compare(folder: Path, found: Metadata, expected: Metadata) -> Iterator[str]:
    for key in sorted(set(found) | set(expected)):
        if found.get(key) != expected.get(key):
            yield sentence(f"{key} is wrong", folder / "zarr.json", expected.get(key), found.get(key), _ACTION)


def _opens(folder: Path, metadata: dict[str, Any]) -> Iterator[str]:
    """Open an array as any other team would."""
    try:
        shape = list(zarr.open_array(folder, mode="r").shape)
    except (ValueError, KeyError, TypeError, OSError) as error:
        yield sentence("zarr cannot open an array", folder, "a Zarr v3 array", repr(error), _ACTION)
        return
    if shape != metadata["shape"]:
        yield sentence("zarr reads another shape", folder, metadata["shape"], shape, _ACTION)
