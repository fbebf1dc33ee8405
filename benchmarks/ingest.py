"""The build and its signal path against the official recipe in MNE, its memory, and how it grows.

    python benchmarks/ingest.py [--quick] [--repeats N] [--json] [--only signal build hours day]

- `signal`: read, filter, resample, quantize, write int16, without and with the quality numbers. `peer` is the official
  recipe: `read_raw_edf` with preload, `filter`, `notch_filter`, `resample`, HDF5 of float64 in chunks of one second of
  all channels. `floor` only reads, transforms forth and back once, and writes. A turn does the work twice in one
  process: once to look at its memory, once to take the time, so imports and filter design count for none.
- `build`: all of it, from the start of the command to its end: `eeg-ingest build` with one and with two workers,
  and the official recipe as a script, on the same files. `without start` takes off both sides what it costs to get
  ready: the build of one minute, and the import of MNE.
- `hours`: `eeg-ingest build` of ever more hours, written before: time for each hour, and the memory of a worker of two.
- `day`: one recording of 24 h, 128 channels at 1024 Hz (a sparse file of zeros), beside one of 10 min.

Subjects take turns, each turn a process of its own; the table shows the best of all turns. `cpu s` are seconds of the
processor, `wall s` of the clock; other jobs disturb the latter more, and both somewhat. Memory is what no file backs
(RssAnon). Ours runs with what `eeg-ingest` sets for its workers; the peer as its user runs it, with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import psutil
from recordings import LINE_FREQ_HZ, write_recording, write_silence
from turns import ONE_THREAD, least, machine, show, take_turns

RECORDINGS = [(64, 500, 20), (21, 256, 60), (62, 1000, 20)]  # channels, Hz, minutes
SECTIONS = ("signal", "build", "hours", "day")
EEG_INGEST = str(Path(sys.executable).with_name("eeg-ingest"))

Rows = list[dict[str, Any]]


def peer(files: Sequence[Path], out: Path) -> None:
    """Run the recipe of the official code: everything in memory, float64, HDF5."""
    import h5py  # noqa: PLC0415
    import mne  # noqa: PLC0415

    with h5py.File(out, "w") as store:
        for path in files:
            raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
            raw.filter(0.1, 75.0, verbose="error")
            raw.notch_filter(LINE_FREQ_HZ, verbose="error")
            raw.resample(200, verbose="error")
            signal_uv = raw.get_data(units="uV")
            store.create_group(path.stem).create_dataset("eeg", data=signal_uv, chunks=(len(signal_uv), 200))


def ours(files: Sequence[Path], out: Path) -> None:
    """Read, harmonize, quantize, write int16."""
    from eeg_ingest.harmonize import harmonize  # noqa: PLC0415
    from eeg_ingest.readers import open_recording  # noqa: PLC0415

    with out.open("wb") as file:
        for path in files:
            recording = open_recording(path)
            indices = range(len(recording.channels))
            for block in harmonize(recording, indices, line_freq_hz=LINE_FREQ_HZ, quantized=True):
                file.write(block.signal.data)


def ours_without_quality(files: Sequence[Path], out: Path) -> None:
    """Do the same, the quality numbers left undone."""
    from eeg_ingest.quality import QualityMeter  # noqa: PLC0415

    def measure(meter: Any, source: Any, columns: slice, first_s: int, stop_s: int) -> Any:  # noqa: ARG001
        return np.zeros((len(source.uv), stop_s - first_s, 5), np.float32)

    QualityMeter.measure_source = measure  # type: ignore[method-assign, assignment]
    QualityMeter.measure_stored = lambda *_: None  # type: ignore[method-assign]
    ours(files, out)


def floor(files: Sequence[Path], out: Path) -> None:
    """Do what cannot be left out: map the samples, one FFT forth and back to 200 Hz, write int16."""
    import pyedflib  # noqa: PLC0415
    import scipy.fft  # noqa: PLC0415

    block_s = 256
    with out.open("wb") as file:
        for path in files:
            with pyedflib.EdfReader(str(path)) as reader:
                n_channels, sfreq_hz = reader.signals_in_file, int(reader.getSampleFrequency(0))
            samples = np.memmap(path, "<i2", "r", offset=256 * (n_channels + 1)).reshape(-1, n_channels, sfreq_hz)
            for first in range(0, len(samples), block_s):
                block = samples[first : first + block_s]
                stored = np.empty((len(block), n_channels, 200), np.int16)
                for channel in range(0, n_channels, 4):
                    signal = block[:, channel : channel + 4].swapaxes(0, 1).astype(np.float32)
                    spectrum = scipy.fft.rfft(signal.reshape(len(signal), -1), workers=1)
                    resampled = scipy.fft.irfft(spectrum[:, : len(block) * 100 + 1], len(block) * 200, workers=1)
                    resampled *= np.float32(200 / sfreq_hz)
                    seconds = resampled.reshape(len(signal), len(block), 200).swapaxes(0, 1)
                    np.rint(seconds, out=stored[:, channel : channel + 4], casting="unsafe")
                file.write(stored.data)


WORK: dict[str, Callable[[Sequence[Path], Path], None]] = {
    "peer": peer,
    "ours": ours_without_quality,
    "with quality": ours,
    "floor": floor,
}


def take_turn(subject: str, folder: Path) -> None:
    """Do the work twice in this process; print what memory was added at the peak (MB) and the seconds."""
    for module in ("mne", "h5py", "scipy.fft", "eeg_ingest.harmonize", "eeg_ingest.readers", "pyedflib"):
        __import__(module)
    files = sorted(folder.glob("*.edf"))
    before = private_mb(os.getpid())
    with tempfile.TemporaryDirectory() as out, ThreadPoolExecutor(1) as pool:
        done = Event()
        peak = pool.submit(peak_private_mb, done)
        WORK[subject](files, Path(out) / "first")
        done.set()
        start = time.process_time()
        WORK[subject](files, Path(out) / "second")
        seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "memory_mb": peak.result() - before}))


def private_mb(process: int) -> float:
    """Memory of a process that no file backs; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon")), 0)


