"""Size of the store and windows a second, against HDF5 in the official layout and a reader of it.

    python benchmarks/store.py [--quick] [--repeats N] [--json]

Writes the same synthetic EEG as a store and as the official code lays it out: float64 in µV, one dataset for each
recording, chunks of (62, 200). Windows have 64 channels of 4 s. The readers take turns, each turn a process of its own
that reads for a while after a warm-up; the page cache is warm. The table shows the best turn of each. `windows/s` is of
the clock, `per CPU s` of all processor time that was used, which other jobs on the machine disturb less; that
of a loader's workers is not in it.
The official reader is a `Dataset` that reads and converts one window at a time, in a `DataLoader`.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from turns import machine, show, take_turns

SECONDS = 4
BATCH = 64
OFFICIAL_CHUNK = (62, 200)


def eeg_uv(n_channels: int, seconds: int, seed: int) -> npt.NDArray[np.float64]:
    """(C, S) at 200 Hz: 1/f noise from 0.1 to 75 Hz of 10 to 30 µV, and alpha."""
    import scipy.fft  # noqa: PLC0415  # the readers do not need it

    rng = np.random.default_rng(seed)
    freqs_hz = scipy.fft.rfftfreq(200 * seconds, 1 / 200)
    gain = np.where((freqs_hz >= 0.1) & (freqs_hz <= 75), np.maximum(freqs_hz, 0.1) ** -0.7, 0)
    noise = scipy.fft.irfft(gain * np.exp(2j * np.pi * rng.random((n_channels, len(freqs_hz)))), 200 * seconds)
    noise *= rng.uniform(10, 30, (n_channels, 1)) / noise.std(axis=1, keepdims=True)
    return np.asarray(noise + 8 * np.sin(2 * np.pi * 10 * np.arange(200 * seconds) / 200))


def write(folder: Path, n_channels: int, n_recordings: int, seconds: int) -> None:
    """Write both layouts."""
    import h5py  # noqa: PLC0415
    from eeg_store import RecordingWriter, SlotRequest, Store  # noqa: PLC0415
    from eeg_store.channels import VOCABULARY  # noqa: PLC0415

    channels, names = VOCABULARY[:n_channels], [f"r{number}" for number in range(n_recordings)]
    store = Store.create(folder / "data.zarr", {"made_by": "benchmarks/store.py"})
    slots = store.reserve([SlotRequest(name, "synthetic", channels, None, seconds) for name in names])
    with h5py.File(folder / "official.hdf5", "w") as file:
        for number, name in enumerate(names):
            signal_uv = eeg_uv(n_channels, seconds, number)
            chunk = tuple(min(pair) for pair in zip(OFFICIAL_CHUNK, signal_uv.shape, strict=True))
            group = file.create_group(name)
            group.create_dataset("eeg", data=signal_uv, chunks=chunk).attrs["rsFreq"] = 200
            stored = np.rint(signal_uv * 10).astype(np.int16).reshape(n_channels, seconds, 200).swapaxes(0, 1)
            with RecordingWriter(store, slots[name]) as writer:
                writer.append(np.ascontiguousarray(stored), np.zeros((seconds, n_channels, 5), np.float32))
                writer.commit(row(name, channels, seconds), [])


def row(name: str, channels: tuple[str, ...], seconds: int) -> dict[str, Any]:
    """Return what the recordings table wants to know."""
    segment = {"first_second": 0, "n_seconds": seconds, "original_onset_s": 0.0, "dropped_s": 0.0}
    text = {"source": "synthetic", "file": f"{name}.edf", "format": "edf", "content_hash": name, "fingerprint": name}
    numbers = {
        "original_sfreq_hz": 200.0,
        "original_duration_s": float(seconds),
        "band_low_hz": 0.1,
        "band_high_hz": 75.0,
    }
    lists = {"original_names": list(channels), "left_out": [], "segments": [segment], "warnings": []}
    return {**text, **numbers, **lists, "n_channels": len(channels), "n_bytes": 1}


def official(folder: Path, n_workers: int) -> Iterator[int]:
    """A `Dataset` of windows in an HDF5 file and a shuffling `DataLoader`; then what the training step does first."""
    import h5py  # noqa: PLC0415
    from torch.utils.data import DataLoader, Dataset  # noqa: PLC0415

    class Recordings(Dataset[npt.NDArray[np.float64]]):
        def __init__(self) -> None:
            self.file = h5py.File(folder / "official.hdf5", "r")
            self.names = list(self.file)
            self.per_recording = self.file[self.names[0]]["eeg"].shape[1] // (200 * SECONDS)

        def __len__(self) -> int:
            return len(self.names) * int(self.per_recording)

        def __getitem__(self, index: int) -> npt.NDArray[np.float64]:
            recording, place = divmod(index, self.per_recording)
            start = place * 200 * SECONDS
            return np.asarray(self.file[self.names[recording]]["eeg"][:, start : start + 200 * SECONDS])

    loader = DataLoader(Recordings(), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=n_workers)
    while True:
        for batch in loader:
            patches = batch.float() / 100
            yield len(patches.reshape(len(batch), batch.shape[1], SECONDS, 200))


def random_windows(folder: Path, at_once: int) -> Iterator[int]:
    """int16 windows at random places, so many in one call."""
    from eeg_store import Store, WindowReader  # noqa: PLC0415

    store = Store.open(folder / "data.zarr")
    reader, rows, rng = WindowReader(store), store.recordings().to_pylist(), np.random.default_rng(0)
    while True:
        chosen = [rows[index] for index in rng.integers(0, len(rows), at_once)]
        starts = [r["first_second"] + SECONDS * int(rng.integers(r["n_seconds"] // SECONDS)) for r in chosen]
        yield len(reader.read([(r["array"], 200 * start, SECONDS) for r, start in zip(chosen, starts, strict=True)]))


def whole_shards(folder: Path) -> Iterator[int]:
    """int16 windows of one shard after another, shuffled inside each."""
    from eeg_store import Store, WindowReader  # noqa: PLC0415

    store = Store.open(folder / "data.zarr")
    (array,), rng = store.arrays(), np.random.default_rng(0)
    reader, rows = WindowReader(store), store.recordings().to_pylist()
    while True:
        for r in rows:
            for first in range(0, r["n_seconds"] - SECONDS + 1, array.shard_seconds):
                n_seconds = min(array.shard_seconds, r["n_seconds"] - first) // SECONDS * SECONDS
                shard = reader.read_seconds(array.path, r["first_second"] + first, n_seconds)
                windows = shard.reshape(-1, SECONDS, *shard.shape[1:])
                yield len(windows[rng.permutation(len(windows))])


def loader(folder: Path, n_workers: int) -> Iterator[int]:
    """Float32 batches, as training takes them, read in a thread or in processes."""
    from eeg_store import Store  # noqa: PLC0415
    from eeg_tokenizer.batch_plan import BatchOptions, plan_batches  # noqa: PLC0415
    from eeg_tokenizer.distributed import join  # noqa: PLC0415
    from eeg_tokenizer.loader import BatchLoader, StoredWindows  # noqa: PLC0415
    from eeg_tokenizer.windows import cut_windows  # noqa: PLC0415

    store = Store.open(folder / "data.zarr")
    windows = cut_windows(store, stride_seconds=SECONDS)
    plan = plan_batches(windows, BatchOptions(), batch_size=BATCH, seed=0, mixed=True)
    with join("cpu"):
        batches = BatchLoader(StoredWindows(store, windows).read, plan, workers=n_workers)
        for batch in batches.batches(0, 10**9):
            yield len(batch)


SUBJECTS: dict[str, Callable[[Path], Iterator[int]]] = {
    "official DataLoader": lambda folder: official(folder, 0),
    "official DataLoader, 2 workers": lambda folder: official(folder, 2),
    "store, one random window": lambda folder: random_windows(folder, 1),
    "store, 64 random windows": lambda folder: random_windows(folder, BATCH),
    "store, whole shards shuffled": whole_shards,
    "our loader, float32 batches": lambda folder: loader(folder, 0),
    "our loader, 2 workers": lambda folder: loader(folder, 2),
}


def take_turn(subject: str, folder: Path, seconds: float) -> None:
    """Read for `seconds` after a warm-up of a third of that; print windows a second."""
    stream = SUBJECTS[subject](folder)
    count, begin, used = 0, 0.0, 0.0
    for phase in (seconds / 3, seconds):
        count, begin, used = 0, time.monotonic(), cpu_s()
        while time.monotonic() - begin < phase:
            count += next(stream)
    used, taken = cpu_s() - used, time.monotonic() - begin
    stream.close()  # type: ignore[attr-defined]  # they are generators
    print(json.dumps({"windows_per_s": count / taken, "windows_per_cpu_s": count / used}))


def cpu_s() -> float:
    """Processor time of this process and of children that ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def sizes(folder: Path, n_channels: int, n_recordings: int, seconds: int) -> dict[str, Any]:
    """Megabytes of both layouts."""
    store = sum(path.stat().st_size for path in (folder / "data.zarr").rglob("c.*"))
    official_bytes = (folder / "official.hdf5").stat().st_size
    raw = n_channels * n_recordings * seconds * 200 * 2
    found = {"official MB": official_bytes / 1e6, "int16 MB": raw / 1e6, "store MB": store / 1e6}
    return {"channels": n_channels, **found, "official/store": official_bytes / store, "int16/store": raw / store}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a little data for moments: shows that it works, no more")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each reader")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--turn", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        take_turn(options.turn[0], Path(options.turn[1]), float(options.turn[2]))
        return
    n_recordings, seconds, turn_s = (2, 320, 0.2) if options.quick else (8, 600, 3.0)
    before = machine()
    size_rows = []
    with tempfile.TemporaryDirectory() as name:
        for n_channels in (62, 64):  # windows are read from the second
            folder = Path(name) / str(n_channels)
            folder.mkdir()
            write(folder, n_channels, n_recordings, seconds)
            size_rows.append(sizes(folder, n_channels, n_recordings, seconds))
        subjects = {subject: [subject, str(folder), str(turn_s)] for subject in SUBJECTS}
        turns = take_turns(__file__, subjects, options.repeats, {})
    best = {
        subject: {key: max(turn[key] for turn in found) for key in ("windows_per_s", "windows_per_cpu_s")}
        for subject, found in turns.items()
    }
    peer = max(best[subject]["windows_per_s"] for subject in SUBJECTS if subject.startswith("official"))
    rates = [
        {
            "reader": subject,
            "windows/s": round(found["windows_per_s"]),
            "per CPU s": round(found["windows_per_cpu_s"]),
            "times official": found["windows_per_s"] / peer,
        }
        for subject, found in best.items()
    ]
    if options.json:
        print(json.dumps({"machine": before, "sizes": size_rows, "rates": rates}, indent=2))
    else:
        print(before)
        show("Size of the same EEG", size_rows)
        show("Windows of 64 channels x 4 s", rates)


if __name__ == "__main__":
    main()
