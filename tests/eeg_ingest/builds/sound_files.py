"""One short sound recording of every format that the readers open, for tests that damage it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mne
import numpy as np
import numpy.typing as npt
import pyedflib
import scipy.io

from tests.eeg_ingest.test_readers_arrays import save_v73
from tests.eeg_ingest.test_readers_brainvision import brainvision
from tests.eeg_ingest.test_readers_cnt import cnt
from tests.eeg_ingest.test_readers_curry import EVENTS, write_cdt
from tests.eeg_ingest.test_readers_devices import INFO, openbci
from tests.eeg_ingest.test_readers_eeglab import _v73_set
from tests.eeg_ingest.test_readers_egi_raw import write_raw
from tests.eeg_ingest.test_readers_gdf import mixed_gdf
from tests.eeg_ingest.test_readers_mff import mff
from tests.eeg_ingest.test_readers_nihon_kohden import write_eeg
from tests.eeg_ingest.test_readers_nwb import write_nwb
from tests.eeg_ingest.test_readers_persyst import write_lay
from tests.eeg_ingest.xdf_writer import XdfWriter

NAMES = ("Fz", "Cz", "Pz")
RATE_HZ, SECONDS = 200, 5
ANT_FILE = "mne_testing_data/antio/CA_208/test_CA_208.cnt"

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sound:
    """The bytes of a recording's files by their names, the one that is opened first (a folder: its files after `/`).

    `head_bytes` of a file are header, and all of it where it is not listed; `keys` are those of its source.
    """

    opened: str
    files: dict[str, bytes]
    head_bytes: dict[str, int] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)

    def head_of(self, name: str) -> int:
        return self.head_bytes.get(name, len(self.files[name]))


def sound_files(folder: Path, eeg_data: Path | None) -> dict[str, Sound]:
    """Each format's recording; those of which only real ones exist where `eeg_data` is there."""
    sounds = {name: make(_made(folder / name)) for name, make in _MAKERS.items()}
    if eeg_data is not None:
        sounds["ant"] = Sound("x.cnt", {"x.cnt": (eeg_data / ANT_FILE).read_bytes()}, {"x.cnt": 0})
    return sounds


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _uv(n_channels: int = len(NAMES), n_samples: int = RATE_HZ * SECONDS) -> Array:
    return np.random.default_rng(0).normal(0, 20, (n_channels, n_samples)).round(2)


def _read(path: Path, head_bytes: dict[str, int], **keys: Any) -> Sound:
    """All files in the folder of `path`; those that are not named in `head_bytes` are text."""
    files = sorted((file for file in path.parent.rglob("*") if file.is_file()), key=lambda file: file != path)
    return Sound(
        path.name, {str(file.relative_to(path.parent)): file.read_bytes() for file in files}, head_bytes, dict(keys)
    )


def _start_of(samples: npt.NDArray[Any], path: Path) -> dict[str, int]:
    """The bytes before the first samples."""
    return {path.name: path.read_bytes().index(np.ascontiguousarray(samples).ravel()[:4].tobytes())}


def _edf(path: Path, file_type: int, digital: int) -> Sound:
    with pyedflib.EdfWriter(str(path), len(NAMES), file_type=file_type) as writer:
        writer.setSignalHeaders(
            [
                {"label": name, "dimension": "uV", "sample_frequency": RATE_HZ, "physical_min": -3200,
                 "physical_max": 3200, "digital_min": -digital - 1, "digital_max": digital, "transducer": "",
                 "prefilter": ""}
                for name in NAMES
            ]
        )  # fmt: skip
        writer.writeSamples(list(_uv()))
        writer.writeAnnotation(1, 0.5, "go")
    return _read(path, {path.name: 256 * (2 + len(NAMES))})


def _gdf(folder: Path) -> Sound:
    steps = np.random.default_rng(0).integers(-300, 300, (3, 10 * 100))
    path = mixed_gdf(folder / "x.gdf", [(name, row, 100, 3) for name, row in zip(NAMES, steps, strict=True)])
    return _read(path, {path.name: 256 * (1 + len(NAMES))})


