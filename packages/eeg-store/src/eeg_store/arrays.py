"""The metadata of the store's arrays (Zarr v3 core specification) and the description of one signal array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eeg_store import contract
from eeg_store.contract import StoreError, sentence
from eeg_store.files import read_json, write_json

Metadata = dict[str, Any]

_LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
# Blosc has no checksum of its own: without this one, a flipped bit would be read as signal.
_CRC32C = {"name": "crc32c"}


@dataclass(frozen=True)
class SignalArray:
    """One array of continuous signal: all recordings of one source that share channels and reference.

    `path` is `<source>/<montage>/signal`, relative to the store. The array has the shape (`n_seconds`, C, 200).
    A shard of `shard_seconds` belongs to one recording; it is read in inner chunks of `chunk_seconds`.
    """

    path: str
    source: str
    montage: str
    channels: tuple[str, ...]
    reference: str | None
    n_seconds: int
    chunk_seconds: int
    shard_seconds: int
    attrs: Mapping[str, Any] = field(hash=False)

    @property
    def quality_path(self) -> str:
        """The array of quality numbers beside the signal."""
        return f"{self.source}/{self.montage}/quality"

    @property
    def targets_path(self) -> str:
        """The array of targets in time beside the signal, which not every source has."""
        return f"{self.source}/{self.montage}/targets"

    def codes_path(self, tokenizer_hash: str) -> str:
        """The array of a tokenizer's codes beside the signal."""
        return f"{self.source}/{self.montage}/codes/{tokenizer_hash[:16]}"


def _blosc(itemsize: int) -> Metadata:
    configuration = {"typesize": itemsize, "cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "blocksize": 0}
    return {"name": "blosc", "configuration": configuration}


def _array(
    *,
    shape: list[int],
    data_type: str,
    fill_value: int | str,
    chunk: list[int],
    codecs: list[Metadata],
    dimensions: list[str],
    attributes: Metadata,
) -> Metadata:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        # One file for each shard, without folders of folders.
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": fill_value,
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": dimensions,
    }


def group_metadata(attributes: Metadata) -> Metadata:
    """Return the `zarr.json` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": attributes}


def signal_metadata(n_seconds: int, attributes: Metadata) -> Metadata:
    """Return the `zarr.json` of a signal array (n_seconds, C, 200), int16, with `signal_attributes`."""
    n_channels = len(attributes["channels"])
    return _sharded(
        n_seconds,
        [contract.chunk_seconds(n_channels), n_channels, contract.SFREQ_HZ],
        contract.shard_seconds(n_channels),
        data_type="int16",
        fill_value=0,
        dimensions=["second", "channel", "sample"],
        attributes=attributes,
    )


def targets_metadata(n_seconds: int, n_channels: int, attributes: Metadata) -> Metadata:
    """Return the `zarr.json` of a targets array (n_seconds, T, 200), float32, in chunks and shards of the signal's."""
    return _sharded(
        n_seconds,
        [contract.chunk_seconds(n_channels), len(attributes["targets"]), contract.SFREQ_HZ],
        contract.shard_seconds(n_channels),
        data_type="float32",
        fill_value="NaN",
        dimensions=["second", "target", "sample"],
        attributes=attributes,
    )


def _sharded(
    n_seconds: int,
    inner: list[int],
    shard_seconds: int,
    *,
    data_type: str,
    fill_value: int | str,
    dimensions: list[str],
    attributes: Metadata,
) -> Metadata:
    """Return the `zarr.json` of an array (n_seconds, ...) in shards of inner chunks."""
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": inner,
            "codecs": [_LITTLE_ENDIAN, _blosc({"int16": 2, "float32": 4}[data_type]), _CRC32C],
            "index_codecs": [_LITTLE_ENDIAN, _CRC32C],
            "index_location": "end",
        },
    }
    return _array(
        shape=[n_seconds, *inner[1:]],
        data_type=data_type,
        fill_value=fill_value,
        chunk=[shard_seconds, *inner[1:]],
        codecs=[sharding],
        dimensions=dimensions,
        attributes=attributes,
    )


