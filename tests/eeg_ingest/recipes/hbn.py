"""Mimic of HBN-EEG: a BIDS tree of EEGLAB files, 129 channels of which Cz is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import yaml

from tests.eeg_ingest.recipes.published import Mimic, Stored, noise_uv

NET = [*(f"E{number}" for number in range(1, 129)), "Cz"]
RATE_HZ, SECONDS = 500, 4
# EGI's compatibility sheet, by electrode
SITES = yaml.safe_load("""
  {E1: F10, E2: AF8, E3: AF4, E4: F2, E6: FCZ, E9: FP2, E11: FZ, E13: FC1, E15: FPZ, E16: AFZ, E19: F1, E22: FP1,
   E23: AF3, E24: F3, E26: AF7, E27: F5, E28: FC5, E29: FC3, E30: C1, E32: F9, E33: F7, E34: FT7, E36: C3, E37: CP1,
   E38: FT9, E41: C5, E42: CP3, E44: T9, E45: T7, E46: TP7, E47: CP5, E51: P5, E52: P3, E55: CPZ, E57: TP9, E58: P7,
   E60: P1, E62: PZ, E64: P9, E65: PO7, E67: PO3, E70: O1, E72: POZ, E75: OZ, E77: PO4, E83: O2, E85: P2, E87: CP2,
   E90: PO8, E92: P4, E93: CP4, E95: P10, E96: P8, E97: P6, E98: CP6, E100: TP10, E102: TP8, E103: C6, E104: C4,
   E105: C2, E108: T8, E111: FC4, E112: FC2, E114: T10, E116: FT8, E117: FC6, E121: FT10, E122: F8, E123: F6, E124: F4}
""")
STORED = (*(SITES[name] for name in NET if name in SITES), "CZ")
EVENTS = ((0.0, "break cnt"), (1.288, "resting_start"), (2.5, "instructed_toOpenEyes"))


def write_set(path: Path, labels: Sequence[str], events: Sequence[tuple[float, str]] = EVENTS) -> None:
    """Noise, but for Cz; the events are in the file, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    uv = np.array([noise_uv(path.name + label, SECONDS * RATE_HZ) * (label != "Cz") for label in labels])
    raw = mne.io.RawArray(uv * 1e-6, mne.create_info(list(labels), RATE_HZ, "eeg"), verbose="ERROR")
    onsets, texts = zip(*events, strict=True) if events else ((), ())
    raw.set_annotations(mne.Annotations(onsets, [0] * len(onsets), texts))
    mne.export.export_raw(path, raw, verbose="ERROR")


def write_tables(path: Path, *, typed: bool = True) -> None:
    """The tables beside a recording. Release 10 gives neither type nor unit."""
    stem = path.name.removesuffix("_eeg.set")
    rows = "".join(f"{onset_s}\tn/a\t{round(onset_s * RATE_HZ)}\t{text}\tn/a\n" for onset_s, text in EVENTS)
    (path.parent / f"{stem}_events.tsv").write_text("onset\tduration\tsample\tvalue\tevent_code\n" + rows)
    more = "\ttype\tunits" if typed else ""
    lines = "".join(name + ("\tEEG\tuV" if typed else "") + "\n" for name in NET)
    (path.parent / f"{stem}_channels.tsv").write_text(f"name{more}\n{lines}")
    (path.parent / f"{stem}_eeg.json").write_text('{"PowerLineFrequency": 60, "EEGReference": "Cz"}')


FILES = {
    "ds005505/sub-NDARAA075AMK/eeg/sub-NDARAA075AMK_task-RestingState_eeg.set": ("NDARAA075AMK", "RestingState", None),
    "ds005515/sub-NDARAB000AAA/eeg/sub-NDARAB000AAA_task-surroundSupp_run-1_eeg.set": (
        *("NDARAB000AAA", "surroundSupp"),
        "1",
    ),
    "ds005505/sub-NDARWV769JM7/eeg/sub-NDARWV769JM7_task-ThePresent_eeg.set": ("NDARWV769JM7", "ThePresent", None),
}
SIX = "ds005511/sub-NDARZZ000AAA/eeg/sub-NDARZZ000AAA_task-RestingState_eeg.set"


def write_hbn(root: Path) -> None:
    for file, (subject, _, _) in FILES.items():
        write_set(root / file, NET)
        if subject != "NDARWV769JM7":
            write_tables(root / file, typed="ds005515" not in file)
    write_set(root / SIX, NET[:6], ())
    write_tables(root / SIX)
    (root / "ds005505/participants.tsv").write_text("participant_id\tsex\tage\nsub-NDARAA075AMK\tF\t9.1\n")


MIMICS = (
    Mimic(
        "hbn_eeg",
        write_hbn,
        {
            file: Stored(
                *(subject, None, STORED, RATE_HZ, SECONDS),
                run=run,
                line_freq_hz=60.0,
                events=((0.0, 4.0, task), *((onset_s, 0.0, text) for onset_s, text in EVENTS)),
                warnings=(
                    ()
                    if subject != "NDARWV769JM7"
                    else ("the table sub-NDARWV769JM7_task-ThePresent_events.tsv", "the EEG 2025 challenge leaves out")
                ),
            )
            for file, (subject, task, run) in FILES.items()
        },
        {SIX: "expected the 128 electrodes of the HydroCel net, E1 to E128, found 6 channels (E1, E2, E3"},
    ),
)
