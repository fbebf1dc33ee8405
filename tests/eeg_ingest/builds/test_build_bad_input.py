"""One build of good files among every kind of bad one: each has its own true reason, and the rest is unharmed."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eeg_store import QUALITY_MEASURES, Store, WindowReader

GOOD = ("good/a.edf", "good/b.edf")


def _write_brainvision(path: Path, signals_uv: np.ndarray[Any, Any]) -> None:
    """Write float32 samples, which can be NaN (Brain Products, Core Data Format 1.0)."""
    header = f"""Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
DataFile={path.stem}.eeg
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={len(signals_uv)}
SamplingInterval=5000
[Binary Infos]
BinaryFormat=IEEE_FLOAT_32
[Channel Infos]
"""
    header += "".join(f"Ch{number}={name},,1,µV\n" for number, name in enumerate(("Fp1", "Fp2", "Cz"), 1))
    path.write_text(header, encoding="utf-8")
    path.with_suffix(".eeg").write_bytes(signals_uv.T.astype("<f4").tobytes())


def _with_records(path: Path, count: int) -> None:
    """Overwrite the number of data records in an EDF header (bytes 236 to 244)."""
    content = bytearray(path.read_bytes())
    content[236:244] = str(count).ljust(8).encode()
    path.write_bytes(content)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_edf: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    bad, good = folder / "bad", folder / "good"
    write_edf(good / "a.edf", 1, seconds=6)
    write_edf(good / "b.edf", 2, seconds=6)
    bad.mkdir()
    (bad / "empty.edf").touch()
    whole = write_edf(bad / "truncated.edf", 3, seconds=10)
    whole.write_bytes(whole.read_bytes()[:-7000])
    header_only = write_edf(bad / "header_cut.edf", 4)
    header_only.write_bytes(header_only.read_bytes()[:700])
    (bad / "random.edf").write_bytes(np.random.default_rng(5).bytes(50_000))
    (bad / "text.edf").write_text("These are notes about the session.\n" * 50)
    _with_records(write_edf(bad / "too_many_records.edf", 6), 4000)
    _with_records(write_edf(bad / "too_few_records.edf", 7), 2)
    write_edf(bad / "no_eeg.edf", 8, names=("ECG", "EOG left", "EMG chin"))
    nan = np.random.default_rng(9).standard_normal((3, 2000)) * 20
    _write_brainvision(bad / "all_nan.vhdr", nan * np.nan)
    nan[1, 500:900] = np.nan
    _write_brainvision(bad / "some_nan.vhdr", nan)
    _write_brainvision(bad / "short.vhdr", nan[:, :60])  # 0.3 s
    shutil.copy(good / "a.edf", bad / "duplicate.edf")
    write_edf(bad / "forbidden.edf", 10).chmod(0)
    (bad / "dangling.edf").symlink_to(bad / "nowhere.edf")
    os.mkfifo(bad / "pipe.edf")
    write_edf(bad / "closed" / "inside.edf", 11)
    (bad / "closed").chmod(0)
    write_edf(good / "unmatched.edf", 12)
    (folder / "sources.yaml").write_text(
        f"""
sources:
  - name: good
    path: good
    subject: '(?P<subject>^[ab])\\.edf'
  - name: bad
    path: bad
    files: ["**/*.edf", "*.vhdr", "*.nothing"]
  - name: gone
    path: {folder}/gone
"""
    )
    return folder


@pytest.fixture(scope="module")
def built(corpus: Path, cli: Any, unprivileged: list[str]) -> subprocess.CompletedProcess[str]:
    finished: subprocess.CompletedProcess[str] = cli(
        "build", "--sources", corpus / "sources.yaml", "--workers", 1, "--json", cwd=corpus, prefix=unprivileged
    )
    (corpus / "bad" / "closed").chmod(stat.S_IRWXU)
    return finished


@pytest.fixture(scope="module")
def reasons(built: subprocess.CompletedProcess[str]) -> dict[str, str]:
    sources = json.loads(built.stdout)["sources"]
    return {f"{source['name']}/{f['file']}": f["reason"] for source in sources for f in source["failures"]}


def test_the_build_ends_with_1_and_no_traceback(built: subprocess.CompletedProcess[str]) -> None:
    assert built.returncode == 1
    assert "Traceback" not in built.stderr


def test_good_files_are_stored(built: subprocess.CompletedProcess[str], corpus: Path) -> None:
    store = Store.open(corpus / "data.zarr")
    stored = store.recordings(["recording"])["recording"].to_pylist()
    assert set(GOOD) <= set(stored)
    assert store.validate() == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("bad/empty.edf", "empty"),
        ("bad/truncated.edf", "7 of 10 data records"),
        ("bad/header_cut.edf", r"header"),
        ("bad/random.edf", "unknown binary data"),
        ("bad/text.edf", "text"),
        ("bad/too_many_records.edf", r"4000"),
        ("bad/too_few_records.edf", r"\b2\b"),
        ("bad/no_eeg.edf", r"No EEG channel.*"),
        ("bad/all_nan.vhdr", r"NaN"),
        ("bad/short.vhdr", r"0\.3 s"),
        ("bad/duplicate.edf", "same content as good/a.edf"),
        ("bad/forbidden.edf", "[Pp]ermission denied"),
        ("bad/dangling.edf", "No such file"),
        ("bad/pipe.edf", "pipe"),
        ("bad/closed", "[Pp]ermission denied"),
        ("bad/*.nothing", "matches nothing"),
        ("good/unmatched.edf", "subject"),
    ],
)
def test_each_bad_file_has_its_reason(reasons: dict[str, str], file: str, reason: str) -> None:
    assert re.search(reason, reasons[file]), reasons[file]
    assert reasons[file].endswith(".")


def test_a_missing_path_is_a_failure_of_its_source(reasons: dict[str, str], corpus: Path) -> None:
    assert "found nothing there" in reasons[f"gone/{corpus}/gone"]


def test_nothing_else_failed_or_was_stored(reasons: dict[str, str], corpus: Path) -> None:
    stored = Store.open(corpus / "data.zarr").recordings(["recording"])["recording"].to_pylist()
    assert set(stored) == {*GOOD, "bad/some_nan.vhdr"}
    assert len(reasons) == 18


def test_nan_samples_are_counted_and_bridged(built: subprocess.CompletedProcess[str], corpus: Path) -> None:
    store = Store.open(corpus / "data.zarr")
    row = store.recordings().to_pylist()[0]
    assert row["recording"] == "bad/some_nan.vhdr"
    quality = WindowReader(store).read_quality(row["array"], row["first_second"], row["n_seconds"])
    non_finite = quality[:, :, QUALITY_MEASURES.index("non_finite")]
    np.testing.assert_allclose(non_finite[:, 1], [0, 0, 0.5, 1, 0.5, 0, 0, 0, 0, 0])
    assert not non_finite[:, [0, 2]].any()
    assert any("finite" in warning for warning in row["warnings"])
