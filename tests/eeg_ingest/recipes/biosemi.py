"""Mimics of datasets in BDF: FACED, the two of Trujillo, Emobrain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyedflib

from tests.eeg_ingest.recipes.published import Channel, Mimic, Stored, eeg, write_edf

BIOSEMI = (
    "Fp1 AF7 AF3 F1 F3 F5 F7 FT7 FC5 FC3 FC1 C1 C3 C5 T7 TP7 CP5 CP3 CP1 P1 P3 P5 P7 P9 PO7 PO3 O1 Iz Oz POz Pz CPz "
    "Fpz Fp2 AF8 AF4 AFz Fz F2 F4 F6 F8 FT8 FC6 FC4 FC2 FCz Cz C2 C4 C6 T8 TP8 CP6 CP4 CP2 P2 P4 P6 P8 P10 PO8 PO4 O2"
).split()
NAMES = tuple(name.upper() for name in BIOSEMI)
FACED = "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2".split()


def write_biosemi(path: Path, labels: list[str], sfreq_hz: int, triggers: dict[int, int]) -> None:
    """Raw values against CMS, tens of millivolt away; a Status channel of codes from these samples on."""
    status = np.zeros(10 * sfreq_hz)
    for sample, code in triggers.items():
        status[sample : sample + 5] = code
    channels = eeg(path.name, labels, 10, sfreq_hz, offset_uv=-18_000)
    write_edf(path, [*channels, Channel("Status", status, "", sfreq_hz)], kind=pyedflib.FILETYPE_BDF)


def write_raw(root: Path) -> None:
    externals = [f"EXG{number}" for number in range(1, 9)]
    for name in ("II_II_S1", "II_RBII_S1", "II_II_S10"):
        write_biosemi(root / f"EEG_Cat_Study4_{name}.bdf", [*BIOSEMI, *externals], 256, {300: 7})


def write_resting(root: Path) -> None:
    externals = "M1 M2 LO1 LO2 IO1 SO1 A1 A2".split()  # the names of the eight are not known
    for subject in (1, 10, 2):
        write_biosemi(root / f"EEG_Cat_Study4_Resting_S{subject}.bdf", [*BIOSEMI, *externals], 256, {})
    (root / "MANIFEST.TXT").write_text("readme")


TRIGGER = ((300 / 256, 0.0, "7"),)
RAW_MIMIC = Mimic(
    "raw_eeg_data",
    write_raw,
    {
        f"EEG_Cat_Study4_{name}.bdf": Stored(subject, task, NAMES, 256, 10, line_freq_hz=60, events=TRIGGER)
        for name, subject, task in (("II_II_S1", "1", "II"), ("II_RBII_S1", "1", "RBII"), ("II_II_S10", "10", "II"))
    },
)
RESTING_MIMIC = Mimic(
    "resting_state_eeg_data",
    write_resting,
    {
        f"EEG_Cat_Study4_Resting_S{subject}.bdf": Stored(str(subject), None, NAMES, 256, 10, line_freq_hz=60)
        for subject in (1, 10, 2)
    },
)

EMOBRAIN = {
    "Part1_IAPS_SES1_EEG_fNIRS_03082006.bdf": ("1", "1"),
    "PART5_IAPS_SES3_EEG_FNIRS_10082006.bdf": ("5", "3"),
    "part2_iaps_ses1_eeg_fnirs_04082006.BDF": ("2", "1"),
    "Part4_IAPS_SES2_EEG_fNIRS_09082006.bdf": ("4", "2"),
}
BLOCKS = {"1": ((1, 2, "Calm"), (4, 4, "Neg")), "2": (), "3": ((1, 2, "Neg"), (4, 4, "Pos"))}
WITHOUT_FNIRS = tuple(name for name in NAMES if name not in "FP1 FPZ FP2 AF7 AFZ AF8 F5 F6 F7 F8".split())


def write_emobrain(root: Path) -> None:
    folder = root / "Data" / "EEG"
    labels = [*BIOSEMI, "EXG1", "GSR1", "Erg1", "Resp", "Plet", "Temp", "GSR2", "Erg2"]
    for file in EMOBRAIN:
        names = [label.upper() for label in labels] if file.startswith("part2") else labels
        write_biosemi(folder / file, names, 1024, {})
        if not file.startswith("Part4"):
            (folder / f"{file}.mrk").write_text(
                'TL02\n1024\t1024\t"1"\n3072\t3072\t"1"\n4096\t4096\t"1"\n8192\t8192\t"1"\n8192\t8192\t"1"\n'
            )
    (root / "Data" / "Common").mkdir()
    (root / "Data" / "Common" / "IAPS_Classes_EEG_fNIRS.txt").write_text("Calm\tPos\tNeg\nNeg\tCalm\tPos\n")


EMOBRAIN_MIMIC = Mimic(
    "emobrain",
    write_emobrain,
    {
        f"Data/EEG/{file}": Stored(
            *(subject, session, WITHOUT_FNIRS, 1024, 10),
            events=BLOCKS[session],
            warnings=("no labels: there is no Part4_IAPS_SES2_EEG_fNIRS_09082006.bdf.mrk with it",) * (session == "2"),
        )
        for file, (subject, session) in EMOBRAIN.items()
    },
)


def write_faced(root: Path) -> None:
    """The same kind of numbers: in µV as declared, in V as declared, in µV though the header says V or nothing."""
    labels = [*FACED, "A2", "A1"]
    marks = ((0, 0, "3"), (1, 0, "101"), (9, 0, "102"), (10, 0, "28"), (11, 0, "101"), (14, 0, "102"), (15, 0, "102"))
    for subject, unit, factor, sfreq_hz in (
        *(("sub000", "uV", 1.0, 250), ("sub001", "V", 1e-6, 1000), ("sub002", "V", 1.0, 250), ("sub003", "", 1.0, 250)),
        ("sub004", "", 1e-6, 250),
    ):
        channels = eeg(subject, labels, 16, sfreq_hz) + eeg(subject, ["HEOL", "HEOR"], 16, sfreq_hz)
        folder = root / "Data" / subject
        made = [Channel(c.label, c.values * factor, unit, sfreq_hz) for c in channels]
        write_edf(folder / "data.bdf", made, kind=pyedflib.FILETYPE_BDFPLUS)
        if subject != "sub004":
            write_edf(folder / "evt.bdf", [], marks, kind=pyedflib.FILETYPE_BDFPLUS)
        (folder / "recordInformation.json").write_text("{}")


CLIPS = ((1.0, 8.0, "anger"), (11.0, 3.0, "tenderness"))
MARKS = ((0, "3"), (1, "101"), (9, "102"), (10, "28"), (11, "101"), (14, "102"), (15, "102"))
LABELLED = (*CLIPS, *((onset_s, 0.0, label) for onset_s, label in MARKS))
STRAY = "the end at 15 s in evt.bdf has no clip or no start"
UNIT = "which makes EEG of its numbers; the file declares"
FACED_MIMIC = Mimic(
    "faced",
    write_faced,
    {
        f"Data/{subject}/data.bdf": Stored(
            *(subject, None, tuple(name.upper() for name in FACED), sfreq_hz, 16),
            unit=unit,
            events=events,
            warnings=warnings,
        )
        for subject, unit, sfreq_hz, events, warnings in (
            ("sub000", "uV", 250, LABELLED, (STRAY,)),
            ("sub001", "V", 1000, LABELLED, (STRAY,)),
            ("sub002", "uV", 250, LABELLED, (STRAY, f"read in uV, {UNIT} V, which would")),
            ("sub003", "uV", 250, LABELLED, (STRAY, f"read in uV, {UNIT} none")),
            ("sub004", "V", 250, (), ("no labels: there is no evt.bdf with it", f"read in V, {UNIT} none")),
        )
    },
)

MIMICS = (RAW_MIMIC, RESTING_MIMIC, EMOBRAIN_MIMIC, FACED_MIMIC)
