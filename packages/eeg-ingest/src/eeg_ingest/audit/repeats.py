"""The same signal under two recordings: exported again, cut, or in two sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from eeg_store import SFREQ_HZ, Store, WindowReader

from eeg_ingest.audit.finding import Finding, number_of
from eeg_ingest.audit.look import Look

MIN_HITS = 5  # words that two recordings share at one distance in time
MIN_SPREAD_S = 10  # between the first and the last of them: neighbours overlap, and share by chance together
MAX_DISTANCE_S = 2**20
MAX_HITS = 16  # recordings that share a word: more tell of a stimulus or a generator
COMPARE_S = 8
LOOK_S = 1
SAME = 0.95  # correlation of the samples; different heads reach 0.3


@dataclass(frozen=True)
class Match:
    """Two recordings that may be one: sample `second_sample` of `second` is about `first_sample` of `first`."""

    first: int
    second: int
    first_sample: int
    second_sample: int


def check_repeats(store: Store, looks: Sequence[Look]) -> Iterator[Finding]:
    """Find recordings, of all sources, that hold the signal of a longer one, or of an earlier one in `looks`."""
    looks = sorted(looks, key=lambda look: -look.row["n_seconds"])
    reader = WindowReader(store)
    first_of: dict[int, tuple[int, float]] = {}
    for match in _matches(looks):
        if match.second in first_of:
            continue
        first, second = looks[match.first], looks[match.second]
        if _is_same(reader, first, second, match):
            first_of[match.second] = (match.first, (match.first_sample - match.second_sample) / SFREQ_HZ)
    pairs: dict[tuple[str, str], list[tuple[Look, Look, float]]] = defaultdict(list)
    for number, (original, shift_s) in sorted(first_of.items()):
        repeat, first = looks[number], looks[original]
        pairs[repeat.row["source"], first.row["source"]].append((repeat, first, shift_s))
    for (source, other), found in pairs.items():
        repeat, first, shift_s = found[0]
        shifted = f", from {abs(shift_s):.0f} s {'on' if shift_s > 0 else 'before'}" if abs(shift_s) >= 1 else ""
        apart = any((a.row["source"], a.row["subject"]) != (b.row["source"], b.row["subject"]) for a, b, _ in found)
        yield Finding(
            "duplicate_recording",
            "error" if apart else "warning",
            source,
            "a signal that no other recording holds",
            f"{number_of(found, 'recording')} with the signal of one in {other}: {repeat.recording} is "
            f"{first.recording}{shifted}",
            "Leave one of each pair out" + (": a split by subject does not keep them apart" if apart else ""),
            tuple(repeat.recording for repeat, _, _ in found),
        )


def _matches(looks: Sequence[Look]) -> Iterator[Match]:
    """Pairs that share words at one distance in time, those that share most first."""
    first, second, at_first, at_second = _shared_words(looks)
    distance_s = np.round((at_first - at_second) / SFREQ_HZ).astype(np.int64)
    keys = (first * len(looks) + second) * (2 * MAX_DISTANCE_S) + distance_s + MAX_DISTANCE_S
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    n_hits = np.diff(starts, append=len(order))
    for number in np.argsort(-n_hits, kind="stable"):
        if n_hits[number] < MIN_HITS:
            return
        hits = order[starts[number] : starts[number] + n_hits[number]]
        if np.ptp(at_second[hits]) >= MIN_SPREAD_S * SFREQ_HZ:
            yield Match(*(int(values[hits[0]]) for values in (first, second, at_first, at_second)))


def _shared_words(looks: Sequence[Look]) -> npt.NDArray[np.int64]:
    """Every word that two recordings share: (4, hits), the numbers of both, then where it begins in both."""
    words = np.concatenate([np.empty(0, np.uint64), *(look.echo.words for look in looks)])
    order = np.argsort(words, kind="stable")
    words = words[order]
    owners = np.repeat(np.arange(len(looks)), [len(look.echo.words) for look in looks])[order]
    begins = np.concatenate([np.empty(0, np.int64), *(look.echo.seconds for look in looks)])[order] * SFREQ_HZ
    found = [np.empty((4, 0), np.int64)]
    for number, look in enumerate(looks):
        lows = np.searchsorted(words, look.echo.queries, side="left")
        counts = np.searchsorted(words, look.echo.queries, side="right") - lows
        counts[counts > MAX_HITS] = 0
        asked = np.repeat(look.echo.samples.astype(np.int64), counts)
        hits = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(lows, counts)
        here, there = np.full(len(hits), number), owners[hits]
        pairs = np.where(here < there, [here, there, asked, begins[hits]], [there, here, begins[hits], asked])
        found.append(pairs[:, here != there])
    return np.concatenate(found, axis=1)


def _is_same(reader: WindowReader, first: Look, second: Look, match: Match) -> bool:
    """Whether the samples around the place of a match agree, on the channels that both have."""
    common = [name for name in first.channels if name in second.channels]
    if not common:
        return False
    wide = COMPARE_S + 2 * LOOK_S
    start = min(max(match.first_sample - LOOK_S * SFREQ_HZ, 0), (first.row["n_seconds"] - wide) * SFREQ_HZ)
    if start < 0:
        return False
    inner = match.second_sample + (start + LOOK_S * SFREQ_HZ - match.first_sample)
    inner = min(max(inner, 0), (second.row["n_seconds"] - COMPARE_S) * SFREQ_HZ)
    signals = []
    for look, sample, n_seconds in ((first, start, wide), (second, inner, COMPARE_S)):
        begin = look.row["first_second"] * SFREQ_HZ + sample
        (window,) = reader.read([(look.row["array"], begin, n_seconds)])
        rows = [look.channels.index(name) for name in common]
        signals.append(window.reshape(len(window), -1)[rows].astype(np.float64))
    return bool(_best_correlation(*signals) >= SAME)


def _best_correlation(wide: npt.NDArray[np.float64], part: npt.NDArray[np.float64]) -> float:
    """Largest median |r| over channels (C) of `part` (C, S) with a stretch of `wide` (C, more)."""
    n_samples, n_wide = part.shape[1], wide.shape[1]
    part = part - part.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(wide, n_wide) * np.conj(np.fft.rfft(part, n_wide))
    products = np.fft.irfft(spectrum, n_wide)[:, : n_wide - n_samples + 1]
    sums = np.cumsum(np.pad(np.stack([wide, wide**2]), ((0, 0), (0, 0), (1, 0))), axis=2)
    totals, squares = sums[..., n_samples:] - sums[..., :-n_samples]
    spread = np.sqrt(np.maximum(squares - totals**2 / n_samples, 0) * np.square(part).sum(axis=1, keepdims=True))
    r = np.divide(np.abs(products), spread, out=np.zeros_like(products), where=spread > 0)
    return float(np.median(r, axis=0).max())
