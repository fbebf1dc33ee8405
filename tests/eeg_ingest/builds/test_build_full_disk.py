"""A store that can no longer be written stops the build with one message, whole, and the same command goes on."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eeg_ingest.build import build
from eeg_ingest.errors import StoppedError
from eeg_ingest.sources import load_sources
from eeg_ingest.workers import Workers
from eeg_store import Store

IsUndisturbed = Callable[[Path], bool]

LIMIT_BYTES = 150_000  # more than the tables and the small recording need, less than a shard of the large ones


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, write_edf: Callable[..., Path], write_sources: Any) -> Path:
    folder = tmp_path_factory.mktemp("full")
    write_edf(folder / "eeg" / "a.edf", 1, seconds=5)
    names = tuple(f"{row}{column}" for row in ("F", "C", "P", "O") for column in ("3", "z", "4"))
    write_edf(folder / "eeg" / "b.edf", 2, seconds=120, names=names)
    write_edf(folder / "eeg" / "c.edf", 3, seconds=120, names=names)
    write_sources(folder / "sources.yaml", folder / "eeg")
    return folder


@pytest.fixture(scope="module")
def is_undisturbed(corpus: Path, workers: Workers, contents: Any) -> IsUndisturbed:
    """Whether a store equals, byte for byte, one that was built without trouble."""
    store = corpus / "undisturbed.zarr"
    assert build(load_sources(corpus / "sources.yaml"), store, workers).ingested == 3
    expected = contents(store)
    return lambda other: bool(contents(other) == expected)


def _check_unharmed(store: Path, recordings: list[str]) -> None:
    opened = Store.open(store)
    assert opened.recordings(["recording"])["recording"].to_pylist() == recordings
    assert len(opened.failures()) == 0
    assert opened.validate() == []


def test_a_file_size_limit(corpus: Path, cli: Any, is_undisturbed: IsUndisturbed) -> None:
    store = corpus / "limited.zarr"
    command = ("build", "--sources", corpus / "sources.yaml", "--store", store, "--workers", 1)
    limit = (LIMIT_BYTES, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
    stopped = cli(*command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert (stopped.returncode, stopped.stdout) == (1, "")
    message = [line for line in stopped.stderr.splitlines() if line.startswith("eeg-ingest:")]
    assert len(message) == 1
    assert f"writing {store} failed" in message[0]
    assert "File too large" in message[0]
    assert "run the same command again" in message[0]
    assert "Traceback" not in stopped.stderr
    _check_unharmed(store, [])
    assert cli(*command).returncode == 0
    assert is_undisturbed(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of a given size; a second call resizes it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")

    def resize(size: str) -> Path:
        options = f"size={size}" + (",remount" if disk.is_mount() else "")
        done = subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", disk], check=False, capture_output=True)
        if done.returncode:
            pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
        return disk

    yield resize
    if disk.is_mount():
        subprocess.run(["umount", disk], check=True)


# No room for the first file; in the midst of the tables; for a large recording, which comes first; for two.
@pytest.mark.parametrize("size", ["4k", "64k", "200k", "500k"])
def test_a_full_disk(corpus: Path, workers: Workers, small_disk: Any, is_undisturbed: IsUndisturbed, size: str) -> None:
    sources, store = load_sources(corpus / "sources.yaml"), small_disk(size) / "data.zarr"
    with pytest.raises(StoppedError, match=r"No space left on device.*run the same command again"):
        build(sources, store, workers)
    fitting: dict[str, list[str]] = {"200k": [], "500k": ["eeg/b.edf"]}
    if size in fitting:
        _check_unharmed(store, fitting[size])
    small_disk("50m")
    assert build(sources, store, workers).failed == 0
    assert is_undisturbed(store)
