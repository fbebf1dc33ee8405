"""Raw recordings to embeddings: harmonized on the way, one row for each window, in memory that does not grow.

Shape legend: B batch, C channels, A seconds, D width.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from eeg_ingest.errors import UsageError
from eeg_ingest.file import HarmonizedFile, harmonize_file
from eeg_ingest.harmonize import HarmonizedBlock
from eeg_ingest.outcome import Failed, StoreFailed, outcome_of, writing_store
from eeg_ingest.recording import IngestError
from eeg_ingest.sources import Source, load_sources
from eeg_ingest.task import open_as
from eeg_store import QUALITY_MEASURES, SCALE_UV
from eeg_store.channels import slot_of
from eeg_tokenizer import checkpoint
from eeg_tokenizer.backbone import valid_or_none
from eeg_tokenizer.batches import MAX_PATCHES, MAX_SECONDS, MODEL_UNIT_UV, Batch, Sample, collate
from eeg_tokenizer.distributed import join
from eeg_tokenizer.windows import window_seconds
from torch import Tensor

from labram_model import models
from labram_model.classifier import Classifier
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel
from labram_model.weights import model_folder

logger = logging.getLogger(__name__)

BATCH = 32  # windows
ROWS = 4096  # of a row group at most, so that memory does not grow with the recording
METADATA_KEY = "labram"
SCHEMA = pa.schema(
    {"file": pa.string(), "onset_s": pa.float64(), "n_seconds": pa.int64(), "embedding": pa.list_(pa.float32())}
)
_NON_FINITE = QUALITY_MEASURES.index("non_finite")


@dataclass(frozen=True)
class EmbedOptions:
    """What `labram embed` is asked for.

    Attributes:
        checkpoint: a pre-trained or a fine-tuned model.
        unit: the unit of the samples, where a file does not say.
        line_freq_hz: the mains to notch; "auto" finds it in each file.
        montage: the cap, where channels are only numbered.
        source: keys of a `sources.yaml` to read the files by, in place of the three above.
        window_s: seconds of a window; None for as many as the model takes of a file's channels.
    """

    files: Sequence[Path]
    output: Path
    checkpoint: Path
    unit: str | None = None
    line_freq_hz: float | Literal["auto"] = "auto"
    montage: str | None = None
    source: Source | None = None
    window_s: int | None = None
    device: str = "auto"


@dataclass
class Embedded:
    """What became of one file; the Parquet metadata holds it."""

    file: str
    channels: list[str]
    left_out: list[dict[str, str]]
    line_freq_hz: float | None
    window_s: int
    windows: int = 0
    seconds: int = 0
    seconds_not_finite: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """A stretch of a file without breaks: where it starts on the file's clock, and int16 (C, A, 200) in 0.1 µV."""

    onset_s: float
    signal: npt.NDArray[np.int16]


def embed(options: EmbedOptions) -> dict[str, Any]:
    """Write one row for each window of each file: `file`, `onset_s`, `n_seconds` and `embedding` (D).

    The signal is what a store would hold (0.1 to 75 Hz, no mains, 200 Hz, steps of 0.1 µV). A bad file is named in
    `failures` of the summary and the others are embedded. The output appears by one rename once all are through.

    Raises:
        LabramError: a model of another kind, a window that no model takes.
        CheckpointError, DeviceError: as the parts that raise them say.
        OSError: the output cannot be written.
    """
    if options.window_s is not None and not 1 <= options.window_s <= MAX_SECONDS:
        raise LabramError(
            f"Wrong --window-s: expected 1 to {MAX_SECONDS} seconds, found {options.window_s}. Change it."
        )
    parts = options.output.with_name(f".{options.output.name}.parts")
    done: dict[Path, Embedded] = {}
    failures: list[dict[str, str]] = []
    with join(options.device) as place, _scratch(parts):
        with model_folder(options.checkpoint) as folder:
            model, model_hash = load_embedder(folder).to(place.device), checkpoint.content_hash(folder)
        for number, path in enumerate(options.files):
            part = parts / f"{number}.parquet"
            outcome = outcome_of(
                partial(_embed_file, options=options, model=model, device=place.device, part=part), path
            )
            if isinstance(outcome, StoreFailed):
                raise OSError(f"Cannot write {options.output}: {outcome.reason}. Free space and run it again.")
            if isinstance(outcome, Failed):
                part.unlink(missing_ok=True)
                logger.error("Cannot embed %s: %s", path, outcome.reason)
                failures.append({"file": str(path), "reason": outcome.reason})
            else:
                done[part] = outcome
        summary = {
            "checkpoint": str(options.checkpoint),
            "model": model_hash,
            "files": [asdict(embedded) for embedded in done.values()],
            "failures": failures,
        }
        if done:
            whole = parts / "whole.parquet"
            _merge(list(done), whole, {METADATA_KEY: json.dumps(summary)})
            whole.replace(options.output)
    return {"output": str(options.output) if done else None, **summary}


