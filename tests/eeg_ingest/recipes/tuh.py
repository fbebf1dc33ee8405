"""Mimics of the datasets of Temple University Hospital: one family of trees, names and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.eeg_ingest.recipes.published import Channel, Mimic, Stored, eeg, noise_uv, write_edf

SITES = tuple("FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 A1 A2 FZ CZ PZ".split())
ALL = (*SITES, "T1", "T2")
WITHOUT_EARS = tuple(site for site in SITES if site not in ("A1", "A2"))
SECONDS = 24

# The headers of aaaaakpu: 01_tcp_ar of 2010, 03_tcp_ar_a of 2010
OTHERS = "EEG ROC-REF,EEG LOC-REF,EEG EKG1-REF,EMG-REF,EEG 26-REF,EEG 27-REF,EEG C3P-REF,EEG SP1-REF".split(",")
AR = [*(f"EEG {site}-REF" for site in SITES), *OTHERS, "EEG T1-REF", "EEG T2-REF", "PHOTIC-REF"]
AR_A = [*(f"EEG {site}-REF" for site in WITHOUT_EARS), *(f"EEG {number}-REF" for number in range(20, 33))]
LE = [f"EEG {site}-LE" for site in SITES]
TWINS = ["EEG FP1-LE", "EEG F3-LE", *AR, "EEG F3-LE", "EEG OZ-LE"]  # those of -REF are taken, and OZ, which has no twin


def write_tuh(path: Path, labels: Sequence[str], sfreq_hz: int = 250, seconds: int = SECONDS) -> None:
    """EEG, and the channels at 1 Hz that an amplifier for monitoring adds."""
    slow = (("IBI", "sec"), ("BURSTS", "brst/min"), ("SUPPR", "%"))
    channels = [Channel(label, noise_uv(path.name + label, seconds), unit, 1) for label, unit in slow]
    name = "/".join(path.parts[-4:])  # a recording that is in two datasets would be a duplicate
    write_edf(path, [*eeg(name, labels, seconds, sfreq_hz), *channels])


def write_csv(path: Path, *rows: tuple[str, float, float, str], more: str = "") -> None:
    """A table of NEDC, as its header is since 2022."""
    text = f"# version = csv_v1.0.0\n# bname = {path.stem}\n# duration = {SECONDS}.00 secs\n"
    text += f"# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n{more}#\n"
    text += "channel,start_time,stop_time,label,confidence\n"
    path.write_text(text + "".join(f"{c},{start:.4f},{stop:.4f},{label},1.0000\n" for c, start, stop, label in rows))


def write_tse(path: Path, *rows: tuple[float, float, str]) -> None:
    """A table as it was before."""
    lines = [f"{start:.4f} {stop:.4f} {label} 1.0000" for start, stop, label in rows]
    path.write_text("version = tse_v1.0.0\n\n" + "\n".join(lines) + "\n")


def tuh(
    subject: str,
    session: str | None,
    run: str | None,
    channels: tuple[str, ...] = ALL,
    reference: str = "ar",
    *events: tuple[float, float, str],
    sfreq_hz: int = 250,
    warnings: tuple[str, ...] = (),
    seconds: int = SECONDS,
) -> Stored:
    return Stored(
        *(subject, session, channels, sfreq_hz, seconds),
        run=run,
        line_freq_hz=60.0,
        reference=reference,
        events=events,
        warnings=warnings,
    )


def write_tuar(root: Path) -> None:
    """Six lines of comment, times past the end, a release with more folders, and a table that is missing."""
    ar, old = root / "edf" / "01_tcp_ar", root / "edf" / "01_tcp_ar" / "007" / "00000715" / "s010_2014_08_07"
    write_tuh(ar / "aaaaaaju_s005_t000.edf", AR)
    write_csv(
        ar / "aaaaaaju_s005_t000.csv",
        *(("FP1-F7", 1.5, 3.25, "eyem"), ("F7-T3", 1.5, 3.25, "eyem"), ("T4-A2", 20, 31, "musc_elec")),
        ("C3-CZ", 30, 31, "chew"),
        more="# key = of TUAR\n",
    )
    write_csv(ar / "aaaaaaju_s005_t000_seiz.csv", ("FP1-F7", 4, 5, "fnsz"), more="# key = of TUAR\n")
    write_tuh(old / "00000715_s010_t001.edf", TWINS, 256)
    write_csv(old / "00000715_s010_t001.csv", ("FP1-F7", 0, 1, "shiv"))
    write_tuh(root / "edf/03_tcp_ar_a/aaaaaaju_s006_t000.edf", AR_A, 400)
    write_csv(root / "edf/03_tcp_ar_a/aaaaaaju_s006_t000.csv")
    write_tuh(root / "edf/02_tcp_le/aaaaaalq_s001_t000.edf", LE)


TUAR_MIMIC = Mimic(
    "tuar",
    write_tuar,
    {
        "edf/01_tcp_ar/aaaaaaju_s005_t000.edf": tuh(
            *("aaaaaaju", "s005", "t000", ALL, "ar"),
            *((1.5, 1.75, "eyem FP1-F7"), (1.5, 1.75, "eyem F7-T3"), (4, 1, "fnsz FP1-F7")),
            *((20, 11, "musc_elec T4-A2"), (30, 1, "chew C3-CZ")),
        ),
        "edf/01_tcp_ar/007/00000715/s010_2014_08_07/00000715_s010_t001.edf": tuh(
            *("00000715", "s010", "t001", (*ALL, "OZ"), "ar"), (0, 1, "shiv FP1-F7"), sfreq_hz=256
        ),
        "edf/03_tcp_ar_a/aaaaaaju_s006_t000.edf": tuh("aaaaaaju", "s006", "t000", WITHOUT_EARS, sfreq_hz=400),
    },
    {"edf/02_tcp_le/aaaaaalq_s001_t000.edf": "expected the table aaaaaalq_s001_t000.csv beside the recording"},
)


def write_tuep(root: Path) -> None:
    """Linked ears, no folder edf; a recording of the old release, which has no tables, and one of the new."""
    write_tuh(root / "00_epilepsy/aaaaaanr/s001_2003/02_tcp_le/aaaaaanr_s001_t000.edf", LE)
    new = root / "01_no_epilepsy/aaaaaawu/s002_2004_11_02/04_tcp_le_a"
    write_tuh(new / "aaaaaawu_s002_t001.edf", [f"EEG {site}-LE" for site in WITHOUT_EARS], 256)
    write_csv(new / "aaaaaawu_s002_t001.csv_bi", ("TERM", 0, 24, "bckg"))
    write_csv(new / "aaaaaawu_s002_t001.csv", ("FP1-F7", 0, 24, "bckg"))


TUEP_MIMIC = Mimic(
    "tuep",
    write_tuep,
    {
        "00_epilepsy/aaaaaanr/s001_2003/02_tcp_le/aaaaaanr_s001_t000.edf": tuh(
            *("aaaaaanr", "s001", "t000", SITES, "le"),
            (0, 24, "epilepsy"),
            warnings=("the table aaaaaanr_s001_t000.csv_bi beside", "the table aaaaaanr_s001_t000.csv beside"),
        ),
        "01_no_epilepsy/aaaaaawu/s002_2004_11_02/04_tcp_le_a/aaaaaawu_s002_t001.edf": tuh(
            *("aaaaaawu", "s002", "t001", WITHOUT_EARS, "le"),
            *((0, 24, "no_epilepsy"), (0, 24, "bckg"), (0, 24, "bckg FP1-F7")),
            sfreq_hz=256,
        ),
    },
)


def write_tusz(root: Path) -> None:
    """A table of the seizure alone, one with all, and the tables of an old release; 400 Hz; IBI, BURSTS, SUPPR."""
    train = root / "edf/train/aaaaakpu/s001_2010/01_tcp_ar/aaaaakpu_s001_t000.edf"
    write_tuh(train, AR)
    write_csv(train.with_suffix(".csv_bi"), ("TERM", 11.0645, 21.1083, "seiz"))
    dev = root / "edf/dev/00009578/s002_2013_03_28/02_tcp_le/00009578_s002_t001.edf"
    write_tuh(dev, LE, 512)
    write_tse(dev.with_suffix(".tse_bi"), (0, 11.5, "bckg"), (11.5, 24, "seiz"))
    write_tse(dev.with_suffix(".tse"), (0, 11.5, "bckg"), (11.5, 24, "gnsz"))
    test = root / "edf/eval/aaaaaajy/s003_2012/03_tcp_ar_a/aaaaaajy_s003_t000.edf"
    write_tuh(test, AR_A, 400)
    write_csv(test.with_suffix(".csv_bi"), ("TERM", 0, 10.3333, "bckg"), ("TERM", 10.3333, 24, "seiz"))
    write_csv(test.with_suffix(".csv"), ("FP1-F7", 0, 10.3333, "bckg"), ("FP1-F7", 10.3333, 24, "fnsz"))
    (root / "DOCS").mkdir()
    (root / "DOCS/01_tcp_ar_montage.txt").write_text("montage = 0, FP1-F7: EEG FP1-REF -- EEG F7-REF\n")


TUSZ_MIMIC = Mimic(
    "tusz",
    write_tusz,
    {
        "edf/train/aaaaakpu/s001_2010/01_tcp_ar/aaaaakpu_s001_t000.edf": tuh(
            *("aaaaakpu", "s001", "t000", ALL, "ar"),
            *((0, 11.0645, "bckg"), (11.0645, 10.0438, "seiz"), (21.1083, 2.8917, "bckg")),
            warnings=("the table aaaaakpu_s001_t000.csv or aaaaakpu_s001_t000.tse beside",),
        ),
        "edf/dev/00009578/s002_2013_03_28/02_tcp_le/00009578_s002_t001.edf": tuh(
            *("00009578", "s002", "t001", SITES, "le"),
            *((0, 11.5, "bckg"), (11.5, 12.5, "seiz"), (0, 11.5, "bckg"), (11.5, 12.5, "gnsz")),
            sfreq_hz=512,
        ),
        "edf/eval/aaaaaajy/s003_2012/03_tcp_ar_a/aaaaaajy_s003_t000.edf": tuh(
            *("aaaaaajy", "s003", "t000", WITHOUT_EARS, "ar"),
            *((0, 10.3333, "bckg"), (10.3333, 13.6667, "seiz")),
            *((0, 10.3333, "bckg FP1-F7"), (10.3333, 13.6667, "fnsz FP1-F7")),
            sfreq_hz=400,
        ),
    },
    splits={"seizure": {"train": {"aaaaakpu"}, "val": {"00009578"}, "test": {"aaaaaajy"}}},
)


def write_tusl(root: Path) -> None:
    """Events of 10 s; a stale folder of the same session; tables without a recording; a release with other tables."""
    folder = root / "edf/aaaaaaju/s005_2010/01_tcp_ar"
    write_tuh(folder / "aaaaaaju_s005_t000.edf", AR)
    write_csv(folder / "aaaaaaju_s005_t000.csv", ("FP1-F7", 2, 12, "slow"), ("F7-T3", 2, 12, "slow"))
    for name in ("aaaaaaju_s005_t000.tse_agg", "aaaaaaju_s005_t001.tse_agg"):
        write_tse(folder / name, (2, 12, "slow"))
    (folder / "aaaaaaju_s005_t000.lbl_agg").write_text("version = lbl_v1.0.0\n")
    (root / "edf/aaaaaaju/s005_2010_11_15/01_tcp_ar").mkdir(parents=True)
    old = root / "edf/00000258/s001_2003_07_21/02_tcp_le/00000258_s001_t000.edf"
    write_tuh(old, LE)
    write_tse(old.with_suffix(".tse_agg"), (0, 10, "bckg"), (12, 22, "seiz"))


TUSL_MIMIC = Mimic(
    "tusl",
    write_tusl,
    {
        "edf/aaaaaaju/s005_2010/01_tcp_ar/aaaaaaju_s005_t000.edf": tuh(
            *("aaaaaaju", "s005", "t000", ALL, "ar"), (2, 10, "slow FP1-F7"), (2, 10, "slow F7-T3")
        ),
        "edf/00000258/s001_2003_07_21/02_tcp_le/00000258_s001_t000.edf": tuh(
            *("00000258", "s001", "t000", SITES, "le"), (0, 10, "bckg"), (12, 10, "seiz")
        ),
    },
)

# class, subject, session, labels; aaaaamye has recordings of both classes, aaaaamyf no T1 and T2
TUAB = {
    "edf/train/normal/01_tcp_ar/aaaaamye_s001_t000.edf": ("normal", "aaaaamye", "s001", AR),
    "edf/train/abnormal/01_tcp_ar/aaaaamye_s002_t000.edf": ("abnormal", "aaaaamye", "s002", AR),
    "edf/train/normal/01_tcp_ar/aaaaamyf_s001_t000.edf": ("normal", "aaaaamyf", "s001", AR[:21]),
    "edf/train/abnormal/01_tcp_ar/000/00000021/s004_2013_08_15/00000021_s004_t000.edf": (
        *("abnormal", "00000021", "s004"),
        AR[:23],
    ),
    "edf/eval/normal/01_tcp_ar/aaaaanaa_s001_t000.edf": ("normal", "aaaaanaa", "s001", AR),
    "edf/eval/abnormal/01_tcp_ar/aaaaanab_s001_t000.edf": ("abnormal", "aaaaanab", "s001", AR),
}


def write_tuab(root: Path) -> None:
    for file, (_, _, _, labels) in TUAB.items():
        write_tuh(root / file, labels)


TUAB_MIMIC = Mimic(
    "tuab",
    write_tuab,
    {
        file: tuh(subject, session, "t000", ALL if labels is AR else SITES, "ar", (0, 24, label))
        for file, (label, subject, session, labels) in TUAB.items()
    },
    splits={"abnormal": {"test": {"aaaaanaa", "aaaaanab"}}},
)

# channel of the TCP montage, start, stop, code: of each of the six one event; one too near to the start for a window
TUEV_ROWS = "".join(f"{number * 4},{number * 2}.5,{number * 2 + 1}.5,{number}\n" for number in range(1, 6))
TUEV_ROWS += "0,0.5,1.5,1\n13,14.5,15.5,6\n21,14.5,15.5,6\n"
TUEV_EVENTS = (
    *((0.5, 1.0, "spsw FP1-F7"), (2.5, 1.0, "spsw FP2-F8"), (4.5, 1.0, "gped A1-T3"), (6.5, 1.0, "pled C4-T4")),
    *((8.5, 1.0, "eyem C3-P3"), (10.5, 1.0, "artf C4-P4"), (14.5, 1.0, "bckg T4-A2"), (14.5, 1.0, "bckg P4-O2")),
)
TUEV = {
    "edf/train/aaaaaaar/aaaaaaar_00000001.edf": ("aaaaaaar", "00000001", None),
    "edf/train/00000002/00000002_00000001.edf": ("00000002", "00000001", None),
    "edf/eval/000/bckg_000_a_.edf": ("000", None, None),
    "edf/eval/000/bckg_000_a_1.edf": ("000", None, "1"),
}


def write_tuev(root: Path) -> None:
    for file in TUEV:
        path = root / file
        write_tuh(path, AR)
        path.with_suffix(".rec").write_text(TUEV_ROWS)
        (path.parent / f"{path.stem}_ch000.lab").write_text("0 100000 bckg\n")


TUEV_MIMIC = Mimic(
    "tuev",
    write_tuev,
    {file: tuh(*names, ALL, "REF", *TUEV_EVENTS) for file, names in TUEV.items()},
    splits={"events": {"test": {"000"}}},
)

TUEG = {
    "edf/000/aaaaaaaa/s001_2015_12_30/01_tcp_ar/aaaaaaaa_s001_t000.edf": ("aaaaaaaa", "s001", "t000", ALL, "ar"),
    "edf/000/aaaaaaaa/s002_2016/04_tcp_le_a/aaaaaaaa_s002_t003.edf": ("aaaaaaaa", "s002", "t003", WITHOUT_EARS, "le"),
    "edf/149/aaaaatvz/s001_2014/01_tcp_ar/x01_aaaaatvz_s001_t000.edf": ("aaaaatvz", "s001", "t000", ALL, "ar"),
}


def write_tueg(root: Path) -> None:
    """Dates and years in folders, and a name of four parts."""
    for file, (_, _, _, channels, reference) in TUEG.items():
        labels = AR if reference == "ar" else [f"EEG {site}-LE" for site in channels]
        write_tuh(root / file, labels, seconds=4)


TUEG_MIMIC = Mimic("tueg", write_tueg, {file: tuh(*wanted, seconds=4) for file, wanted in TUEG.items()})

MIMICS = (TUAR_MIMIC, TUEP_MIMIC, TUSZ_MIMIC, TUSL_MIMIC, TUAB_MIMIC, TUEV_MIMIC, TUEG_MIMIC)
