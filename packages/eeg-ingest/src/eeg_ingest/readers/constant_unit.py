"""Where the format or its writer sets the unit, not the recorder (docs/decisions/units.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from eeg_ingest.recording import Channel
from eeg_ingest.units import UV_PER_UNIT, amplitude_uv, is_plausible, likely_unit


def correct_constant_unit(recording: Any) -> None:
    """Where a file is no EEG in the unit that its writer always sets, read it in the one that makes it EEG; warn.

    `recording` is one whose EEG channels share a unit, and that can be rescaled.
    """
    units = {channel.unit for channel in recording.channels if channel.type == "eeg" and channel.unit is not None}
    if len(units) != 1:
        return
    declared = units.pop()
    amplitude = amplitude_uv(recording)
    if amplitude is None or is_plausible(amplitude):
        return
    better = likely_unit(amplitude, declared)
    if better is None:
        return
    factor = UV_PER_UNIT[better] / UV_PER_UNIT[declared]
    recording.rescale(factor)
    recording.channels = tuple(
        _rescaled(channel, better, factor) if channel.type == "eeg" and channel.unit is not None else channel
        for channel in recording.channels
    )
    recording.warnings.append(
        f"read in {better}: the file says {declared}, as its writer always does, and would fluctuate by "
        f"{amplitude:.3g} µV; in {better} it is {amplitude * factor:.3g} µV. Declare `unit: {better}` to confirm"
    )


def _rescaled(channel: Channel, unit: str, factor: float) -> Channel:
    limits_uv = channel.limits_uv and (channel.limits_uv[0] * factor, channel.limits_uv[1] * factor)
    return replace(channel, unit=unit, limits_uv=limits_uv)
