"""EDF and BDF: samples, clock and events against MNE, pyedflib and the formula of the specification."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import mne
import numpy as np
import numpy.typing as npt
import pyedflib
import pytest
from eeg_ingest.montage import choose_channels
from eeg_ingest.readers import open_recording
from eeg_ingest.readers.edf_header import filter_edges_hz
from eeg_ingest.recording import IngestError, Segment
from hypothesis import given, settings
from hypothesis import strategies as st


@dataclass
class Signal:
    """One signal of a file that the tests build byte by byte."""

    label: str
    digital: npt.NDArray[np.int64]
    n_samples: int
    dimension: bytes = b"uV"
    physical: tuple[float, float] = (-3276.8, 3276.7)
    digital_range: tuple[int, int] = (-32768, 32767)
    prefilter: str = ""


@dataclass
class File:
    """An EDF or BDF file. `tals` are the bytes of the annotation signal for each record."""

    signals: list[Signal]
    record_s: str = "1"
    bdf: bool = False
    reserved: str = ""
    tals: list[bytes] = field(default_factory=list)
    n_records: str | None = None

    def write(self, path: Path) -> Path:
        width = 3 if self.bdf else 2
        n_records = len(self.tals) or len(self.signals[0].digital) // self.signals[0].n_samples
        tal_samples = -(-max(map(len, self.tals), default=0) // width)
        kind = "BDF Annotations" if self.bdf else "EDF Annotations"
        rows = [
            (s.label, s.dimension, *s.physical, *s.digital_range, s.prefilter, s.n_samples) for s in self.signals
        ] + ([(kind, b"", -1, 1, -32768, 32767, "", tal_samples)] if self.tals else [])
        count = self.n_records or str(n_records)
        fixed = (b"\xffBIOSEMI" if self.bdf else b"0".ljust(8)) + b"X".ljust(160) + b"01.01.0000.00.00"
        fixed += str(256 * (1 + len(rows))).encode().ljust(8) + self.reserved.encode().ljust(44)
        fixed += count.encode().ljust(8) + self.record_s.encode().ljust(8) + str(len(rows)).encode().ljust(4)
        body = b""
        for place, size in ((0, 16), (None, 80), (1, 8), (2, 8), (3, 8), (4, 8), (5, 8), (6, 80), (7, 8), (None, 32)):
            for row in rows:
                value = b"" if place is None else row[place]
                text = value if isinstance(value, bytes) else str(value).encode("latin-1")[:size]
                body += text.ljust(size)
        with path.open("wb") as file:
            file.write(fixed + body)
            for record in range(n_records):
                for s in self.signals:
                    part = s.digital[record * s.n_samples : (record + 1) * s.n_samples]
                    file.write(part.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width].tobytes())
                if self.tals:
                    file.write(self.tals[record].ljust(tal_samples * width, b"\x00"))
        return path


def expected_uv(signal: Signal) -> npt.NDArray[np.float64]:
    """The line through the header's two calibration points (EDF specification)."""
    (p0, p1), (d0, d1) = signal.physical, signal.digital_range
    return np.asarray(p0 + (signal.digital - d0) * ((p1 - p0) / (d1 - d0)), dtype=np.float64)


