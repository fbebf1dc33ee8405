"""Mimics of datasets of PhysioNet: Siena, CHB-MIT, EEGMMI, eegmat, Sleep-EDF."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyedflib

from tests.eeg_ingest.recipes.published import Channel, Mimic, Stored, eeg, noise_uv, write_edf

SIENA = tuple(
    "FP1 F3 C3 P3 O1 F7 T3 T5 FC1 FC5 CP1 CP5 F9 FZ CZ PZ FP2 F4 C4 P4 O2 F8 T4 T6 FC2 FC6 CP2 CP6 F10".split()
)
SEIZURES = {
    "PN00": """PN00
Data Sampling Rate: 512 Hz
Channel 5: 1

Seizure n 1
File name: PN00-1.edf
Registration start time: 19.39.33
Registration end time:  19.39.53
Seizure start time: 19.39.38
Seizure end time: 19.39.42

Seizure n 3
File name: PN00-3.edf
Registration start time: 18.28.24
Registration end time: 18.28.44
Seizure start time: 18.28.29
Seizure end time: 19.29.29
""",
    "PN06": """Seizure n1
File name: PNO6-1.edf
Registration start time: 23:59:55
Registration end time: 00:00:15
Start time: 00:00:03
End time: 00:00:09
""",
    "PN10": """Seizure n 4:
File name: PN10-4.5.6.edf
Registration start time: 08.00.00
Registration end time: 08.00.20
Seizure start time: 08:00:01
Seizure end time: 08:00:03
Seizure n 5:
Seizure start time: 08.00.05
Seizure end time: 08.00.06

