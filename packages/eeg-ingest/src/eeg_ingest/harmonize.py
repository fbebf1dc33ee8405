"""One pass from a recording's own rate to 200 Hz: band-pass, mains notch and resampling, in constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest import filters
from eeg_ingest.blocks import TAPER_S, Block, Plan, blocks_of, lay_out, plan_blocks
from eeg_ingest.filters import SFREQ_OUT_HZ, band_of, exact_rate, kernels, notch_freqs_hz, response
from eeg_ingest.quality import QualityMeter
from eeg_ingest.recording import IngestError, Recording, Segment
from eeg_ingest.source_block import SourceBlock
from eeg_ingest.transforms import transforms

__all__ = ["HARMONIZE_SPEC", "SCALE_UV", "HarmonizedBlock", "band_of", "harmonize", "quantize", "stored_seconds"]

SCALE_UV = 0.1
INT16_MAX = 32767  # -32768 is not used, so the range is symmetric
MAX_READ_VALUES = 2**22  # of all channels that are read together: 16 MB
FLOAT32_SPAN_UV = 10_000  # a block that spans more is transformed in float64: float32 errs by a 1e-7th of its amplitude
CACHED_VALUES = 2**17  # that several passes go over: 512 kB

HARMONIZE_SPEC: dict[str, Any] = {
    "harmonize_version": 1,
    "sfreq_hz": SFREQ_OUT_HZ,
    "low_hz": filters.LOW_HZ,
    "high_hz": filters.HIGH_HZ,
    "filter": "FIR firwin hamming zero-phase, lengths and transitions of mne.filter.create_filter",
    "notch": "line frequency and multiples below the band's end",
    "notch_width": filters.NOTCH_WIDTH,
    "notch_transition_hz": filters.NOTCH_TRANSITION_HZ,
    "edges": "odd reflection",
    "taper_s": TAPER_S,
    "resample": "fft",
    "scale_uv": SCALE_UV,
    "non_finite": "linear interpolation",
}
"""Every constant that changes the stored numbers, for the store's spec hash. `harmonize_version` counts the methods."""


@dataclass(frozen=True)
class HarmonizedBlock:
    """A whole seconds of the segment number `segment`, from its second `first_s` on.

    `signal` (A, C, 200) is float32 in µV, or int16 as `quantize` rounds it, with `n_beyond` samples that saturate.
    `quality` (A, C, 5) has the measures of `eeg_store.QUALITY_MEASURES`, in that order.
    """

    signal: npt.NDArray[Any]
    n_beyond: int
    quality: npt.NDArray[np.float32]
    segment: int
    first_s: int


def stored_seconds(recording: Recording) -> list[int]:
    """Whole seconds of each segment; what is left over at a segment's end is not stored."""
    rate = exact_rate(recording.sfreq_hz)
    return [int(segment.n_samples / rate) for segment in recording.segments]


