"""An index of the windows that a store's recordings give, small enough for ten million of them.

Shapes: W windows, R recordings, C channels, A seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from eeg_store import QUALITY_MEASURES, Store, WindowReader
from eeg_store.channels import slot_of
from numpy.typing import NDArray

from eeg_tokenizer.batches import MAX_PATCHES, MAX_SECONDS
from eeg_tokenizer.queries import COLUMNS, Query

logger = logging.getLogger(__name__)

_NON_FINITE = QUALITY_MEASURES.index("non_finite")
_COLUMNS = [*COLUMNS, "segments"]


# Where the windows of stored codes lie; written beside the codes, so that codes of another grid are never mistaken.
GRID = {
    "windows": "side by side from each segment's start, the last one shorter",
    "most_patches": MAX_PATCHES,
    "most_seconds": MAX_SECONDS,
}


class WindowsError(ValueError):
    """A store that gives no windows, or not as they are asked for."""


@dataclass(frozen=True)
class Montage:
    """What the windows of one array share.

    Attributes:
        array: path of the signal array.
        source: its source.
        rows: (C,) which of the array's channels have a slot in the vocabulary.
        slots: (C,) those slots, 1..128.
        window_seconds: A, so that C * A is at most 256.
    """

    array: str
    source: str
    rows: NDArray[np.int64]
    slots: NDArray[np.int64]
    window_seconds: int


@dataclass(frozen=True)
class Windows:
    """Windows as parallel arrays; everything that windows share stands once.

    Attributes:
        montages: the arrays with a usable channel.
        recordings: (R,) names of the recordings.
        subjects: (R,) source and subject of each recording; None where the store does not know the subject.
        montage: (R,) index into `montages`.
        recording: (W,) index into `recordings`.
        first_second: (W,) first second, counted along the array.
        n_seconds: (W,) A, at most 16.
        n_left_out: windows that were left out because a sample in them was not a number in the file.
    """

    montages: tuple[Montage, ...]
    recordings: tuple[str, ...]
    subjects: tuple[tuple[str, str] | None, ...]
    montage: NDArray[np.int32]
    recording: NDArray[np.int32]
    first_second: NDArray[np.int64]
    n_seconds: NDArray[np.uint8]
    n_left_out: int

    def __len__(self) -> int:
        return int(self.recording.shape[0])

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Windows:
        """Return the windows of a mask (W,) or of indices, in that order."""
        return replace(
            self,
            recording=self.recording[chosen],
            first_second=self.first_second[chosen],
            n_seconds=self.n_seconds[chosen],
        )

    def source_numbers(self) -> NDArray[np.int64]:
        """Return (W,) a number for each window's source, in the order of the names."""
        _, of_montage = np.unique([montage.source for montage in self.montages], return_inverse=True)
        numbers: NDArray[np.int64] = of_montage[self.montage[self.recording]]
        return numbers

    def source_names(self) -> tuple[str, ...]:
        """Return the sources in the order of their numbers."""
        return tuple(sorted({montage.source for montage in self.montages}))

    def n_patches(self) -> NDArray[np.int64]:
        """Return (W,) the patches of each window, C * A."""
        n_channels = np.array([len(montage.rows) for montage in self.montages], dtype=np.int64)
        patches: NDArray[np.int64] = n_channels[self.montage[self.recording]] * self.n_seconds
        return patches

    def of(self, index: int) -> Montage:
        """Return the montage of a window."""
        return self.montages[int(self.montage[self.recording[index]])]


