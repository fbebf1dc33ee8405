"""From MNE's raw to a recording: types and units of its channels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eeg_ingest.channel_types import common_reference, parse_labels
from eeg_ingest.readers.companions import recording_files
from eeg_ingest.readers.constant_unit import correct_constant_unit
from eeg_ingest.readers.mne_raw import MneRecording
from eeg_ingest.recording import Channel, ChannelType
from eeg_ingest.units import UV_PER_UNIT, settle_unit

_TYPES: dict[str, ChannelType] = {"eeg": "eeg", "eog": "eog", "ecg": "ecg", "emg": "emg", "stim": "stim"}


@dataclass(frozen=True)
class FileUnits:
    """Units of a file's numbers by channel (C).

    `declared` is None where the file says nothing, and "other" where it is no voltage. `volt_per_number` is what MNE
    multiplied the numbers with. `constant` is the unit that the format or its writer sets, not the recorder.
    """

    declared: tuple[str | None, ...]
    volt_per_number: tuple[float, ...]
    constant: str | None = None


def wrap_raw(
    raw: Any, path: Path, kind: str, unit: str | None, units: FileUnits, *, is_typed: bool, overrule: bool
) -> MneRecording:
    """Give channels their types and units. Raises IngestError where a unit is unknown or contradicted."""
    labels = [str(name) for name in raw.ch_names]
    types = _types(raw, labels, kind, is_typed=is_typed)
    types = ["misc" if t == "eeg" and u == "other" else t for t, u in zip(types, units.declared, strict=True)]
    given = {u for t, u in zip(types, units.declared, strict=True) if t == "eeg"}
    is_constant = units.constant is not None and given == {units.constant}
    factors = np.full(len(labels), 1e6)
    read_as: list[str | None] = []
    for index, (label, channel_type, declared) in enumerate(zip(labels, types, units.declared, strict=True)):
        settled = declared if declared in UV_PER_UNIT else None
        if channel_type == "eeg":
            settled = settle_unit(label, settled, unit, overrule=overrule or is_constant)
        if settled:
            factors[index] = UV_PER_UNIT[settled] / units.volt_per_number[index]
        read_as.append(settled)
    sfreq_hz = float(raw.info["sfreq"])
    highpass, lowpass = float(raw.info["highpass"]), float(raw.info["lowpass"])
    channels = tuple(
        Channel(
            name=label,
            type=channel_type,
            sfreq_hz=sfreq_hz,
            unit=read,
            highpass_hz=highpass if highpass > 0 else None,
            lowpass_hz=lowpass if 0 < lowpass < sfreq_hz / 2 else None,
        )
        for label, channel_type, read in zip(labels, types, read_as, strict=True)
    )
    bad = [label for label, of in zip(labels, types, strict=True) if of == "eeg" and label in raw.info["bads"]]
    recording = MneRecording(
        raw,
        format=kind,
        channels=channels,
        uv_per_value=factors,
        block_samples=raw._raw_extras[0]["channel_offset"] if kind == "neuroscan-cnt" else 1,
        files=tuple(str(file) for file in recording_files(path)),
        reference=common_reference([channel.name for channel in channels if channel.type == "eeg"]),
        warnings=[f"the file marks channels as bad: {', '.join(bad)}"] if bad else [],
    )
    if is_constant and unit is None:
        correct_constant_unit(recording)
    return recording


def _types(raw: Any, labels: list[str], kind: str, *, is_typed: bool) -> list[ChannelType]:
    """The file's type where it has one, corrected by labels that say more (`EOG1` among the EEG of an EEGLAB file)."""
    types: list[ChannelType] = []
    for label, of_mne in zip(parse_labels(labels), raw.get_channel_types(), strict=True):
        known = _TYPES.get(of_mne, "misc")
        if known == "eeg" or kind == "brainvision":  # a BrainVision header has units, and no types
            known = label.type or ("eeg" if is_typed else "misc")
        types.append(known)
    return types