Seizure n 6
File name: PN10-4.5.6.edf
Seizure start time: 8.00.10
Seizure end time: 8.00.20
""",
}


def write_siena(root: Path) -> None:
    for file, labels in {
        "PN00/PN00-1.edf": [f"EEG {name.capitalize()}" for name in SIENA],
        "PN00/PN00-3.edf": [f"EEG {name.capitalize()}" for name in SIENA],
        "PN06/PN06-1.edf": [f"EEG {name.capitalize()}" for name in SIENA],
        "PN10/PN10-4.5.6.edf": [f"EEG {name}" for name in SIENA],  # capitals in some files
        "PN14/PN14-1.edf": [f"EEG {name}" for name in SIENA],
    }.items():
        others = [Channel("EKG EKG", noise_uv(file, 20 * 512), "uV", 512)]
        others += [Channel(name, noise_uv(file + name, 20 * 512), "uV", 512) for name in ("SPO2", "HR", "1", "2", "MK")]
        write_edf(root / file, eeg(file, labels, 20, 512) + others)
    for subject, text in SEIZURES.items():
        (root / subject / f"Seizures-list-{subject}.txt").write_text(text, encoding="latin-1")


def _siena(subject: str, session: str, *seizures: tuple[float, float], warnings: tuple[str, ...] = ()) -> Stored:
    edges = [0.0, *(edge for seizure in seizures for edge in seizure), 20.0]
    rest = [(start, stop - start, "background") for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    events = [(start, stop - start, "seizure") for start, stop in seizures] + [event for event in rest if event[1]]
    return Stored(subject, session, SIENA, 512, 20, events=tuple(events), warnings=warnings)


SIENA_MIMIC = Mimic(
    "siena",
    write_siena,
    {
        "PN00/PN00-1.edf": _siena("PN00", "1", (5, 9)),
        "PN00/PN00-3.edf": Stored(
            "PN00",
            "3",
            SIENA,
            512,
            20,
            events=((5, 60, "seizure"), (0, 5, "background")),
            warnings=("the end of a seizure is 18.29.29: the list's 19.29.29 is mistyped",),
        ),
        "PN06/PN06-1.edf": _siena("PN06", "1", (8, 14)),
        "PN10/PN10-4.5.6.edf": _siena("PN10", "4.5.6", (1, 3), (5, 6), (10, 20)),
        "PN14/PN14-1.edf": Stored(
            *("PN14", "1", SIENA, 512, 20), warnings=("no labels: there is no Seizures-list-PN14.txt with it",)
        ),
    },
)

CHB = (
    "FP1-F7 F7-T7 T7-P7 P7-O1 FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2 FP2-F8 F8-T8 T8-P8 P8-O2 FZ-CZ CZ-PZ "
    "P7-T7 T7-FT9 FT9-FT10 FT10-T8"
).split()


CHB12 = (
    "C2 C3 C4 C5 C6 CP1 CP2 CP3 CP4 CP5 CP6 CZ F3 F4 F7 F8 FZ FP1 FP2 P3 P4 P7 P8 PZ T7 T8 O1 O2"
).split()  # against CS2, in a few of its files


def write_chb_mit(root: Path) -> None:
    labels = [*CHB, "T8-P8"]
    with_dummies = ["-", *CHB[:4], "-", *CHB[4:], "T8-P8", "ECG", "VNS"]
    for file, names in (
        ("chb01/chb01_01.edf", labels),
        ("chb01/chb01_03.edf", labels),
        ("chb02/chb02_16+.edf", labels),
        ("chb12/chb12_27.edf", [*(f"{name}-CS2" for name in CHB12), "LOC-ROC", "EKG1-EKG2"]),
        ("chb17/chb17a_03.edf", with_dummies),
        ("chb24/chb24_22.edf", labels),
        ("chb03/chb03_01.edf", labels),
    ):
        write_edf(root / file, eeg(file, names, 20, 256), kind=pyedflib.FILETYPE_EDF)
    (root / "chb01" / "chb01_03.edf.seizures").write_bytes(b"\x00\x01")
    head = "Data Sampling Rate: 256 Hz\n\nChannels in EDF Files:\nChannel 1: FP1-F7\n\n"
    blocks = {
        "chb01": "File Name: chb01_01.edf\nFile Start Time: 11:42:54\nFile End Time: 25:42:54\n"
        "Number of Seizures in File: 0\n\nFile Name: chb01_03.edf\nNumber of Seizures in File: 1\n"
        "Seizure Start Time: 7 seconds\nSeizure End Time: 12 seconds\n",
        "chb02": "File Name: chb02_16+.edf\nNumber of Seizures in File: 2\nSeizure 1 Start Time: 1 seconds\n"
        "Seizure 1 End Time: 3 seconds\nSeizure 2 Start Time:  9 seconds\nSeizure 2 End Time: 20 seconds\n",
        "chb12": "File Name: chb12_27.edf\nNumber of Seizures in File: 1\nSeizure Start Time: 3 seconds\n"
        "Seizure End Time: 13 seconds\n",
        "chb17": "Channels changed:\n\nFile Name: chb17a_03.edf\nNumber of Seizures in File: 0\n",
        "chb24": "File Name: chb24_01.edf\nNumber of Seizures in File: 0\n",
    }
    for subject, text in blocks.items():
        (root / subject / f"{subject}-summary.txt").write_text(head + text)


def _chb(subject: str, run: str, *events: tuple[float, float, str], session: str | None = None) -> Stored:
    return Stored(subject, session, tuple(CHB), 256, 20, run, line_freq_hz=60, events=events)


CHB_MIT_MIMIC = Mimic(
    "chb_mit",
    write_chb_mit,
    {
        "chb01/chb01_01.edf": _chb("chb01", "01", (0, 20, "background")),
        "chb01/chb01_03.edf": _chb("chb01", "03", (7, 5, "seizure"), (0, 7, "background"), (12, 8, "background")),
        "chb02/chb02_16+.edf": _chb(
            "chb02",
            "16+",
            *((1, 2, "seizure"), (9, 11, "seizure"), (0, 1, "background"), (3, 6, "background")),
        ),
        "chb12/chb12_27.edf": Stored(
            *("chb12", None, tuple(CHB12), 256, 20, "27"),
            line_freq_hz=60,
            reference="CS2",
            events=((3, 10, "seizure"), (0, 3, "background"), (13, 7, "background")),
        ),
        "chb17/chb17a_03.edf": _chb("chb17", "03", (0, 20, "background"), session="a"),
        "chb24/chb24_22.edf": Stored(
            *("chb24", None, tuple(CHB), 256, 20, "22"),
            line_freq_hz=60,
            warnings=("chb24-summary.txt does not speak of chb24_22.edf",),
        ),
        "chb03/chb03_01.edf": Stored(
            *("chb03", None, tuple(CHB), 256, 20, "01"),
            line_freq_hz=60,
            warnings=("no labels: there is no chb03-summary.txt with it",),
        ),
    },
)

EEGMMI = (
    "Fc5. Fc3. Fc1. Fcz. Fc2. Fc4. Fc6. C5.. C3.. C1.. Cz.. C2.. C4.. C6.. Cp5. Cp3. Cp1. Cpz. Cp2. Cp4. Cp6. Fp1. "
    "Fpz. Fp2. Af7. Af3. Afz. Af4. Af8. F7.. F5.. F3.. F1.. Fz.. F2.. F4.. F6.. F8.. Ft7. Ft8. T7.. T8.. T9.. T10. "
    "Tp7. Tp8. P7.. P5.. P3.. P1.. Pz.. P2.. P4.. P6.. P8.. Po7. Po3. Poz. Po4. Po8. O1.. Oz.. O2.. Iz.."
).split()
TRIALS = ((0.0, 4.2, "T0"), (4.2, 4.1, "T2"), (8.3, 4.1, "T1"))
MEANT = {
    "01": ("eyes open", "T1", "T2"),
    "03": ("rest", "left fist", "right fist"),
    "04": ("rest", "imagined left fist", "imagined right fist"),
    "05": ("rest", "both fists", "both feet"),
    "06": ("rest", "imagined both fists", "imagined both feet"),
}


def write_eegmmi(root: Path) -> None:
    for run in MEANT:
        file = f"files/S001/S001R{run}.edf"
        write_edf(root / file, eeg(file, EEGMMI, 13, 160), TRIALS[:1] if run == "01" else TRIALS)
        (root / f"{file}.event").write_bytes(b"\x00")
    write_edf(root / "files/S088/S088R04.edf", eeg("S088", EEGMMI, 13, 128), TRIALS)
    (root / "RECORDS").write_text("S001/S001R01.edf\n")


def _eegmmi(subject: str, run: str, sfreq_hz: int) -> Stored:
    names = tuple(label.rstrip(".").upper() for label in EEGMMI)
    t0, t1, t2 = MEANT[run]
    events: tuple[tuple[float, float, str], ...] = ((0.0, 4.2, t0), (4.2, 4.1, t2), (8.3, 4.1, t1))
    events = events[:1] if run == "01" else events
    return Stored(subject, None, names, sfreq_hz, 13, run, line_freq_hz=60, events=events)


EEGMMI_MIMIC = Mimic(
    "eegmmi",
    write_eegmmi,
    {f"files/S001/S001R{run}.edf": _eegmmi("S001", run, 160) for run in MEANT}
    | {"files/S088/S088R04.edf": _eegmmi("S088", "04", 128)},
)

EEGMAT = "FP1 FP2 F3 F4 F7 F8 T3 T4 C3 C4 T5 T6 P3 P4 O1 O2 FZ CZ PZ".split()


def write_eegmat(root: Path) -> None:
    for file, seconds in (("Subject00_1.edf", 18), ("Subject00_2.edf", 6), ("Subject01_1.edf", 18)):
        labels = [f"EEG {name.capitalize()}" for name in EEGMAT] + ["EEG A2-A1"]
        ecg = Channel("ECG ECG", noise_uv(file, seconds * 500, 0.3), "mV", 500)
        write_edf(root / file, [*eeg(file, labels, seconds, 500), ecg])
    (root / "subject-info.csv").write_text(
        "Subject,Age,Gender,Recording year,Number of subtractions,Count quality\n"
        "Subject00,21,F,2011,9.7,0\nSubject01,18,F,2011,29.35,1\n"
    )


def _eegmat(subject: str, run: str, seconds: int, *labels: str) -> Stored:
    events = tuple((0.0, float(seconds), label) for label in labels)
    return Stored(subject, None, tuple(EEGMAT), 500, seconds, run, events=events)


EEGMAT_MIMIC = Mimic(
    "eegmat",
    write_eegmat,
    {
        "Subject00_1.edf": _eegmat("Subject00", "1", 18, "rest", "bad counting"),
        "Subject00_2.edf": _eegmat("Subject00", "2", 6, "arithmetic", "bad counting"),
        "Subject01_1.edf": _eegmat("Subject01", "1", 18, "rest", "good counting"),
    },
)

STAGES = ((0.0, 30.0, "Sleep stage W"), (30.0, 30.0, "Sleep stage 4"), (60.0, 30.0, "Sleep stage ?"))
NIGHTS = {
    "sleep-cassette/SC4001": ("SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"),
    "sleep-cassette/SC4002": ("SC4002E0-PSG.edf", "SC4002EC-Hypnogram.edf"),
    "sleep-telemetry/ST7011": ("ST7011J0-PSG.edf", "ST7011JP-Hypnogram.edf"),
}


def write_sleep_edf(root: Path) -> None:
    slow = ("Resp oro-nasal", "EMG submental", "Temp rectal", "Event marker")
    for night, (psg, hypnogram) in NIGHTS.items():
        folder = root / night.partition("/")[0]
        channels = eeg(psg, ["EEG Fpz-Cz", "EEG Pz-Oz", "EOG horizontal"], 90, 100)
        channels += [Channel(label, np.linspace(0, 30, 90), "" if "R" in label else "uV", 1) for label in slow]
        write_edf(folder / psg, channels)
        write_edf(folder / hypnogram, [], STAGES)


SLEEP_EDF_MIMIC = Mimic(
    "sleep_edf",
    write_sleep_edf,
    {
        f"{night.partition('/')[0]}/{psg}": Stored(
            *(night.partition("/")[2][:5], night[-1], ("FPZ", "PZ"), 100, 90),
            line_freq_hz=None,
            events=((0, 30, "W"), (30, 30, "N3"), (60, 30, "Sleep stage ?")),
        )
        for night, (psg, _) in NIGHTS.items()
    },
)

MIMICS = (SIENA_MIMIC, CHB_MIT_MIMIC, EEGMMI_MIMIC, EEGMAT_MIMIC, SLEEP_EDF_MIMIC)