def peak_private_mb(done: Event) -> float:
    """Look every 5 ms until done."""
    peak = private_mb(os.getpid())
    while not done.wait(0.005):
        peak = max(peak, private_mb(os.getpid()))
    return peak


def signal(folder: Path, *, quick: bool, repeats: int) -> Rows:
    from eeg_ingest.workers import ENVIRONMENT  # noqa: PLC0415

    rows: Rows = []
    for n_channels, sfreq_hz, minutes in RECORDINGS[: 1 if quick else None]:
        length = 1 if quick else minutes
        path = folder / f"{n_channels}x{sfreq_hz}"
        path.mkdir()
        write_recording(path / "0.edf", n_channels, sfreq_hz, length)
        environment = {subject: ONE_THREAD if subject == "peer" else ENVIRONMENT for subject in WORK}
        turns = take_turns(__file__, {name: [name, str(path)] for name in WORK}, repeats, environment)
        cpu_s = {subject: least(found, "seconds") for subject, found in turns.items()}
        memory_mb = {subject: least(found, "memory_mb") for subject, found in turns.items()}
        row: dict[str, Any] = {"recording": f"{n_channels} ch, {sfreq_hz} Hz, {length} min"}
        row |= {f"{subject} cpu s": seconds for subject, seconds in cpu_s.items()}
        row |= {"peer/ours": cpu_s["peer"] / cpu_s["ours"], "peer/with quality": cpu_s["peer"] / cpu_s["with quality"]}
        row |= {"ours/floor": cpu_s["ours"] / cpu_s["floor"]}
        row |= {"peer MB": round(memory_mb["peer"]), "ours MB": round(memory_mb["with quality"])}
        rows.append(row)
    return rows


def build(folder: Path, *, quick: bool, repeats: int) -> Rows:
    length_h = 0.0
    for n_channels, sfreq_hz, minutes in RECORDINGS:
        for copy in range(1 if quick else 12):
            length = 1 if quick else minutes
            write_recording(folder / f"{n_channels}x{sfreq_hz}-{copy}.edf", n_channels, sfreq_hz, length, seed=copy)
            length_h += length / 60
    subjects = {
        "official recipe": ["official", str(folder)],
        "import of MNE": ["import", str(folder)],
        "build, 1 worker": ["build", str(folder), "1"],
        "build, 2 workers": ["build", str(folder), "2"],
        "build of one minute": ["start", str(folder), "1"],
    }
    turns = take_turns(__file__, subjects, repeats, {"official recipe": ONE_THREAD})
    rows: Rows = []
    for subject, found in turns.items():
        row: dict[str, Any] = {"subject": subject, "hours": length_h}
        for key, unit in (("wall_s", "wall"), ("cpu_s", "cpu")):
            seconds, start_s = least(found, key), least(turns["build of one minute"], key)
            official_s, import_s = least(turns["official recipe"], key), least(turns["import of MNE"], key)
            row |= {f"{unit} s": seconds}
            if subject.startswith("build, "):
                row |= {f"official/this, {unit}": official_s / seconds}
                row |= {f"without start, {unit}": (official_s - import_s) / max(seconds - start_s, 1e-3)}
            else:
                row |= {f"official/this, {unit}": "", f"without start, {unit}": ""}
        rows.append(row)
    return rows


