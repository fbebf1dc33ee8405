"""Units: what a file declares, what it may be, and whether the result can be EEG (docs/decisions/units.md)."""

from __future__ import annotations

import re

import numpy as np

from eeg_ingest.quantiles import median
from eeg_ingest.recording import IngestError, Recording

UV_PER_UNIT = {"nV": 1e-3, "uV": 1.0, "mV": 1e3, "V": 1e6}

# Full-band amplitudes (1.4826 times the median absolute deviation within 2 s), median over channels.
# The thermal noise of a 5 kOhm electrode pair over 100 Hz alone is 0.1 µV; scalp EEG never stays above 2 mV.
DOUBTFUL_UV = (0.1, 2_000.0)
IMPOSSIBLE_UV = (1e-4, 1e5)
# Narrower than a factor of 1000, so at most one unit puts an amplitude inside.
LIKELY_UV = (0.5, 500.0)

# uV, µV, mkV (Russian), microvolt, uVolts; in capitals too, but for mV. What stands for µ in code page 437 is æ.
_VOLTAGE = re.compile(r"(?P<prefix>u|µ|μ|æ|mk|mu|micro|mikro|m|milli|n|nano|)[ -]?v(olts?)?", re.IGNORECASE)
_UNIT_OF_PREFIX = {"": "V", "m": "mV", "milli": "mV", "n": "nV", "nano": "nV"}
_UNDECLARED = {"", "-", "--", "?", "unknown", "n/a", "na", "none", "a.u.", "au", "adu", "arb", "counts", "digital"}


class UnitConflictError(IngestError):
    """A file declares one unit, its source another."""


class UndeclaredUnitError(IngestError):
    """A file declares no unit, and neither does its source."""


def decode_dimension(raw: bytes) -> str:
    """A header's physical dimension as text. µ may be Latin-1, UTF-8 or Shift-JIS (as Nihon Kohden writes it)."""
    raw = raw.split(b"\x00")[0].replace(b"\x83\xca", b"u").strip()
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def voltage_unit(dimension: str) -> str | None:
    """`nV`, `uV`, `mV` or `V` for a physical dimension as files spell it; None if it is no voltage or undeclared.

    Case does not matter, except that `MV` (a megavolt, or a careless millivolt) is taken for neither.
    """
    match = _VOLTAGE.fullmatch(dimension.strip())
    if match is None or match["prefix"] == "M":
        return None
    return _UNIT_OF_PREFIX.get(match["prefix"].lower(), "uV")


def is_undeclared(dimension: str) -> bool:
    """True if the text names no quantity, as opposed to one that is not a voltage (`%`, `bpm`, `Ohm`).

    Nor does it where a prefix was lost on the way (`?V`).
    """
    text = dimension.strip().lower()
    return text in _UNDECLARED or text in ("mv", "?v", "\ufffdv")


def settle_unit(name: str, declared: str | None, unit: str | None, *, overrule: bool = False) -> str:
    """The unit to read an EEG channel in: the file's own, or the source's where the file does not say.

    With `overrule` the source's counts in any case. Raises UndeclaredUnitError where nobody says, and UnitConflictError
    where the two disagree.
    """
    if declared is None and unit is None:
        raise UndeclaredUnitError(
            f"The unit of channel {name!r} is unknown: the file declares none. "
            "Declare `unit: uV` (or mV, V, nV) for the source in sources.yaml."
        )
    if overrule and unit is not None:
        return unit
    if declared is not None and unit is not None and declared != unit:
        raise UnitConflictError(
            f"The unit of channel {name!r}: the file declares {declared}, the source declares {unit}. "
            "Remove `unit` from the source in sources.yaml."
        )
    return declared if declared is not None else str(unit)


def amplitude_uv(recording: Recording, n_stretches: int = 8, n_channels: int = 32) -> float | None:
    """The typical EEG fluctuation in µV: median over channels and 2-s stretches of 1.4826 times the MAD.

    Offsets do not count, nor do flat channels. None if nothing fluctuates. Reads at most 16 s of at most 32 channels.
    """
    picks = [
        index
        for index, channel in enumerate(recording.channels)
        if channel.type == "eeg" and channel.unit is not None and channel.sfreq_hz == recording.sfreq_hz
    ]
    picks = picks[:: max(1, len(picks) // n_channels)]
    spreads: list[float] = []
    for start, stop in _stretches(recording, round(2 * recording.sfreq_hz), n_stretches):
        if not picks or stop - start < 8:
            continue
        signal_uv = recording.read_uv(picks, start, stop)
        signal_uv = signal_uv[np.isfinite(signal_uv).all(axis=1)]
        mad = median(np.abs(signal_uv - median(signal_uv)[:, None]))
        rounding = 1e-6 * np.abs(signal_uv).max(axis=1, initial=0.0)
        spreads.extend((1.4826 * mad[mad > rounding]).tolist())
    return float(np.median(spreads)) if spreads else None


def _stretches(recording: Recording, n_samples: int, count: int) -> list[tuple[int, int]]:
    """`count` stretches of at most `n_samples`, spread evenly over the segments and inside them."""
    stretches = []
    ends = np.cumsum([segment.n_samples for segment in recording.segments])
    for middle in (np.arange(count) + 0.5) / count * (ends[-1] if len(ends) else 0):
        index = int(np.searchsorted(ends, middle, side="right"))
        segment = recording.segments[index]
        offset = int(middle - (ends[index] - segment.n_samples)) - n_samples // 2
        start = segment.start_sample + max(0, min(offset, segment.n_samples - n_samples))
        stretches.append((start, min(start + n_samples, segment.start_sample + segment.n_samples)))
    return sorted(set(stretches))


def likely_unit(amplitude: float, read_as: str) -> str | None:
    """The one unit that makes the same numbers look like EEG, or None."""
    numbers = amplitude / UV_PER_UNIT[read_as]
    fits = [unit for unit, factor in UV_PER_UNIT.items() if LIKELY_UV[0] <= numbers * factor < LIKELY_UV[1]]
    return fits[0] if len(fits) == 1 else None


def is_plausible(amplitude: float | None) -> bool:
    """True unless the amplitude (µV) is beyond what scalp EEG can be; also for a recording that does not fluctuate."""
    return amplitude is None or DOUBTFUL_UV[0] <= amplitude <= DOUBTFUL_UV[1]


def judge_amplitude(amplitude: float | None, read_as: str) -> str | None:
    """A warning if the amplitude (µV) is doubtful for EEG, None if it is fine.

    Raises IngestError if it is impossible (under 0.1 nV or over 0.1 V); the message names the likely unit.
    """
    if amplitude is None or is_plausible(amplitude):
        return None
    better = likely_unit(amplitude, read_as)
    found = f"Read in {read_as}, the EEG fluctuates by {amplitude:.3g} µV"
    advice = f"; the numbers look like {better}" if better else ""
    if not IMPOSSIBLE_UV[0] <= amplitude <= IMPOSSIBLE_UV[1]:
        raise IngestError(
            f"{found}: expected 0.1 µV to 2 mV{advice}. Declare `unit: {better or '...'}` in sources.yaml."
        )
    return f"{found}, which is doubtful for scalp EEG{advice}"