def _eeglab(folder: Path) -> Sound:
    empty, data = np.empty((0, 0)), _uv().astype("<f4")
    locations = np.array([(name,) for name in NAMES], dtype=[("labels", object)])
    eeg = {"setname": "x", "nbchan": 3, "trials": 1, "pnts": data.shape[1], "srate": float(RATE_HZ), "xmin": 0.0,
           "xmax": 4.995, "times": empty, "data": "x.fdt", "icaact": empty, "icawinv": empty, "icasphere": empty,
           "icaweights": empty, "icachansind": empty, "chanlocs": locations, "chaninfo": {"nosedir": "+X"},
           "ref": "common", "event": empty, "urevent": empty, "epoch": empty, "history": "",
           "comments": ""}  # fmt: skip
    scipy.io.savemat(folder / "x.set", {"EEG": eeg}, appendmat=False)
    (folder / "x.fdt").write_bytes(data.T.tobytes())
    return _read(folder / "x.set", {"x.fdt": 0})


def _eeglab_73(folder: Path) -> Sound:
    _v73_set(folder / "x.set", _uv())
    return _read(folder / "x.set", _start_of(_uv().T.astype("<f4"), folder / "x.set"))


def _fif(folder: Path) -> Sound:
    raw = mne.io.RawArray(_uv() * 1e-6, mne.create_info(list(NAMES), RATE_HZ, "eeg"), verbose="ERROR")
    raw.save(folder / "x_raw.fif", verbose="ERROR")
    samples = raw.get_data().T.astype(">f4")
    return _read(folder / "x_raw.fif", _start_of(samples, folder / "x_raw.fif"))


def _curry(folder: Path) -> Sound:
    (folder / "x.cdt.ceo").write_text(EVENTS)
    return _read(write_cdt(folder), {"x.cdt": 0})


def _mff(folder: Path) -> Sound:
    blocks = [block.astype(np.float32) for block in np.split(_uv(4, 1500), [500, 1000], axis=1)]
    path = mff(folder / "x.mff", blocks)
    return _read(path, {"x.mff/signal1.bin": 60})


def _nihon_kohden(folder: Path) -> Sound:
    write_eeg(folder / "x.EEG", [3, 2])
    return _read(folder / "x.EEG", {"x.EEG": 0x1860})


def _eximia(folder: Path) -> Sound:
    (folder / "x.nxe").write_bytes(np.random.default_rng(0).integers(-300, 300, (3000, 64)).astype("<i2").tobytes())
    return _read(folder / "x.nxe", {"x.nxe": 0})


def _nwb(folder: Path) -> Sound:
    steps = np.random.default_rng(0).normal(0, 300, (1500, 4)).astype(np.int16)
    path = write_nwb(folder / "x.nwb", [{"name": "eeg", "data": steps, "conversion": 1e-7, "rate": 250.0}])
    return _read(path, _start_of(steps, path))


def _xdf(folder: Path) -> Sound:
    xdf, values = XdfWriter(), _uv().T.astype("<f4")
    xdf.header(1, "amp", "EEG", NAMES, RATE_HZ)
    for start in range(0, len(values), 100):
        xdf.samples(1, values[start : start + 100], 1000 + np.arange(start, start + 100) / RATE_HZ)
    xdf.offset(1, 1000.0, -300.0)
    xdf.footer(1, len(values))
    return _read(xdf.write(folder / "x.xdf"), {"x.xdf": 900})


def _matlab(folder: Path, save: Callable[..., Any]) -> Sound:
    save(folder / "x.mat", {"data": _uv(), "fs": float(RATE_HZ)})
    reader = {"format": "matlab", "signal": "data", "axes": ["channel", "sample"], "sfreq_hz": "fs", "names": [*NAMES]}
    return _read(folder / "x.mat", _start_of(_uv().T, folder / "x.mat"), unit="uV", reader=reader)


def _npz(folder: Path) -> Sound:
    np.savez(folder / "x.npz", fs=np.float64(RATE_HZ), data=_uv())
    reader = {"format": "npz", "signal": "data", "axes": ["channel", "sample"], "sfreq_hz": "fs", "names": [*NAMES]}
    return _read(folder / "x.npz", _start_of(_uv(), folder / "x.npz"), unit="uV", reader=reader)


def _rows(times: npt.ArrayLike, values: Array, separator: str = ",", form: str = "{:.2f}") -> str:
    return "".join(
        separator.join([*map(form.format, row), f"{time:.3f}"]) + "\n"
        for time, row in zip(np.asarray(times), values, strict=True)
    )


