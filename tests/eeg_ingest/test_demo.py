"""The demo corpus: does it behave like EEG, and is it what its sources.yaml says? MNE and plain NumPy judge."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
from eeg_ingest.demo import write_corpus
from eeg_ingest.sources import Source, load_sources
from numpy.typing import NDArray
from scipy.signal import butter, find_peaks, sosfiltfilt, welch

Array = NDArray[np.float64]

# What each source is; written down here on its own, not read from the code.
MAINS_HZ = {"clinic": 60, "biosemi": 50, "hands": 50, "headset": 60, "dense": 50, "board": 60}
RATES_HZ = {"clinic": 256, "biosemi": 512, "hands": 500, "headset": 128, "dense": 1000, "board": 250}
SUBJECTS = {"clinic": 12, "biosemi": 5, "hands": 6, "headset": 6, "dense": 4, "board": 4}
CHANNELS = {
    "clinic": ["eeg"] * 19,
    "biosemi": ["eeg"] * 34 + ["stim"],  # EXG1 and EXG2 are EEG to a BDF header
    "hands": ["eeg"] * 32,
    "headset": ["eeg"] * 16,  # two of them gyroscopes
    "dense": ["eeg"] * 62 + ["eog", "ecg"],
    "board": ["eeg"] * 8,
}
BESIDE = ("EXG1", "EXG2", "GYROX", "GYROY", "VEOG", "ECG", "Status")  # channels that are not on the scalp
READERS: dict[str, Callable[..., mne.io.BaseRaw]] = {
    ".edf": mne.io.read_raw_edf,
    ".bdf": mne.io.read_raw_bdf,
    ".vhdr": mne.io.read_raw_brainvision,
    ".set": mne.io.read_raw_eeglab,
    ".fif": mne.io.read_raw_fif,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("demo") / "corpus").parent


@pytest.fixture(scope="module")
def sources(corpus: Path) -> dict[str, Source]:
    return {source.name: source for source in load_sources(corpus / "sources.yaml")}


def files_of(source: Source) -> list[Path]:
    return sorted(path for pattern in source.files or () for path in source.path.glob(pattern))


def read(path: Path) -> mne.io.BaseRaw:
    return READERS[path.suffix](path, preload=True, verbose="error")


def eeg_uv(path: Path) -> tuple[dict[str, Array], float]:
    """Signals (S,) in µV by their plain names, between 0.5 and 70 Hz where the rate allows, and the rate."""
    raw = read(path)
    rate = float(raw.info["sfreq"])
    band = butter(3, [0.5, min(70, 0.45 * rate)], "band", fs=rate, output="sos")
    signal = sosfiltfilt(band, raw.get_data(picks="eeg") * 1e6)
    names = [name.removeprefix("EEG ").removesuffix("-REF") for name in raw.ch_names]
    return dict(zip(names, signal, strict=False)), rate


def states(path: Path) -> list[tuple[float, float, str]]:
    """(onset, duration, label) of the annotations that EDF, BrainVision and FIF hold."""
    notes = [(float(a["onset"]), float(a["duration"]), str(a["description"])) for a in read(path).annotations]
    return [(onset, length, label.removeprefix("Comment/")) for onset, length, label in notes if length > 1]


def power(signal: Array, rate: float, low_hz: float, high_hz: float) -> Any:
    frequency, density = welch(signal, rate, nperseg=round(2 * rate))
    return density[..., (frequency >= low_hz) & (frequency <= high_hz)].mean(axis=-1)


@pytest.mark.parametrize("name", RATES_HZ)
def test_mne_reads_what_the_source_declares(name: str, sources: dict[str, Source]) -> None:
    files = files_of(sources[name])
    raw = read(files[0])
    assert raw.info["sfreq"] == RATES_HZ[name]
    assert raw.get_channel_types() == CHANNELS[name]
    signal, _ = eeg_uv(files[0])
    amplitudes = [channel.std() for label, channel in signal.items() if label not in BESIDE]
    assert 10 < np.median(amplitudes) < 50  # µV: the unit is right


@pytest.mark.parametrize("name", SUBJECTS)
def test_sources_yaml_finds_every_file_and_subject(name: str, sources: dict[str, Source]) -> None:
    source = sources[name]
    recordings = {path for path in source.path.rglob("*") if path.suffix in READERS}
    assert recordings == set(files_of(source))
    subjects = set()
    for path in recordings:
        assert source.subject is not None
        match = re.search(source.subject, path.relative_to(source.path).as_posix())
        assert match is not None
        subjects.add(match["subject"])
    assert len(subjects) == SUBJECTS[name]
    assert source.line_freq_hz in ("auto", MAINS_HZ[name])


def test_the_corpus_is_about_an_hour(sources: dict[str, Source]) -> None:
    assert len(sources) == 6
    hours = sum(read(path).times[-1] for source in sources.values() for path in files_of(source)) / 3600
    assert 0.7 < hours < 1.5


@pytest.mark.parametrize("name", MAINS_HZ)
def test_hum_is_at_the_mains_of_the_source(name: str, sources: dict[str, Source]) -> None:
    ratios: dict[int, list[float]] = {50: [], 60: []}
    for path in files_of(sources[name])[:4]:
        signal = read(path).get_data(picks="eeg")
        rate = RATES_HZ[name]
        for hum_hz, found in ratios.items():
            around = power(signal, rate, hum_hz - 3.5, hum_hz - 1.5)
            found.append(float(np.median(power(signal, rate, hum_hz, hum_hz) / around)))
    other = 110 - MAINS_HZ[name]
    assert min(ratios[MAINS_HZ[name]]) > 8
    assert max(ratios[other]) < 2


def test_the_background_falls_as_one_over_f(sources: dict[str, Source]) -> None:
    slopes = []
    for path in files_of(sources["clinic"]):
        signal, rate = eeg_uv(path)
        frequency, density = welch(np.stack([signal["F7"], signal["T5"], signal["T6"]]), rate, nperseg=round(4 * rate))
        # Clear of blinks, of theta and alpha, and of beta, muscles and mains.
        used = ((frequency > 2) & (frequency < 4)) | ((frequency > 13) & (frequency < 17))
        slopes += [np.polyfit(np.log(frequency[used]), np.log(row[used]), 1)[0] for row in density]
    assert -1.7 < np.median(slopes) < -0.9


def test_alpha_peaks_behind_with_closed_eyes(sources: dict[str, Source]) -> None:
    peaks = []
    for path in files_of(sources["clinic"]):
        signal, rate = eeg_uv(path)
        back, front = signal["O1"] + signal["O2"], signal["F3"] + signal["F4"]
        parts: dict[str, list[Any]] = {"eyes closed": [], "eyes open": [], "arithmetic": []}
        fronts = []
        for onset, length, label in states(path):
            cut = slice(round((onset + 1) * rate), round((onset + length) * rate))
            parts[label].append(back[cut])
            if label == "eyes closed":
                fronts.append(front[cut])
        closed = np.concatenate(parts["eyes closed"])
        alpha = power(closed, rate, 8, 12)
        assert alpha > 2 * power(np.concatenate(parts["eyes open"]), rate, 8, 12)
        assert alpha > 2 * power(np.concatenate(fronts), rate, 8, 12)
        frequency, density = welch(closed, rate, nperseg=round(4 * rate))
        band = (frequency > 6) & (frequency < 14)
        peaks.append(frequency[band][np.argmax((density * frequency)[band])])
    assert 8 <= min(peaks) < max(peaks) <= 12
    assert np.std(peaks) > 0.4  # people differ


def test_arithmetic_raises_theta_at_the_front_midline(sources: dict[str, Source]) -> None:
    gains = []
    for path in files_of(sources["clinic"]):
        signal, rate = eeg_uv(path)
        by_label: dict[str, list[float]] = {}
        for onset, length, label in states(path):
            cut = slice(round((onset + 1) * rate), round((onset + length) * rate))
            by_label.setdefault(label, []).append(float(np.log(power(signal["Fz"][cut], rate, 4.5, 7.5))))
        gains.append(np.mean(by_label["arithmetic"]) - np.mean(by_label["eyes open"]))
    assert np.mean(gains) > 0.5
    assert np.mean(np.array(gains) > 0) > 0.9


def test_a_moving_hand_quiets_the_other_hemisphere(sources: dict[str, Source]) -> None:
    differences = []
    for path in files_of(sources["hands"]):
        signal, rate = eeg_uv(path)
        sides: dict[str, list[float]] = {"left hand": [], "right hand": []}
        for onset, length, label in states(path):
            cut = slice(round((onset + 0.5) * rate), round((onset + length) * rate))
            left, right = (power(signal[c][cut], rate, 8, 13) for c in ("C3", "C4"))
            sides[label].append(float(np.log(left / right)))
        differences.append(np.mean(sides["left hand"]) - np.mean(sides["right hand"]))
    assert len(differences) == SUBJECTS["hands"]
    assert min(differences) > 0.3


def test_triggers_of_the_bdf_name_the_hands(sources: dict[str, Source]) -> None:
    raw = read(files_of(sources["biosemi"])[0])
    events = mne.find_events(raw, mask=0xFFFF, mask_type="and", verbose="error")
    assert set(events[:, 2]) == {4, 5}
    (labels,) = sources["biosemi"].labels
    assert labels.rename == {"4": "left hand", "5": "right hand"}
    offsets_uv = np.abs(raw.get_data(picks="eeg").mean(axis=1)) * 1e6
    assert np.median(offsets_uv[:32]) > 2000


def test_blinks_are_frontal(sources: dict[str, Source]) -> None:
    heights, backs = [], []
    for path in files_of(sources["clinic"]):
        signal, rate = eeg_uv(path)
        slow = butter(2, [1, 8], "band", fs=rate, output="sos")
        front = sosfiltfilt(slow, signal["Fp1"] + signal["Fp2"]) / 2
        back = sosfiltfilt(slow, signal["O1"] + signal["O2"]) / 2
        peaks, _ = find_peaks(front, height=50, distance=round(0.4 * rate))
        assert 0.05 < len(peaks) / (len(front) / rate) < 0.5  # blinks a second
        heights.append(np.median(front[peaks]))
        backs.append(np.median(np.abs(back[peaks])))
    assert 70 < np.median(heights) < 200
    assert np.median(backs) < 0.2 * np.median(heights)


def test_neighbours_agree_more_than_distant_electrodes(sources: dict[str, Source]) -> None:
    near, far = [], []
    for path in files_of(sources["dense"]):
        signal, _ = eeg_uv(path)
        near += [np.corrcoef(signal[a], signal[b])[0, 1] for a, b in (("C1", "C3"), ("P4", "P6"), ("F3", "F5"))]
        far += [np.corrcoef(signal[a], signal[b])[0, 1] for a, b in (("F7", "PO8"), ("T7", "P8"), ("AF7", "O2"))]
    assert np.mean(near) > 0.7
    assert np.mean(np.abs(far)) < 0.5


def test_some_electrodes_let_go(sources: dict[str, Source]) -> None:
    stretches = []
    for source in sources.values():
        for path in files_of(source):
            raw = read(path)
            signal = raw.get_data([label for label in raw.ch_names if label not in BESIDE])
            flat = np.diff(signal, axis=1) == 0
            longest = max((np.diff(np.flatnonzero(~np.r_[False, row, False])) - 1).max() for row in flat)
            stretches.append(longest / raw.info["sfreq"])
    lengths = np.array(stretches)
    assert 0.2 < np.mean(lengths > 2) < 0.8  # in some recordings, not in all
    assert lengths.max() < 7


def test_labels_are_learned_from_rhythms_across_subjects_but_not_from_amplitude(sources: dict[str, Source]) -> None:
    bands, amplitude, labels, subjects = [], [], [], []
    for subject, path in enumerate(files_of(sources["clinic"])):
        by_name, rate = eeg_uv(path)
        signal = np.stack(list(by_name.values()))
        for onset, _, label in states(path):
            for start in (onset + 1, onset + 5):
                window = signal[:, round(start * rate) : round((start + 4) * rate)]
                spectra = [power(window, rate, low, high) for low, high in ((4, 7.5), (8, 12), (15, 25))]
                bands.append(np.log(spectra).ravel())
                amplitude.append([np.log(window.std(axis=1)).mean()])
                labels.append(label)
                subjects.append(subject)
    classes = np.unique(labels, return_inverse=True)[1]
    assert min(np.bincount(classes)) > 0.8 * max(np.bincount(classes))
    assert balanced_accuracy(np.array(bands), classes, np.array(subjects)) > 0.65
    assert balanced_accuracy(np.array(amplitude), classes, np.array(subjects)) < 0.45


def balanced_accuracy(features: Array, classes: NDArray[np.int64], subjects: NDArray[np.int64]) -> float:
    """Linear discriminant with a shrunk covariance, tested on four subjects that it has not seen, three times."""
    recalls = []
    for first in (0, 4, 8):
        test = (subjects >= first) & (subjects < first + 4)
        means = np.stack([features[~test & (classes == c)].mean(axis=0) for c in range(3)])
        spread = np.cov((features[~test] - means[classes[~test]]).T).reshape(features.shape[1], -1)
        spread = 0.9 * spread + 0.1 * np.eye(len(spread)) * np.trace(spread) / len(spread)
        weights = np.linalg.solve(spread, means.T)
        guess = (features[test] @ weights - 0.5 * (means.T * weights).sum(axis=0)).argmax(axis=1)
        recalls += [float(np.mean(guess[classes[test] == c] == c)) for c in range(3)]
    return float(np.mean(recalls))


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    first, again, other = (digests(tmp_path / str(i), seed) for i, seed in enumerate((3, 3, 4)))
    assert first == again
    signals = [name for name in first if Path(name).suffix in {*READERS, ".eeg"} - {".vhdr"}]
    assert len(signals) == 8  # one subject; two sessions of the headset and of the board
    assert all(first[name] != other[name] for name in signals)


def digests(folder: Path, seed: int) -> dict[str, str]:
    write_corpus(folder, seed=seed, subjects=1, seconds=12)
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_small_corpora_have_the_same_sources(tmp_path: Path) -> None:
    listed = load_sources(write_corpus(tmp_path, subjects=2, seconds=3))
    for source in listed:
        assert all(read(path).n_times == 3 * RATES_HZ[source.name] for path in files_of(source))
    assert len(listed) == 6


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.txt"
    kept.write_text("years of work")
    with pytest.raises(FileExistsError, match="holds files already"):
        write_corpus(tmp_path)
    with pytest.raises(FileExistsError, match="a file"):
        write_corpus(kept)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("thesis.txt", "years of work")]
