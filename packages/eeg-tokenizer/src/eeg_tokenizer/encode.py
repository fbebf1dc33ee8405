"""Write a tokenizer's codes beside the signal, on the grid that they belong to (design, section 3).

Shapes: B batch, N patches, C channels, A seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from eeg_store import Store
from numpy.typing import NDArray

from eeg_tokenizer import checkpoint
from eeg_tokenizer.batches import NO_CODE
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.distributed import choose_device
from eeg_tokenizer.loader import StoredWindows, read_ahead
from eeg_tokenizer.official import OfficialStateError
from eeg_tokenizer.progress import Progress
from eeg_tokenizer.state_files import read_state
from eeg_tokenizer.tokenizer_weights import import_tokenizer
from eeg_tokenizer.vqnsp import VQNSP
from eeg_tokenizer.windows import GRID, Montage, Windows, cut_grid

logger = logging.getLogger(__name__)

BATCH = 32  # windows


@dataclass(frozen=True)
class Tokenizer:
    """A trained tokenizer, and the hash under which its codes are stored."""

    model: VQNSP
    content_hash: str


def load_tokenizer(folder: Path, device: torch.device) -> Tokenizer:
    """Load a tokenizer for encoding, from the output directory of its training or from an official file (`.pth`).

    Raises:
        CheckpointError: no model there, a damaged one, or one of another kind.
    """
    if folder.is_file():
        return _load_official(folder, device)
    return Tokenizer(VQNSP.load(folder).to(device), checkpoint.content_hash(folder))


def _load_official(path: Path, device: torch.device) -> Tokenizer:
    """Load what importing the file would write, so that its codes have the same name either way."""
    with TemporaryDirectory(prefix="eeg-tokenizer-") as folder:
        try:
            with torch.random.fork_rng(devices=[]):  # a file must leave the random numbers as a directory would
                import_tokenizer(read_state(path), Path(folder), path.name)
        except OfficialStateError as error:
            raise CheckpointError(f"Cannot load a tokenizer from {path}: {error}") from error
        return load_tokenizer(Path(folder), device)


def encode_store(path: Path, folder: Path, *, device: str = "auto") -> dict[str, Any]:
    """Write codes for every committed recording that has none yet, and return a summary.

    Codes are computed in float32 (in bfloat16 every 27th would differ). A recording's codes appear whole or not at all,
    so a killed run goes on where it stopped.

    Raises:
        StoreError: no store, or a damaged one.
        WindowsError: a store without windows.
        CheckpointError: no tokenizer in `folder`.
        DeviceError: no such device.
        OSError: the store cannot be written.
    """
    store = Store.open(path, mode="a")
    torch.backends.cudnn.allow_tf32 = False
    tokenizer = load_tokenizer(folder, choose_device(device))
    windows = cut_grid(store)
    done = store.codes_done(tokenizer.content_hash)
    rows = {row["recording"]: row for row in store.recordings().to_pylist()}
    todo = [index for index, name in enumerate(windows.recordings) if name not in done]
    for montage in sorted({int(windows.montage[index]) for index in todo}):
        _create_codes(store, tokenizer, windows.montages[montage])
    stored = StoredWindows(store, windows)
    bounds = np.searchsorted(windows.recording, np.arange(len(windows.recordings) + 1))
    n_codes = 0
    n_seconds = sum(rows[windows.recordings[index]]["n_seconds"] for index in todo)
    with Progress("encoding", n_seconds, unit="s") as progress:
        for index in todo:
            row = rows[windows.recordings[index]]
            own = np.arange(bounds[index], bounds[index + 1])
            n_channels = len(store.array(row["array"]).channels)
            codes = _encode_recording(tokenizer.model, stored, own, row, n_channels)
            store.write_codes(tokenizer.content_hash, row, codes)
            n_codes += int((codes != NO_CODE).sum())
            progress.advance(row["n_seconds"])
    return {
        "store": str(path),
        "tokenizer": tokenizer.content_hash,
        "recordings": len(todo),
        "recordings_before": len(done),
        "recordings_without_channels": len(rows) - len(windows.recordings),
        "windows_left_out": windows.n_left_out,
        "codes": n_codes,
    }


def _create_codes(store: Store, tokenizer: Tokenizer, montage: Montage) -> None:
    attributes = {
        "n_codes": tokenizer.model.config.n_codes,
        "grid": GRID,
        "window_seconds": montage.window_seconds,
    }
    store.create_codes(tokenizer.content_hash, montage.array, attributes)


@torch.no_grad()
def _encode_recording(
    model: VQNSP, stored: StoredWindows, indices: NDArray[np.int64], row: Mapping[str, Any], n_channels: int
) -> NDArray[np.int32]:
    """Return the codes (seconds, channels) of a recording; -1 where a channel or a window has none."""
    windows = stored.windows
    codes = np.full((row["n_seconds"], n_channels), NO_CODE, dtype=np.int32)
    device = next(model.parameters()).device
    with closing(read_ahead(stored.read, _equally_long(windows, indices))) as batches:
        for batch in batches:
            encoded = model.encode(batch.to(device)).cpu().numpy()
            for values, index in zip(encoded, batch.window.tolist(), strict=True):
                montage = windows.of(index)
                first = windows.first_second[index] - row["first_second"]
                seconds = slice(first, first + int(windows.n_seconds[index]))
                codes[seconds, montage.rows] = values.reshape(len(montage.rows), -1).T
    return codes


def _equally_long(windows: Windows, indices: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the indices in groups of windows of one length, so that no window is padded."""
    lengths = windows.n_seconds[indices]
    for length in np.unique(lengths):
        alike = indices[lengths == length]
        yield from np.split(alike, range(BATCH, len(alike), BATCH))
