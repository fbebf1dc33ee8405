"""Which channels of a recording are EEG, and what they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eeg_store.channels import VOCABULARY, canonical_name

from eeg_ingest.caps import FAR_MM, cap_names, site_of_electrode
from eeg_ingest.channel_types import Label, is_lettered, is_lettered_cap, is_numbered, parse_label, parse_labels
from eeg_ingest.recording import IngestError, Recording


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
    recording: Recording, *, rename: Mapping[str, str], drop: Sequence[str], montage: str | None
) -> ChannelChoice:
    """Choose the EEG channels that run at the recording's rate, and name them.

    `rename` and `drop` go by the file's label, as it is or with its decoration (`EEG `, `-REF`, dots) stripped.
    `montage` is a cap known to MNE, for labels that only count (`E17`, `B32`). Names that the vocabulary lacks are
    kept. A channel without a place is in `left_out` with its reason.

    Raises IngestError if no EEG channel is left, or if the montage does not exist.
    """
    labels = [channel.name for channel in recording.channels]
    parsed = parse_labels(labels)
    keys = [{label, label.strip(), read.name} for label, read in zip(labels, parsed, strict=True)]
    warnings = [
        f"{what} {key!r} matches no channel"
        for what, wanted in (("rename", rename), ("drop", drop))
        for key in wanted
        if not any(key in names for names in keys)
    ]
    cap = _cap_sites(labels, montage, warnings) if montage else {}
    lettered = is_lettered_cap(labels) and not cap
    chosen: dict[str, int] = {}
    left_out = []
    for index, (channel, read) in enumerate(zip(recording.channels, parsed, strict=True)):
        new_name = next((rename[key] for key in (channel.name, channel.name.strip(), read.name) if key in rename), None)
        label = _renamed(new_name) if new_name is not None else Label(cap.get(read.name.upper(), read.name), read.type)
        kind = channel.type if new_name is None else (label.type or "eeg")
        reason = None
        if keys[index] & set(drop):
            reason = "dropped by the source"
        elif kind != "eeg":
            reason = _reason(channel.name, kind, read)
        elif channel.sfreq_hz != recording.sfreq_hz:
            reason = f"runs at {channel.sfreq_hz:g} Hz, the other EEG at {recording.sfreq_hz:g} Hz"
        elif lettered and new_name is None and is_lettered(channel.name):
            reason = f"label {channel.name!r} counts the electrodes of a cap: declare `channels: {{montage: ...}}`"
        elif label.name in chosen:
            reason = f"same name as {labels[chosen[label.name]]!r}"
        if reason:
            left_out.append(LeftOut(channel.name, kind, reason))
        else:
            chosen[label.name] = index
    if not chosen:
        raise IngestError(_none_left(recording, left_out))
    counted = [name for name in chosen if is_numbered(name) and name not in VOCABULARY]
    if counted and not montage:
        warnings.append(
            f"{len(counted)} names only count electrodes ({', '.join(counted[:3])} ...): declare the montage"
        )
    return ChannelChoice(tuple(chosen.values()), tuple(chosen), tuple(left_out), tuple(warnings))


def _renamed(name: str) -> Label:
    """A name that the source gives is a name; only its spelling and type are looked up."""
    label = parse_label(name)
    return label if label.type not in (None, "eeg") else Label(canonical_name(name.strip()), label.type)


def _reason(name: str, kind: str, read: Label) -> str:
    if read.type == "ref":
        return "a reference, no electrode of its own"
    if kind == "misc" and read.type is None:
        return f"label {name!r} is no electrode name of the 10-05 system"
    if kind == "misc" and read.type == "eeg":
        return "its unit is no voltage"
    return f"type {kind}"


def _none_left(recording: Recording, left_out: Sequence[LeftOut]) -> str:
    types = Counter(channel.type for channel in recording.channels)
    found = ", ".join(f"{count} {kind}" for kind, count in types.most_common()) or "no channels"
    first = f" {left_out[0].name!r}: {left_out[0].reason}." if left_out else ""
    return f"No EEG channel is left: found {found}.{first} Rename or declare channels for the source in sources.yaml."


def _cap_sites(labels: Sequence[str], montage: str, warnings: list[str]) -> dict[str, str]:
    """Upper-case cap label -> site name, for the labels of the file that the cap knows.

    Caps whose electrodes MNE names by position (biosemi16, 32 and 64) carry A1, A2 ... on the amplifier: by order.
    Others go by position; an electrode farther than 20 mm from any free site keeps its own name, with a warning.
    """
    electrodes = cap_names(montage)
    present = {label.strip().upper() for label in labels}
    if is_lettered_cap(labels) and "A3" not in {name.upper() for name in electrodes}:
        return {
            f"{'ABCDEFGH'[index // 32]}{index % 32 + 1}": canonical_name(name) for index, name in enumerate(electrodes)
        }
    if not any(name.upper().startswith(("E", "A", "1")) and name[-1].isdigit() for name in electrodes[:3]):
        return {}
    sites: dict[str, str] = {}
    far = []
    for electrode, (site, distance_mm) in site_of_electrode(montage).items():
        if electrode.upper() not in present:
            continue
        if distance_mm > FAR_MM:
            far.append(f"{electrode} ({distance_mm:.0f} mm from {site})")
        else:
            sites[electrode.upper()] = site
    if far:
        warnings.append(f"{len(far)} electrodes of {montage} are far from any free site: {', '.join(far)}")
    if not sites:
        warnings.append(f"montage {montage} knows none of the labels")
    return sites
