"""The six sources of the demo corpus, and how they are written."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path

import numpy as np

from eeg_ingest.demo import formats
from eeg_ingest.demo.recording import Cap, DemoRecording, record, schedule
from eeg_ingest.demo.subject import Block, draw_subject


@dataclass(frozen=True)
class DemoSource:
    """One dataset: its cap, its people, its task, and the files it comes as.

    `path` is a file's place within the source, from `subject` (01, 02, ...) and `session`. `states` maps a session to
    the state that it holds throughout; without it, blocks of `labels` alternate.
    """

    name: str
    cap: Cap
    n_subjects: int
    n_seconds: int
    path: str
    write: Callable[[Path, DemoRecording], None]
    labels: tuple[str, ...] = ()
    block_s: float = 10
    gap_s: tuple[float, float] = (0.5, 1.5)
    sessions: tuple[str, ...] = ("1",)
    states: Mapping[str, str] = field(default_factory=dict)


def _sites(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CLINIC = _sites("Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T3 T4 T5 T6 Fz Cz Pz")
_BIOSEMI = _sites(
    "Fp1 AF3 F7 F3 FC1 FC5 T7 C3 CP1 CP5 P7 P3 Pz PO3 O1 Oz O2 PO4 P4 P8 CP6 CP2 C4 T8 FC6 FC2 F4 F8 AF4 Fp2 Fz Cz"
)
_ACTICAP = _sites(
    "Fp1 Fz F3 F7 FT9 FC5 FC1 C3 T7 TP9 CP5 CP1 Pz P3 P7 O1 Oz O2 P4 P8 TP10 CP6 CP2 Cz C4 T8 FT10 FC6 FC2 F4 F8 Fp2"
)
_HEADSET = _sites("AF3 F7 F3 FC5 T7 P7 O1 O2 P8 T8 FC6 F4 F8 AF4")
_DENSE = _sites(
    "Fp1 Fpz Fp2 AF7 AF3 AF4 AF8 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 "
    "T7 C5 C3 C1 Cz C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 "
    "PO7 PO5 PO3 POz PO4 PO6 PO8 O1 Oz O2"
)
_BOARD = _sites("Fp1 Fp2 C3 C4 P7 P8 O1 O2")

SOURCES = (
    DemoSource(
        name="clinic",
        cap=Cap(
            sites=_CLINIC,
            names=tuple(f"EEG {site}-REF" for site in _CLINIC),
            reference=("A1", "A2"),
            sfreq_hz=256,
            hum_hz=60,
            offset_uv=50,
            noise_uv=0.5,
        ),
        n_subjects=12,
        n_seconds=150,
        path="S{subject}/S{subject}_{session}.edf",
        write=formats.write_edf,
        labels=("eyes closed", "eyes open", "arithmetic"),
    ),
    DemoSource(
        name="biosemi",
        cap=Cap(
            sites=_BIOSEMI,
            names=tuple(f"A{i}" for i in range(1, 33)),
            reference=("C1",),
            sfreq_hz=512,
            hum_hz=50,
            offset_uv=12000,
            noise_uv=0.8,
        ),
        n_subjects=5,
        n_seconds=120,
        path="sub-{subject}/sub-{subject}_ses-{session}.bdf",
        write=formats.write_bdf,
        labels=("left hand", "right hand"),
        block_s=4,
        gap_s=(2, 3),
    ),
    DemoSource(
        name="hands",
        cap=Cap(
            sites=_ACTICAP,
            names=_ACTICAP,
            reference=("FCz",),
            sfreq_hz=500,
            hum_hz=50,
            offset_uv=400,
            noise_uv=0.5,
        ),
        n_subjects=6,
        n_seconds=120,
        path="sub-{subject}/eeg/sub-{subject}_task-hands_run-{session}_eeg.vhdr",
        write=formats.write_brainvision,
        labels=("left hand", "right hand"),
        block_s=4,
        gap_s=(2, 3),
    ),
    DemoSource(
        name="headset",
        cap=Cap(
            sites=_HEADSET,
            names=_HEADSET,
            reference=("P3", "P4"),
            sfreq_hz=128,
            hum_hz=60,
            offset_uv=4200,
            noise_uv=1.5,
        ),
        n_subjects=6,
        n_seconds=60,
        path="p{subject}_{session}.set",
        write=formats.write_eeglab,
        labels=("eyes closed", "eyes open"),
        sessions=("1", "2"),
    ),
    DemoSource(
        name="dense",
        cap=Cap(
            sites=_DENSE,
            names=_DENSE,
            reference=("M1", "M2"),
            sfreq_hz=1000,
            hum_hz=50,
            offset_uv=100,
            noise_uv=0.4,
        ),
        n_subjects=4,
        n_seconds=45,
        path="subj{subject}_rest{session}_raw.fif",
        write=formats.write_fif,
        labels=("eyes closed", "eyes open"),
    ),
    DemoSource(
        name="board",
        cap=Cap(
            sites=_BOARD,
            names=_BOARD,
            reference=("A1",),
            sfreq_hz=250,
            hum_hz=60,
            offset_uv=800,
            noise_uv=1.0,
        ),
        n_subjects=4,
        n_seconds=60,
        path="{session}/b{subject}.edf",
        write=partial(formats.write_edf, unit="mV", annotate=False),
        sessions=("closed", "open"),
        states={"closed": "eyes closed", "open": "eyes open"},
    ),
)


def write_corpus(directory: Path, *, seed: int = 0, subjects: int | None = None, seconds: int | None = None) -> Path:
    """Write the corpus and its `sources.yaml`; the same `seed` gives the same files.

    Args:
        directory: a new or an empty directory.
        seed: of everything that is drawn: people, signals, order of the states.
        subjects: at most as many subjects in each source (default: all, 4 to 12).
        seconds: at most as many seconds in each recording, at least 2 (default: all, 45 to 150).

    Returns:
        The path of `sources.yaml`.

    Raises:
        FileExistsError: `directory` holds something already, or is a file.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        found = "a folder that holds files already" if directory.is_dir() else "a file"
        raise FileExistsError(errno.EEXIST, found, str(directory))
    for source in SOURCES:
        _write_source(directory / source.name, source, seed, subjects, seconds)
    sources_yaml = directory / "sources.yaml"
    sources_yaml.write_bytes(resources.files("eeg_ingest.demo").joinpath("sources.yaml").read_bytes())
    return sources_yaml


def _write_source(folder: Path, source: DemoSource, seed: int, subjects: int | None, seconds: int | None) -> None:
    n_seconds = min(source.n_seconds, seconds or source.n_seconds)
    key = zlib.crc32(source.name.encode())
    for number in range(1, min(source.n_subjects, subjects or source.n_subjects) + 1):
        person = draw_subject(np.random.default_rng([seed, key, number]))
        for index, session in enumerate(source.sessions):
            rng = np.random.default_rng([seed, key, number, index])
            if session in source.states:
                blocks: tuple[Block, ...] = (Block(0.0, float(n_seconds), source.states[session]),)
            else:
                blocks = schedule(source.labels, source.block_s, source.gap_s, n_seconds, rng)
            path = folder / source.path.format(subject=f"{number:02d}", session=session)
            path.parent.mkdir(parents=True, exist_ok=True)
            source.write(path, record(person, source.cap, blocks, n_seconds, rng))
