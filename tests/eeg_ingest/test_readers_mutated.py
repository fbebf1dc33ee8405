"""Files of the mapped formats with bytes changed and ends cut off: a reason, or a recording that can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from eeg_ingest.readers import open_recording
from eeg_ingest.recording import IngestError

from tests.eeg_ingest.test_readers_curry import EVENTS, write_cdt
from tests.eeg_ingest.test_readers_egi_raw import write_raw
from tests.eeg_ingest.test_readers_persyst import write_lay
from tests.eeg_ingest.test_readers_xdf import write_two_parts

FIRST_BYTES = 3000  # where the headers are


def _curry(folder: Path) -> Path:
    (folder / "x.cdt.ceo").write_text(EVENTS)
    return write_cdt(folder)


def _egi_raw(folder: Path) -> Path:
    return write_raw(folder / "x.raw", 5, n_segments=4)


def _xdf(folder: Path) -> Path:
    write_two_parts(folder / "x.xdf")
    return folder / "x.xdf"


@pytest.mark.parametrize(
    ("make", "texts"),
    [(_curry, ("x.cdt.dpa", "x.cdt.ceo")), (_egi_raw, ("x.raw",)), (write_lay, ("x.lay",)), (_xdf, ("x.xdf",))],
)
def test_mutants(tmp_path: Path, make: Callable[[Path], Path], texts: tuple[str, ...]) -> None:
    path = make(tmp_path)
    rng = np.random.default_rng(3)
    for number in range(60):
        file = tmp_path / texts[number % len(texts)]
        sound = file.read_bytes()
        content = bytearray(sound[: int(rng.integers(1, len(sound)))] if number % 5 == 0 else sound)
        for place in rng.integers(0, min(FIRST_BYTES, len(content)), rng.integers(1, 9)):
            content[int(place)] = int(rng.choice([rng.integers(256), *b"0123456789-. \n="]))
        file.write_bytes(content)
        try:
            recording = open_recording(path)
            last = recording.segments[-1]
            stop = last.start_sample + min(50, last.n_samples)
            assert recording.read_uv([0], last.start_sample, stop).shape == (1, stop - last.start_sample)
        except IngestError:
            pass
        file.write_bytes(sound)
