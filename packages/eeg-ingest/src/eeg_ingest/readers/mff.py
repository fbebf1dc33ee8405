"""EGI MFF folders by mapping `signal<N>.bin` (docs/decisions/mff.md says why not through MNE).

Sources: EGI, "MFF (Meta File Format) specification"; the block layout as in BEL's mffpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from defusedxml import ElementTree

from eeg_ingest.channel_types import parse_label
from eeg_ingest.readers.companions import recording_files
from eeg_ingest.recording import Channel, ChannelType, Event, IngestError, Recording, Segment
from eeg_ingest.units import settle_unit

_SENSOR_TYPES: dict[str, ChannelType] = {"0": "eeg", "1": "ref"}


@dataclass(frozen=True)
class _Block:
    """A run of samples in the file: float32 (n_channels, n_samples) from byte `start`."""

    start: int
    n_samples: int
    first_sample: int


class MffRecording(Recording):
    """One .mff folder (C channels, S samples). The samples stay on disk; epochs are segments."""

    def __init__(self, path: Path, unit: str | None = None) -> None:
        settle_unit("EEG", "uV", unit)  # the format fixes µV
        number = _eeg_signal(path)
        signal = path / f"signal{number}.bin"
        if not signal.stat().st_size:
            raise IngestError(f"{signal.name} is empty. Fetch the folder again.")
        self._map: npt.NDArray[np.uint8] = np.memmap(signal, dtype=np.uint8, mode="r")
        self._blocks, self._n_channels, sfreq_hz = _read_blocks(self._map)
        self._gains = _gains(path, number, self._n_channels)
        names = _channel_names(path)
        if len(names) != self._n_channels:
            raise IngestError(
                f"sensorLayout.xml of {path.name}: expected {self._n_channels} channels, found {len(names)}. "
                "Fetch it again."
            )
        channels = [Channel(name, kind, sfreq_hz, "uV") for name, kind in names]
        channels += [Channel(name, _physiology_type(name), sfreq_hz, None) for name in _physiology_names(path)]
        super().__init__(
            format="egi-mff",
            sfreq_hz=sfreq_hz,
            channels=tuple(channels),
            segments=_segments(path, self._blocks),
            events=tuple(sorted(_events(path), key=lambda event: event.onset_s)),
            files=tuple(str(file) for file in recording_files(path)),
            reference=next((name for name, kind in names if kind == "ref"), None),
        )

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        """Read (len(channels), stop - start) in µV. See `Recording.read_uv`."""
        if not 0 <= start_sample <= stop_sample <= self.n_samples:
            raise IndexError(f"samples {start_sample} to {stop_sample} of {self.n_samples}")
        picks = list(channels)
        if any(index >= self._n_channels for index in picks):
            raise IngestError("Physiological channels of an MFF recording are not read.")
        out = np.empty((len(picks), stop_sample - start_sample), dtype=np.float32)
        for block in self._blocks:
            first = max(start_sample, block.first_sample)
            last = min(stop_sample, block.first_sample + block.n_samples)
            if first < last:
                n_bytes = 4 * self._n_channels * block.n_samples
                values = self._map[block.start : block.start + n_bytes].view("<f4").reshape(self._n_channels, -1)
                part = values[picks, first - block.first_sample : last - block.first_sample]
                out[:, first - start_sample : last - start_sample] = part * self._gains[picks, None]
        return out


def _read_blocks(raw: npt.NDArray[np.uint8]) -> tuple[list[_Block], int, float]:
    """Walk the blocks. Returns them, the number of channels and the rate. Raises IngestError at a cut or damaged block.

    A block starts with a full header (1) or repeats the one before it (0).
    """
    blocks: list[_Block] = []
    position, first_sample = 0, 0
    n_channels, sfreq_hz, data_bytes = 0, 0.0, 0
    while position < len(raw):
        name = f"Block {len(blocks) + 1} of the signal file"
        kind = _integers(raw, position, 1)[0]
        if kind == 1:
            header_bytes, data_bytes, channels = _integers(raw, position + 4, 3)
            if not 0 < channels < 10_000 or header_bytes < 16 + 8 * channels or data_bytes < 4 * channels:
                raise IngestError(f"{name} is damaged. Fetch the folder again.")
            words = _integers(raw, position + 16 + 4 * channels, channels)
            if len(set(words)) > 1 or words[0] & 0xFF != 32 or words[0] >> 8 < 1:
                raise IngestError(f"{name}: expected 32-bit samples of one rate, found others. Export it again.")
            if blocks and (channels, words[0] >> 8) != (n_channels, sfreq_hz):
                raise IngestError(
                    f"{name} changes the channels or the rate, which is not supported. Export each part alone."
                )
            n_channels, sfreq_hz = channels, float(words[0] >> 8)
        elif kind == 0 and blocks:
            header_bytes = 4
        else:
            raise IngestError(f"{name} is damaged. Fetch the folder again.")
        position += header_bytes
        n_samples, rest = divmod(data_bytes, 4 * n_channels)
        if rest or position + data_bytes > len(raw):
            raise IngestError(f"{name} is cut short: the copy is incomplete. Fetch the folder again.")
        blocks.append(_Block(position, n_samples, first_sample))
        position += data_bytes
        first_sample += n_samples
    if not blocks:
        raise IngestError("The signal file holds no samples. Fetch the folder again.")
    return blocks, n_channels, sfreq_hz


def _integers(raw: npt.NDArray[np.uint8], position: int, count: int) -> list[int]:
    part = raw[position : position + 4 * count]
    if position < 0 or len(part) < 4 * count:
        raise IngestError("The signal file ends inside a block header: the copy is incomplete. Fetch it again.")
    return [int(value) for value in np.frombuffer(part.tobytes(), dtype="<i4")]


def _xml(path: Path) -> Any:
    """The root of an XML file, with namespaces dropped."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError as error:
        raise IngestError(f"{path.name} is missing in {path.parent.name}. Fetch the folder again.") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # its encoding, and what defusedxml forbids
        raise IngestError(f"{path.name} in {path.parent.name} is no XML: {error}. Fetch it again.") from error
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    return root


