"""Memory of the signal path does not grow with the length or the channels of a recording."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = r"""
import re, sys
from pathlib import Path
import numpy as np
from eeg_ingest.harmonize import harmonize
from eeg_ingest.recording import Channel, Recording, Segment

n_channels, sfreq_hz, seconds = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
PERIOD = 50_021
digital = np.resize(np.random.default_rng(0).integers(-3000, 3000, PERIOD).astype(np.int16), 4_000_000)

class Endless(Recording):
    def read_uv(self, channels, start_sample, stop_sample):
        out = np.empty((len(channels), stop_sample - start_sample), np.float32)
        for row, channel in enumerate(channels):
            first = (start_sample + 777 * channel) % PERIOD
            np.multiply(digital[first : first + out.shape[1]], np.float32(0.1), out=out[row])
        return out

recording = Endless(
    "memory", sfreq_hz, tuple(Channel(f"C{i}", "eeg", sfreq_hz, "uV") for i in range(n_channels)),
    (Segment(0, int(seconds * sfreq_hz), 0.0),), (), ())
done = 0
for block in harmonize(recording, range(n_channels), line_freq_hz=50.0, quantized=True):
    done += len(block.signal)
assert done == seconds
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells the peak on Linux only")
@pytest.mark.parametrize(
    ("n_channels", "sfreq_hz", "seconds"), [(64, 128.0, 7200), (64, 1000.0, 500), (256, 2048.0, 70)]
)
def test_memory_is_bounded(n_channels: int, sfreq_hz: float, seconds: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(n_channels), str(sfreq_hz), str(seconds)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 250  # MiB, with Python and all that is imported