def hours(folder: Path, *, quick: bool, repeats: int) -> Rows:  # noqa: ARG001  # one turn: the row before is the peer
    rows: Rows = []
    for n_recordings in (1,) if quick else (4, 20, 100):
        corpus = folder / str(n_recordings)
        corpus.mkdir()
        for number in range(n_recordings):
            write_recording(corpus / f"{number}.edf", 21, 256, 1 if quick else 60, seed=number)
        rows.append({"recordings of 21 ch, 256 Hz": n_recordings, **watched_build(corpus)})
        shutil.rmtree(corpus)
    return rows


def day(folder: Path, *, quick: bool, repeats: int) -> Rows:  # noqa: ARG001
    rows: Rows = []
    for minutes in (1,) if quick else (10, 24 * 60):
        corpus = folder / str(minutes)
        corpus.mkdir()
        write_silence(corpus / "0.edf", 128, 1024, minutes)
        rows.append({"minutes of 128 ch, 1024 Hz": minutes, **watched_build(corpus)})
        shutil.rmtree(corpus)
    return rows


def watched_build(corpus: Path) -> dict[str, Any]:
    """Build with two workers; look every 50 ms at the memory of each worker."""
    command = command_of_build(corpus, corpus / "data.zarr", "2")
    process = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True)
    peaks: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            for worker in workers_of(process.pid):
                peaks[worker] = max(peaks.get(worker, 0), private_mb(worker))

    watching = threading.Thread(target=watch)
    watching.start()
    start, before_s = time.monotonic(), children_cpu_s()
    out = process.communicate()[0]
    wall_s, cpu_s = time.monotonic() - start, children_cpu_s() - before_s
    done.set()
    watching.join()
    if process.returncode:
        raise SystemExit(f"The build of {corpus} failed with exit code {process.returncode}.")
    built = json.loads(out)
    found = {"hours": built["hours"], "wall s": wall_s, "cpu s": cpu_s, "cpu s for each hour": cpu_s / built["hours"]}
    return {**found, "most private MB of a worker": round(max(peaks.values()))}


def children_cpu_s() -> float:
    """Processor time of all children that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def workers_of(process: int) -> list[int]:
    """The worker processes that a build has started."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process).children():
            with suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child.pid)
    return found


def command_of_build(corpus: Path, store: Path, workers: str) -> list[str]:
    """Write sources.yaml; return the command."""
    sources = corpus / "sources.yaml"
    sources.write_text(json.dumps({"sources": [{"name": "synthetic", "path": str(corpus), "files": ["*.edf"]}]}))
    return [EEG_INGEST, "build", "--sources", str(sources), "--store", str(store), "--workers", workers]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute of each: shows that it works, no more")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each subject")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--turn", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        what, folder, *workers = options.turn
        with tempfile.TemporaryDirectory() as out:
            if what == "official":
                peer(sorted(Path(folder).glob("*.edf")), Path(out) / "official.hdf5")
            elif what == "import":
                peer([], Path(out) / "official.hdf5")
            elif what in ("build", "start"):
                corpus = Path(folder) if what == "build" else Path(out)
                if what == "start":
                    write_recording(corpus / "0.edf", 21, 256, 1)
                command = command_of_build(corpus, Path(out) / "data.zarr", workers[0])
                subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            else:
                take_turn(what, Path(folder))
        return
    found: dict[str, Any] = {"machine": machine()}
    sections: dict[str, Callable[..., Rows]] = {"signal": signal, "build": build, "hours": hours, "day": day}
    for name in options.only:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = sections[name](Path(folder), quick=options.quick, repeats=options.repeats)
        if not options.json:
            show(f"{name}, {machine()}", found[name])
    if options.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