def _eeg_signal(path: Path) -> int:
    """The number of the signal file that holds the EEG."""
    for number in range(1, 100):
        if not (path / f"signal{number}.bin").is_file():
            break
        if _xml(path / f"info{number}.xml").find(".//fileDataType/EEG") is not None:
            return number
    raise IngestError(f"No signal file of {path.name} holds EEG. Leave it out.")


def _gains(path: Path, number: int, n_channels: int) -> npt.NDArray[np.float32]:
    """Gains of the amplifier's calibration at the start (GCAL); 1 where the recording has none."""
    gains = np.ones(n_channels, dtype=np.float32)
    for calibration in _xml(path / f"info{number}.xml").iter("calibration"):
        if calibration.findtext("type") != "GCAL" or (calibration.findtext("beginTime") or "0").strip() != "0":
            continue
        for channel in calibration.iter("ch"):
            try:
                index, gain = int(channel.get("n", "")) - 1, float(channel.text or "")
            except ValueError as error:
                raise IngestError(f"info{number}.xml: a gain is no number: {error}. Fetch the folder again.") from error
            if 0 <= index < n_channels:
                gains[index] = gain
    return gains


def _channel_names(path: Path) -> list[tuple[str, ChannelType]]:
    """Names (`E17` where the net gives none) and types of the EEG file's channels."""
    names: list[tuple[str, ChannelType]] = []
    for sensor in _xml(path / "sensorLayout.xml").iter("sensor"):
        kind = _SENSOR_TYPES.get((sensor.findtext("type") or "").strip())
        if kind:
            number = (sensor.findtext("number") or "").strip()
            names.append(((sensor.findtext("name") or "").strip() or f"E{number}", kind))
    return names


def _physiology_names(path: Path) -> list[str]:
    """Names of the channels of a second signal file (ECG, EMG, respiration), which are listed and not read."""
    if not (path / "pnsSet.xml").is_file():
        return []
    return [(sensor.findtext("name") or "").strip() for sensor in _xml(path / "pnsSet.xml").iter("sensor")]


def _physiology_type(name: str) -> ChannelType:
    kind = parse_label(name).type
    return kind if kind in ("ecg", "emg", "eog") else "misc"


def _ticks_per_second(path: Path) -> float:
    """Times are microseconds where recordTime has 6 decimals, nanoseconds where it has 9 (MFF versions 3 and 1)."""
    digits = (_xml(path / "info.xml").findtext("recordTime") or "").partition(".")[2]
    return 1e9 if len(digits.partition("+")[0].partition("-")[0].rstrip("Z")) == 9 else 1e6


def _segments(path: Path, blocks: Sequence[_Block]) -> tuple[Segment, ...]:
    """One segment for each epoch. Times count from the start of the recording."""
    ticks = _ticks_per_second(path)
    segments = []
    used = 0
    for epoch in _xml(path / "epochs.xml").iter("epoch"):
        begin, first, last = (_whole(epoch, key) for key in ("beginTime", "firstBlock", "lastBlock"))
        inside = blocks[first - 1 : last]
        if first != used + 1 or last < first or len(inside) != last - first + 1:
            raise IngestError(f"epochs.xml of {path.name} names blocks {first} to {last} of {len(blocks)}.")
        used = last
        n_samples = sum(block.n_samples for block in inside)
        segments.append(Segment(inside[0].first_sample, n_samples, begin / ticks))
    if used != len(blocks):
        raise IngestError(f"epochs.xml of {path.name} names {used} of {len(blocks)} blocks.")
    return tuple(segments)


def _whole(element: Any, key: str) -> int:
    text = (element.findtext(key) or "").strip()
    if not text.isdigit():
        raise IngestError(f"epochs.xml: {key} is no number: found {text!r}. Fetch it again.")
    return int(text)


def _moment(text: str) -> datetime:
    """An ISO time; nanoseconds are cut to microseconds, which is all that datetime holds."""
    head, dot, tail = text.strip().partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return datetime.fromisoformat(f"{head}{dot}{tail[: min(digits, 6)]}{tail[digits:]}")


def _events(path: Path) -> Iterator[Event]:
    """Events of all tracks, labelled with their code, in seconds from the start of the recording."""
    tracks = sorted(path.glob("Events*.xml"))
    if not tracks:
        return
    try:
        zero = _moment(_xml(path / "info.xml").findtext("recordTime") or "")
        for track in tracks:
            for event in _xml(track).iter("event"):
                onset_s = (_moment(event.findtext("beginTime") or "") - zero).total_seconds()
                duration_s = float(event.findtext("duration") or 0) / 1e9
                yield Event(onset_s, duration_s, (event.findtext("code") or "").strip())
    except (ValueError, TypeError) as error:
        raise IngestError(f"An event time of {path.name} cannot be read: {error}. Fetch it again.") from error
