"""ANT CNT: against MNE; a reader that dies costs its recording and nothing else."""

from __future__ import annotations

import os
import shutil
import signal
from importlib import util
from pathlib import Path

import mne
import numpy as np
import pytest
from eeg_ingest.readers import ant, detect_format, open_recording
from eeg_ingest.readers.ant import AntRecording
from eeg_ingest.recording import IngestError, Segment

FILE = "mne_testing_data/antio/CA_208/test_CA_208.cnt"


@pytest.fixture
def path(eeg_data: Path) -> Path:
    return eeg_data / FILE


def test_equals_mne(path: Path) -> None:
    recording = open_recording(path)
    raw = mne.io.read_raw_ant(path, verbose="ERROR")
    assert [channel.name for channel in recording.channels] == raw.ch_names
    signal_uv = recording.read_uv(range(88), 0, recording.n_samples)
    np.testing.assert_allclose(signal_uv, raw.get_data() * 1e6, rtol=1e-6)
    np.testing.assert_array_equal(recording.read_uv([3, 70], 1000, 1004), signal_uv[[3, 70], 1000:1004])
    assert recording.read_uv([0], 5, 5).shape == (1, 0)


def test_the_suffix_does_not_matter(path: Path, tmp_path: Path) -> None:
    shutil.copyfile(path, tmp_path / "x.edf")
    assert detect_format(tmp_path / "x.edf") == "ant-cnt"
    assert open_recording(tmp_path / "x.edf").n_samples == 4025


def test_a_crash_is_an_error_of_the_recording(path: Path, tmp_path: Path) -> None:
    recording = open_recording(path)
    assert isinstance(recording, AntRecording)
    os.kill(recording._process._child.pid, signal.SIGSEGV)
    with pytest.raises(
        IngestError, match=r"antio crashed on test_CA_208\.cnt: expected a sound recording, found signal 11"
    ):
        recording.read_uv([0], 0, 100)
    content = bytearray(path.read_bytes())
    content[16:] = np.random.default_rng(0).bytes(len(content) - 16)
    (tmp_path / "x.cnt").write_bytes(content)
    with pytest.raises(IngestError, match=r"antio (cannot read|crashed on) x\.cnt"):
        open_recording(tmp_path / "x.cnt")


def test_a_reader_that_hangs_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = open_recording(path)
    assert isinstance(recording, AntRecording)
    os.kill(recording._process._child.pid, signal.SIGSTOP)
    monkeypatch.setattr(ant, "ANSWER_S", 0.2)
    with pytest.raises(IngestError, match="antio hangs on"):
        recording.read_uv([0], 0, 100)
    assert recording._process._child.poll() == -signal.SIGKILL


def test_the_process_ends_with_its_recording(path: Path) -> None:
    recording = open_recording(path)
    assert isinstance(recording, AntRecording)
    child = recording._process._child
    assert child.poll() is None
    del recording
    assert child.poll() is not None


def test_a_truncated_file_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "x.cnt").write_bytes(path.read_bytes()[:300_000])
    with pytest.raises(IngestError, match="holds 300000 of 604116 bytes"):
        open_recording(tmp_path / "x.cnt")


def test_without_antio_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(IngestError, match=r"pip install 'eeg-ingest\[ant\]'"):
        open_recording(path)


def test_what_lies_between_unplugging_and_plugging_is_no_signal() -> None:
    """Triggers as antio hands them on: no real file with them is at hand."""

    def trigger(
        sample: int, code: str, condition: str | None = None, description: str | None = None
    ) -> dict[str, object]:
        return {"sample": sample, "n_samples": 0, "code": code, "condition": condition, "description": description}

    triggers = [
        trigger(900, "9", "Amplifier reconnected"),
        trigger(100, "12"),
        trigger(400, "0", None, "Impedance"),
        trigger(600, "9", "Amplifier disconnected"),
        trigger(950, "5", "stimulus", "left hand"),
    ]
    events, segments = ant._events_and_segments(triggers, 1000, 100.0)
    assert segments == (Segment(0, 400, 0.0), Segment(400, 200, 4.0), Segment(900, 100, 9.0))
    assert [(event.onset_s, event.label) for event in events] == [
        (1.0, "12"), (4.0, "impedance"), (6.0, "9/Amplifier disconnected"), (9.0, "9/Amplifier reconnected"),
        (9.5, "5/stimulus/left hand"),
    ]  # fmt: skip
