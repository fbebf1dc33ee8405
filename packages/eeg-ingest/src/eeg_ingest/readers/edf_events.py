"""Events of EDF+ and BDF+ annotations and of BDF trigger channels; record onsets of interrupted files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eeg_ingest.filters import SFREQ_OUT_HZ
from eeg_ingest.recording import Event, IngestError, Segment

# One time-stamped annotation list (EDF+ specification, section 2.2.2): onset, duration, texts.
_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14((?:[^\x00]*?\x14)?)(?=\x00)")


@dataclass(frozen=True)
class RecordAnnotations:
    """What the annotation signals of one data record say. `onset_s` is the record's own start, if it tells."""

    onset_s: float | None
    events: tuple[Event, ...]


def parse_record(raw: bytes) -> RecordAnnotations:
    """Parse the annotation bytes of one data record, with onsets as the file has them."""
    onset_s: float | None = None
    events = []
    for match in _TAL.finditer(raw):
        start_s = float(match.group(1))
        texts = match.group(3).split(b"\x14")[:-1] if match.group(3) else [b""]
        if onset_s is None and (not texts or texts[0] == b""):
            onset_s = start_s
        duration_s = float(match.group(2) or 0)
        events += [Event(start_s, duration_s, _text(text)) for text in texts if text]
    return RecordAnnotations(onset_s, tuple(events))


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def segments_of_records(onsets_s: Sequence[float | None], record_samples: int, sfreq_hz: float) -> tuple[Segment, ...]:
    """Unbroken runs of data records (EDF+D, BDF+D). Records that follow each other within half a sample are one run.

    Half a stored sample is allowed in any case: writers round onsets to milliseconds, and the duration of a record to
    eight characters, by which it must not seem to drift. So each onset is held against the one before it.

    Raises IngestError if a record has no onset or starts before the one before it ends.
    """
    segments: list[Segment] = []
    tolerance_s = max(0.5 / sfreq_hz, 0.5 / SFREQ_OUT_HZ)
    first_s = end_s = 0.0
    for index, onset_s in enumerate(onsets_s):
        if onset_s is None:
            raise IngestError(f"Data record {index + 1} of an interrupted file (EDF+D) has no onset. Fetch it again.")
        if index == 0:
            first_s = end_s = onset_s
        gap_s = onset_s - end_s
        end_s = onset_s + record_samples / sfreq_hz
        if gap_s < -tolerance_s:
            raise IngestError(
                f"Data record {index + 1} starts {-gap_s:.3f} s before the record before it ends. Fetch it again."
            )
        if segments and gap_s <= tolerance_s:
            last = segments[-1]
            segments[-1] = Segment(last.start_sample, last.n_samples + record_samples, last.onset_s)
        else:
            segments.append(Segment(index * record_samples, record_samples, onset_s - first_s))
    return tuple(segments)


def trigger_events(blocks: Iterable[npt.NDArray[np.int64]]) -> list[tuple[int, int]]:
    """Trigger onsets (sample, code) as `mne.find_events` finds them with its defaults.

    An onset is a rise: to a higher code than the one before. A code that is there from the first sample on is none.
    """
    onsets: list[tuple[int, int]] = []
    previous: int | None = None
    start = 0
    for block in blocks:
        if len(block) == 0:
            continue
        before = np.concatenate([[block[0] if previous is None else previous], block[:-1]])
        rises = np.flatnonzero(block > before)
        onsets += [(start + int(index), int(block[index])) for index in rises]
        previous = int(block[-1])
        start += len(block)
    return onsets


def clock_s(sample: int, segments: Sequence[Segment], sfreq_hz: float) -> float:
    """The file's clock at a stored sample."""
    for segment in reversed(segments):
        if sample >= segment.start_sample:
            return segment.onset_s + (sample - segment.start_sample) / sfreq_hz
    return sample / sfreq_hz
