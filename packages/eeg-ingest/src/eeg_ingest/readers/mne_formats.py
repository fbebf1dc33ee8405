"""How MNE is asked for each format, and what the units of each format mean (docs/decisions/units.md)."""

from __future__ import annotations

import tempfile
import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
from mne.io.constants import FIFF

from eeg_ingest.channel_types import common_reference, parse_labels
from eeg_ingest.readers.cnt_header import cnt_data_format
from eeg_ingest.readers.completeness import check_brainvision, check_fif
from eeg_ingest.readers.detect import recording_files, vhdr_companions
from eeg_ingest.readers.eeglab import open_eeglab
from eeg_ingest.readers.gdf_header import read_gdf_header
from eeg_ingest.readers.mne_raw import MneRecording, reading_by_mne, short
from eeg_ingest.recording import Channel, ChannelType, IngestError
from eeg_ingest.units import UV_PER_UNIT, amplitude_uv, is_plausible, likely_unit, settle_unit, voltage_unit

_SUFFIXES = {"gdf": ".gdf", "brainvision": ".vhdr", "eeglab": ".set", "fif": ".fif", "neuroscan-cnt": ".cnt"}
_TYPED = ("fif", "eeglab", "neuroscan-cnt")  # formats that say which channels are EEG
_TYPES: dict[str, ChannelType] = {"eeg": "eeg", "eog": "eog", "ecg": "ecg", "emg": "emg", "stim": "stim"}
_UNIT_OF_POWER = {0: "V", -3: "mV", -6: "uV", -9: "nV"}


def open_with_mne(
    path: Path, kind: str, unit: str | None, *, overrule: bool = False, sample_bits: int | None = None
) -> MneRecording:
    """Open a file of format `kind` lazily; `sample_bits` are those of a Neuroscan file that does not tell.

    Raises IngestError, with MNE's reason, if MNE cannot.
    """
    if kind == "brainvision":
        _check_companions(path)
    units: tuple[str | None, ...] | None = None
    constant = kind in ("fif", "eeglab")
    if kind == "gdf":
        header = read_gdf_header(path)
        units, constant = header.units, header.by_openvibe
    readable, folder = _with_suffix(path, _SUFFIXES[kind])
    try:
        with warnings.catch_warnings(record=True) as caught, reading_by_mne(f"this {kind} file"):
            warnings.simplefilter("always")
            raw = _cnt(readable, sample_bits) if sample_bits else _open(kind)(readable)
            recording = _wrap(raw, path, kind, unit, units, constant=constant, overrule=overrule)
    except IngestError:
        if folder:
            folder.cleanup()
        raise
    recording.warnings += _worth_telling(caught)
    if folder:
        weakref.finalize(recording, folder.cleanup)
    return recording


def _check_companions(path: Path) -> None:
    companions = vhdr_companions(path)
    if not companions:
        raise IngestError(f"{path.name} names no DataFile. Fetch it again.")
    missing = [file.name for file in companions if not file.is_file()]
    if missing:
        raise IngestError(f"{path.name} names {missing[0]}, which is missing. Fetch it and put it beside.")


def _open(kind: str) -> Callable[[Path], Any]:
    return {"gdf": _gdf, "brainvision": _brainvision, "eeglab": open_eeglab, "fif": _fif, "neuroscan-cnt": _cnt}[kind]


def _gdf(path: Path) -> Any:
    return mne.io.read_raw_gdf(path, preload=False, verbose="ERROR")


def _brainvision(path: Path) -> Any:
    check_brainvision(path, vhdr_companions(path)[0])
    return mne.io.read_raw_brainvision(path, preload=False, ignore_marker_types=False, verbose="ERROR")


def _fif(path: Path) -> Any:
    check_fif(path)
    return mne.io.read_raw_fif(path, preload=False, verbose="ERROR")


def _cnt(path: Path, sample_bits: int | None = None) -> Any:
    data_format = cnt_data_format(path, sample_bits)
    return mne.io.read_raw_cnt(path, data_format=data_format, preload=False, verbose="ERROR")


