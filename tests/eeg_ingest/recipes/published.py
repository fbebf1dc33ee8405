"""What a mimic of a published dataset is: a small tree with its names and formats, and what must come out of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyedflib

Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """What the tables must say of one recording. `events` are (onset_s, duration_s, label), all of the recording's."""

    subject: str
    session: str | None
    channels: tuple[str, ...]
    sfreq_hz: float
    n_seconds: int
    run: str | None = None
    unit: str = "uV"
    line_freq_hz: float | None = 50.0
    reference: str | None = None
    events: tuple[tuple[float, float, str], ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mimic:
    """A tree that `write` makes in a folder, and what is stored of each file; `failures` are parts of the reasons.

    `splits` are the subjects of those splits of a task that the dataset itself decides.
    """

    recipe: str
    write: Callable[[Path], None]
    stored: Mapping[str, Stored]
    failures: Mapping[str, str] = field(default_factory=dict)
    splits: Mapping[str, Mapping[str, set[str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Channel:
    """A channel of a mimic: `values` in `unit`, one second after the other at its own rate."""

    label: str
    values: Signal
    unit: str = "uV"
    sfreq_hz: int = 256


def noise_uv(name: str, n_samples: int, sd_uv: float = 20.0) -> Signal:
    """Noise of its own for each name."""
    return np.random.default_rng(zlib.crc32(name.encode())).normal(0, sd_uv, n_samples)


def eeg(name: str, labels: Sequence[str], seconds: int, sfreq_hz: int, offset_uv: float = 0.0) -> list[Channel]:
    """Channels of noise, different in each recording `name`."""
    return [
        Channel(label, noise_uv(f"{name}{label}{number}", seconds * sfreq_hz) + offset_uv, sfreq_hz=sfreq_hz)
        for number, label in enumerate(labels)
    ]


def write_edf(
    path: Path,
    channels: Sequence[Channel],
    annotations: Sequence[tuple[float, float, str]] = (),
    kind: int = pyedflib.FILETYPE_EDFPLUS,
) -> None:
    """Write EDF+ (or BDF+) with the channels' own rates and units."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bdf = kind in (pyedflib.FILETYPE_BDF, pyedflib.FILETYPE_BDFPLUS)
    with pyedflib.EdfWriter(str(path), len(channels), file_type=kind) as writer:
        writer.setSignalHeaders([_header(channel, bdf) for channel in channels])
        if channels:
            writer.writeSamples([channel.values for channel in channels])
        for annotation in annotations:
            writer.writeAnnotation(*annotation)


def _header(channel: Channel, bdf: bool) -> dict[str, object]:
    most = 2**23 if bdf else 2**15
    # A header has eight characters for a limit; digital values are stored as they are for a trigger channel.
    highest: float = float(f"{max(np.abs(channel.values).max() * 1.1, 1e-5):.1e}")
    limits = (-most, most - 1) if channel.label == "Status" else (-highest, highest)
    return {
        "label": channel.label,
        "dimension": channel.unit,
        "sample_frequency": channel.sfreq_hz,
        "physical_min": limits[0],
        "physical_max": limits[1],
        "digital_min": -most,
        "digital_max": most - 1,
        "transducer": "",
        "prefilter": "",
    }


def write_cnt(
    path: Path,
    channels: Sequence[Channel],
    triggers: Sequence[tuple[int, int]] = (),
    *,
    count_samples: bool = True,
) -> None:
    """Write Neuroscan CNT of 32 bits: SETUP, ELECTLOC for each channel, samples, an event table (sample, code).

    uV = (raw - baseline) * sensitivity * calibration / 204.8. Large files are known to hold 0 for their sample count.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    step_uv, baseline = 0.01, 7
    raw = np.array([np.round(channel.values / step_uv) + baseline for channel in channels]).astype("<i4")
    data = 900 + 75 * len(channels)
    setup = bytearray(900)
    setup[:12] = b"Version 3.0\x00"
    setup[225:245] = b"01/02/03  04:05:06  "
    struct.pack_into("<H", setup, 370, len(channels))
    struct.pack_into("<H", setup, 376, channels[0].sfreq_hz)
    struct.pack_into("<I", setup, 864, raw.shape[1] if count_samples else 0)
    struct.pack_into("<I", setup, 886, data + raw.nbytes)
    electrodes = b""
    for channel in channels:
        electrode = bytearray(75)
        electrode[: len(channel.label)] = channel.label.encode()
        struct.pack_into("<ff", electrode, 19, len(electrodes), -len(electrodes))  # its place, as drawn on a screen
        struct.pack_into("<h", electrode, 47, baseline)
        struct.pack_into("<f", electrode, 59, step_uv * 204.8)
        struct.pack_into("<f", electrode, 71, 1.0)
        electrodes += bytes(electrode)
    offsets = [(code, data + 4 * len(channels) * sample) for sample, code in triggers]
    table = struct.pack("<Bii", 1, 8 * len(triggers), 0)
    table += b"".join(struct.pack("<HBBi", code, 0, 0, offset) for code, offset in offsets)
    path.write_bytes(bytes(setup) + electrodes + raw.T.tobytes() + table)
