"""Harmonization against MNE and against the least that any one-pass method does: CPU seconds on one core, and memory.

    python benchmarks/ingest.py [--quick] [--repeats N]

Writes three synthetic EDF recordings (those of the performance targets) and takes turns on each of them:
`peer`, the official recipe in MNE with its HDF5; `ours` to a raw int16 file, without and with the quality numbers; and
`floor`, which only reads, transforms forth and back once, and writes. Every turn is a process of its own that does the
work twice: once to look at its memory (private, beyond what was imported), once to take the time, so imports and filter
design count for neither. Seconds are of the processor, not of the clock, because other jobs disturb them less, but
they do: run it on an idle machine. The table shows the best of all turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import numpy as np

RECORDINGS = [(64, 500, 20), (21, 256, 60), (62, 1000, 20)]  # channels, Hz, minutes
SUBJECTS = ("peer", "ours", "ours with quality", "floor")
LINE_FREQ_HZ = 50.0
STEP_UV = 0.1


def write_recording(path: Path, n_channels: int, sfreq_hz: int, minutes: float) -> None:
    """Write noise, alpha and hum as EDF, in steps of 0.1 µV."""
    import pyedflib  # noqa: PLC0415  # only what a turn needs is imported in it: memory is measured

    seconds = int(60 * minutes)
    rng = np.random.default_rng(0)
    times_s = np.arange(60 * sfreq_hz) / sfreq_hz
    wave_uv = 20 * np.sin(2 * np.pi * 10 * times_s) + 8 * np.sin(2 * np.pi * LINE_FREQ_HZ * times_s)
    names = [f"E{index + 1}" for index in range(n_channels)]
    minute = [(10 * rng.standard_normal(len(wave_uv)) + wave_uv) / STEP_UV for _ in names]
    signals = [
        {
            "label": name,
            "dimension": "uV",
            "sample_frequency": sfreq_hz,
            "physical_min": -3276.8,
            "physical_max": 3276.7,
            "digital_min": -32768,
            "digital_max": 32767,
        }
        for name in names
    ]
    with pyedflib.EdfWriter(str(path), n_channels, file_type=pyedflib.FILETYPE_EDF) as writer:
        writer.setSignalHeaders(signals)
        for _ in range(max(seconds // 60, 1)):
            writer.writeSamples([channel.astype(np.int32) for channel in minute], digital=True)


def peer(path: Path, out: Path) -> None:
    """Run the recipe of the official code: everything in memory, float64, HDF5."""
    import h5py  # noqa: PLC0415
    import mne  # noqa: PLC0415

    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    raw.filter(0.1, 75.0, verbose="error")
    raw.notch_filter(LINE_FREQ_HZ, verbose="error")
    raw.resample(200, verbose="error")
    with h5py.File(out, "w") as file:
        file["eeg"] = raw.get_data(units="uV")


def ours(path: Path, out: Path) -> None:
    """Read, harmonize, quantize, write int16."""
    from eeg_ingest.harmonize import harmonize, quantize  # noqa: PLC0415
    from eeg_ingest.readers import open_recording  # noqa: PLC0415

    recording = open_recording(path)
    indices = [index for index, channel in enumerate(recording.channels) if channel.sfreq_hz == recording.sfreq_hz]
    with out.open("wb") as file:
        for block in harmonize(recording, indices, line_freq_hz=LINE_FREQ_HZ):
            file.write(quantize(block.signal_uv)[0].data)


def ours_without_quality(path: Path, out: Path) -> None:
    """Do the same, the quality numbers left undone."""
    from eeg_ingest.quality import QualityMeter  # noqa: PLC0415

    QualityMeter.measure = lambda self, source, columns, first_s, stored_uv: np.zeros((*stored_uv.shape[:2], 5))  # type: ignore[method-assign]
    ours(path, out)


def floor(path: Path, out: Path) -> None:
    """Do what cannot be left out: map the samples, one FFT forth and back to 200 Hz, write int16."""
    import pyedflib  # noqa: PLC0415
    import scipy.fft  # noqa: PLC0415

    with pyedflib.EdfReader(str(path)) as reader:
        n_channels, sfreq_hz = reader.signals_in_file, int(reader.getSampleFrequency(0))
    samples = np.memmap(path, "<i2", "r", offset=256 * (n_channels + 1)).reshape(-1, n_channels, sfreq_hz)
    block_s = 256
    with out.open("wb") as file:
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


WORK: dict[str, Callable[[Path, Path], None]] = {
    "peer": peer,
    "ours": ours_without_quality,
    "ours with quality": ours,
    "floor": floor,
}


def take_turn(subject: str, path: Path) -> None:
    """Do the work twice in this process; print what memory was added at the peak (MB) and the seconds."""
    for module in ("mne", "h5py", "scipy.fft", "eeg_ingest.harmonize", "eeg_ingest.readers", "pyedflib"):
        __import__(module)
    before = private_mb()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        with ThreadPoolExecutor(1) as pool:
            done = Event()
            peak = pool.submit(peak_private_mb, done)
            WORK[subject](path, out)
            done.set()
        start = time.process_time()
        WORK[subject](path, out)
        seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "memory_mb": peak.result() - before}))


def private_mb() -> float:
    """Memory of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def peak_private_mb(done: Event) -> float:
    """Look every 5 ms until done."""
    peak = private_mb()
    while not done.wait(0.005):
        peak = max(peak, private_mb())
    return peak


def compare(path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Let the subjects take turns; the least CPU seconds and memory of each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    turns: dict[str, list[dict[str, float]]] = {subject: [] for subject in SUBJECTS}
    for _ in range(repeats):
        for subject in SUBJECTS:
            command = [sys.executable, __file__, "--turn", subject, str(path)]
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            turns[subject].append(json.loads(done.stdout))
    keys = ("seconds", "memory_mb")
    return {subject: {key: min(turn[key] for turn in found) for key in keys} for subject, found in turns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the lengths: shows that it works, no more")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each subject on each recording")
    parser.add_argument("--turn", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        take_turn(options.turn[0], Path(options.turn[1]))
        return
    titles = ["recording", "peer s", "ours s", "peer/ours", "with quality s", "peer/that", "floor s", "ours/floor"]
    print("| " + " | ".join([*titles, "peer MB", "ours MB"]) + " |")
    print("|---" * (len(titles) + 2) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for n_channels, sfreq_hz, minutes in RECORDINGS:
            length = minutes / 10 if options.quick else minutes
            path = Path(folder) / f"{n_channels}x{sfreq_hz}.edf"
            write_recording(path, n_channels, sfreq_hz, length)
            found = compare(path, options.repeats)
            peer_s, ours_s, whole_s, floor_s = (found[subject]["seconds"] for subject in SUBJECTS)
            cells = [f"{n_channels} ch, {sfreq_hz} Hz, {length:g} min", f"{peer_s:.2f}", f"{ours_s:.2f}"]
            cells += [f"{peer_s / ours_s:.1f}", f"{whole_s:.2f}", f"{peer_s / whole_s:.1f}"]
            cells += [f"{floor_s:.2f}", f"{ours_s / floor_s:.2f}"]
            cells += [f"{found['peer']['memory_mb']:.0f}", f"{found['ours with quality']['memory_mb']:.0f}"]
            print("| " + " | ".join(cells) + " |", flush=True)
            path.unlink()


if __name__ == "__main__":
    main()