def window_seconds(n_channels: int) -> int:
    """Return A, the seconds of a window: as many as 256 patches allow, at most 16 and at least 1."""
    return max(1, min(MAX_SECONDS, MAX_PATCHES // n_channels))


def cut_windows(store: Store, *, stride_seconds: int, where: str | None = None) -> Windows:
    """Cut overlapping windows for training from all committed recordings.

    Windows lie within unbroken segments and start every `stride_seconds` (every A where A is shorter) from the start of
    the segment; a segment shorter than A gives one shorter window. With `where` only those that fit it are kept, and
    how much that is of each source is logged.

    Raises:
        QueryError: `where` cannot be understood.
        WindowsError: the store gives no window, or none that fits.
    """
    return _cut(store, lambda seconds, length: _sliding(seconds, length, stride_seconds), where)


def cut_grid(store: Store, *, where: str | None = None) -> Windows:
    """Cut the windows of the code grid: side by side from each segment's start, the last one shorter.

    A tokenizer attends over the window, so codes in a store hold for exactly these windows. `where` is as in
    `cut_windows`.

    Raises:
        QueryError: `where` cannot be understood.
        WindowsError: the store gives no window, or none that fits.
    """
    return _cut(store, _side_by_side, where)


def hold_out(windows: Windows, *, share: float, seed: int) -> tuple[Windows, Windows | None]:
    """Return the windows to train on and those of held-out subjects: `share` of the subjects, at least one.

    A recording without a subject is always trained on, since nobody knows whose it is. With fewer than two known
    subjects nothing can be held out and the second is None.
    """
    present = np.unique(windows.recording)
    subjects = sorted({subject for index in present if (subject := windows.subjects[index]) is not None})
    if len(subjects) < 2:
        return windows, None
    n_held_out = max(1, round(share * len(subjects)))
    order = np.random.default_rng(seed).permutation(len(subjects))
    held_out = {subjects[index] for index in order[: min(n_held_out, len(subjects) - 1)]}
    is_held_out = np.array([subject in held_out for subject in windows.subjects], dtype=np.bool_)
    mask = is_held_out[windows.recording]
    return windows.select(~mask), windows.select(mask)


def data_digest(store: Store) -> str:
    """Return a sha256 of what the store holds: its spec, and the committed recordings with their checksums."""
    table = store.recordings(columns=["recording", "array", "n_seconds", "signal_sha256", "quality_sha256"])
    digest = hashlib.sha256(store.spec_hash.encode())
    for row in sorted(table.to_pylist(), key=lambda row: str(row["recording"])):
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()


def _sliding(n_seconds: int, length: int, stride: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return starts and lengths in a segment: overlapping windows of one length, or one that is all of the segment."""
    starts = np.arange(0, max(1, n_seconds - length + 1), min(stride, length), dtype=np.int64)
    return starts, np.full(len(starts), min(length, n_seconds), dtype=np.uint8)


def _side_by_side(n_seconds: int, length: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return starts and lengths in a segment: windows without overlap, the last one shorter."""
    starts = np.arange(0, n_seconds, length, dtype=np.int64)
    return starts, np.minimum(length, n_seconds - starts).astype(np.uint8)


_Cut = Callable[[int, int], tuple[NDArray[np.int64], NDArray[np.uint8]]]


def _cut(store: Store, cut: _Cut, where: str | None) -> Windows:
    """Apply `cut` (seconds of a segment, of a window) to all segments of recordings that have a usable channel."""
    query = None if where is None else Query(where)
    table = store.recordings(columns=_COLUMNS).to_pylist()
    montages = _montages(store, sorted({row["array"] for row in table}))
    place = {montage.array: index for index, montage in enumerate(montages)}
    rows = [row for row in table if row["array"] in place]
    reader = WindowReader(store)
    recording, first_second, n_seconds = [], [], []
    n_left_out = 0
    asked: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros((2, 2), dtype=np.int64))
    for index, row in enumerate(rows):
        montage = montages[place[row["array"]]]
        starts, lengths = _cut_recording(row["segments"], montage.window_seconds, cut)
        quality = reader.read_quality(row["array"], row["first_second"], row["n_seconds"])[:, montage.rows]
        kept = _window_means(np.any(quality[..., _NON_FINITE] != 0, axis=1), starts, lengths) == 0
        n_left_out += int((~kept).sum())
        if query is not None:
            whole = kept
            kept = whole & query.fits(row, _window_means(quality.mean(axis=1), starts, lengths))
            asked[row["source"]] += [_amount(starts[chosen], lengths[chosen]) for chosen in (kept, whole)]
        recording.append(np.full(int(kept.sum()), index, dtype=np.int32))
        first_second.append(starts[kept] + row["first_second"])
        n_seconds.append(lengths[kept])
    if query is not None:
        _report_query(query, asked)
    if n_left_out:
        logger.warning("Left out %d windows that hold samples which were not numbers in the file.", n_left_out)
    if sum(map(len, recording)) == 0:
        raise WindowsError(
            f"No windows in {store.path}: expected recordings of at least 1 s with a channel of the vocabulary, found "
            f"{len(table)} recordings, {len(rows)} of them with such a channel, and {n_left_out} windows with samples "
            "that are not numbers. Look at it with eeg-ingest inspect."
        )
    return Windows(
        montages=montages,
        recordings=tuple(row["recording"] for row in rows),
        subjects=tuple(None if row["subject"] is None else (row["source"], row["subject"]) for row in rows),
        montage=np.array([place[row["array"]] for row in rows], dtype=np.int32),
        recording=np.concatenate(recording),
        first_second=np.concatenate(first_second),
        n_seconds=np.concatenate(n_seconds),
        n_left_out=n_left_out,
    )


def _montages(store: Store, arrays: Sequence[str]) -> tuple[Montage, ...]:
    """Describe the arrays that have a channel with a slot, and name the channels that have none."""
    montages = []
    for array in map(store.array, arrays):
        slots = [slot_of(name) for name in array.channels]
        unknown = [name for name, slot in zip(array.channels, slots, strict=True) if slot is None]
        if unknown:
            logger.warning("Channels of %s without a place in the vocabulary: %s.", array.path, ", ".join(unknown))
        rows = np.array([row for row, slot in enumerate(slots) if slot is not None], dtype=np.int64)
        if len(rows) == 0:
            continue
        montages.append(
            Montage(
                array=array.path,
                source=array.source,
                rows=rows,
                slots=np.array([slot for slot in slots if slot is not None], dtype=np.int64),
                window_seconds=window_seconds(len(rows)),
            )
        )
    return tuple(montages)


def _cut_recording(
    segments: Sequence[Mapping[str, Any]], length: int, cut: _Cut
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return starts, counted from the recording's first second, and lengths of all windows of a recording."""
    starts, lengths = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint8)]
    for segment in segments:
        if segment["n_seconds"] > 0:
            offsets, seconds = cut(segment["n_seconds"], length)
            starts.append(offsets + segment["first_second"])
            lengths.append(seconds)
    return np.concatenate(starts), np.concatenate(lengths)


def _window_means(
    values: NDArray[np.generic], starts: NDArray[np.int64], lengths: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Return the means (W, ...) of values (seconds of the recording, ...) over each window; NaN where one of them is.

    They are differences of running sums, in which one NaN or infinity would hide all windows after it.
    """
    finite = np.isfinite(values)

    def sums(of: NDArray[np.generic]) -> NDArray[np.float64]:
        before = np.concatenate([np.zeros((1, *of.shape[1:])), np.cumsum(of, axis=0, dtype=np.float64)])
        over_windows: NDArray[np.float64] = before[starts + lengths] - before[starts]
        return over_windows

    means = sums(np.where(finite, values, 0)) / lengths.reshape(-1, *[1] * (values.ndim - 1))
    return np.where(sums(~finite) == 0, means, np.nan)


def _amount(starts: NDArray[np.int64], lengths: NDArray[np.uint8]) -> tuple[int, int]:
    """Return how many windows there are, in the order of their starts, and the seconds that they cover, each once."""
    stops = starts + lengths
    overlap = np.maximum(0, np.maximum.accumulate(stops)[:-1] - starts[1:])
    return len(starts), int(lengths.sum(dtype=np.int64) - overlap.sum())


def _report_query(query: Query, asked: Mapping[str, NDArray[np.int64]]) -> None:
    """Say what a condition leaves of each source."""
    for source, ((n_kept, kept_s), (n_all, all_s)) in sorted(asked.items()):
        logger.info(
            "%s: %d of %d windows (%.1f of %.1f h) fit --where %r.",
            source,
            n_kept,
            n_all,
            kept_s / 3600,
            all_s / 3600,
            query.text,
        )
    if not any(kept[0] for kept, _ in asked.values()):
        n_all = sum(int(whole[0]) for _, whole in asked.values())
        raise WindowsError(
            f"No windows for --where {query.text!r}: expected some that fit, found none of {n_all}. Ask for less."
        )
