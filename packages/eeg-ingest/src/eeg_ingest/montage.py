"""Which channels of a recording are EEG, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from fnmatch import fnmatchcase

from eeg_store.channels import VOCABULARY, canonical_name

from eeg_ingest.caps import FAR_MM, cap_electrodes, cap_sites, electrode_number
from eeg_ingest.channel_types import (
    Label,
    is_electrode,
    is_lettered,
    is_lettered_cap,
    is_numbered,
    parse_label,
    parse_labels,
)
from eeg_ingest.recording import Channel, IngestError, Recording


@dataclass(frozen=True)
class LeftOut:
    """A channel that is not stored, and why."""

    name: str
    type: str
    reason: str


@dataclass(frozen=True)
class ChannelChoice:
    """The EEG channels of a recording: `indices` into its channels, unique canonical `names`, and the rest."""

    indices: tuple[int, ...]
    names: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def choose_channels(
    recording: Recording,
    *,
    rename: Mapping[str, str],
    drop: Sequence[str],
    montage: str | None,
    names: Sequence[str] | None = None,
) -> ChannelChoice:
    """Choose the EEG channels that run at the recording's rate, and name them.

    `rename` and `drop` go by the file's label, as it is or with its decoration (`EEG `, `-REF`, dots) stripped; `drop`
    in any case, and by globs. `names` are those of all channels by their order, for labels that tell nothing.
    `montage` is a cap known to MNE, for labels that only count (`E17`, `B32`). Names that the vocabulary lacks are
    kept. A channel without a place is in `left_out` with its reason.

    Raises IngestError if no EEG channel is left, if `names` are too many or too few, or if the montage does not exist.
    """
    labels = _labels(recording, names)
    parsed = parse_labels(labels)
    keys = [(label, label.strip(), read.name) for label, read in zip(labels, parsed, strict=True)]
    dropped = [{wanted for wanted in drop if _fits(wanted, texts)} for texts in keys]
    warnings = _unmatched("rename", rename, {key for texts in keys for key in texts})
    warnings += _unmatched("drop", [wanted for wanted in drop if not _is_glob(wanted)], set().union(*dropped))
    cap = _cap_names(labels, montage, warnings) if montage else {}
    chosen: dict[str, int] = {}
    reasons: dict[int, LeftOut] = {}
    for index in _by_reference(parsed):
        channel, read = recording.channels[index], parsed[index]
        new_name = next((rename[key] for key in keys[index] if key in rename), labels[index] if names else None)
        label = _renamed(new_name) if new_name is not None else Label(cap.get(channel.name, read.name), read.type)
        kind = _kind(channel, read, cap) if new_name is None else (label.type or "eeg")
        reason = None
        if dropped[index]:
            reason = "dropped by the source"
        elif kind != "eeg":
            reason = _reason(channel, kind, read)
        elif channel.unit is None:
            reason = "no voltage, or the header gives no calibration (its minimum equals its maximum)"
        elif channel.sfreq_hz != recording.sfreq_hz:
            reason = f"runs at {channel.sfreq_hz:g} Hz, the other EEG at {recording.sfreq_hz:g} Hz"
        elif new_name is None and channel.name not in cap and is_lettered_cap(labels) and is_lettered(channel.name):
            reason = f"label {channel.name!r} counts the electrodes of a cap: declare `channels: {{montage: ...}}`"
            if montage:
                reason = (
                    f"no free site within {FAR_MM:.0f} mm, and its label {channel.name!r} is the name of another site"
                )
        elif label.name in chosen:
            reason = f"same name as {labels[chosen[label.name]]!r}"
        if reason:
            reasons[index] = LeftOut(channel.name, kind, reason)
        else:
            chosen[label.name] = index
    left_out = tuple(reasons[index] for index in sorted(reasons))
    if not chosen:
        raise IngestError(_none_left(recording, left_out))
    chosen = dict(sorted(chosen.items(), key=lambda item: item[1]))
    counted = [name for name in chosen if is_numbered(name) and name not in VOCABULARY]
    if counted and not montage:
        warnings.append(f"{len(counted)} names only count electrodes ({counted[0]} ...): declare the source's montage")
    return ChannelChoice(tuple(chosen.values()), tuple(chosen), left_out, tuple(warnings))


def _by_reference(parsed: Sequence[Label]) -> list[int]:
    """The channels' indices, those with the reference of most first: of FP1-REF and FP1-LE one is chosen."""
    counts = Counter(label.reference for label in parsed if label.type == "eeg" and label.reference)
    usual = max(counts, key=lambda reference: counts[reference], default=None)
    return sorted(range(len(parsed)), key=lambda index: parsed[index].reference != usual)