def choose_source(path: Path, name: str | None) -> Source:
    """Return a source of a `sources.yaml`, by its name where there are several. Raises LabramError."""
    try:
        sources = {source.name: source for source in load_sources(path)}
    except UsageError as error:
        raise LabramError(str(error)) from error
    if name is None and len(sources) == 1:
        return next(iter(sources.values()))
    if name not in sources:
        found = "no --source" if name is None else repr(name)
        raise LabramError(f"Wrong --source: expected one of {', '.join(sources)} of {path}, found {found}. Give one.")
    return sources[name]


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """Make an empty folder for a while; a run that was killed may have left it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def load_embedder(folder: Path) -> MaskedModel | Classifier:
    """Load a pre-trained or a fine-tuned model.

    Raises:
        LabramError: a model of another kind.
        CheckpointError: no model, or a damaged one.
    """
    kind = models.expect_kind(folder, models.MASKED, *models.FINETUNED)["model"]
    return models.load_masked(folder) if kind == models.MASKED else models.load_finetuned(folder)


@torch.no_grad()
def embeddings(model: MaskedModel | Classifier, batch: Batch) -> Tensor:
    """Return (B, D): the mean of the patches' features over each window; a fine-tuned model's as its head reads it."""
    if isinstance(model, Classifier):
        return model.features(batch)
    patches = model.backbone(batch.patches, batch.channel, batch.time, valid_or_none(batch.valid))[:, 1:]
    weight = batch.valid.unsqueeze(-1)
    mean: Tensor = (patches * weight).sum(1) / weight.sum(1)
    return mean


def unbroken_windows(
    blocks: Iterable[HarmonizedBlock], onsets_s: Sequence[float], usable: Sequence[int], length: int
) -> Iterator[Window]:
    """Cut windows of `length` seconds side by side from the start of each segment.

    No window goes over a break of the file or a second in which a usable channel is not finite: the window before it is
    shorter, and the next one starts behind it.

    Args:
        blocks: what `harmonize_file` gives.
        onsets_s: where each segment starts on the file's clock.
        usable: (C,) the channels that have a place in the model.
        length: A.
    """
    held: list[npt.NDArray[np.int16]] = []
    segment, second = -1, 0
    for block in blocks:
        signal = block.signal[:, usable]
        finite = (block.quality[:, usable, _NON_FINITE] == 0).all(axis=1)
        for row, values in enumerate(signal):
            if held and (block.segment != segment or not finite[row] or len(held) == length):
                yield Window(onsets_s[segment] + second - len(held), np.stack(held, axis=1))
                held = []
            if block.segment != segment:
                segment, second = block.segment, 0
            if finite[row]:
                held.append(values)
            second += 1
    if held:
        yield Window(onsets_s[segment] + second - len(held), np.stack(held, axis=1))


def _embed_file(
    path: Path, *, options: EmbedOptions, model: MaskedModel | Classifier, device: torch.device, part: Path
) -> Embedded:
    """Write the rows of one file into `part`; a file that turns out to be bad near its end so leaves none behind."""
    if not path.exists():
        raise IngestError("The file cannot be read: expected a recording, found nothing there. Correct the path.")
    if options.source is not None:
        file = open_as(options.source, path, options.source.line_freq_hz)
    else:
        file = harmonize_file(path, unit=options.unit, line_freq_hz=options.line_freq_hz, montage=options.montage)
    embedded = _describe(path, file, options.window_s)
    slots = {index: slot for index, name in enumerate(file.names) if (slot := slot_of(name)) is not None}
    channel = np.array(list(slots.values()), dtype=np.int64)
    onsets_s = [segment["original_onset_s"] for segment in file.segments]
    windows = unbroken_windows(file.blocks, onsets_s, list(slots), embedded.window_s)
    with writing_store():
        writer = pq.ParquetWriter(part, SCHEMA)
    with writer:
        for rows in _row_groups(path, windows, channel, model, device):
            with writing_store():
                writer.write_table(rows)
            embedded.windows += rows.num_rows
            embedded.seconds += pc.sum(rows["n_seconds"]).as_py()
    embedded.seconds_not_finite = file.n_seconds - embedded.seconds
    embedded.warnings = list(file.warnings)
    if embedded.windows == 0:
        raise IngestError("The samples cannot be used: expected seconds of numbers in all channels, found none.")
    if embedded.seconds_not_finite:
        logger.warning("%s: left out %d seconds with samples that are not numbers.", path, embedded.seconds_not_finite)
    return embedded


def _describe(path: Path, file: HarmonizedFile, window_s: int | None) -> Embedded:
    """Say what will be embedded of a file; `IngestError` where the model cannot take it."""
    usable = [name for name in file.names if slot_of(name) is not None]
    if not usable:
        raise IngestError(
            f"No channel has a place in the model: expected names such as FZ or CP3, found {', '.join(file.names)}. "
            "Give --montage where channels are only numbered."
        )
    length = window_s or window_seconds(len(usable))
    if len(usable) * length > MAX_PATCHES:
        raise IngestError(
            f"The windows are too long: expected at most {MAX_PATCHES} patches, found {len(usable)} channels of "
            f"{length} s. Set --window-s to at most {MAX_PATCHES // len(usable)}."
        )
    left_out = [asdict(channel) for channel in file.left_out]
    left_out += [
        {"name": name, "type": "eeg", "reason": "no place in the model"} for name in file.names if name not in usable
    ]
    return Embedded(str(path), usable, left_out, file.line_freq_hz, length)


def _row_groups(
    path: Path,
    windows: Iterator[Window],
    channel: npt.NDArray[np.int64],
    model: MaskedModel | Classifier,
    device: torch.device,
) -> Iterator[pa.Table]:
    """Embed windows of the same channels (C,) batch by batch, and yield up to `ROWS` rows at a time."""
    while True:
        # One block for all vectors: small ones that outlive their batch would split the memory that batches reuse.
        vectors = np.empty((ROWS, model.config.width), dtype=np.float32)
        onsets_s: list[float] = []
        n_seconds: list[int] = []
        while len(onsets_s) < ROWS and (batch := list(islice(windows, min(BATCH, ROWS - len(onsets_s))))):
            samples = [Sample(window.signal, SCALE_UV / MODEL_UNIT_UV, channel) for window in batch]
            embedded = embeddings(model, collate(samples).to(device)).float().cpu().numpy()
            vectors[len(onsets_s) : len(onsets_s) + len(batch)] = embedded
            onsets_s += [window.onset_s for window in batch]
            n_seconds += [window.signal.shape[1] for window in batch]
        if not onsets_s:
            return
        offsets = np.arange(len(onsets_s) + 1, dtype=np.int32) * vectors.shape[1]
        columns = {
            "file": [str(path)] * len(onsets_s),
            "onset_s": onsets_s,
            "n_seconds": n_seconds,
            "embedding": pa.ListArray.from_arrays(offsets, vectors[: len(onsets_s)].reshape(-1)),
        }
        yield pa.table(columns, schema=SCHEMA)


def _merge(parts: Sequence[Path], whole: Path, metadata: dict[str, str]) -> None:
    """Write the row groups of all parts into one file; a part is removed once it is in."""
    with pq.ParquetWriter(whole, SCHEMA.with_metadata(metadata)) as writer:
        for part in parts:
            with pq.ParquetFile(part) as rows:
                for group in range(rows.num_row_groups):
                    writer.write_table(rows.read_row_group(group).replace_schema_metadata(metadata))
            part.unlink()
