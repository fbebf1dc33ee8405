"""Where masked pre-training takes its targets from: codes in the store, or a tokenizer that computes them on line."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from eeg_store import Store
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.encode import load_tokenizer
from eeg_tokenizer.vqnsp import VQNSP
from eeg_tokenizer.windows import GRID, Windows, cut_grid, cut_windows
from torch import Tensor

from labram_model.errors import LabramError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CodeSource:
    """Targets of one tokenizer, and the windows that have them.

    Attributes:
        tokenizer: the tokenizer's content hash.
        n_codes: K.
        windows: what can be trained on.
        model: computes the codes on line; None where they are read from the store.
        n_without: windows left out because their recordings have no codes in the store.
    """

    tokenizer: str
    n_codes: int
    windows: Windows
    model: VQNSP | None
    n_without: int = 0

    @property
    def stored(self) -> str | None:
        """The hash to read codes by, None where they are computed."""
        return self.tokenizer if self.model is None else None

    def known(self, batch: Batch) -> Tensor:
        """Return (B, N) bool: which patches `of` has a code for."""
        return batch.valid if batch.codes is None else batch.valid & (batch.codes >= 0)

    @property
    def origin(self) -> str:
        """Where the codes come from, in words."""
        return "from the store" if self.model is None else "on line"

    def of(self, batch: Batch) -> Tensor:
        """Return the codes (B, N) of a batch on its own device, -1 where there is none."""
        if self.model is not None:
            return self.model.encode(batch)
        if batch.codes is None:
            raise ValueError("codes of a batch: expected those of the store, found none. Read the batch with codes.")
        return batch.codes


def encoded_sets(store: Store) -> dict[str, dict[str, Any]]:
    """Return the attributes of the codes in a store that at least one recording has, by the tokenizer's hash."""
    return {found: attributes for found, attributes in store.code_sets().items() if store.codes_done(found)}


def choose_codes(
    store: Store, folder: Path | None, device: torch.device, *, stride_seconds: int, where: str | None = None
) -> CodeSource:
    """Return the codes in the store, or the tokenizer in `folder` where the store has not all of its codes.

    Windows whose codes are computed on line start every `stride_seconds`; stored codes have their grid.
    Of either only those that fit `where` are taken.

    Raises:
        LabramError: no `folder`, and codes of several tokenizers, or of another grid of windows.
        CheckpointError: no tokenizer in `folder`.
        WindowsError: a store without windows.
    """
    if folder is None:
        return _stored_codes(store, where)
    tokenizer = load_tokenizer(folder, device)
    if tokenizer.content_hash in encoded_sets(store):
        grid = cut_grid(store, where=where)
        if set(grid.recordings) <= store.codes_done(tokenizer.content_hash):
            return CodeSource(tokenizer.content_hash, tokenizer.model.config.n_codes, grid, None)
        logger.info("Computing codes on line: the store has those of this tokenizer for some recordings only.")
    windows = cut_windows(store, stride_seconds=stride_seconds, where=where)
    return CodeSource(tokenizer.content_hash, tokenizer.model.config.n_codes, windows, tokenizer.model)


def _stored_codes(store: Store, where: str | None) -> CodeSource:
    sets = encoded_sets(store)
    if len(sets) != 1:
        shown = ", ".join(f"{found[:16]} ({attributes['n_codes']} codes)" for found, attributes in sorted(sets.items()))
        raise LabramError(
            f"Cannot choose codes in {store.path}: expected those of one tokenizer, found {shown or 'none'}. "
            "Give --tokenizer with the directory of one."
        )
    ((tokenizer, attributes),) = sets.items()
    if attributes.get("grid") != GRID:
        raise LabramError(
            f"Cannot use the codes {tokenizer[:16]} in {store.path}: expected the grid {GRID}, found "
            f"{attributes.get('grid')}. Encode the store again with this version, or give --tokenizer."
        )
    grid, done = cut_grid(store, where=where), store.codes_done(tokenizer)
    encoded = [name for name in grid.recordings if name in done]
    windows = grid if len(encoded) == len(grid.recordings) else cut_grid(store.only(encoded), where=where)
    n_without = len(grid) - len(windows)
    if n_without:
        logger.warning(
            "Leaving out %d recordings (%d windows) without codes; eeg-tokenizer encode gives them theirs.",
            len(grid.recordings) - len(encoded),
            n_without,
        )
    return CodeSource(tokenizer, attributes["n_codes"], windows, None, n_without)
