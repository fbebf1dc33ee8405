"""Damaged files of every format through the build that a user runs: each is a reason or a sound recording.

150 of them with a fixed seed; FUZZ_FILES=1000 makes that many, in batches of one build each.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from eeg_ingest.readers import open_recording
from eeg_ingest.sources import Source, load_sources
from eeg_store import Store, WindowReader

from tests.eeg_ingest.builds.mutants import Mutant, mutate
from tests.eeg_ingest.builds.sound_files import Sound, sound_files

pytestmark = [pytest.mark.filterwarnings("ignore")]  # of the libraries that write the sound files
N_FILES, PER_BUILD = int(os.environ.get("FUZZ_FILES", "150")), 150
N_BATCHES = -(-N_FILES // PER_BUILD)

Signal = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sound]:
    real = Path(os.environ.get("EEG_TEST_DATA", Path(__file__).parents[3] / "../shared/eeg"))
    return sound_files(tmp_path_factory.mktemp("sound"), real if real.is_dir() else None)


@pytest.mark.parametrize("batch", range(N_BATCHES))
def test_a_damaged_file_is_a_reason_or_sound(
    tmp_path: Path, sounds: dict[str, Sound], cli: Callable[..., Any], batch: int
) -> None:
    mutants: dict[str, Mutant] = {}
    for number in range(batch * PER_BUILD, min((batch + 1) * PER_BUILD, N_FILES)):
        kind = list(sounds)[number % len(sounds)]
        mutants[f"{kind}/{number:04d}"] = mutate(sounds[kind], np.random.default_rng(number))
    for name, sound in sounds.items():
        _write(tmp_path / name / "sound", sound.files)
    for folder, mutant in mutants.items():
        _write(tmp_path / folder, mutant.files)
    listed = [
        {"name": name, "path": name, "files": [f"*/{sound.opened}"], **sound.keys} for name, sound in sounds.items()
    ]
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump({"sources": listed}))

    finished = cli("build", "--sources", "sources.yaml", "--store", "data.zarr", "--workers", 2, cwd=tmp_path)

    assert finished.returncode == 1
    store = Store.open(tmp_path / "data.zarr")
    assert store.validate() == []
    failures = {f"{row['source']}/{row['file']}": row["reason"] for row in store.failures().to_pylist()}
    rows = {f"{row['source']}/{row['file']}": row for row in store.recordings().to_pylist()}
    wanted = {f"{folder}/{sounds[folder.split('/')[0]].opened}" for folder in mutants}
    wanted |= {f"{name}/sound/{sound.opened}" for name, sound in sounds.items()}
    assert sorted([*failures, *rows]) == sorted(wanted)
    problems = [f"{file}: {reason}" for file, reason in failures.items() if re.search("report it|crashed", reason)]
    judge = _Judge(tmp_path, store, rows, sounds)
    problems += [
        f"{folder} ({mutant.what}): {problem}"
        for folder, mutant in mutants.items()
        if (problem := judge.problem(folder, mutant)) is not None
    ]
    assert not problems, "\n".join(problems)
    assert "Traceback" not in finished.stderr


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _cannot_be_known(kind: str, mutant: Mutant) -> bool:
    """Damage after which other samples are read, and which nothing betrays (docs/decisions/broken-files.md).

    ANT compresses without a checksum, so that one byte changes all that follows it in its block. HDF5 has none for
    contiguous samples, which lie elsewhere than it says where bytes before them were added or removed.
    """
    return kind == "ant" or (kind in ("eeglab-73", "matlab-73", "nwb") and mutant.moves_bytes)


class _Judge:
    """Holds what was stored of damaged files against what was stored of the sound ones."""

    def __init__(self, folder: Path, store: Store, rows: dict[str, dict[str, Any]], sounds: dict[str, Sound]) -> None:
        self._folder, self._rows, self._sounds = folder, rows, sounds
        self._reader = WindowReader(store)
        self._sources = {source.name: source for source in load_sources(folder / "sources.yaml")}

    def problem(self, folder: str, mutant: Mutant) -> str | None:
        """What is wrong with the recording that was stored of a mutant; None if nothing is, or none was stored."""
        kind = Path(folder).parts[0]
        opened = self._sounds[kind].opened
        row, sound_row = self._rows.get(f"{folder}/{opened}"), self._rows[f"{kind}/sound/{opened}"]
        if row is None:
            return None
        if _values_per_byte(row) > 1.25 * _values_per_byte(sound_row):
            return "more samples than the file has bytes for"
        if _cannot_be_known(kind, mutant):
            return None
        stored, sound = self._stored(row), self._stored(sound_row)
        if stored.shape == sound.shape and abs(stored - sound).max() <= 1:
            return None
        source = self._sources[kind]
        read = _read(self._folder / folder / opened, source, row)
        wanted = _read(self._folder / kind / "sound" / opened, source, sound_row)
        return _difference(read, wanted, share=1.0 if mutant.in_header else 0.5)

    def _stored(self, row: dict[str, Any]) -> Signal:
        """(C, S) in steps of the store."""
        (window,) = self._reader.read([(row["array"], row["first_second"] * 200, row["n_seconds"])])
        return window.reshape(len(window), -1).astype(np.float64)


def _read(path: Path, source: Source, row: dict[str, Any]) -> Signal:
    """The channels of `row` (C, S) as the reader returns them, at their own rate."""
    recording = open_recording(path, unit=source.unit, settings=source.reader)
    names = [channel.name for channel in recording.channels]
    picks = [names.index(name) for name in row["original_names"]]
    return recording.read_uv(picks, 0, recording.n_samples).astype(np.float64)


def _values_per_byte(row: dict[str, Any]) -> float:
    n_samples: float = row["original_duration_s"] * row["original_sfreq_hz"]
    return n_samples * float(row["n_channels"] / row["n_bytes"])


def _difference(found: Signal, wanted: Signal, *, share: float) -> str | None:
    """None if of each row of `found` a share at least is a row of `wanted` but for its scale.

    The two begin or end together: samples may be lost before or after, or in between.
    """
    n = min(found.shape[1], wanted.shape[1])
    for index, row in enumerate(found):
        best = 0.0
        for other in [*wanted[index : index + 1], *wanted]:  # nearly always the one in its own place
            best = max(best, np.maximum(_alike(row[:n], other[:n]), _alike(row[-n:], other[-n:])).mean())
            if best >= share:
                break
        else:
            return f"{best:.0%} of channel {index} is a channel of the sound file"
    return None


def _alike(found: Signal, wanted: Signal) -> npt.NDArray[np.bool_]:
    """Whether each twentieth is a multiple of the other, apart from rounding."""
    parts = zip(np.array_split(found, 20), np.array_split(wanted, 20), strict=True)
    return np.array([abs(np.corrcoef(one, other)[0, 1]) > 0.999 for one, other in parts])