def _labels(recording: Recording, names: Sequence[str] | None) -> list[str]:
    labels = [channel.name for channel in recording.channels]
    if names is not None and len(names) != len(labels):
        raise IngestError(
            f"The names of the channels cannot be given: expected {len(names)} channels, found {len(labels)}. "
            "Correct channels.names in sources.yaml."
        )
    return labels if names is None else list(names)


def _is_glob(wanted: str) -> bool:
    return any(mark in wanted for mark in "*?[")


def _fits(wanted: str, texts: Iterable[str]) -> bool:
    folded = wanted.casefold()
    return any(text.casefold() == folded or fnmatchcase(text.casefold(), folded) for text in texts)


def _unmatched(option: str, wanted: Iterable[str], known: Set[str]) -> list[str]:
    return [f"{option} {key!r} matches no channel" for key in wanted if key not in known]


def _renamed(name: str) -> Label:
    """A name that the source gives is a name; only its spelling and type are looked up."""
    label = parse_label(name)
    return label if label.type not in (None, "eeg") else Label(canonical_name(name.strip()), label.type)


def _kind(channel: Channel, read: Label, cap: Mapping[str, str]) -> str:
    """The channel's type; a label that only counts is an electrode of the declared cap, also beside named sites."""
    return "eeg" if channel.type == "misc" and read.type is None and channel.name in cap else channel.type


def _reason(channel: Channel, kind: str, read: Label) -> str:
    if read.type == "ref":
        return "a reference, no electrode of its own"
    if kind == "misc" and read.type is None:
        return f"label {channel.name!r} is no electrode name of the 10-05 system"
    if kind == "misc" and read.type == "eeg":
        return "its unit is no voltage" if channel.unit is None else "the file gives it a type other than EEG"
    return f"type {kind}"


def _none_left(recording: Recording, left_out: Sequence[LeftOut]) -> str:
    types = Counter(channel.type for channel in recording.channels)
    found = ", ".join(f"{count} {kind}" for kind, count in types.most_common()) or "no channels"
    first = f" {left_out[0].name!r}: {left_out[0].reason}." if left_out else ""
    return f"No EEG channel is left: found {found}.{first} Rename or declare channels for the source in sources.yaml."


def _cap_names(labels: Sequence[str], montage: str, warnings: list[str]) -> dict[str, str]:
    """Label -> site, for the labels that count the electrodes of a cap.

    BioSemi's 16, 32 and 64 electrode caps have sites for names and A1 ... B32 on the amplifier: by order.
    Other caps count (`E17`, `17`, `B32`): by position. An electrode without a free site within 20 mm keeps its label,
    unless that is the name of a site.
    """
    electrodes = cap_electrodes(montage)
    if is_lettered_cap(labels) and not is_lettered_cap(electrodes):
        by_order = {f"{chr(65 + i // 32)}{i % 32 + 1}": canonical_name(name) for i, name in enumerate(electrodes)}
        return {label: by_order[label.strip().upper()] for label in labels if label.strip().upper() in by_order}
    by_name = {name.upper(): name for name in electrodes if not is_electrode(name) or is_lettered_cap(electrodes)}
    by_number = {number: name for name in by_name.values() if (number := electrode_number(name)) is not None}
    sites: dict[str, str] = {}
    far = []
    for label in labels:
        electrode = by_name.get(label.strip().upper()) or by_number.get(electrode_number(label) or -1)
        if electrode is None:
            continue
        found = cap_sites(montage)[electrode]
        if found.site is not None:
            sites[label] = found.site
        elif not is_electrode(label):  # on a BioSemi cap the electrode C3 must not pass for the site C3
            sites[label] = label.strip()
            far.append(label.strip())
    if not sites:
        warnings.append(f"montage {montage} knows none of the labels")
    if far:
        warnings.append(
            f"{len(far)} electrodes of {montage} have no free 10-05 site within {FAR_MM:.0f} mm and keep their labels: "
            f"{', '.join(far[:8])}{' ...' if len(far) > 8 else ''}"
        )
    return sites
