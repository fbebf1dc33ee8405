"""ANT Neuro CNT (`.cnt` in a RIFF container), read by antio in a process of its own (docs/decisions/ant.md)."""

from __future__ import annotations

import importlib.util
import json
import os
import select
import struct
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eeg_ingest.channel_types import parse_labels
from eeg_ingest.readers.mapped import scale_channels
from eeg_ingest.recording import ChannelType, Event, IngestError, Recording, Segment
from eeg_ingest.units import voltage_unit

ANSWER_S = 120.0  # a damaged file may make antio loop
_PIPE_BYTES = 2**20
_BIPOLAR = "BIP"  # inputs of the amplifier's own, for whatever was plugged in
_OFF, _ON = "amplifier disconnected", "amplifier reconnected"


class AntRecording(Recording):
    """One ANT file (C channels, S samples)."""

    def __init__(self, path: Path, unit: str | None = None, *, overrule: bool = False) -> None:
        _check_size(path)
        self._process = _Process(path)
        weakref.finalize(self, self._process.close)
        header = self._process.header
        sfreq_hz, self._n_samples = float(header["sfreq_hz"]), int(header["n_samples"])
        if sfreq_hz <= 0 or self._n_samples < 1 or not header["channels"]:
            raise IngestError(
                f"{path.name} declares {len(header['channels'])} channels of {self._n_samples} samples at "
                f"{sfreq_hz:g} Hz. Fetch it again."
            )
        labels = [str(channel["label"]) for channel in header["channels"]]
        declared = [
            voltage_unit(str(channel["unit"])) or ("other" if channel["unit"] else None)
            for channel in header["channels"]
        ]
        channels, self.uv_per_value = scale_channels(
            labels, _types(labels), declared, sfreq_hz, unit, overrule=overrule
        )
        references = {
            str(of_file["reference"])
            for of_file, channel in zip(header["channels"], channels, strict=True)
            if channel.type == "eeg"
        }
        events, segments = _events_and_segments(header["triggers"], self._n_samples, sfreq_hz)
        super().__init__(
            format="ant-cnt",
            sfreq_hz=sfreq_hz,
            channels=channels,
            segments=segments,
            events=events,
            files=(str(path),),
            reference=(references.pop() or None) if len(references) == 1 else None,
        )

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        if not 0 <= start_sample <= stop_sample <= self._n_samples:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self._n_samples}")
        picks = list(channels)
        for index in picks:
            if np.isnan(self.uv_per_value[index]):
                raise IngestError(f"Channel {self.channels[index].name!r} is no voltage.")
        if start_sample == stop_sample:
            return np.empty((len(picks), 0), dtype=np.float32)
        values = self._process.read(start_sample, stop_sample).reshape(len(self.channels), -1)
        return np.asarray(values[picks] * self.uv_per_value[picks, None], dtype=np.float32)


class _Process:
    """The process behind a recording, with its `header`. Raises IngestError if it died, hangs, or cannot read."""

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("antio") is None:
            raise IngestError("ANT CNT files need the package antio: pip install 'eeg-ingest[ant]'.")
        self._name = path.name
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        if path.suffix != ".cnt":  # antio insists on it
            self._folder = tempfile.TemporaryDirectory(prefix="eeg-ingest-")
            link = Path(self._folder.name, f"{path.stem}.cnt")
            link.symlink_to(path.absolute())
            path = link
        script = Path(__file__).with_name("ant_process.py")
        self._child = subprocess.Popen(  # noqa: S603  our own script
            [sys.executable, "-P", str(script), str(path.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("a process without the pipes that it was given")
        self._pipes = self._child.stdin, self._child.stdout
        self._stdin, self._stdout = self._child.stdin.fileno(), self._child.stdout.fileno()
        self._ahead = b""
        try:
            self.header = self._answer()
        except IngestError:
            self.close()
            raise

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Read all channels of some samples, one channel after another."""
        try:
            os.write(self._stdin, f"{start} {stop}\n".encode())
        except BrokenPipeError:
            raise self._died() from None
        n_bytes = int(self._answer()["bytes"])
        parts, missing = [self._ahead], n_bytes - len(self._ahead)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        self._ahead = b""
        return np.frombuffer(b"".join(parts), dtype="<f4")

    def close(self) -> None:
        """End the process, if it has not ended."""
        self._child.kill()
        for pipe in self._pipes:
            pipe.close()
        self._stdin = self._stdout = -1
        self._child.wait()
        if self._folder is not None:
            self._folder.cleanup()

    def _answer(self) -> dict[str, Any]:
        while b"\n" not in self._ahead:
            self._ahead += self._more()
        line, _, self._ahead = self._ahead.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            reason = str(answer["error"]).rstrip(".")
            raise IngestError(f"antio cannot read {self._name}: {reason}. Fetch it again, or convert it.")
        return answer

    def _more(self) -> bytes:
        waiting = select.poll()
        waiting.register(self._stdout, select.POLLIN)
        if not waiting.poll(1000 * ANSWER_S):
            self.close()
            raise IngestError(f"antio hangs on {self._name} for {ANSWER_S:.0f} s. Fetch it again, or convert it.")
        data = os.read(self._stdout, _PIPE_BYTES)
        if not data:
            raise self._died()
        return data

    def _died(self) -> IngestError:
        code = self._child.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return IngestError(
            f"antio crashed on {self._name}: expected a sound recording, found {how}. Fetch it again, or convert it."
        )


def _check_size(path: Path) -> None:
    """Raises IngestError if the file is shorter than its RIFF or RF64 header promises."""
    with path.open("rb") as file:
        head = file.read(12)
    promised = 12 + struct.unpack("<Q", head[4:12])[0] if head[:4] == b"RF64" else 8 + struct.unpack("<I", head[4:8])[0]
    found = path.stat().st_size
    if found < promised:
        raise IngestError(f"{path.name} holds {found} of {promised} bytes: the copy is incomplete. Fetch it again.")


def _types(labels: Sequence[str]) -> list[ChannelType]:
    """All inputs but the bipolar ones are electrodes, unless their label says more."""
    return [
        label.type or ("misc" if label.name.upper().startswith(_BIPOLAR) else "eeg") for label in parse_labels(labels)
    ]


def _events_and_segments(
    triggers: Sequence[dict[str, Any]], n_samples: int, sfreq_hz: float
) -> tuple[tuple[Event, ...], tuple[Segment, ...]]:
    """Labels as antio's own `read_triggers` makes them.

    Samples while the amplifier was unplugged are none, and an impedance measurement ends a stretch.
    """
    events, cuts, off_since = [], {0, n_samples}, None
    skipped: list[tuple[int, int]] = []
    for trigger in sorted(triggers, key=lambda trigger: int(trigger["sample"])):
        sample = min(max(int(trigger["sample"]), 0), n_samples)
        parts = [trigger["code"], trigger["condition"], trigger["description"]]
        what = str(trigger["condition"] or "").lower()
        is_impedance = str(trigger["description"] or "").lower() == "impedance"
        label = "impedance" if is_impedance else "/".join(str(part) for part in parts if part is not None)
        events.append(Event(sample / sfreq_hz, int(trigger["n_samples"]) / sfreq_hz, label))
        if what == _OFF:
            off_since = sample
        if what == _ON and off_since is not None:
            skipped.append((off_since, sample))
        if what in (_OFF, _ON) or is_impedance:
            cuts.add(sample)
    edges = sorted(cuts)
    segments = tuple(
        Segment(start, stop - start, start / sfreq_hz)
        for start, stop in pairwise(edges)
        if not any(first <= start < last for first, last in skipped)
    )
    return tuple(events), segments
