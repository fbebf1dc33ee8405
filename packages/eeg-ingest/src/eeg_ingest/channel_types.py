"""What a channel label says: electrode, reference, type of signal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from eeg_store.channels import VOCABULARY, canonical_name

from eeg_ingest.recording import ChannelType
from eeg_ingest.sites import site_names

# Ends of a pair that are a reference and no second electrode: C4-A1, Fp1-LE, Fp1-M1Ref, FP1-AVG, F3-A1+A2, Fp1-G2.
_BOTH_EARS = r"\(?[am]1[+/&,]?[am]2\)?"
_REFERENCE = re.compile(
    rf"([am][12]|{_BOTH_EARS}|le|ler|ears?|linked\w*|ar|v?ref\d?|cref|cle|avg|aver\w*|av|car|nose|com(mon)?|gnd|org|cs\d"
    r"|g\d{1,2}|lm|rm)(ref)?",
    re.IGNORECASE,
)
# Other ways to write them: F3_M2, C4/A1, Fp1 Ref, C4A1
_SITE_AND_REFERENCE = re.compile(rf"([a-z]+[0-9z]\w*?)(?:[\s_/:]+(\S+)|([am][12]|{_BOTH_EARS}))", re.IGNORECASE)
_EARS = ("a1", "a2", "m1", "m2")
_LETTERED = re.compile(r"[A-H]\d{1,2}", re.IGNORECASE)
# EDF+ labels start with the type of signal (Kemp & Olivan 2003, section 2.1.3); POL is Nihon Kohden's "no type".
_PREFIX = re.compile(r"(EEG|POL|SEEG|ECG|EKG|EOG|EMG)[\s_:]+|(EEG)[-_ ]+(?=[A-Za-z])", re.IGNORECASE)
_PREFIX_TYPE: dict[str, ChannelType] = {"ECG": "ecg", "EKG": "ecg", "EOG": "eog", "EMG": "emg", "SEEG": "misc"}
_EAR_WORDS = r"(left|right|l|r)[\s_]?(ear|mastoid|mast)\w*"
_TYPE_PATTERNS: dict[ChannelType, tuple[str, ...]] = {
    "ecg": (r"\w*(ECG|EKG)\w*",),
    "eog": (r"\w*EOG\w*", r"[VH]EO[GLRUD]?\w{0,2}", r"[LR]OC", r"(left|right|l|r)[\s_]?eye\w*"),
    "emg": (r"\w*EMG\w*", r"[lr]?chin\w*", r"(left|right|l|r)?[\s_]?(leg|tib)[\s_/]?\w*"),
    "stim": (
        *(r"status", r"sti ?\d*", r"stim\w*", r"trig\w*", r"trg", r"marker\w*", r"events?", r"din\d*", r"photic"),
        *(r"mk", r"mark\d+", r"sync\w*", r"digital\w*", r"annotations?"),
    ),
    "ref": (r"vref", r"ref\d*", r"gnd", r"cms?", r"drl", r"rld", r"reference", r"ground", r"com", _EAR_WORDS),
    "misc": (
        *(r"(acc|gyro|gyr|mag|quat)[\s_]*[xyz0-9]?\w*", r"[xyz][\s_-]?(acc|dir|axis)\w*", r"\w*counter"),
        *(r"battery\w*", r"(raw_)?cq(_\w+)?", r"packet\w*", r"timestamp\w*", r"dc\d+", r"aux[\s_]?\w*", r"misc\w*"),
        *(r"s[ap]o2\w*", r"osat", r"o2[\s_-]?sat\w*", r"hr", r"pr", r"pulse\w*", r"plet\w*", r"ppg\w*", r"bvp"),
        *(r"resp(\b.*|\w*)", r"(air)?flow\w*", r"thor\w*", r"abd\w*", r"chest\w*", r"snor\w*", r"(et)?co2\w*"),
        *(r"pos(ition)?", r"light\w*", r"temp\w*", r"gsr\w*", r"scr\w*", r"eda\w*", r"impedance\w*", r"interpolated"),
        *(r"ibi", r"bursts", r"suppr", r"ex[gt]\d+", r"bip\d+", r"erg\d+", r"bio\d*", r"pg[12]", r"reref", r"na\d*"),
        *(r"unused\w*", r"sample([\s_]index)?"),
    ),
}
_TYPES = {kind: re.compile("|".join(patterns), re.IGNORECASE) for kind, patterns in _TYPE_PATTERNS.items()}
_NUMBERED = re.compile(r"(eeg|ch|chan|channel|elec|electrode|e|[a-h])?[\s_.-]*0*(\d{1,3})", re.IGNORECASE)
_NET = re.compile(r"E\d{1,3}", re.IGNORECASE)
_MIN_NET = 8  # electrodes; E1 and E2 alone are the eyes of a sleep recording
_MIN_PAIRS = 5  # that end in one electrode, to make it their reference


@dataclass(frozen=True)
class Label:
    """A channel label taken apart. `name` is the electrode (or pair), in the vocabulary's spelling where it has it."""

    name: str
    type: ChannelType | None
    reference: str | None = None


@cache
def _sites() -> dict[str, str]:
    """Electrode names of the 10-05 system, by their lower case: the vocabulary's single sites and MNE's."""
    names = {name.lower(): name for name in site_names()}
    return names | {name.lower(): name for name in VOCABULARY if "-" not in name}


