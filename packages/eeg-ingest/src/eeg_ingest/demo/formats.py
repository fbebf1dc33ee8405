"""The demo recordings as files: EDF+, BDF, BrainVision, EEGLAB and FIF, as amplifiers and programs write them."""

from __future__ import annotations

import datetime
import io
from pathlib import Path

import mne
import numpy as np
import pyedflib
import scipy.io
from numpy.typing import NDArray

from eeg_ingest.demo.brain import Signal
from eeg_ingest.demo.recording import DemoRecording
from eeg_ingest.demo.subject import STATES

LABELS = tuple(STATES)
_LONG_AGO = datetime.datetime(2000, 1, 1)  # an EDF header must hold a date; this is nobody's
_BDF_LIMIT = 2**23


def write_edf(path: Path, recording: DemoRecording, *, unit: str = "uV", annotate: bool = True) -> None:
    """EDF+ with the labels as annotations, or plain EDF without; `unit` (uV or mV) is what the header declares."""
    limit_uv = 3000
    scale = {"uV": 1.0, "mV": 1e-3}[unit]
    rate = recording.cap.sfreq_hz
    header = [_edf_signal(name, rate, unit, limit_uv * scale, 2**15 - 1) for name in recording.cap.names]
    with _edf_writer(path, header, pyedflib.FILETYPE_EDFPLUS if annotate else pyedflib.FILETYPE_EDF) as writer:
        for block in recording.blocks if annotate else ():
            writer.writeAnnotation(block.onset_s, block.duration_s, block.label)
        writer.writeSamples(_digital(recording.signal_uv, limit_uv, 2**15 - 1), digital=True)


def write_bdf(path: Path, recording: DemoRecording) -> None:
    """BDF of a BioSemi amplifier: large offsets, EXG1 and EXG2 beside the eyes, triggers in Status.

    A trigger is 1, 2, ... by the place of its label in `LABELS`, and lasts as long as the state.
    """
    limit_uv = 262143
    rate = recording.cap.sfreq_hz
    names = (*recording.cap.names, "EXG1", "EXG2")
    header = [_edf_signal(name, rate, "uV", limit_uv, _BDF_LIMIT - 1) for name in names]
    header.append(_edf_signal("Status", rate, "Boolean", _BDF_LIMIT - 1, _BDF_LIMIT - 1))
    eyes = np.stack([recording.eog_uv, -0.3 * recording.eog_uv])
    samples = _digital(np.concatenate([recording.signal_uv, eyes]), limit_uv, _BDF_LIMIT - 1)
    status = np.full(recording.signal_uv.shape[1], 1 << 20, np.int32)  # bit 20: the electrodes' common mode is in range
    for block in recording.blocks:
        start, stop = round(block.onset_s * rate), round((block.onset_s + block.duration_s) * rate)
        status[start:stop] += 1 + LABELS.index(block.label)
    with _edf_writer(path, header, pyedflib.FILETYPE_BDF) as writer:
        writer.writeSamples([*samples, status], digital=True)


def write_brainvision(path: Path, recording: DemoRecording) -> None:
    """A .vhdr with its .vmrk and int16 .eeg (Brain Vision Core Data Format 1.0); markers hold the labels."""
    resolution_uv = 0.1
    rate = recording.cap.sfreq_hz
    data, markers = path.with_suffix(".eeg"), path.with_suffix(".vmrk")
    reference = recording.cap.reference[0]
    channels = [f"Ch{i}={name},{reference},{resolution_uv},µV" for i, name in enumerate(recording.cap.names, start=1)]
    header = f"""Brain Vision Data Exchange Header File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data.name}
MarkerFile={markers.name}
DataFormat=BINARY
DataOrientation=MULTIPLEXED
NumberOfChannels={len(channels)}
SamplingInterval={1e6 / rate:g}

[Binary Infos]
BinaryFormat=INT_16

[Channel Infos]
"""
    path.write_text(header + "\n".join(channels) + "\n", encoding="utf-8")
    marks = ["Mk1=New Segment,,1,1,0"]
    for i, block in enumerate(recording.blocks, start=2):
        marks.append(
            f"Mk{i}=Comment,{block.label},{round(block.onset_s * rate) + 1},{round(block.duration_s * rate)},0"
        )
    marker_header = f"""Brain Vision Data Exchange Marker File Version 1.0

[Common Infos]
Codepage=UTF-8
DataFile={data.name}

[Marker Infos]
"""
    markers.write_text(marker_header + "\n".join(marks) + "\n", encoding="utf-8")
    steps = np.clip(np.rint(recording.signal_uv / resolution_uv), -(2**15), 2**15 - 1)
    steps.T.astype("<i2").tofile(data)


