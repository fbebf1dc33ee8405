"""EGI MFF: blocks, gains, epochs, events, damage."""

from __future__ import annotations

import struct
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import is_companion, open_recording
from eeg_ingest.recording import IngestError, Segment

RATE_HZ = 100.0


def eeg(n_channels: int = 3, n_samples: int = 1000, scale: float = 20.0) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, scale, (n_channels, n_samples))


def mff(folder: Path, values: list[npt.NDArray[np.float32]], *, repeat_header: bool = False) -> Path:
    """Blocks of 3 EEG channels and the reference; the first two blocks are one epoch, the third starts at 20 s."""
    folder.mkdir()
    n = len(values[0])
    signal = b""
    for i, block in enumerate(values):
        full = i == 0 or repeat_header or block.shape != values[i - 1].shape
        if full:
            layout = [
                1,
                16 + 8 * n + 4,
                block.nbytes,
                n,
                *(4 * block.shape[1] * c for c in range(n)),
                *[32 | 100 << 8] * n,
                0,
            ]
            signal += struct.pack(f"<{len(layout)}i", *layout)
        else:
            signal += struct.pack("<i", 0)
        signal += block.astype("<f4").tobytes()
    (folder / "signal1.bin").write_bytes(signal)
    ns = 'xmlns="http://www.egi.com/x_mff"'
    sensors = "".join(f"<sensor><name></name><number>{i}</number><type>0</type></sensor>" for i in range(1, n))
    sensors += f"<sensor><name>VREF</name><number>{n}</number><type>1</type></sensor>"
    second_us = 10_000 * sum(block.shape[1] for block in values[:2])
    files = {
        "info.xml": f"<fileInfo {ns}><recordTime>2018-07-30T10:46:09.500000-04:00</recordTime></fileInfo>",
        "info1.xml": f"<dataInfo {ns}><generalInformation><fileDataType><EEG/></fileDataType></generalInformation>"
        "<calibrations><calibration><beginTime>0</beginTime><type>ICAL</type><channels><ch n='1'>40</ch></channels>"
        "</calibration><calibration><beginTime>0</beginTime><type>GCAL</type><channels><ch n='3'>1.25</ch></channels>"
        "</calibration></calibrations></dataInfo>",
        "sensorLayout.xml": f"<sensorLayout {ns}><sensors>{sensors}</sensors></sensorLayout>",
        "epochs.xml": f"<epochs {ns}><epoch><beginTime>0</beginTime><endTime>{second_us}</endTime>"
        "<firstBlock>1</firstBlock><lastBlock>2</lastBlock></epoch><epoch><beginTime>20000000</beginTime><endTime>25000000</endTime>"
        "<firstBlock>3</firstBlock><lastBlock>3</lastBlock></epoch></epochs>",
        "Events_DIN.xml": f"<eventTrack {ns}><event><beginTime>2018-07-30T10:46:12.250000000-04:00</beginTime>"
        "<duration>500000000</duration><code>DIN1</code></event></eventTrack>",
        "pnsSet.xml": f"<PNSSet {ns}><sensors><sensor><name>ECG</name><number>1</number></sensor></sensors></PNSSet>",
    }
    for name, content in files.items():
        (folder / name).write_text(f'<?xml version="1.0" encoding="UTF-8"?>{content}')
    return folder


@pytest.mark.parametrize("repeat_header", [False, True])
def test_mff(tmp_path: Path, repeat_header: bool) -> None:
    values = [block.astype(np.float32) for block in np.split(eeg(4, 1500), [500, 1000], axis=1)]
    path = mff(tmp_path / "x.mff", values, repeat_header=repeat_header)
    recording = open_recording(path)
    assert (recording.format, recording.sfreq_hz, recording.reference) == ("egi-mff", 100.0, "VREF")
    assert recording.segments == (Segment(0, 1000, 0.0), Segment(1000, 500, 20.0))
    wanted = np.hstack(values)[[2, 0], 450:1100] * np.array([[1.25], [1.0]], dtype=np.float32)  # the amplifier's gains
    np.testing.assert_array_equal(recording.read_uv([2, 0], 450, 1100), wanted)
    assert [(e.onset_s, e.duration_s, e.label) for e in recording.events] == [(2.75, 0.5, "DIN1")]
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert choice.names == ("E1", "E2", "E3")
    assert [(item.name, item.type) for item in choice.left_out] == [("VREF", "ref"), ("ECG", "ecg")]
    assert {Path(file).name for file in recording.files} == {file.name for file in path.iterdir()}
    assert all(is_companion(file) for file in path.iterdir())
    assert not is_companion(path)


def test_damaged_mff_is_refused(tmp_path: Path) -> None:
    values = [block.astype(np.float32) for block in np.split(eeg(4, 1500), [500, 1000], axis=1)]
    path = mff(tmp_path / "x.mff", values)
    signal = (path / "signal1.bin").read_bytes()
    for content, message in (
        (signal[:-100], "Block 3 of the signal file is cut short"),
        (signal[: len(signal) // 2 + 2000], "Block 2 of the signal file is cut short|names blocks 3 to 3 of 2"),
        (b"", "is empty"),
        (b"\x07" + signal[1:], "Block 1 of the signal file is damaged"),
    ):
        (path / "signal1.bin").write_bytes(content)
        with pytest.raises(IngestError, match=message):
            open_recording(path)
    (path / "signal1.bin").write_bytes(signal)
    information = (path / "info.xml").read_text()
    (path / "info.xml").write_text(information.replace("UTF-8", "UTF-x"))
    with pytest.raises(IngestError, match=r"info\.xml in x\.mff is no XML: unknown encoding"):
        open_recording(path)
    (path / "info.xml").write_text(information)
    (path / "epochs.xml").unlink()
    with pytest.raises(IngestError, match=r"epochs\.xml is missing"):
        open_recording(path)


def test_equals_mne_where_mne_reads_samples(eeg_data: Path) -> None:
    """MNE leaves the end of every epoch at zero (docs/decisions/mff.md)."""
    path = eeg_data / "mne_testing_data/EGI/test_egi_multiepoch_eprime.mff"
    recording = open_recording(path)
    reference_uv = mne.io.read_raw_egi(path, verbose="ERROR").get_data(picks="eeg")[:256] * 1e6
    picks = [index for index, channel in enumerate(recording.channels) if channel.type == "eeg"]
    assert len(picks) == len(reference_uv)
    for segment in recording.segments:
        ours_uv = recording.read_uv(picks, segment.start_sample, segment.start_sample + segment.n_samples)
        first = round(segment.onset_s * recording.sfreq_hz)
        theirs_uv = reference_uv[:, first : first + segment.n_samples]
        read = theirs_uv.any(axis=0)
        assert read.mean() > 0.9
        np.testing.assert_allclose(ours_uv[:, read], theirs_uv[:, read], rtol=1e-6)
