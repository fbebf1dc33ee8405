"""MATLAB and NPZ files as a source declares them: the arrays that SciPy and h5py read; what is missing is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from eeg_ingest.reader_settings import ReaderSettings
from eeg_ingest.readers import arrays, open_recording
from eeg_ingest.recording import Event, IngestError, Recording
from numpy.typing import NDArray
from pydantic import TypeAdapter

NAMES = ["Fp1", "Cz", "O2"]
Array = NDArray[np.float64]
Save = Callable[[Path, dict[str, Any]], Path]


def open_arrays(path: Path, unit: str | None = "uV", **keys: Any) -> Recording:
    kind = "npz" if path.suffix == ".npz" else "matlab"
    settings: ReaderSettings = TypeAdapter(ReaderSettings).validate_python({"format": kind, **keys})
    return open_recording(path, unit=unit, settings=settings)


def reason(path: Path, **keys: Any) -> str:
    with pytest.raises(IngestError) as caught:
        open_arrays(path, **keys)
    return str(caught.value)


def eeg(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 20, shape)


def save_v5(path: Path, content: dict[str, Any]) -> Path:
    scipy.io.savemat(path, content, do_compression=True)
    return path


def save_v73(path: Path, content: dict[str, Any]) -> Path:
    """Write what MATLAB writes: axes in reverse order, structs as groups, cells and arrays of structs as references."""
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            _put(file, name, value)
    return path


def _put(group: Any, name: str, value: Any) -> Any:
    file = group.file
    if isinstance(value, dict):
        node = group.create_group(name)
        node.attrs["MATLAB_class"] = np.bytes_("struct")
        for key, inner in value.items():
            _put(node, key, inner)
    elif isinstance(value, str):
        node = group.create_dataset(name, data=np.array([[ord(letter)] for letter in value], np.uint16))
        node.attrs["MATLAB_class"] = np.bytes_("char")
    elif isinstance(value, np.ndarray) and value.dtype == object:
        hidden = file.require_group("#refs#")
        references = [_put(hidden, f"r{len(hidden)}", item).ref for item in value.ravel(order="F")]
        node = group.create_dataset(name, data=np.array(references, h5py.ref_dtype).reshape(value.shape[::-1]))
        node.attrs["MATLAB_class"] = np.bytes_("cell")
    else:
        array = np.atleast_2d(np.asarray(value, np.float64))
        empty = array.size == 0
        node = group.create_dataset(name, data=np.array(array.shape, np.uint64) if empty else array.T)
        node.attrs["MATLAB_class"] = np.bytes_("double")
        if empty:
            node.attrs["MATLAB_empty"] = 1
    return node


def cells(*items: Any) -> NDArray[Any]:
    row = np.empty((1, len(items)), object)
    row[0] = items
    return row


both = pytest.mark.parametrize("save", [save_v5, save_v73])


@both
@pytest.mark.parametrize("axes", [["channel", "sample"], ["sample", "channel"]])
def test_a_matrix_with_its_facts_in_a_struct(tmp_path: Path, save: Save, axes: list[str]) -> None:
    signal = eeg(3, 500)
    stored = signal if axes[0] == "channel" else signal.T
    facts = {"fs": 250, "clab": cells(*NAMES)}
    path = save(tmp_path / "x.mat", {"cnt": stored, "nfo": facts, "mrk": {"pos": [1, 251], "y": [1, -1]}})
    events = {"onset": "mrk.pos", "label": "mrk.y", "codes": [-1, 1], "names": ["left", "foot"], "duration_s": 1}
    recording = open_arrays(
        path, signal="cnt", axes=axes, sfreq_hz="nfo.fs", names="nfo.clab", events=events, scale=0.1
    )
    assert (recording.format, recording.sfreq_hz, recording.n_samples) == ("matlab", 250, 500)
    assert [(channel.name, channel.type, channel.unit) for channel in recording.channels] == [
        (name, "eeg", "uV") for name in NAMES
    ]
    np.testing.assert_allclose(recording.read_uv([2, 0], 100, 400), 0.1 * signal[[2, 0], 100:400], rtol=1e-6)
    assert recording.events == (Event(0.0, 1.0, "foot"), Event(1.0, 1.0, "left"))


@both
def test_an_array_of_structs(tmp_path: Path, save: Save) -> None:
    """Runs of different lengths; the first has no trials and is left out with a word."""
    runs: list[dict[str, Any]] = [
        {"X": eeg(n, 3, seed=n), "fs": 100, "trial": trial, "y": [[2.0]] * len(trial)}
        for n, trial in ((300, []), (400, [[101.0], [201.0]]), (250, [[1.0]]))
    ]
    path = save(tmp_path / "x.mat", {"data": cells(*runs)})
    keys: dict[str, Any] = {
        "signal": "data[].X",
        "axes": ["sample", "channel"],
        "sfreq_hz": "data[].fs",
        "names": NAMES,
    }
    events = {"onset": "data[].trial", "label": "data[].y", "delay_s": 0.5, "skip_empty": True}
    recording = open_arrays(path, **keys, events=events)
    assert [(s.start_sample, s.n_samples, s.onset_s) for s in recording.segments] == [(0, 400, 0), (400, 250, 4)]
    wanted = np.concatenate([np.asarray(run["X"]) for run in runs[1:]]).T
    np.testing.assert_allclose(recording.read_uv(range(3), 0, 650), wanted, rtol=1e-6)
    assert [(event.onset_s, event.label) for event in recording.events] == [(1.5, "2"), (2.5, "2"), (4.5, "2")]
    assert recording.warnings == ["1 of 3 parts of data[].X have no events: left out"]
    whole = open_arrays(path, **keys)
    assert [segment.n_samples for segment in whole.segments] == [300, 400, 250]
    assert [(event.onset_s, event.duration_s, event.label) for event in whole.events] == [
        (0, 3, "1"), (3, 4, "2"), (7, 2.5, "3"),
    ]  # fmt: skip


def test_a_struct_array_of_scipy(tmp_path: Path) -> None:
    runs = np.zeros((1, 2), [("X", object), ("fs", object)])
    runs[0, 0], runs[0, 1] = (eeg(200, 3), 100), (eeg(300, 3, seed=1), 100)
    path = save_v5(tmp_path / "x.mat", {"data": runs})
    recording = open_arrays(path, signal="data[].X", axes=["sample", "channel"], sfreq_hz="data[].fs", names=NAMES)
    assert [segment.n_samples for segment in recording.segments] == [200, 300]
    np.testing.assert_allclose(recording.read_uv([1], 200, 500), eeg(300, 3, seed=1).T[1:2], rtol=1e-6)


def test_a_struct_array_of_version_7_3(tmp_path: Path) -> None:
    """Such a struct is a group whose fields are arrays of references."""
    with h5py.File(tmp_path / "x.mat", "w") as file:
        group = file.create_group("data")
        group.attrs["MATLAB_class"] = np.bytes_("struct")
        hidden = file.create_group("#refs#")
        fields: dict[str, list[Any]] = {"X": [eeg(200, 3), eeg(300, 3, seed=1)], "fs": [100, 100]}
        for field, values in fields.items():
            references = [_put(hidden, f"{field}{number}", value).ref for number, value in enumerate(values)]
            group.create_dataset(field, data=np.array(references, h5py.ref_dtype).reshape(2, 1))
    recording = open_arrays(
        tmp_path / "x.mat", signal="data[].X", axes=["sample", "channel"], sfreq_hz="data[].fs", names=NAMES
    )
    assert [segment.n_samples for segment in recording.segments] == [200, 300]
    np.testing.assert_allclose(recording.read_uv([1], 200, 500), eeg(300, 3, seed=1).T[1:2], rtol=1e-6)


@pytest.mark.parametrize(
    "save", [save_v5, save_v73, lambda path, content: _save_npz(path.with_suffix(".npz"), content)]
)
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0)])
def test_trials_on_an_axis(tmp_path: Path, save: Save, order: tuple[int, ...]) -> None:
    trials = eeg(4, 3, 150)
    axes = [("trial", "channel", "sample")[place] for place in order]
    path = save(tmp_path / "x.mat", {"X": trials.transpose(order), "y": np.array([[1.0, 2, 2, 1]])})
    recording = open_arrays(path, signal="X", axes=axes, sfreq_hz=100, names=NAMES, trial_labels="y")
    assert [(s.n_samples, s.onset_s) for s in recording.segments] == [(150, 1.5 * number) for number in range(4)]
    np.testing.assert_allclose(recording.read_uv(range(3), 0, 600), np.concatenate(list(trials), axis=1), rtol=1e-6)
    assert [(event.duration_s, event.label) for event in recording.events] == [(1.5, label) for label in "1221"]


def _save_npz(path: Path, content: dict[str, Any]) -> Path:
    np.savez(path, **content)
    return path


def test_a_single_trial_whose_axis_matlab_dropped(tmp_path: Path) -> None:
    path = save_v5(tmp_path / "x.mat", {"X": eeg(3, 150)})
    recording = open_arrays(path, signal="X", axes=["channel", "sample", "trial"], sfreq_hz=100, names=NAMES)
    assert recording.n_samples == 150


def test_arrays_by_number_and_names_that_are_missing(tmp_path: Path) -> None:
    path = save_v5(tmp_path / "x.mat", {f"ab_eeg{number}": eeg(3, 100 + number) for number in (10, 2, 1)})
    recording = open_arrays(path, signal="*_eeg{trial}", axes=["channel", "sample"], sfreq_hz=100)
    assert [segment.n_samples for segment in recording.segments] == [101, 102, 110]
    assert [event.label for event in recording.events] == ["1", "2", "10"]
    assert [channel.name for channel in recording.channels] == ["1", "2", "3"]


def test_flags_states_and_triggers_are_rows_of_the_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "_BLOCK_VALUES", 60)  # several blocks
    matrix = eeg(6, 100)
    matrix[3:] = 0
    matrix[3, 20:30] = 1
    matrix[4, 50:] = 2.5
    matrix[5, [10, 70]] = 200
    keys: dict[str, Any] = {
        "flags": ["on"],
        "states": ["stage"],
        "triggers": ["Trigger"],
        "names": [*NAMES, "on", "stage", "Trigger"],
    }
    path = save_v5(tmp_path / "x.mat", {"m": matrix})
    recording = open_arrays(path, signal="m", axes=["channel", "sample"], sfreq_hz=10, **keys)
    assert [channel.name for channel in recording.channels] == NAMES
    np.testing.assert_allclose(recording.read_uv(range(3), 0, 100), matrix[:3], rtol=1e-6)
    found = {(event.onset_s, round(event.duration_s, 6), event.label) for event in recording.events}
    assert found == {(2, 1, "on"), (0, 5, "0"), (5, 5, "2.5"), (1, 0, "200"), (7, 0, "200")}


MATRIX: dict[str, Any] = {"signal": "x", "axes": ["channel", "sample"], "sfreq_hz": 100, "names": NAMES}


@both
@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"signal": "y"}, "The variable 'y' is not in the file: expected one of s, t, x"),
        ({"signal": "s.y"}, "s has no field 'y'"),
        ({"signal": "x.y"}, "is no struct: expected fields"),
        ({"signal": "eeg{trial}"}, "No variable of the file is called like 'eeg{trial}': expected one of s, t, x"),
        ({"signal": "t"}, "holds no numbers"),
        ({"axes": ["sample", "channel"]}, "expected 3 (Fp1, Cz, O2), found 200. Correct axes or names"),
        ({"axes": ["trial", "channel", "sample"]}, "The axes of 'x': expected trial, channel, sample, found the shape"),
        ({"names": ["Fp1", "Cz"]}, "expected 2 (Fp1, Cz), found 3"),
        ({"names": "u"}, "The variable 'u' is not in the file"),
        ({"sfreq_hz": "s.fs"}, "The rate in 's.fs': expected one, found [100.0, 200.0]"),
        ({"triggers": ["Status"]}, "has no channel 'Status': expected one of Fp1, Cz, O2"),
        ({"events": {"onset": "mrk", "label": "s.fs"}}, "The variable 'mrk' is not in the file"),
        ({"events": {"onset": "s.one", "label": "s.fs"}}, "expected a label each, found 1 onsets and 2 labels"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(tmp_path: Path, save: Save, keys: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "x.mat", {"s": {"fs": [100, 200], "one": [1]}, "t": "a text", "x": eeg(3, 200)})
    assert message in reason(path, **{**MATRIX, **keys})


def test_optional_events_may_be_missing(tmp_path: Path) -> None:
    path = save_v5(tmp_path / "x.mat", {"x": eeg(3, 200)})
    events = {"onset": "mrk.pos", "label": "mrk.y", "optional": True}
    assert open_arrays(path, **MATRIX, events=events).events == ()


def test_nothing_is_executed_or_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.array([{"a": 1}], object))
    assert reason(tmp_path / "x.npz", **MATRIX).endswith("Save its arrays as numbers or texts, not as objects.")
    with h5py.File(tmp_path / "x.mat", "w") as file:
        _put(file, "x", eeg(3, 200)).attrs["MATLAB_class"] = np.bytes_("function_handle")
    assert "found a MATLAB function_handle, which is not executed" in reason(tmp_path / "x.mat", **MATRIX)


def test_a_function_in_version_5(eeg_data: Path) -> None:
    """MATLAB's own objects lie in SciPy's test files."""
    folder = Path(scipy.io.matlab.__file__).parent / "tests/data"
    if not (folder / "testfunc_7.4_GLNX86.mat").is_file():
        pytest.skip("SciPy is installed without its test files")
    assert "which is not executed" in reason(folder / "testfunc_7.4_GLNX86.mat", **{**MATRIX, "signal": "testfunc"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 5.0 MAT-file, nothing follows".ljust(116) + bytes(12) + b"junk" * 40, "expected a sound MATLAB file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(400), "expected a sound MATLAB file"),
        (b"Fp1,Cz\n1,2\n", "expected matlab, found text"),
        (b"PK\x03\x04" + bytes(100), "expected matlab, found a ZIP archive"),
        (b"", "expected matlab, found an empty file"),
    ],
)
def test_damaged_files_and_other_formats(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.mat").write_bytes(content)
    assert message in reason(tmp_path / "x.mat", **MATRIX)


@both
def test_files_that_were_cut_short(tmp_path: Path, save: Save) -> None:
    whole = save(tmp_path / "x.mat", {"x": eeg(3, 5000)}).read_bytes()
    for share in (0.1, 0.5, 0.95):
        (tmp_path / "x.mat").write_bytes(whole[: int(share * len(whole))])
        assert len(reason(tmp_path / "x.mat", **MATRIX)) > 40


def test_bytes_that_were_doubled_in_version_7_3(tmp_path: Path) -> None:
    """All numbers after them would be those of other samples, or of none."""
    path = save_v73(tmp_path / "x.mat", {"x": eeg(3, 2000)})
    content = path.read_bytes()
    path.write_bytes(content[:30_000] + content[29_992:])
    assert "bytes that its HDF5 header declares, found 8 more. Fetch it again." in reason(path, **MATRIX)


def test_numbers_that_no_computer_has(tmp_path: Path) -> None:
    """A float64 whose damaged description puts the exponent elsewhere: HDF5 converts it to other numbers."""
    kind = h5py.h5t.IEEE_F64LE.copy()
    kind.set_fields(63, 48, 11, 0, 48)
    with h5py.File(tmp_path / "x.mat", "w") as file:
        space = h5py.h5s.create_simple((1000, 2))
        h5py.Dataset(h5py.h5d.create(file.id, b"data", kind, space))[:] = eeg(1000, 2)
    found = reason(tmp_path / "x.mat", signal="data", axes=["channel", "sample"], sfreq_hz=200, names=["C3", "C4"])
    assert "found another layout of their bits" in found