def _with_suffix(path: Path, suffix: str) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """A path that ends in `suffix`, which MNE insists on: the file itself, or a link in a temporary folder."""
    suffix = ".fif.gz" if suffix == ".fif" and _is_gzip(path) else suffix
    if path.name.endswith(suffix):
        return path, None
    folder = tempfile.TemporaryDirectory(prefix="eeg-ingest-")
    link = Path(folder.name) / f"{path.stem}{suffix}"
    link.symlink_to(path.resolve())
    companions = vhdr_companions(path) if suffix == ".vhdr" else recording_files(path)[1:]
    for file in companions:
        if not (Path(folder.name) / file.name).exists():
            (Path(folder.name) / file.name).symlink_to(file.resolve())
    return link, folder


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _wrap(
    raw: Any,
    path: Path,
    kind: str,
    unit: str | None,
    units: tuple[str | None, ...] | None,
    *,
    constant: bool,
    overrule: bool,
) -> MneRecording:
    """Give channels their types and units. `constant`: the format or its writer sets the unit, not the recorder."""
    labels = [str(name) for name in raw.ch_names]
    types = _types(raw, labels, typed=kind in _TYPED)
    declared = units or tuple(_declared_unit(raw, index, kind) for index in range(len(labels)))
    types = ["misc" if t == "eeg" and u == "other" else t for t, u in zip(types, declared, strict=True)]
    given = {u for t, u in zip(types, declared, strict=True) if t == "eeg"}
    constant = constant and given == {"V" if kind == "fif" else "uV"}
    factors = np.full(len(labels), 1e6)
    read_as: list[str | None] = []
    for index, (label, channel_type, unit_declared) in enumerate(zip(labels, types, declared, strict=True)):
        settled = unit_declared if unit_declared in UV_PER_UNIT else None
        if channel_type == "eeg":
            settled = settle_unit(label, settled, unit, overrule=overrule or constant)
        if settled:
            factors[index] = UV_PER_UNIT[settled] / _volt_per_number(raw, kind, index, unit_declared)
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
    recording = MneRecording(
        raw,
        format=kind,
        channels=channels,
        uv_per_value=factors,
        files=tuple(dict.fromkeys([str(path), *(str(file) for file in recording_files(path))])),
        reference=common_reference([channel.name for channel in channels if channel.type == "eeg"]),
        warnings=[],
    )
    if constant and unit is None:
        _correct_constant_unit(recording, str(given.pop()))
    return recording


def _types(raw: Any, labels: list[str], *, typed: bool) -> list[ChannelType]:
    """The file's type where it has one, corrected by labels that say more (`EOG1` among the EEG of an EEGLAB file)."""
    types: list[ChannelType] = []
    for label, of_mne in zip(parse_labels(labels), raw.get_channel_types(), strict=True):
        known = _TYPES.get(of_mne, "misc")
        if known == "eeg":
            known = label.type or ("eeg" if typed else "misc")
        types.append(known)
    return types


def _declared_unit(raw: Any, index: int, kind: str) -> str | None:
    """The unit of the file's numbers, as its format has it; "other" where that is no voltage."""
    channel = raw.info["chs"][index]
    if kind == "fif":
        volt = channel["unit"] == FIFF.FIFF_UNIT_V
        return _UNIT_OF_POWER.get(int(channel["unit_mul"])) if volt else "other"
    if kind == "brainvision":
        written = str(raw._orig_units.get(channel["ch_name"], ""))
        return voltage_unit(written) or ("uV" if not written.strip() else "other")  # the format's default is µV
    return "uV"  # EEGLAB by convention, Neuroscan by its calibration


def _volt_per_number(raw: Any, kind: str, index: int, declared: str | None) -> float:
    """What MNE multiplied the file's numbers with. It takes FIF for V, and GDF too unless it says exactly `uV`."""
    if kind == "gdf":
        return float(raw._raw_extras[0]["units"][index])
    return 1.0 if kind == "fif" else UV_PER_UNIT[str(declared)] * 1e-6


def _correct_constant_unit(recording: MneRecording, declared: str) -> None:
    """Where a file is no EEG in the unit that its writer always sets, read it in the one that makes it EEG; warn."""
    amplitude = amplitude_uv(recording)
    if amplitude is None or is_plausible(amplitude):
        return
    better = likely_unit(amplitude, declared)
    if better is None:
        return
    factor = UV_PER_UNIT[better] / UV_PER_UNIT[declared]
    eeg = [index for index, channel in enumerate(recording.channels) if channel.type == "eeg"]
    recording.uv_per_value[eeg] *= factor
    recording.channels = tuple(
        replace(channel, unit=better) if channel.type == "eeg" else channel for channel in recording.channels
    )
    recording.warnings.append(
        f"read in {better}: the file says {declared}, as its writer always does, and would fluctuate by "
        f"{amplitude:.3g} µV; in {better} it is {amplitude * factor:.3g} µV. Declare `unit: {better}` to confirm"
    )


def _worth_telling(caught: list[warnings.WarningMessage]) -> list[str]:
    """MNE's warnings about the recording, short and once each."""
    texts = []
    for warning in caught:
        text = short(warning.message if isinstance(warning.message, Warning) else RuntimeError(str(warning.message)))
        # of no news: MNE's plans and naming rules, and GDF units, which are read without it
        silent = "naming conventions" in text or "Unsupported physical dimension" in text
        if silent or issubclass(warning.category, (FutureWarning, DeprecationWarning)):
            continue
        texts.append(text)
    return list(dict.fromkeys(texts))
