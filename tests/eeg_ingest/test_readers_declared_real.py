"""Real tables and matrices: names, unit, rate and events as written down, samples as NumPy and SciPy read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import Recording
from eeg_ingest.sources import Source, load_sources

MUSE = ["TP9", "AF7", "AF8", "TP10"]
EMOTIV = ["AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4"]
CLOSED = "Counting_Closed/Subject10_counting_closed_eyes_2017-08-28.txt"
P300 = "visual/P300/subject1/session1/data_2017-02-04-15_45_13.csv"
ENOBIO = "20180404181213_Patient01.easy"
# source and file: format, rate, names, samples of each segment, number of events
FACTS: dict[tuple[str, str], tuple[str, float, list[str], list[int], int]] = {
    ("innopolis", CLOSED): ("openbci", 250, ["FP1", "FP2"], [5570], 0),
    ("innopolis", "Counting_Open/Subject9_Open_Eyes.txt"): ("openbci", 250, ["FP1", "FP2"], [1605, 1696], 0),
    ("muse_mental_state", "subjecta-relaxed-1.csv"): ("muse", 256, MUSE, [15204], 0),
    ("muse_mental_state", "subjecta-concentrating-2.csv"): ("muse", 256, MUSE, [13392], 0),
    ("muse_p300", P300): ("muse", 256, MUSE, [30732], 197),
    ("eye_state", "EEG_Eye_State.arff"): ("arff", 128, EMOTIV, [14980], 24),
    ("marley_enobio", ENOBIO): ("enobio", 500, [f"Ch{n}" for n in range(1, 9)], [15648], 0),
    ("marley_openbci", "trial_1/OpenBCI-RAW-2018-03-11_22-41-42.txt"): (
        *("openbci", 250, [f"Channel {n}" for n in range(1, 9)], [9981], 0),
    ),
}
# source and file: how NumPy reads it, and what makes its numbers µV
PLAIN: dict[tuple[str, str], tuple[dict[str, Any], float]] = {
    ("innopolis", CLOSED): ({"delimiter": ",", "comments": "%", "usecols": (1, 2)}, 1),
    ("muse_p300", P300): ({"delimiter": ",", "skip_header": 1, "usecols": range(1, 5)}, 1),
    ("eye_state", "EEG_Eye_State.arff"): ({"delimiter": ",", "skip_header": 19, "usecols": range(14)}, 1),
    ("marley_enobio", ENOBIO): ({"usecols": range(8)}, 1e-3),
}


@pytest.fixture(scope="module")
def sources(eeg_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    """The entries of pipelines/real/sources.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EEG_TEST_DATA", str(eeg_data))
        listed = load_sources(Path(__file__).parents[2] / "pipelines/real/sources.yaml")
    return {source.name: source for source in listed}


def opened(source: Source, file: str) -> tuple[Recording, Any]:
    recording = open_recording(source.path / file, unit=source.unit, settings=source.reader)
    rules = source.channels
    return recording, choose_channels(recording, rename=rules.rename, drop=rules.drop, montage=rules.montage)


@pytest.mark.parametrize(("name", "file"), FACTS)
def test_file_is_as_written_down(sources: dict[str, Source], name: str, file: str) -> None:
    kind, rate_hz, channels, lengths, n_events = FACTS[name, file]
    recording, choice = opened(sources[name], file)
    assert (recording.format, recording.sfreq_hz) == (kind, rate_hz)
    assert list(choice.names) == channels
    assert [segment.n_samples for segment in recording.segments] == lengths
    assert len(recording.events) == n_events
    assert {recording.channels[index].unit for index in choice.indices} == {"nV" if kind == "enobio" else "uV"}


@pytest.mark.parametrize(("name", "file"), PLAIN)
def test_samples_equal_those_of_numpy(sources: dict[str, Source], name: str, file: str) -> None:
    options, factor = PLAIN[name, file]
    recording, choice = opened(sources[name], file)
    wanted = np.genfromtxt(sources[name].path / file, **options)
    assert wanted.shape == (recording.n_samples, len(choice.names))
    np.testing.assert_allclose(recording.read_uv(choice.indices, 0, len(wanted)), wanted.T * factor, rtol=1e-6)


def test_alcoholism_equals_scipy(sources: dict[str, Source]) -> None:
    source = sources["alcoholism"]
    recording, choice = opened(source, "co2c0000337.mat")
    content = scipy.io.loadmat(source.path / "co2c0000337.mat")
    names = [str(cell[0]) for cell in content["ch_names"][0]]
    assert [recording.channels[index].name for index in choice.indices] == [
        n for n in names if n not in ("X", "Y", "nd")
    ]
    wanted = content["X"].transpose(1, 0, 2).reshape(len(names), -1)
    np.testing.assert_allclose(recording.read_uv(range(64), 0, recording.n_samples), wanted, rtol=1e-6)
    assert [(event.duration_s, event.label) for event in recording.events] == [(1, "control")] * len(content["X"])
