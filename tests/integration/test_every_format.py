"""The harmonized signal of a real file of each format against MNE, or against another reader and MNE's filters.

Files are compared away from 20 s at both ends. Shorter ones are continued to 60 s by reflecting them in time, for both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import pyxdf
import scipy.io
import scipy.io.arff
from eeg_ingest.file import choose_finite_channels
from eeg_ingest.harmonize import SCALE_UV, harmonize, quantize
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import Recording
from eeg_ingest.sources import Source

from tests.eeg_ingest.conftest import MemoryRecording
from tests.eeg_ingest.test_readers_real import mne_raw, mne_to_uv
from tests.integration.mne_reference import only_filter_with_mne, resample_with_mne

Floats = npt.NDArray[np.float64]
INSIDE = slice(20 * 200, -20 * 200)
STORED_UV = 32767 * SCALE_UV

# source and file of the formats that MNE reads
MNE_FILES = [
    ("eegmat", "Subject00_1.edf"),
    ("eegmmidb", "S001/S001R01_trunc60s.edf"),
    ("edf_labels", "tests/data/duplicate_channel_labels.edf"),
    ("edf_types", "chtypes_edf.edf"),
    ("marley_epoc", "marley-baseline-15.03.18.13.44.32.edf"),
    ("biosemi", "tests/data/test.bdf"),
    ("biosemi_cap", "Newtest17-256.bdf"),
    ("ssvep_gdf", "subject01/record-2012.07.06-19.02.16.gdf"),
    ("biosig_sample", "sample.gdf"),
    ("ssvep_fif", "subject01/record-2012.07.06-19.02.16_raw.fif"),
    ("yasa", "data_resting_EO_200Hz_raw.fif"),
    ("eeglab", "eeglab_data.set"),
    ("brainvision", "tests/data/test.vhdr"),
    ("neuroscan", "scan41_short.cnt"),
    ("ant", "CA_208/test_CA_208.cnt"),
    ("nihon_kohden", "MB0400FU.EEG"),
    ("curry", "Ref_channel_omitted Curry7.dap"),
    ("eximia", "test_eximia.nxe"),
    ("chb_mit", "chb05/chb05_06.edf"),
    ("siena", "PN00/PN00-1.edf"),
    ("tusz", "train/aaaaakpu/s001_2010/01_tcp_ar/aaaaakpu_s001_t000.edf"),
    ("seizeit", "P_ID64/P_ID64_r1.edf"),
]


def xdf_uv(path: Path) -> Floats:
    streams, _ = pyxdf.load_xdf(path, verbose=False)
    (eeg,) = (stream for stream in streams if stream["info"]["type"] == ["EEG"])
    return np.asarray(eeg["time_series"].T, np.float64)


def arff_uv(path: Path) -> Floats:
    rows, _ = scipy.io.arff.loadarff(path)
    return np.array([rows[name] for name in rows.dtype.names[:14]], np.float64)


def openbci_uv(path: Path) -> Floats:
    return np.asarray(pd.read_csv(path, comment="%", header=None).to_numpy()[:, 1:9].T, np.float64)


def muse_uv(path: Path) -> Floats:
    return np.asarray(pd.read_csv(path).to_numpy()[:, 1:5].T, np.float64)


def enobio_uv(path: Path) -> Floats:
    return np.asarray(pd.read_csv(path, sep="\t", header=None).to_numpy()[:, :8].T / 1e3, np.float64)


def first_trial_uv(path: Path) -> Floats:
    return np.asarray(scipy.io.loadmat(path)["X"][0], np.float64)


# source and file of the others, and another reader: (C, S) in µV, all channels of the file
OTHER_FILES: list[tuple[str, str, Callable[[Path], Floats]]] = [
    ("lab_streaming_layer", "ssvep_example_151b6f.xdf", xdf_uv),
    ("lab_streaming_layer", "sub-P001_ses-S001_task-MISwitch_run-002_eeg_e22d84.xdf", xdf_uv),
    ("innopolis", "Counting_Closed/Subject10_counting_closed_eyes_2017-08-28.txt", openbci_uv),
    ("marley_openbci", "trial_1/OpenBCI-RAW-2018-03-11_22-41-42.txt", openbci_uv),
    ("muse_mental_state", "subjecta-concentrating-1.csv", muse_uv),
    ("muse_p300", "visual/P300/subject1/session1/data_2017-02-04-15_45_13.csv", muse_uv),
    ("marley_enobio", "20180404181213_Patient01.easy", enobio_uv),
    ("alcoholism", "co2a0000364.mat", first_trial_uv),
    ("eye_state", "EEG_Eye_State.arff", arff_uv),
]


@pytest.mark.parametrize(("name", "file"), MNE_FILES)
@pytest.mark.filterwarnings("ignore:Channel names are not unique:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Scaling factor is not defined:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Unsupported physical:RuntimeWarning")
def test_equals_mne(real_sources: dict[str, Source], name: str, file: str) -> None:
    source = real_sources[name]
    recording, indices = opened(source, file)
    raw = mne_raw(source.path / file, recording.format)
    compare(source, recording, indices, raw.get_data(picks=indices) * mne_to_uv(file))


def test_mff_equals_mne(real_sources: dict[str, Source]) -> None:
    """The longer of two epochs, but for the 28 samples at its end that MNE does not return (docs/decisions/mff.md)."""
    source, file = real_sources["egi"], "test_egi_multiepoch_eprime.mff"
    recording, indices = opened(source, file)
    raw = mne.io.read_raw_egi(source.path / file, verbose="ERROR")
    start = round(recording.segments[1].onset_s * recording.sfreq_hz)
    wanted_uv = raw.get_data(picks=indices)[:, start : start + recording.segments[1].n_samples - 28] * 1e6
    compare(source, recording, indices, wanted_uv)


@pytest.mark.parametrize(("name", "file", "read"), OTHER_FILES)
def test_equals_another_reader(
    real_sources: dict[str, Source], name: str, file: str, read: Callable[[Path], Floats]
) -> None:
    source = real_sources[name]
    recording, indices = opened(source, file)
    compare(source, recording, indices, read(source.path / file)[indices])


def opened(source: Source, file: str) -> tuple[Recording, list[int]]:
    recording = open_recording(source.path / file, unit=source.unit, settings=source.reader)
    rules: Any = source.channels
    choice = choose_finite_channels(recording, rename=rules.rename, drop=rules.drop, montage=rules.montage)
    return recording, list(choice.indices)


def compare(source: Source, recording: Recording, indices: list[int], wanted_uv: Floats) -> None:
    """Hold the longest segment, harmonized, against its samples by another reader (C, S), filtered by MNE.

    Below 97 % of the Nyquist frequency the limit is 0.002 µV, or the rounding of samples to float32 on an offset of
    100 mV. At the Nyquist frequency itself MNE's result depends on how it pads the signal before it resamples: where
    its own results are apart by more than that (harmonics of the mains at 100 Hz), the limit is twice how far.
    """
    sfreq_hz = int(recording.sfreq_hz)
    segment = max(recording.segments, key=lambda segment: segment.n_samples)
    n_samples = min(segment.n_samples, wanted_uv.shape[1])
    assert n_samples >= segment.n_samples - 28
    line_freq_hz = source.line_freq_hz if isinstance(source.line_freq_hz, float) else 50.0

    uv = to_a_minute(recording.read_uv(indices, segment.start_sample, segment.start_sample + n_samples), sfreq_hz)
    blocks = harmonize(MemoryRecording(uv, sfreq_hz), range(len(uv)), line_freq_hz=line_freq_hz)
    seconds = np.concatenate([block.signal for block in blocks])
    before_uv = seconds.transpose(1, 0, 2).reshape(len(uv), -1)
    after_uv = quantize(before_uv)[0] * SCALE_UV

    minute_uv = to_a_minute(wanted_uv[:, segment_of(recording, wanted_uv, n_samples)], sfreq_hz)
    filtered_uv = only_filter_with_mne(minute_uv, sfreq_hz, line_freq_hz)
    references_uv = [resample_with_mne(filtered_uv, sfreq_hz, pad_s=pad_s) for pad_s in (20, 0, 7, 40)]
    reference_uv = references_uv[0]
    nyquist_hz = min(sfreq_hz, 200) / 2
    low_uv = mne.filter.filter_data(
        before_uv - reference_uv, 200, None, 0.97 * nyquist_hz, h_trans_bandwidth=0.02 * nyquist_hz, verbose="ERROR"
    )
    float32_uv = np.spacing(np.abs(minute_uv).max(axis=1).astype(np.float32)) / np.sqrt(12)
    limit_uv = np.maximum(0.002, float32_uv)
    assert (rms(low_uv) <= limit_uv).all()
    apart_uv = np.max([rms(one - other) for one, other in combinations(references_uv, 2)], axis=0)
    limit_uv = np.maximum(limit_uv, 2 * apart_uv)
    assert (rms(before_uv - reference_uv) <= limit_uv).all()
    assert (rms(after_uv - np.clip(reference_uv, -STORED_UV, STORED_UV)) <= 0.028 + limit_uv).all()


def segment_of(recording: Recording, wanted_uv: Floats, n_samples: int) -> slice:
    """Where the longest segment lies in what another reader gives: the segment alone, or all of the recording."""
    if wanted_uv.shape[1] == n_samples:
        return slice(None)
    segment = max(recording.segments, key=lambda segment: segment.n_samples)
    return slice(segment.start_sample, segment.start_sample + n_samples)


def to_a_minute(uv: npt.NDArray[Any], sfreq_hz: int) -> npt.NDArray[Any]:
    """Continue a signal (C, S) of less than a minute by reflecting it at its ends."""
    return np.pad(uv, ((0, 0), (0, max(60 * sfreq_hz - uv.shape[1], 0))), mode="reflect")


def rms(error_uv: npt.NDArray[Any]) -> Floats:
    return np.asarray(np.sqrt(np.square(error_uv[:, INSIDE]).mean(axis=1)))