def signal_attributes(
    channels: tuple[str, ...], reference: str | None, licence: str | None, provenance: Mapping[str, Any]
) -> Metadata:
    """Return the attributes of a signal array."""
    return {
        "channels": list(channels),
        "reference": reference,
        "scale_uv": contract.SCALE_UV,
        "unit": contract.UNIT,
        "sfreq_hz": contract.SFREQ_HZ,
        "licence": licence,
        "provenance": contract.plain_json(dict(provenance)),
    }


def quality_metadata(n_seconds: int, channels: list[str]) -> Metadata:
    """Return the `zarr.json` of a quality array (n_seconds, C, 5), float32, in chunks of the signal's shards."""
    measures = list(contract.QUALITY_MEASURES)
    attributes = {"channels": channels, "measures": measures}
    chunk = [contract.shard_seconds(len(channels)), len(channels), len(measures)]
    codecs = [_LITTLE_ENDIAN, _blosc(4), _CRC32C]
    dimensions = ["second", "channel", "measure"]
    return _array(
        shape=[n_seconds, *chunk[1:]],
        data_type="float32",
        fill_value="NaN",
        chunk=chunk,
        codecs=codecs,
        dimensions=dimensions,
        attributes=attributes,
    )


def codes_metadata(n_seconds: int, channels: list[str], attributes: Metadata) -> Metadata:
    """Return the `zarr.json` of a codes array (n_seconds, C), int32, -1 where there is no code."""
    chunk = [contract.shard_seconds(len(channels)), len(channels)]
    codecs = [_LITTLE_ENDIAN, _blosc(4), _CRC32C]
    return _array(
        shape=[n_seconds, chunk[1]],
        data_type="int32",
        fill_value=-1,
        chunk=chunk,
        codecs=codecs,
        dimensions=["second", "channel"],
        attributes=attributes,
    )


def write_metadata(folder: Path, metadata: Metadata) -> None:
    """Write a node's `zarr.json` atomically, and its folder first."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "zarr.json", metadata)


def read_metadata(folder: Path) -> Metadata:
    """Read a node's `zarr.json`. Raise StoreError if it is absent or is not a JSON object."""
    metadata = read_json(folder / "zarr.json")
    if not isinstance(metadata, dict):
        found = type(metadata).__name__
        raise StoreError(sentence("reading metadata failed", folder, "a JSON object", found, "Restore it from a copy"))
    return metadata


def write_group(folder: Path) -> None:
    """Make a plain group, so that any Zarr reader can walk down to the arrays."""
    if not (folder / "zarr.json").exists():
        write_metadata(folder, group_metadata({}))


def grow(folder: Path, n_seconds: int) -> None:
    """Lengthen an array to at least `n_seconds`. Hold the store's lock: an array never shrinks."""
    metadata = read_metadata(folder)
    if metadata["shape"][0] < n_seconds:
        metadata["shape"][0] = n_seconds
        write_metadata(folder, metadata)


def read_signal_array(store: Path, path: str) -> SignalArray:
    """Describe the signal array at `<source>/<montage>/signal`. Raise StoreError if there is none or it is damaged."""
    metadata = read_metadata(store / path)
    try:
        source, montage, _ = path.split("/")
        attrs = metadata["attributes"]
        n_channels = len(attrs["channels"])
        return SignalArray(
            path=path,
            source=source,
            montage=montage,
            channels=tuple(attrs["channels"]),
            reference=attrs["reference"],
            n_seconds=metadata["shape"][0],
            chunk_seconds=contract.chunk_seconds(n_channels),
            shard_seconds=contract.shard_seconds(n_channels),
            attrs=attrs,
        )
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
        expected = "the shape and attributes of contract version 1"
        action = "Run Store.validate, or restore it from a copy"
        raise StoreError(sentence("reading metadata failed", store / path, expected, repr(error), action)) from error