@st.composite
def files(draw: st.DrawFn) -> File:
    bdf = draw(st.booleans())
    top = 2**23 if bdf else 2**15
    n_records = draw(st.integers(1, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    signals = []
    for label in draw(st.permutations(["Fp1", "C3", "EEG Oz-REF", "Pz", "ECG", "GYROX"]))[: draw(st.integers(1, 6))]:
        n_samples = draw(st.sampled_from([1, 7, 64, 100, 125]))
        low = draw(st.integers(-top, top - 3))
        high = draw(st.integers(low + 2, top - 1))
        physical = draw(st.sampled_from([(-1000.0, 1000.0), (-0.5, 2500.25), (800.0, -800.0), (0.0, 16000.0)]))
        digital = rng.integers(low, high + 1, n_samples * n_records)
        signals.append(Signal(label, digital, n_samples, physical=physical, digital_range=(low, high)))
    return File(signals, record_s=draw(st.sampled_from(["1", "0.25", "0.1", "2", "1.024"])), bdf=bdf)


@settings(max_examples=60, deadline=None)
@given(file=files(), data=st.data())
def test_samples_are_the_line_of_the_header(
    tmp_path_factory: pytest.TempPathFactory, file: File, data: st.DataObject
) -> None:
    path = file.write(tmp_path_factory.mktemp("edf") / "x.edf")
    recording = open_recording(path)
    assert recording.format == ("bdf" if file.bdf else "edf")
    assert [channel.sfreq_hz for channel in recording.channels] == [
        signal.n_samples / float(file.record_s) for signal in file.signals
    ]
    picks = [i for i, channel in enumerate(recording.channels) if channel.sfreq_hz == recording.sfreq_hz]
    total = len(file.signals[picks[0]].digital)
    assert recording.segments == (Segment(0, total, 0.0),)
    start = data.draw(st.integers(0, total))
    stop = data.draw(st.integers(start, total))
    order = data.draw(st.permutations(picks))
    signal_uv = recording.read_uv(order, start, stop)
    assert signal_uv.dtype == np.float32
    assert signal_uv.shape == (len(order), stop - start)
    for row, index in enumerate(order):
        wanted = expected_uv(file.signals[index])[start:stop]
        np.testing.assert_allclose(signal_uv[row], wanted, rtol=3e-7, atol=1e-9)


def test_rate_is_that_of_most_eeg_channels(tmp_path: Path) -> None:
    rates = {"Fp1": 100, "C3": 200, "C4": 200} | {f"EMG{i}": 400 for i in range(5)}
    signals = [Signal(label, np.zeros(4 * rate, dtype=np.int64), rate) for label, rate in rates.items()]
    recording = open_recording(File(signals).write(tmp_path / "x.edf"))
    assert recording.sfreq_hz == 200
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert choice.names == ("C3", "C4")
    assert choice.left_out[0].reason == "runs at 100 Hz, the other EEG at 200 Hz"
    tie = open_recording(File(signals[:2]).write(tmp_path / "tie.edf"))
    assert tie.sfreq_hz == 200


def _plus(path: Path, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """An EDF+ file by pyedflib: 3 channels, 20 s at 128 Hz, annotations."""
    signals = rng.normal(0, 50, (3, 2560))
    with pyedflib.EdfWriter(str(path), 3, file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        for i, label in enumerate(["EEG Fp1-REF", "EEG Fp2-REF", "ECG"]):
            writer.setSignalHeader(
                i,
                {
                    "label": label, "dimension": "uV", "sample_frequency": 128, "transducer": "",
                    "physical_max": 400.0, "physical_min": -400.0, "digital_max": 32767, "digital_min": -32768,
                    "prefilter": "HP:0.5Hz LP:40Hz",
                },
            )  # fmt: skip
        writer.writeSamples(list(signals))
        for onset, duration, label in ((0.5, 2.0, "öffnet die Augen"), (3.25, -1, "spike"), (19.0, 0.5, "T0")):
            writer.writeAnnotation(onset, duration, label)
    return signals


def test_edf_plus_equals_pyedflib_and_mne(tmp_path: Path) -> None:
    path = tmp_path / "x.edf"
    signals = _plus(path, np.random.default_rng(0))
    recording = open_recording(path)
    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    with pyedflib.EdfReader(str(path)) as reader:
        written = np.stack([reader.readSignal(i) for i in range(3)])
    signal_uv = recording.read_uv([0, 1, 2], 0, recording.n_samples)
    np.testing.assert_allclose(signal_uv, written, atol=2e-5)
    np.testing.assert_allclose(signal_uv, raw.get_data() * 1e6, atol=2e-5)
    np.testing.assert_allclose(signal_uv, signals, atol=0.0123)  # a digital step
    assert [(e.onset_s, e.duration_s, e.label) for e in recording.events] == [
        (a["onset"], a["duration"], a["description"]) for a in raw.annotations
    ]
    assert recording.reference == "REF"
    eeg = recording.channels[0]
    assert (eeg.type, eeg.unit, eeg.highpass_hz, eeg.lowpass_hz) == ("eeg", "uV", 0.5, 40.0)
    assert eeg.limits_uv == pytest.approx((-400 + 400 / 65535, 400 - 400 / 65535))


def _gap_file(
    onsets: list[float], extra: dict[int, bytes] | None = None, reserved: str = "EDF+D", *, bdf: bool = False
) -> File:
    tals = [f"+{onset:g}".encode() + b"\x14\x14\x00" + (extra or {}).get(i, b"") for i, onset in enumerate(onsets)]
    digital = np.arange(100 * len(onsets), dtype=np.int64)
    return File([Signal("Cz", digital, 100)], reserved=reserved, tals=tals, bdf=bdf)


@pytest.mark.parametrize("bdf", [False, True])
def test_interrupted_file_has_segments_on_its_clock(tmp_path: Path, bdf: bool) -> None:
    note = b"+11.5\x150.5\x14Seizure\x14and more\x14\x00"
    onsets, reserved = [0.25, 1.25, 11.25, 12.25, 13.5], "BDF+D" if bdf else "EDF+D"
    path = _gap_file(onsets, {2: note}, reserved, bdf=bdf).write(tmp_path / "x.edf")
    recording = open_recording(path)
    assert recording.segments == (Segment(0, 200, 0.0), Segment(200, 200, 11.0), Segment(400, 100, 13.25))
    assert recording.n_samples == 500
    assert [(e.onset_s, e.duration_s, e.label) for e in recording.events] == [
        (11.25, 0.5, "Seizure"),
        (11.25, 0.5, "and more"),
    ]
    np.testing.assert_allclose(np.diff(recording.read_uv([0], 150, 350)), 0.1, atol=1e-3)


def test_small_jitter_of_record_onsets_is_no_break(tmp_path: Path) -> None:
    path = _gap_file([0, 1.0001, 1.9999, 3]).write(tmp_path / "x.edf")
    assert open_recording(path).segments == (Segment(0, 400, 0.0),)


@pytest.mark.parametrize(
    ("n_samples", "record_s", "onsets"),
    [(2015, "0.123", [f"{i * 2015 / 16384:.3f}" for i in range(50)]),
     (254, "0.992187", [f"{i * 254 / 256:.7f}" for i in range(9000)])],
)  # fmt: skip
def test_rounded_record_onsets_are_no_break(tmp_path: Path, n_samples: int, record_s: str, onsets: list[str]) -> None:
    """Onsets in whole milliseconds; a record of 0.9921875 s, of which the header holds 8 characters."""
    tals = [f"+{onset}\x14\x14\x00".encode() for onset in onsets]
    digital = np.zeros(n_samples * len(onsets), dtype=np.int64)
    path = File([Signal("Cz", digital, n_samples)], record_s=record_s, reserved="EDF+D", tals=tals)
    assert open_recording(path.write(tmp_path / "x.edf")).segments == (Segment(0, len(digital), 0.0),)


def test_continuous_file_counts_from_its_first_record(tmp_path: Path) -> None:
    path = _gap_file([0.5, 1.5], {1: b"+1.75\x14tone\x14\x00"}, reserved="EDF+C").write(tmp_path / "x.edf")
    recording = open_recording(path)
    raw = mne.io.read_raw_edf(path, verbose="ERROR")
    assert [event.onset_s for event in recording.events] == [1.25] == raw.annotations.onset.tolist()


@pytest.mark.parametrize("onsets", [[0, 1, 0.5], [5, 4]])
def test_records_out_of_order_are_refused(tmp_path: Path, onsets: list[float]) -> None:
    with pytest.raises(IngestError, match=r"Data record \d starts [\d.]+ s before"):
        open_recording(_gap_file(onsets).write(tmp_path / "x.edf"))


def test_interrupted_file_without_onsets_is_refused(tmp_path: Path) -> None:
    file = _gap_file([0, 1])
    file.tals[1] = b"\x00" * 8
    with pytest.raises(IngestError, match="no onset"):
        open_recording(file.write(tmp_path / "x.edf"))


@given(codes=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_bdf_triggers_are_those_of_mne(tmp_path_factory: pytest.TempPathFactory, codes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.repeat(codes, rng.integers(1, 30, len(codes)))
    status = np.zeros(-(-len(steps) // 64) * 64, dtype=np.int64)
    status[: len(steps)] = steps
    device_bits = 1 << 20  # a state of the amplifier, above the trigger inputs
    signals = [
        Signal("Cz", rng.integers(-1000, 1000, len(status)), 64, digital_range=(-8388608, 8388607)),
        Signal(
            "Status", status | device_bits, 64, b"Boolean", (-8388608, 8388607), (-8388608, 8388607)
        ),
    ]  # fmt: skip
    path = File(signals, bdf=True).write(tmp_path_factory.mktemp("bdf") / "x.bdf")
    raw = mne.io.read_raw_bdf(path, verbose="ERROR")
    found = mne.find_events(raw, shortest_event=1, mask=0xFFFF, mask_type="and", verbose="ERROR")
    events = open_recording(path).events
    assert [(round(e.onset_s * 64), int(e.label)) for e in events] == [(int(s), int(c)) for s, _, c in found]


@pytest.mark.parametrize(
    ("dimension", "factor"),
    [(b"uV", 1), (b"UV", 1), (b"\xb5V", 1), ("µV".encode(), 1), ("μV".encode(), 1), (b"\x83\xcaV", 1), (b"uV\x00", 1),
     (b"\xe6V", 1), (b"uVolts", 1), (b"mkV", 1), (b"microV", 1), (b"mV", 1e3), (b"V", 1e6), (b"nV", 1e-3),
     (b"Volt", 1e6)],
)  # fmt: skip
def test_units_as_files_spell_them(tmp_path: Path, dimension: bytes, factor: float) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, 256)
    limits = (-2000 / factor, 2000 / factor)  # 8 characters hold -0.002
    signal = Signal("Cz", digital, 256, dimension, physical=limits, digital_range=(-20000, 20000))
    recording = open_recording(File([signal]).write(tmp_path / "x.edf"))
    np.testing.assert_allclose(recording.read_uv([0], 0, 256)[0], digital / 10, rtol=1e-6)


def test_a_comma_is_a_decimal_point(tmp_path: Path) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, 512)
    path = File([Signal("Cz", digital, 256)], record_s="1,0").write(tmp_path / "x.edf")
    data = path.read_bytes()
    path.write_bytes(data[:512].replace(b"-3276.8", b"-3276,8").replace(b"3276.7", b"3276,7") + data[512:])
    np.testing.assert_allclose(open_recording(path).read_uv([0], 0, 512)[0], digital / 10, atol=1e-3)


def test_a_unit_that_lost_its_prefix_is_asked_for(tmp_path: Path) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, 256)
    path = File([Signal("Cz", digital, 256, b"?V")]).write(tmp_path / "x.edf")
    with pytest.raises(IngestError, match="Declare `unit: uV`"):
        open_recording(path)
    np.testing.assert_allclose(open_recording(path, unit="uV").read_uv([0], 0, 256)[0], digital / 10, atol=1e-3)


def test_unit_of_the_source_counts_only_where_the_file_does_not_say(tmp_path: Path) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, 256)
    silent = File([Signal("Cz", digital, 256, b"")]).write(tmp_path / "silent.edf")
    with pytest.raises(IngestError, match=r"declares none\. Declare `unit: uV`"):
        open_recording(silent)
    np.testing.assert_allclose(open_recording(silent, unit="uV").read_uv([0], 0, 256)[0], digital / 10, atol=1e-5)
    np.testing.assert_allclose(open_recording(silent, unit="mV").read_uv([0], 0, 256)[0], digital * 100, atol=1e-2)
    clear = File([Signal("Cz", digital, 256, b"uV")]).write(tmp_path / "clear.edf")
    assert open_recording(clear, unit="uV").channels[0].unit == "uV"
    with pytest.raises(IngestError, match=r"the file declares uV, the source declares mV\. Remove `unit`"):
        open_recording(clear, unit="mV")
    with pytest.raises(IngestError, match="expected one of nV, uV, mV, V, auto, found 'kV'"):
        open_recording(clear, unit="kV")


def test_a_channel_that_is_no_voltage_is_no_eeg(tmp_path: Path) -> None:
    digital = np.zeros(256, dtype=np.int64)
    recording = open_recording(
        File([Signal("Cz", digital, 256), Signal("O1", digital, 256, b"kOhm")]).write(tmp_path / "x.edf")
    )
    assert [channel.type for channel in recording.channels] == ["eeg", "misc"]
    choice = choose_channels(recording, rename={}, drop=(), montage=None)
    assert [(c.name, c.reason) for c in choice.left_out] == [("O1", "its unit is no voltage")]


@pytest.mark.parametrize(("limit_uv", "likely"), [(9_000_000, r"\."), (0.002, r"; the numbers look like V\.")])
def test_impossible_amplitudes_are_refused(tmp_path: Path, limit_uv: float, likely: str) -> None:
    digital = np.random.default_rng(0).integers(-1000, 1000, 512)
    digital[0] = 32767
    span = (-500, 500) if limit_uv > 1 else (-32768, 32767)
    signal = Signal("Cz", digital.clip(*span), 256, physical=(-limit_uv, limit_uv), digital_range=span)
    with pytest.raises(IngestError, match=f"expected 0.1 µV to 2 mV{likely}"):
        open_recording(File([signal]).write(tmp_path / "x.edf"))


def test_unit_of_the_source_overrules_a_unit_that_makes_no_eeg(tmp_path: Path) -> None:
    digital = np.random.default_rng(0).integers(-100, 100, 512)
    path = File([Signal("Cz", digital, 256, physical=(-3.2768, 3.2767))]).write(tmp_path / "x.edf")
    literal = open_recording(path)
    assert "doubtful" in literal.warnings[0]
    assert "look like mV" in literal.warnings[0]
    recording = open_recording(path, unit="mV")
    np.testing.assert_allclose(recording.read_uv([0], 0, 512)[0], digital / 10, atol=1e-5)
    assert recording.channels[0].unit == "mV"
    assert "read in mV as the source declares" in recording.warnings[0]
    with pytest.raises(IngestError, match="the file declares uV, the source declares V"):
        open_recording(path, unit="V")


def test_open_record_count_is_counted_with_a_warning(tmp_path: Path) -> None:
    digital = np.arange(1000, dtype=np.int64)
    path = File([Signal("Cz", digital, 100)], n_records="-1").write(tmp_path / "x.edf")
    with path.open("ab") as file:
        file.write(b"\x01" * 77)
    recording = open_recording(path)
    assert recording.n_samples == 1000
    assert "77 bytes of an unfinished record are left out" in recording.warnings[0]


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("HP:0.1Hz LP:75Hz N:50Hz", (0.1, 75.0)),
        ("HP: DC; LP: 113 Hz", (None, 113.0)),
        ("HP:0.500000Hz LP:45.000000Hz RF:50Hz", (0.5, 45.0)),
        ("HP:0Hz LP:0Hz N:0Hz", (None, None)),
        ("HP:15.91549Hz LP:15Hz N:50Hz", (None, None)),
        ("HP:-1Hz LP:-1Hz N:-1Hz", (None, None)),
        ("No filtering", (None, None)),
        ("", (None, None)),
    ],
)
def test_filter_text(text: str, edges: tuple[float | None, float | None]) -> None:
    assert filter_edges_hz(text, 256.0) == edges


def test_nothing_personal_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.edf"
    with pyedflib.EdfWriter(str(path), 1, file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        writer.setPatientName("Mustermann")
        writer.setPatientCode("PATIENT-4711")
        writer.setTechnician("Nobody")
        writer.setSignalHeader(
            0,
            {
                "label": "Cz", "dimension": "uV", "sample_frequency": 100, "physical_max": 100.0,
                "physical_min": -100.0, "digital_max": 2047, "digital_min": -2048, "prefilter": "", "transducer": "",
            },
        )  # fmt: skip
        writer.writeSamples([np.random.default_rng(0).normal(0, 10, 500)])
    recording = open_recording(path)
    shown = repr([vars(recording), recording.channels, recording.events])
    assert not any(secret in shown for secret in ("Mustermann", "4711", "Nobody"))