def quantize(
    signal_uv: npt.NDArray[np.float32], out: npt.NDArray[np.int16] | None = None
) -> tuple[npt.NDArray[np.int16], int]:
    """Round to steps of 0.1 µV, half to even, into `out`; returns also how many saturate, beyond ±3276.7 µV."""
    stored = np.empty(signal_uv.shape, np.int16) if out is None else out
    beyond = 0
    n_rows = max(CACHED_VALUES * len(signal_uv) // max(signal_uv.size, 1), 1)
    for first in range(0, len(signal_uv), n_rows):
        rows = slice(first, first + n_rows)
        with np.errstate(over="ignore"):
            steps = signal_uv[rows] * np.float32(1 / SCALE_UV)
        if max(steps.max(), -steps.min()) > INT16_MAX:
            np.rint(steps, out=steps)
            beyond += int(np.count_nonzero(np.abs(steps) > INT16_MAX))
            np.clip(steps, -INT16_MAX, INT16_MAX, out=steps)
        np.rint(steps, out=stored[rows], casting="unsafe")
    return stored, beyond


def harmonize(
    recording: Recording, indices: Sequence[int], *, line_freq_hz: float | None, quantized: bool = False
) -> Iterator[HarmonizedBlock]:
    """Do what MNE's `raw.filter(0.1, 75)`, `raw.notch_filter(...)` and an exact `raw.resample(200)` do to the channels.

    Yields blocks of bounded size in the order of the segments, in µV or `quantized`; no filter crosses a segment's end.
    Sample k of a segment's output lies k / 200 s after its first sample. Samples that are not finite are bridged, and
    counted in the quality and, at the end, in a warning of the recording. Raises `IngestError` if no segment holds a
    whole second, or the rate is none that EEG has.
    """
    seconds = stored_seconds(recording)
    if not any(seconds):
        longest_s = max((segment.n_samples for segment in recording.segments), default=0) / recording.sfreq_hz
        found = (
            f"{longest_s:.3g} s long" if len(seconds) <= 1 else f"longest of {len(seconds)} segments {longest_s:.3g} s"
        )
        raise IngestError(f"{found}: shorter than one second, so there is nothing to store. Leave the file out.")
    notches_hz = notch_freqs_hz(line_freq_hz, recording.sfreq_hz)
    return _harmonize(recording, list(indices), seconds, line_freq_hz, notches_hz, quantized=quantized)


def _harmonize(
    recording: Recording,
    indices: list[int],
    seconds: list[int],
    line_freq_hz: float | None,
    notches_hz: tuple[float, ...],
    *,
    quantized: bool,
) -> Iterator[HarmonizedBlock]:
    rate = exact_rate(recording.sfreq_hz)
    kernel_s = sum(len(kernel) for kernel in kernels(recording.sfreq_hz, notches_hz)) / recording.sfreq_hz
    meter = QualityMeter(rate, [recording.channels[index] for index in indices], line_freq_hz)
    for number, (segment, n_seconds) in enumerate(zip(recording.segments, seconds, strict=True)):
        if not n_seconds:
            continue
        plan = plan_blocks(rate, kernel_s, n_seconds, len(indices))
        block_filter = _BlockFilter(plan, response(recording.sfreq_hz, notches_hz, plan.n_in, plan.n_out), len(indices))
        work = _SegmentWork(recording, segment, indices, block_filter, meter, quantized)
        for block in blocks_of(plan, n_seconds):
            yield HarmonizedBlock(*work.harmonize(block), number, block.first_s)
    recording.warnings.extend(meter.warnings())


@dataclass(frozen=True)
class _SegmentWork:
    """What it takes to harmonize the blocks of one segment."""

    recording: Recording
    segment: Segment
    indices: list[int]
    block_filter: _BlockFilter
    meter: QualityMeter
    quantized: bool

    def harmonize(self, block: Block) -> tuple[npt.NDArray[Any], int, npt.NDArray[np.float32]]:
        """Signal (A, C, 200) of one block, its saturated samples, and quality (A, C, 5)."""
        shape = (block.stop_s - block.first_s, len(self.indices))
        signal = np.empty((*shape, SFREQ_OUT_HZ), np.int16 if self.quantized else np.float32)
        quality, n_beyond = np.empty((*shape, 5), np.float32), 0
        n_in, n_rows = self.block_filter.plan.n_in, self.block_filter.n_rows
        # What is read at once is worked on at once, unless reading it again for other channels costs more.
        at_once = n_rows if self.recording.reads_channels_apart else max(MAX_READ_VALUES // n_in // n_rows, 1) * n_rows
        for first in range(0, len(self.indices), at_once):
            together = self.indices[first : first + at_once]
            source = SourceBlock.read(self.recording, self.segment, together, block.start, block.start + n_in)
            for row in range(0, len(together), n_rows):
                few = source.rows(slice(row, row + n_rows))
                columns = slice(first + row, first + row + len(few.uv))
                measured = self.meter.measure_source(few, columns, block.first_s, block.stop_s)
                seconds_uv = self.block_filter.apply(few, block)
                self.meter.measure_stored(seconds_uv, measured)
                quality[:, columns] = measured.swapaxes(0, 1)
                if self.quantized:
                    n_beyond += quantize(seconds_uv, out=signal[:, columns].swapaxes(0, 1))[1]
                else:
                    signal[:, columns] = seconds_uv.swapaxes(0, 1)
        return signal, n_beyond, quality


class _BlockFilter:
    """Filters and resamples blocks of a few channels, which stay in the processor's cache from end to end."""

    def __init__(self, plan: Plan, gain: npt.NDArray[np.float32], n_channels: int) -> None:
        self.plan = plan
        self._gain = gain
        self._gain_of_parts = np.repeat(gain, 2)  # real and imaginary parts lie side by side
        self._transforms = transforms(plan.n_in, plan.n_out)
        self.n_rows = self._transforms.rows
        self._padded = np.zeros((self._transforms.fitting(min(n_channels, self.n_rows)), plan.n_in), np.float32)

    def apply(self, source: SourceBlock, block: Block) -> npt.NDArray[np.float32]:
        """Return the block's kept seconds (C, A, 200) of C channels, at most `n_rows`."""
        plan = self.plan
        padded = self._padded[: self._transforms.fitting(len(source.uv))]
        lay_out(source.uv, padded[: len(source.uv)], plan, block, source.n_samples)
        if (source.high_uv - source.low_uv).max() > FLOAT32_SPAN_UV:
            padded = padded.astype(np.float64)
        spectrum = self._transforms.forward(padded)[:, : len(self._gain)]
        if block.shift:
            turn = 2j * np.pi * block.shift / plan.n_in * np.arange(len(self._gain))
            spectrum *= (self._gain * np.exp(turn)).astype(np.complex64)
        else:
            spectrum_parts = spectrum.view(padded.dtype)
            spectrum_parts *= self._gain_of_parts
        filtered = self._transforms.backward(spectrum)
        first = plan.margin_s * SFREQ_OUT_HZ
        stop = first + (block.stop_s - block.first_s) * SFREQ_OUT_HZ
        kept = np.asarray(filtered[: len(source.uv), first:stop], np.float32)
        return kept.reshape(len(source.uv), -1, SFREQ_OUT_HZ)
