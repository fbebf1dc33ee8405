"""Small trainings through `training.fit`, in one process or as one of two; `test_distributed.py` runs them both ways.

Run as a program it takes a folder, and as arguments the names of jobs; it says which threads of the joined
processes are left in the end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eeg_tokenizer.backbone import BackboneConfig
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.compute import Compute
from eeg_tokenizer.distributed import Place, join, wait_for_all
from eeg_tokenizer.objective import start_codebook, start_heads, vqnsp_objective
from eeg_tokenizer.schedule import adamw
from eeg_tokenizer.sharding import shard
from eeg_tokenizer.step import Objective, Shares, StepLoss
from eeg_tokenizer.training import Plan, fit
from eeg_tokenizer.vqnsp import VQNSP, tokenizer_config
from labram_model.code_source import CodeSource
from labram_model.masked import MaskedModel
from labram_model.pretrain import masked_objective
from labram_model.recipes import TINY
from torch import Tensor, nn

PLAN = Plan(steps=4, lr=1e-3, min_lr=1e-4, warmup_steps=1, checkpoint_every=4, seed=3, clip_grad=3.0)
BACKBONE = BackboneConfig(width=100, layers=2, heads=5, mlp_width=200, layer_scale=0.1)
TOKENIZER = tokenizer_config(width=100, encoder_layers=2, decoder_layers=1, heads=5, n_codes=24, code_width=8)
N_CODES = 16
SHAPES = [(2, 2), (1, 3), (3, 1), (6, 4), (8, 5), (4, 9)]  # short windows in the first process, long in the second
GOLDEN = Path(os.environ.get("EEG_GOLDEN", Path(__file__).resolve().parents[2] / "../shared/golden"))


@dataclass(frozen=True)
class Job:
    """What is trained, and on which windows in every step."""

    model: nn.Module
    objective: Objective[Batch]
    windows: Callable[[int], list[Sample]]


def windows(step: int) -> list[Sample]:
    """Return windows of all shapes, every third patch of them without a code."""
    rng = np.random.default_rng(step)
    return [
        Sample(
            signal=(rng.uniform(0.05, 2) * rng.standard_normal((*shape, 200))).astype(np.float32),
            scale=1.0,
            channel=1 + rng.permutation(128)[: shape[0]],
            codes=np.where(rng.random(shape) < 0.3, -1, rng.integers(0, N_CODES, shape)),
            window=10 * step + index,
        )
        for index, shape in enumerate(SHAPES)
    ]


def tokenizer() -> Job:
    torch.manual_seed(0)
    model = VQNSP(replace(TOKENIZER, revive_after=2))
    start_heads(model, [collate(windows(0))])
    start_codebook(model, [collate(windows(0))], seed=0)
    return Job(model, vqnsp_objective(model), windows)


def masked() -> Job:
    torch.manual_seed(0)
    source: Any = CodeSource("a tokenizer", N_CODES, windows=None, model=None)  # type: ignore[arg-type]
    return Job(MaskedModel(BACKBONE, N_CODES), masked_objective(source, TINY, seed=3), windows)


def sharded_fast() -> Job:
    """The masked job as Huge runs on GPUs: compiled, in bfloat16, activations computed again."""
    job = masked()
    Compute(bf16=True, compiled=True, recompute=True).prepare(job.model)
    return job


def poisoned() -> Job:
    """The masked job, with a number that is none in one window of the second step."""

    def spoiled(step: int) -> list[Sample]:
        found = windows(step)
        if step == 1:
            found[-1].signal[0, 0, 0] = np.nan
        return found

    return replace(masked(), windows=spoiled)


def golden_tokenizer() -> Job:
    _, state, samples = _golden("tokenizer")
    model = VQNSP.from_official(state)
    return Job(model, vqnsp_objective(model), lambda _: samples)


def golden_masked() -> Job:
    """The official loss, with the official mask and codes; a window's number is its row in them."""
    vectors, state, samples = _golden("masked")
    mask, codes = vectors["mask"], vectors["targets"]

    def loss(model: nn.Module, batch: Batch, _step: int, shares: Shares) -> StepLoss:
        out = model(batch, codes[batch.window], mask[batch.window], shares=shares)
        return StepLoss(out.loss, out.parts)

    def counts(batch: Batch, _step: int) -> dict[str, Tensor]:
        hidden = mask[batch.window]
        return {"masked": hidden.sum(), "complement": (~hidden).sum()}

    return Job(MaskedModel.from_official(state), Objective(loss, counts), lambda _: samples)


JOBS = {
    "tokenizer": tokenizer,
    "masked": masked,
    "sharded": masked,
    "sharded_fast": sharded_fast,
    "sharded_resumed": masked,
    "poisoned": poisoned,
    "golden_tokenizer": golden_tokenizer,
    "golden_masked": golden_masked,
}


def train(name: str, folder: Path, place: Place, **changes: Any) -> Path:
    """Train a job into a new folder, this process with its share of the windows, and return the run."""
    job, run = JOBS[name](), folder / name
    run.mkdir(parents=True, exist_ok=True)
    if name.startswith("sharded") and place.world_size > 1:
        shard(job.model, place)

    def batches(first: int, end: int) -> Generator[Batch, None, None]:
        for step in range(first, end):
            of_step = job.windows(step)
            share = len(of_step) // place.world_size
            yield collate(of_step[place.rank * share : (place.rank + 1) * share])

    fit(
        job.model,
        adamw(job.model, betas=(0.9, 0.98), weight_decay=0.05),
        batches=batches,
        objective=job.objective,
        evaluate=lambda model: (
            {"loss": float(model(*_scored(job)).loss)} if name.startswith("sharded") else {"loss": 0.0}
        ),
        plan=replace(PLAN, **changes),
        place=place,
        run=run,
        config={"model": name},
    )
    return run


def train_again(name: str, folder: Path, place: Place) -> None:
    """Train a job, put its last checkpoint aside as `undisturbed`, and go on from the one before."""
    run = train(name, folder, place, checkpoint_every=2)
    if place.writes:
        (run / "checkpoints" / "step-000000004").rename(run / "undisturbed")
    wait_for_all(place)
    train(name, folder, place, checkpoint_every=2)


def _scored(job: Job) -> tuple[Batch, Tensor, Tensor]:
    batch = collate(windows(100))
    assert batch.codes is not None
    return batch, batch.codes, batch.valid & (batch.time % 2 == 0)


def _golden(name: str) -> tuple[dict[str, Tensor], dict[str, Tensor], list[Sample]]:
    with np.load(GOLDEN / f"{name}.npz") as arrays:
        vectors = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    state = {key.removeprefix("state."): value for key, value in vectors.items() if key.startswith("state.")}
    slots = vectors["input_chans"][1:].numpy()
    return vectors, state, [Sample(window, 1.0, slots, window=i) for i, window in enumerate(vectors["x"].numpy())]


if __name__ == "__main__":
    torch.set_num_threads(1)
    with join("cpu") as here:
        for job_name in sys.argv[2:]:
            (train_again if job_name.endswith("resumed") else train)(job_name, Path(sys.argv[1]), here)
    names = [thread.read_text().strip() for thread in Path("/proc/self/task").glob("*/comm")]
    sys.stdout.write(f"{[name for name in names if 'gloo' in name]}\n")