def is_electrode(name: str) -> bool:
    """True for the name of a 10-05 site or a single name of the vocabulary, whatever its case."""
    return name.lower() in _sites()


def is_numbered(name: str) -> bool:
    """True for names that only count: `1`, `E17`, `B32`, `EEG 003`, `Channel 5`."""
    return _NUMBERED.fullmatch(name) is not None


def parse_label(label: str) -> Label:
    """Take a file's label apart: `EEG Fp1-REF` is FP1 against REF, `Fc5.` is FC5, `ECG ECG` is an ECG.

    `type` is None where the label does not tell: no electrode, no known kind of signal.
    A pair of two electrodes (`FP1-F7`) is one bipolar EEG channel; a pair of two references (`A2-A1`) is `ref`.
    """
    text = re.sub(r"\s+", " ", label.replace("\x00", " ")).strip().rstrip(".").strip()
    prefix = _PREFIX.match(text)
    if prefix:
        rest = text[prefix.end() :].strip()
        kind = _PREFIX_TYPE.get((prefix.group(1) or prefix.group(2)).upper())
        return Label(rest or text, kind) if kind else _undecorated(rest)
    return _undecorated(text)


def _undecorated(text: str) -> Label:
    """A label without its prefix: a site, a site against a reference, a pair of sites, or something else."""
    first, _, second = (part.strip().rstrip(".") for part in text.partition("-"))
    second = re.sub(r"-\d$", "", second)  # MNE counts channels of one name: T8-P8-0, T8-P8-1
    if not second or is_electrode(text):
        return _with_reference(text) or _single(text, None)
    if first.lower() in _EARS and second.lower() in _EARS:
        return Label(text, "ref")
    if _REFERENCE.fullmatch(second):
        return _single(first, re.sub(r"(?i)(?<=[0-9])ref$", "", second))
    if is_electrode(first) and is_electrode(second):
        return Label(canonical_name(f"{canonical_name(first)}-{canonical_name(second)}"), "eeg")
    kind = _single(text, None).type or _single(first, None).type  # X-axis, EKG1-EKG2
    return Label(text, kind if kind != "eeg" else None)


def _with_reference(text: str) -> Label | None:
    """A site and its reference without a dash between them."""
    match = _SITE_AND_REFERENCE.fullmatch(text)
    if match is None or is_electrode(text) or not is_electrode(match[1]):
        return None
    reference = match[2] or match[3]
    return _single(match[1], reference) if _REFERENCE.fullmatch(reference) else None


def _single(name: str, reference: str | None) -> Label:
    if is_electrode(name):
        return Label(canonical_name(name), "eeg", reference)
    for kind, pattern in _TYPES.items():
        if pattern.fullmatch(name):
            return Label(name, kind, reference)
    return Label(name, None, reference)


def is_lettered_cap(labels: Sequence[str]) -> bool:
    """True where labels are BioSemi's A1, A2 ... B32: their A1 is no ear and their C3 is not the site C3."""
    names = {label.strip().upper() for label in labels}
    return {"A3", "A4"} <= names


def is_lettered(label: str) -> bool:
    """True for `A1` to `H32`, the names on a lettered cap."""
    return _LETTERED.fullmatch(label.strip()) is not None


def parse_labels(labels: Sequence[str]) -> list[Label]:
    """Take all labels of a file apart, in its context.

    On a lettered cap (BioSemi) the names count electrodes and are no sites. Names that only count (`1`, `E17`,
    `Channel 5`) are EEG where the file names no site at all, and unused inputs where it does; but a net of `E1`, `E2`,
    ... may name its vertex Cz. Pairs that all end in one electrode (`F3-Pz`, `O1-Pz` ...) are electrodes against it.
    """
    lettered = is_lettered_cap(labels)
    parsed = [
        Label(label.strip(), "eeg") if lettered and is_lettered(label) else parse_label(label) for label in labels
    ]
    pairs = [label.name.partition("-") for label in parsed if label.type == "eeg" and "-" in label.name]
    if len(pairs) >= _MIN_PAIRS and len({second for _, _, second in pairs}) == 1:
        parsed = [_against(label) if label.type == "eeg" and "-" in label.name else label for label in parsed]
    sites = {label.name for label in parsed if label.type == "eeg"}
    of_net = sum(1 for label in parsed if _NET.fullmatch(label.name))
    if sites and not (sites == {"CZ"} and of_net >= _MIN_NET):
        return parsed
    counts = _NET if sites else _NUMBERED
    return [
        Label(label.name, "eeg", label.reference) if label.type is None and counts.fullmatch(label.name) else label
        for label in parsed
    ]


def _against(pair: Label) -> Label:
    first, _, second = pair.name.partition("-")
    return Label(first, "eeg", second)


def type_labels(labels: Sequence[str]) -> list[ChannelType]:
    """Types of the channels of a file that gives none; a label that tells nothing is `misc`."""
    return [label.type or "misc" for label in parse_labels(labels)]


def common_reference(labels: Sequence[str]) -> str | None:
    """The reference that all labels name, or None."""
    references = {label.reference for label in parse_labels(labels)}
    return references.pop() if len(references) == 1 else None
