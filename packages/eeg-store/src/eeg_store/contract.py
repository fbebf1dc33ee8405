"""Contract version 1: the names, units and numbers that a reader of the store may rely on."""

from __future__ import annotations

import hashlib
import json
from typing import Any

FORMAT = "eeg-store"
VERSION = 1
SFREQ_HZ = 200
SCALE_UV = 0.1
UNIT = "µV"
QUALITY_MEASURES = ("flat", "clipped", "amplitude_uv", "line_noise", "non_finite")

MAX_CHUNK_SECONDS = 16  # the longest window of the model
PATCHES_PER_CHUNK = 256  # the most patches that a window holds
SHARD_SECONDS = 300
MAX_SHARD_BYTES = 16_000_000  # before compression; it bounds the memory of a writer


class StoreError(Exception):
    """A store cannot be used as asked. The message says what was expected, what was found, and one thing to do."""


def sentence(what: str, where: object, expected: object, found: object, action: str) -> str:
    """Return the one form of all messages of this package (design, section 7)."""
    return f"{what} in {where}: expected {expected}, found {found}. {action}."


def chunk_seconds(n_channels: int) -> int:
    """Seconds of an inner chunk: about one window of the model, so that a window touches one or two chunks."""
    return min(max(PATCHES_PER_CHUNK // n_channels, 1), MAX_CHUNK_SECONDS)


def shard_seconds(n_channels: int) -> int:
    """Seconds of a shard: whole inner chunks, about five minutes, fewer where there are very many channels."""
    inner = chunk_seconds(n_channels)
    longest = MAX_SHARD_BYTES // (n_channels * SFREQ_HZ * 2)
    return max(min(SHARD_SECONDS, longest) // inner, 1) * inner


def canonical_json(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces, no NaN. Raise StoreError otherwise."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(
            sentence("writing JSON failed", type(value).__name__, "plain JSON values", error, "Convert the value")
        ) from error


def plain_json(value: Any) -> Any:
    """Return a value as JSON gives it back (tuples become lists). Raise StoreError if it cannot be JSON."""
    return json.loads(canonical_json(value))


def spec_hash(spec: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of a spec's canonical JSON."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()


def montage_name(channels: tuple[str, ...], reference: str | None) -> str:
    """Return the name of an ordered set of channels with a reference, such as `eeg64-1f0c93ab`."""
    digest = hashlib.sha256(canonical_json([list(channels), reference]).encode()).hexdigest()
    return f"eeg{len(channels)}-{digest[:8]}"
