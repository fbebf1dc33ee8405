"""What a worker needs to put a recording into the store does not grow with the recording."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyedflib
import pytest
from eeg_ingest.workers import ENVIRONMENT

PROGRAM = r"""
import sys, threading
from pathlib import Path
from eeg_ingest.duplicates import fingerprint
from eeg_ingest.files import FoundFile
from eeg_ingest.sources import Source
from eeg_ingest.task import FileTask, IngestTask, ingest, read_headers
from eeg_store import SlotRequest, Store

def memory_mb():
    lines = [line.split() for line in open("/proc/self/status")]
    return [int(line[1]) / 1024 for key in ("RssAnon:", "RssFile:") for line in lines if line[0] == key]

def watch():
    global peak
    while not done.wait(0.005):
        peak = list(map(max, peak, memory_mb()))

path = Path(sys.argv[1])
source = Source(name="long", path=path.parent)
file = FileTask(FoundFile("long", path.name, path), source, (str(path),), {}, fingerprint((str(path),)))
(header,) = read_headers([file])
store = Store.create(path.parent / f"{path.stem}.zarr", {})
name = file.found.recording
slots = store.reserve([SlotRequest(name, "long", header.channels, header.reference, header.n_seconds)])
done, peak = threading.Event(), memory_mb()
thread = threading.Thread(target=watch)
thread.start()
assert ingest([IngestTask(file, slots[name], store)]) == [header.n_seconds]
done.set()
thread.join()
print(*peak)
"""


def sparse_edf(path: Path, n_channels: int, sfreq_hz: int, seconds: int) -> Path:
    """Write an EDF file of one second of noise and zeros without end, which take no disk space."""
    fields = {"dimension": "uV", "sample_frequency": sfreq_hz, "physical_min": -3200, "physical_max": 3200}
    fields |= {"digital_min": -32768, "digital_max": 32767}
    with pyedflib.EdfWriter(str(path), n_channels, file_type=pyedflib.FILETYPE_EDF) as writer:
        writer.setSignalHeaders([{"label": f"E{number + 1}", **fields} for number in range(n_channels)])
        writer.writeSamples(list(50 * np.random.default_rng(0).standard_normal((n_channels, sfreq_hz))))
    with path.open("r+b") as file:
        file.seek(236)
        file.write(str(seconds).ljust(8).encode())
        file.truncate(256 * (n_channels + 1) + 2 * n_channels * sfreq_hz * seconds)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the private memory on Linux only")
def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    peaks_mb, mapped_mb = [], []
    for minutes in (6, 18):
        path = sparse_edf(tmp_path / f"{minutes}.edf", 128, 1024, 60 * minutes)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )
        private, mapped = map(float, done.stdout.split())
        peaks_mb.append(private)
        mapped_mb.append(mapped)
    assert peaks_mb[1] < 300
    assert peaks_mb[1] < peaks_mb[0] + 60  # blocks are not all of one length; the samples alone are 190 MB more
    assert mapped_mb[1] < mapped_mb[0] + 60  # Dask counts it too; the file is 190 MB longer