def write_eeglab(path: Path, recording: DemoRecording) -> None:
    """An EEGLAB .set that holds its data, with two gyroscope channels; its labels are in a CSV beside it."""
    rate = recording.cap.sfreq_hz
    gyro = np.repeat(recording.eog_uv[None] * 0.05 + 1700, 2, axis=0)
    data = np.concatenate([recording.signal_uv, gyro]).astype(np.float32)
    chanlocs = np.array([(name,) for name in (*recording.cap.names, "GYROX", "GYROY")], dtype=[("labels", object)])
    empty = np.empty((0, 0))
    eeg = {
        "setname": path.stem,
        "nbchan": len(data),
        "trials": 1,
        "pnts": data.shape[1],
        "srate": float(rate),
        "xmin": 0.0,
        "xmax": (data.shape[1] - 1) / rate,
        "times": empty,
        "data": data,
        "icaact": empty,
        "icawinv": empty,
        "icasphere": empty,
        "icaweights": empty,
        "icachansind": empty,
        "chanlocs": chanlocs,
        "chaninfo": {"nosedir": "+X"},
        "ref": "common",
        "event": empty,
        "urevent": empty,
        "epoch": empty,
        "history": "",
        "comments": "",
    }
    content = io.BytesIO()
    scipy.io.savemat(content, {"EEG": eeg}, appendmat=False, do_compression=False)
    content.seek(0)
    content.write(b"MATLAB 5.0 MAT-file".ljust(116))  # SciPy writes the present time there
    path.write_bytes(content.getvalue())
    rows = [f"{block.onset_s},{block.duration_s},{block.label}" for block in recording.blocks]
    path.with_name(f"{path.stem}_states.csv").write_text(
        "\n".join(["onset_s,duration_s,state", *rows, ""]), encoding="utf-8"
    )


def write_fif(path: Path, recording: DemoRecording) -> None:
    """A FIF as MNE writes it: volts, channel types, VEOG and ECG beside the electrodes, labels as annotations."""
    rate = recording.cap.sfreq_hz
    types = ["eeg"] * len(recording.cap.names) + ["eog", "ecg"]
    info = mne.create_info([*recording.cap.names, "VEOG", "ECG"], rate, types, verbose="error")
    extra = np.stack([recording.eog_uv, _heart_uv(recording.signal_uv.shape[1], rate)])
    raw = mne.io.RawArray(np.concatenate([recording.signal_uv, extra]) * 1e-6, info, verbose="error")
    labels = [(block.onset_s, block.duration_s, block.label) for block in recording.blocks]
    raw.set_annotations(mne.Annotations(*zip(*labels, strict=True)) if labels else None)
    raw.save(path, verbose="error")


def _heart_uv(n_samples: int, rate: float) -> NDArray[np.float64]:
    """An ECG: R peaks of 800 µV, 70 a minute."""
    phase = np.arange(n_samples) / rate * 70 / 60 % 1
    return np.asarray(800 * np.exp(-(((phase - 0.3) / 0.015) ** 2)) + 150 * np.exp(-(((phase - 0.55) / 0.06) ** 2)))


def _edf_signal(name: str, rate: float, unit: str, limit: float, digital: int) -> dict[str, object]:
    return {
        "label": name,
        "dimension": unit,
        "sample_frequency": rate,
        "physical_min": -limit,
        "physical_max": limit,
        "digital_min": -digital,
        "digital_max": digital,
        "transducer": "",
        "prefilter": "",
    }


def _edf_writer(path: Path, header: list[dict[str, object]], file_type: int) -> pyedflib.EdfWriter:
    writer = pyedflib.EdfWriter(str(path), len(header), file_type=file_type)
    writer.setSignalHeaders(header)
    writer.setStartdatetime(_LONG_AGO)
    return writer


def _digital(signal_uv: Signal, limit_uv: float, digital: int) -> list[NDArray[np.int32]]:
    """Converter steps (S,) of each channel."""
    steps = np.rint(signal_uv.astype(np.float64) * (digital / limit_uv))
    return list(np.clip(steps, -digital, digital).astype(np.int32))
