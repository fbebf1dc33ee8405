"""The signal path against MNE, against sinusoids whose resampled values are known, and against itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft
from eeg_ingest import harmonize as module
from eeg_ingest.blocks import Plan, plan_blocks
from eeg_ingest.harmonize import HARMONIZE_SPEC, HarmonizedBlock, band_of, harmonize, quantize, stored_seconds
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import IngestError, Recording, Segment
from hypothesis import given, settings
from hypothesis import strategies as st

Maker = Callable[..., Recording]
Signal = npt.NDArray[np.float64]
EDGE = 20 * 200  # stored samples at each end that are not compared: MNE's and our idea of beyond differ there


def joined(blocks: Iterator[HarmonizedBlock]) -> Signal:
    """(C, S) of all blocks."""
    signal_uv = np.concatenate([block.signal for block in blocks])
    return signal_uv.swapaxes(0, 1).reshape(signal_uv.shape[1], -1).astype(np.float64)


def mne_recipe(uv: npt.NDArray[np.floating], sfreq_hz: float, line_freq_hz: float | None) -> Signal:
    """`raw.filter(0.1, 75)`, `raw.notch_filter(...)` and `raw.resample(200)` of MNE, the last over whole seconds.

    MNE's FFT resampling is exact only if the length is whole at both rates, and it takes the signal as periodic: the
    jump from its end to its begin rings at the lower Nyquist frequency. So the signal is continued and faded out.
    """
    high_hz = band_of(sfreq_hz)[1]
    lowpass_hz = high_hz if high_hz < sfreq_hz / 2 else None
    uv = mne.filter.filter_data(uv.astype(np.float64), sfreq_hz, 0.1, lowpass_hz, verbose="error")
    if line_freq_hz:
        freqs_hz = np.arange(line_freq_hz, high_hz, line_freq_hz)
        uv = mne.filter.notch_filter(uv, sfreq_hz, freqs_hz, verbose="error")
    ratio = Fraction(sfreq_hz).limit_denominator(10**6) / 200
    period, margin, n_samples = ratio.numerator, int(20 * sfreq_hz), uv.shape[1]
    before = -(-margin // period) * period
    total = -(-(before + n_samples + margin) // period) * period
    padded = np.pad(uv, ((0, 0), (margin, margin)), "reflect", reflect_type="odd")
    fade = np.sin(np.linspace(0, np.pi / 2, int(2 * sfreq_hz))) ** 2
    padded[:, : len(fade)] *= fade
    padded[:, -len(fade) :] *= fade[::-1]
    padded = np.pad(padded, ((0, 0), (before - margin, total - before - n_samples - margin)))
    resampled = mne.filter.resample(padded, float(total // period * ratio.denominator), float(total), npad=0)
    first = before // period * ratio.denominator
    return np.asarray(resampled[:, first : first + int(n_samples / ratio)])


def eeg_like(n_channels: int, sfreq_hz: float, seconds: float, seed: int = 0, band: float = 1.0) -> Signal:
    """(C, S): 1/f noise up to `band` times Nyquist, alpha, mains hum, and electrode offsets of up to 50 mV."""
    rng = np.random.default_rng(seed)
    n_samples = int(seconds * sfreq_hz)
    freqs_hz = scipy.fft.rfftfreq(n_samples, 1 / sfreq_hz)
    gain = np.maximum(freqs_hz, 0.02) ** -0.7 * (freqs_hz <= band * sfreq_hz / 2)
    noise = scipy.fft.irfft(gain * np.exp(2j * np.pi * rng.random((n_channels, len(freqs_hz)))), n_samples)
    times_s = np.arange(n_samples) / sfreq_hz
    uv = 30 * noise / noise.std(axis=1, keepdims=True)
    uv += 10 * np.sin(2 * np.pi * 10 * times_s) + 20 * np.sin(2 * np.pi * 50 * times_s)
    return np.asarray(uv + np.linspace(-50_000, 50_000, n_channels)[:, None])


def rms(difference: Signal) -> Signal:
    return np.asarray(np.sqrt((difference**2).mean(axis=-1)))


RATES_HZ = [128.0, 150.0, 160.0, 200.0, 250.0, 256.0, 500.0, 512.0, 600.614990234375, 1000.0, 2048.0]


@pytest.mark.parametrize("sfreq_hz", RATES_HZ)
def test_synthetic_recordings_equal_mne(memory_recording: Maker, sfreq_hz: float) -> None:
    # Below 152 Hz no low-pass keeps the signal off the Nyquist frequency, where resampling depends on all that was ever
    # recorded: there both methods are exact for what lies a little below it.
    uv = eeg_like(2, sfreq_hz, 341.7 if sfreq_hz < 600 else 130.3, band=1.0 if sfreq_hz >= 152 else 0.98)
    recording = memory_recording(uv.astype(np.float32), sfreq_hz)
    ours = joined(harmonize(recording, [0, 1], line_freq_hz=50.0))
    theirs = mne_recipe(recording.read_uv([0, 1], 0, recording.n_samples), sfreq_hz, 50.0)[:, : ours.shape[1]]
    assert ours.shape == (2, 200 * int(uv.shape[1] / sfreq_hz))
    assert rms(ours - theirs).max() < 0.01  # with the edges
    assert rms((ours - theirs)[:, EDGE:-EDGE]).max() < 0.002
    stored = quantize(ours.astype(np.float32))[0] * 0.1
    assert rms((stored - theirs)[:, EDGE:-EDGE]).max() < 0.03


REAL = [
    ("physionet_eegmat/Subject00_2.edf", None),
    ("physionet_eegmat/Subject03_1.edf", 50.0),
    ("physionet_eegmmidb/S001/S001R04.edf", 60.0),
    ("marley_ssvep_multidevice/epoc/marley-10-15.03.18.13.41.36.edf", 50.0),
    ("biosemi_newtest17/Newtest17-256.bdf", 50.0),
    ("ssvep_exoskeleton/subject01/record-2012.07.06-19.02.16_raw.fif", 50.0),
    ("yasa/data_resting_EO_200Hz_raw.fif", 60.0),
]


@pytest.mark.parametrize(("name", "line_freq_hz"), REAL)
def test_real_recordings_equal_mne(eeg_data: Path, name: str, line_freq_hz: float | None) -> None:
    path = eeg_data / name
    recording = open_recording(path)
    montage = "biosemi16" if path.suffix == ".bdf" else None
    indices = choose_channels(recording, rename={}, drop=[], montage=montage).indices
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    assert raw.info["sfreq"] == recording.sfreq_hz
    # The scale of FIF files whose writer got the unit wrong is a matter of the reader, not of the filters.
    uv = 1e6 * raw.get_data([recording.channels[index].name for index in indices])
    scale = np.vdot(recording.read_uv(indices, 0, recording.n_samples), uv) / np.vdot(uv, uv)
    assert scale == pytest.approx(10 ** round(np.log10(scale)), rel=1e-4)
    theirs = mne_recipe(scale * uv, recording.sfreq_hz, line_freq_hz)
    ours = joined(harmonize(recording, indices, line_freq_hz=line_freq_hz))
    inside = slice(EDGE, ours.shape[1] - EDGE)
    assert rms(ours[:, inside] - theirs[:, inside]).max() < 0.002
    stored = quantize(ours.astype(np.float32))[0] * 0.1
    assert rms(stored[:, inside] - theirs[:, inside]).max() < 0.03


@pytest.mark.parametrize("sfreq_hz", [100.0, 128.0, 250.5, 512.0, 600.614990234375, 999.000999000999])
def test_sinusoids_keep_their_phase_over_many_blocks(
    memory_recording: Maker, sfreq_hz: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eeg_ingest.blocks.MAX_OUTPUT_VALUES", 40_000)  # blocks of three minutes
    plan_blocks.cache_clear()
    freqs_hz = np.array([[5.0], [13.7], [31.3]])
    n_samples = int(1500 * sfreq_hz)
    recording = memory_recording(100 * np.sin(2 * np.pi * freqs_hz * np.arange(n_samples) / sfreq_hz), sfreq_hz)
    ours = joined(harmonize(recording, [0, 1, 2], line_freq_hz=None))
    plan_blocks.cache_clear()
    inside = np.arange(EDGE, ours.shape[1] - EDGE)
    phase = 2 * np.pi * freqs_hz * inside / 200
    for signal, angle in zip(ours[:, inside], phase, strict=True):
        gain = 2 * np.mean(signal * np.sin(angle)) / 100
        assert gain == pytest.approx(1, abs=0.003)  # the ripple of a Hamming design
        assert np.abs(signal - 100 * gain * np.sin(angle)).max() < 0.01  # 1e-4: a shift of 1/600 sample at 31 Hz


@pytest.mark.parametrize("sfreq_hz", [160.0, 256.0, 1000.0])
def test_a_pulse_stays_where_it_was(memory_recording: Maker, sfreq_hz: float) -> None:
    times_s = np.arange(int(90 * sfreq_hz)) / sfreq_hz
    uv = 100 * np.exp(-0.5 * ((times_s - 45.005) / 0.02) ** 2)[None]
    ours = joined(harmonize(memory_recording(uv, sfreq_hz), [0], line_freq_hz=60.0))[0]
    assert np.argmax(ours) == 45.005 * 200
    np.testing.assert_allclose(ours[9001 - 400 : 9001], ours[9001 + 400 : 9001 : -1], atol=1e-4)


def test_the_mains_is_notched_and_the_band_limited(memory_recording: Maker) -> None:
    times_s = np.arange(120 * 1000) / 1000
    tones_hz = np.array([0.03, 10.0, 50.0, 60.0, 100.0, 180.0])
    recording = memory_recording(100 * np.sin(2 * np.pi * tones_hz[:, None] * times_s), 1000.0)
    left = {
        line_freq_hz: rms(joined(harmonize(recording, range(6), line_freq_hz=line_freq_hz))[:, EDGE:-EDGE]) / 70.71
        for line_freq_hz in (None, 50.0, 60.0)
    }
    np.testing.assert_allclose(left[None], [0, 1, 1, 1, 0, 0], atol=0.3)
    assert left[None][[0, 4, 5]].max() < 0.25
    assert left[50.0][2] < 0.01
    assert left[50.0][3] > 0.99
    assert left[60.0][3] < 0.01
    assert left[60.0][2] > 0.99


@pytest.mark.parametrize(
    ("sfreq_hz", "band"), [(100.0, 50.0), (128.0, 64.0), (151.0, 75.5), (152.0, 75.0), (160.0, 75.0), (5000.0, 75.0)]
)
def test_the_band_ends_at_75_hz_or_at_nyquist(sfreq_hz: float, band: float) -> None:
    assert band_of(sfreq_hz) == (0.1, band)


DRIFTING = eeg_like(1, 250.0, 125.4) + np.linspace(0, 2000, int(125.4 * 250))


@settings(deadline=None, max_examples=8)
@given(keep_s=st.integers(7, 130), wider_s=st.integers(0, 30))
def test_the_block_length_does_not_matter(memory_recording: Maker, keep_s: int, wider_s: int) -> None:
    recording = memory_recording(DRIFTING, 250.0)
    whole = joined(harmonize(recording, [0], line_freq_hz=None))

    def plan(rate_hz: Fraction, kernel_s: float, n_seconds: int, n_channels: int) -> Plan:
        margin_s = 19 + wider_s
        length_s = keep_s + 2 * margin_s
        return Plan(rate_hz, length_s * 250, length_s * 200, margin_s, keep_s)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "plan_blocks", plan)
        blocks = list(harmonize(recording, [0], line_freq_hz=None))
    assert len(blocks) == -(-125 // keep_s)
    assert np.abs(joined(iter(blocks)) - whole).max() < 1e-3


def test_nothing_crosses_a_break(memory_recording: Maker) -> None:
    uv = eeg_like(2, 250.0, 100.0)
    uv[:, 10_000:] += 2000
    segments = [Segment(0, 10_000, 0.0), Segment(10_000, 200, 50.0), Segment(10_200, 14_800, 60.0)]
    together = list(harmonize(memory_recording(uv, 250.0, segments), [0, 1], line_freq_hz=50.0))
    apart = [
        joined(harmonize(memory_recording(part, 250.0), [0, 1], line_freq_hz=50.0))
        for part in (uv[:, :10_000], uv[:, 10_200:])
    ]
    assert {block.segment for block in together} == {0, 2}
    np.testing.assert_array_equal(joined(b for b in together if b.segment == 0), apart[0])
    np.testing.assert_array_equal(joined(b for b in together if b.segment == 2), apart[1])


@pytest.mark.parametrize("seconds", [1.0, 1.9, 3.0, 25.0])
def test_the_offset_of_a_short_segment_is_no_signal(memory_recording: Maker, seconds: float) -> None:
    uv = eeg_like(1, 256.0, seconds)
    low = joined(harmonize(memory_recording(uv - uv.mean(), 256.0), [0], line_freq_hz=None))
    high = joined(harmonize(memory_recording(uv - uv.mean() + 40_000, 256.0), [0], line_freq_hz=None))
    assert low.shape == (1, 200 * int(seconds))
    assert 1 < low.std() < 100
    assert np.abs(high - low).max() < 0.01


@given(
    seconds=st.integers(0, 10_000),
    rate=st.sampled_from([Fraction(256), Fraction(100, 3), Fraction(1000, 7), Fraction(1_000_000, 1001)]),
    short=st.booleans(),
)
def test_seconds_are_counted_exactly(memory_recording: Maker, seconds: int, rate: Fraction, short: bool) -> None:
    n_samples = -(-seconds * rate.numerator // rate.denominator)  # the fewest that last as long
    recording = memory_recording(
        np.zeros((1, 0), np.float32), float(rate), [Segment(0, max(n_samples - short, 0), 0.0)]
    )
    assert stored_seconds(recording) == [max(seconds - short, 0)]


def test_a_recording_without_a_whole_second_is_refused(memory_recording: Maker) -> None:
    with pytest.raises(IngestError, match=r"0\.3 s long: shorter than one second"):
        harmonize(memory_recording(np.zeros((1, 75)), 250.0), [0], line_freq_hz=None)
    pieces = [Segment(0, 240, 0.0), Segment(240, 200, 5.0)]
    with pytest.raises(IngestError, match=r"longest of 2 segments 0\.96 s"):
        harmonize(memory_recording(np.zeros((1, 440)), 250.0, pieces), [0], line_freq_hz=None)


@pytest.mark.parametrize("sfreq_hz", [0.5, 1e6, float("nan")])
def test_rates_that_no_eeg_has_are_refused(memory_recording: Maker, sfreq_hz: float) -> None:
    with pytest.raises(IngestError, match="Sampling rate: expected 2 to 50000 Hz"):
        stored_seconds(memory_recording(np.zeros((1, 100)), sfreq_hz))


@pytest.mark.parametrize("sfreq_hz", [2.0, 3.3, 50.0, 101.0, 20_000.0])
def test_odd_rates_work(memory_recording: Maker, sfreq_hz: float) -> None:
    times_s = np.arange(int(65 * sfreq_hz)) / sfreq_hz
    recording = memory_recording(50 * np.sin(2 * np.pi * 0.5 * times_s)[None], sfreq_hz)
    ours = joined(harmonize(recording, [0], line_freq_hz=50.0))[0]
    expected = 50 * np.sin(2 * np.pi * 0.5 * np.arange(len(ours)) / 200)
    assert np.abs(ours - expected)[EDGE:-EDGE].max() < 0.3


def test_non_finite_samples_are_bridged_and_counted(memory_recording: Maker) -> None:
    uv = eeg_like(4, 250.0, 90.0)
    bridged, broken = uv.copy(), uv.astype(np.float32)
    broken[1, :130], bridged[1, :130] = np.nan, broken[1, 130]
    broken[1, 10_000], bridged[1, 10_000] = np.inf, (uv[1, 9999] + uv[1, 10_001]) / 2
    broken[3, 12_000:12_500] = -np.inf
    bridged[3, 12_000:12_500] = np.interp(np.arange(12_000, 12_500), [11_999, 12_500], uv[3, [11_999, 12_500]])
    broken[3, 22_400:], bridged[3, 22_400:] = np.finfo(np.float32).max, broken[3, 22_399]
    recording = memory_recording(broken, 250.0)
    blocks = list(harmonize(recording, [0, 1, 2, 3], line_freq_hz=50.0))
    expected = joined(harmonize(memory_recording(bridged, 250.0), [0, 1, 2, 3], line_freq_hz=50.0))
    np.testing.assert_allclose(joined(iter(blocks)), expected, atol=0.01)
    share = np.concatenate([block.quality for block in blocks])[..., 4]
    np.testing.assert_allclose(share, (~np.isfinite(broken) | (np.abs(broken) > 1e30)).reshape(4, 90, 250).mean(2).T)
    assert recording.warnings == ["non-finite samples in C1, C3: 731 of 45000, bridged; see quality"]


def test_gaps_look_the_same_in_blocks_of_any_length(memory_recording: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = eeg_like(1, 100.0, 300.0, band=0.9).astype(np.float32)
    for first in range(0, 29_000, 1700):
        broken[0, first : first + 900] = np.nan
    whole = joined(harmonize(memory_recording(broken, 100.0), [0], line_freq_hz=None))
    monkeypatch.setattr(module, "plan_blocks", lambda rate_hz, *_: Plan(rate_hz, 5300, 10_600, 21, 11))
    assert np.abs(joined(harmonize(memory_recording(broken, 100.0), [0], line_freq_hz=None)) - whole).max() < 0.01


def test_quantize_rounds_half_to_even_and_saturates() -> None:
    signal_uv = np.array([[0.25, 0.35, -0.25, 0.05, 3276.7, 3276.8, -1e6, 3.0e38]], np.float32)
    stored, n_saturated = quantize(signal_uv)
    assert stored.dtype == np.int16
    assert stored.tolist() == [[2, 4, -2, 0, 32767, 32767, -32767, 32767]]
    assert n_saturated == 3


def test_the_spec_is_json(memory_recording: Maker) -> None:
    assert HARMONIZE_SPEC["sfreq_hz"] == 200
    assert all(isinstance(value, (int, float, str)) for value in HARMONIZE_SPEC.values())