def _table(folder: Path) -> Sound:
    title = "Fz,Cz,Pz,t\n"
    (folder / "x.csv").write_text(title + _rows(np.arange(1000) / RATE_HZ, _uv().T))
    reader = {"format": "table", "time": {"column": "t"}, "sfreq_hz": RATE_HZ, "names": [*NAMES]}
    return _read(folder / "x.csv", {"x.csv": len(title)}, unit="uV", reader=reader)


def _arff(folder: Path) -> Sound:
    title = "@RELATION eeg\n" + "".join(f"@ATTRIBUTE {name} NUMERIC\n" for name in (*NAMES, "t")) + "@DATA\n"
    (folder / "x.arff").write_text(title + _rows(np.arange(1000), _uv().T))
    reader = {"format": "arff", "sfreq_hz": RATE_HZ, "names": [*NAMES]}
    return _read(folder / "x.arff", {"x.arff": len(title)}, unit="uV", reader=reader)


def _openbci(folder: Path) -> Sound:
    path = openbci(folder / "x.txt", _uv(8).T, np.arange(1000))
    return _read(path, {path.name: path.read_bytes().index(b"0, ")}, channels={"rename": {"Channel 1": "Fz"}})


def _muse(folder: Path) -> Sound:
    title = "timestamps,TP9,AF7,AF8,TP10\n"
    rows = [f"{1.5e9 + n / 256:.4f},{','.join(map(str, row))}\n" for n, row in enumerate(_uv(4, 1280).T)]
    (folder / "x.csv").write_text(title + "".join(rows))
    return _read(folder / "x.csv", {"x.csv": len(title)})


def _mind_monitor(folder: Path) -> Sound:
    title = "TimeStamp,RAW_TP9,RAW_AF7,RAW_AF8,RAW_TP10,Elements\n"
    dates = np.datetime64("2025-07-01T14:56:05", "ms") + np.arange(1280) // 12 * 47
    rows = [
        f"{d},{','.join(map(str, row))},\n".replace("T", " ", 1) for d, row in zip(dates, _uv(4, 1280).T, strict=True)
    ]
    (folder / "x.csv").write_text(title + "".join(rows))
    return _read(folder / "x.csv", {"x.csv": len(title)})


def _enobio(folder: Path) -> Sound:
    values = np.column_stack([_uv(2, 2500).T * 1000 + 2e7, np.zeros(2500)])
    rows = [f"{a:.0f}\t{b:.0f}\t{c:.0f}\t{1522879933509 + 2 * n}\n" for n, (a, b, c) in enumerate(values)]
    (folder / "x.easy").write_text("".join(rows))
    (folder / "x.info").write_text(INFO.replace("\tChannel 3: X\n", "").format(total=2))
    return _read(folder / "x.easy", {"x.easy": 0})


def _cnt(folder: Path) -> Sound:
    cnt(folder / "x.cnt", 2, flag=0, events=[100])
    return _read(folder / "x.cnt", {"x.cnt": 900 + 75 * 2})


def _raw(folder: Path) -> Sound:
    path = write_raw(folder / "x.raw", 5, n_segments=4)
    return _read(path, {path.name: struct.calcsize(">i6hi5h") + 2 + 5 + 2 + 6 + 8})


_MAKERS: dict[str, Callable[[Path], Sound]] = {
    "edf": lambda folder: _edf(folder / "x.edf", pyedflib.FILETYPE_EDFPLUS, 32767),
    "bdf": lambda folder: _edf(folder / "x.bdf", pyedflib.FILETYPE_BDFPLUS, 8388607),
    "gdf": _gdf,
    "brainvision": lambda folder: _read(brainvision(folder, _uv()), {"x.eeg": 0}),
    "eeglab": _eeglab,
    "eeglab-73": _eeglab_73,
    "fif": _fif,
    "neuroscan": _cnt,
    "mff": _mff,
    "raw": _raw,
    "nihon-kohden": _nihon_kohden,
    "curry": _curry,
    "persyst": lambda folder: _read(write_lay(folder), {"x.dat": 0}),
    "eximia": _eximia,
    "nwb": _nwb,
    "xdf": _xdf,
    "matlab-5": lambda folder: _matlab(folder, scipy.io.savemat),
    "matlab-73": lambda folder: _matlab(folder, save_v73),
    "npz": _npz,
    "table": _table,
    "arff": _arff,
    "openbci": _openbci,
    "muse": _muse,
    "mind-monitor": _mind_monitor,
    "enobio": _enobio,
}
