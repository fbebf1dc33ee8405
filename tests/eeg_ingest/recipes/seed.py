"""Mimics of the SEED family in Neuroscan CNT: SEED, SEED-GER, SEED-FRA, SEED-V."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from eeg_ingest.recipe import load_recipe

from tests.eeg_ingest.recipes.published import Mimic, Stored, eeg, write_cnt

FILE = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 M1 "
    "TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 M2 P7 P5 P3 P1 PZ P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2 "
    "VEO HEO"
).split()
EEG62 = tuple(name for name in FILE if name not in ("M1", "M2", "VEO", "HEO"))
SECONDS = 8
TRIGGERS = {"seed": [(1000, 1), (4500, 2)], "seed_v": [(1000, 1), (4500, 2)], "seed_ger": [(2000, 4)], "seed_fra": []}


def cnt_mimic(recipe: str, files: Mapping[str, tuple[str, str]], *, count_samples: bool = True) -> Mimic:
    """Files of the first seconds of a session, before its first trial but for the times of the recipe."""

    def write(root: Path) -> None:
        for number, file in enumerate(files):
            channels = eeg(file, [*FILE, "ECG"] if number == 0 else FILE, SECONDS, 1000)
            write_cnt(root / file, channels, TRIGGERS[recipe], count_samples=count_samples)

    stored = {
        file: Stored(
            *(subject, session, EEG62, 1000, SECONDS),
            events=(*_trials(recipe, session), *((sample / 1000, 0.0, str(code)) for sample, code in TRIGGERS[recipe])),
            warnings=(f"trials end after the recording, which ends at {SECONDS} s",),
        )
        for file, (subject, session) in files.items()
    }
    return Mimic(recipe, write, stored)


def _trials(recipe: str, session: str) -> list[tuple[float, float, str]]:
    labels = [
        label for label in load_recipe(recipe).keys["labels"] if label.get("where", {}) in ({}, {"session": session})
    ]
    (trials,) = labels
    times = zip(trials["start_s"], trials["stop_s"], trials["labels"], strict=True)
    return [(start, stop - start, label) for start, stop, label in times]


MIMICS = (
    cnt_mimic(
        "seed",
        {
            "SEED_EEG/SEED_RAW_EEG/1_1.cnt": ("1", "1"),
            "SEED_EEG/SEED_RAW_EEG/15_3.cnt": ("15", "3"),
        },
    ),
    cnt_mimic("seed_ger", {"German/01-EEG-raw/1_1.cnt": ("1", "1")}, count_samples=False),
    cnt_mimic("seed_fra", {"French/01-EEG-raw/8_3.cnt": ("8", "3")}, count_samples=False),
    cnt_mimic(
        "seed_v",
        {
            "EEG_raw/1_1_20180804.cnt": ("1", "1"),
            "EEG_raw/1_2_20180810.cnt": ("1", "2"),
            "EEG_raw/10_3_20180507.cnt": ("10", "3"),
        },
    ),
)
