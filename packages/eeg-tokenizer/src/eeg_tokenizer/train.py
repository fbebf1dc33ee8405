"""Train the VQ-NSP tokenizer on a store (paper, section 2.3 and Table 3)."""

from __future__ import annotations

import logging
import math
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from eeg_store import Store
from torch import nn

from eeg_tokenizer import checkpoint
from eeg_tokenizer.batch_plan import DEFAULT, BatchOptions, BatchPlan, choose_batch_size, plan_batches
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.compute import choose_compute
from eeg_tokenizer.distributed import Place, from_first, join
from eeg_tokenizer.examples import save_examples
from eeg_tokenizer.loader import BatchLoader, StoredWindows
from eeg_tokenizer.objective import score, start_codebook, start_heads, vqnsp_objective
from eeg_tokenizer.page import write_page
from eeg_tokenizer.recipes import TokenizerRecipe, recorded, tokenizer_recipe
from eeg_tokenizer.run import RunError, fixed_recordings, place_of, recording_checksums, start_run
from eeg_tokenizer.schedule import adamw
from eeg_tokenizer.spectrum import SpectrumConfig
from eeg_tokenizer.stop import stop_on_signal
from eeg_tokenizer.training import Outcome, Plan, fit
from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP, VQNSPConfig
from eeg_tokenizer.windows import Windows, cut_windows, data_digest, hold_out

logger = logging.getLogger(__name__)

CPU_BATCH = 32
GPU_BATCH = 128  # for each GPU, as the paper's 1024 on eight
HELD_OUT_SHARE = 0.1  # of the subjects
SPREAD_WINDOWS = 256  # evenly over a set of windows: for the held-out scores, and for the start of the heads
MOST_STEPS_UNSAVED = 1000


@dataclass(frozen=True)
class TrainOptions:
    """What `eeg-tokenizer train` is asked for; None takes the default of the size or the device.

    Attributes:
        store: the store's path.
        output: directory of the run.
        steps: optimizer steps; None for the paper's 100 epochs.
        size: a key of `TOKENIZER_SIZES`; None is "base" on a GPU and "tiny" on a CPU.
        n_codes: codes in the codebook; None is the size's.
        code_width: width of a code; None is the size's.
        batch_size: windows of a batch over all processes; None is 128 for each GPU, or 32 for each process on CPUs.
        lr: the highest learning rate; None is the recipe's.
        seed: of the weights, the batches and the held-out subjects.
        checkpoint_every: steps; None is a fifth of all, at most 1000.
        resume: go on with the run in `output`, if there is one.
        allow_inexact: also where the store, the place or options are others than the run began with.
        accumulate: parts in which a process takes its share of a batch, one after the other; less memory, same result.
        keep: the last checkpoints that stay.
        device: "auto", "cpu" or "cuda".
        recipe: "improved" or "paper".
        changes: single fields of the recipe, each as `field=value`.
        precision, compiled, recompute: see `compute.choose_compute`.
        batches: which windows, how drawn and how many in a batch.
    """

    store: Path
    output: Path
    steps: int | None = None
    size: str | None = None
    n_codes: int | None = None
    code_width: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int = 0
    checkpoint_every: int | None = None
    resume: bool = False
    device: str = "auto"
    precision: str | None = None
    compiled: bool | None = None
    recompute: bool = False
    recipe: str = "improved"
    changes: tuple[str, ...] = ()
    allow_inexact: bool = False
    accumulate: int = 1
    keep: int = checkpoint.KEPT
    batches: BatchOptions = DEFAULT


@dataclass(frozen=True)
class TrainResult:
    """The summary that `--json` prints (empty but in the first process), and the process's exit code."""

    summary: dict[str, Any]
    exit_code: int


@dataclass(frozen=True)
class _Setup:
    """The options with every default filled in."""

    size: str
    recipe: TokenizerRecipe
    config: VQNSPConfig
    batch_size: int
    batches: BatchPlan
    plan: Plan

    def lasting(self) -> dict[str, Any]:
        """Return the options that change the result, which a resumed run must repeat."""
        return {
            "size": self.size,
            "codes": self.config.n_codes,
            "code_dim": self.config.code_width,
            "batch_size": self.batches.sizes.n_windows,
            "steps": self.plan.steps,
            "lr": self.plan.lr,
            "seed": self.plan.seed,
        }


def train_tokenizer(options: TrainOptions) -> TrainResult:
    """Train a tokenizer into `options.output`, in this process or as one of torchrun's.

    Raises:
        StoreError: no store, or a damaged one.
        WindowsError: a store without windows.
        DeviceError: no such device.
        RunError: an unknown size or recipe, or an output directory with a run that this one may not continue.
        TrainingError: a loss that is not finite.
        OSError: the output cannot be written.
    """
    with stop_on_signal(signal.SIGTERM), join(options.device) as place:
        store = fixed_recordings(
            Store.open(options.store),
            options.output,
            place,
            resume=options.resume,
            allow_inexact=options.allow_inexact,
        )
        size, recipe = _size_and_recipe(options, place)
        windows = cut_windows(store, stride_seconds=recipe.stride_s, where=options.batches.where)
        training, held_out = hold_out(windows, share=HELD_OUT_SHARE, seed=options.seed)
        setup = _setup(options, place, size, recipe, training)
        counts = {"training": len(training), "held_out": len(held_out or ()), "left_out": windows.n_left_out}
        compute = choose_compute(
            options.precision, compiled=options.compiled, recompute=options.recompute, device=place.device
        )
        config = {
            "model": "vqnsp",
            "config": asdict(setup.config),
            "options": {**setup.lasting(), **options.batches.lasting(), "recipe": options.recipe, **compute.recorded()},
            "recipe": recorded(recipe),
            "data": {"store_digest": data_digest(store)},
            "place": place_of(place, accumulate=setup.plan.accumulate),
        }
        if place.writes:
            config = start_run(
                options.output,
                config,
                resume=options.resume,
                recordings=recording_checksums(store),
                allow_inexact=options.allow_inexact,
            )
            _log_start(setup, counts, place)
        torch.manual_seed(setup.plan.seed)
        model = VQNSP(setup.config).to(place.device)
        compute.prepare(model)
        stored = StoredWindows(store, training)
        loader = BatchLoader(
            stored.read,
            setup.batches,
            rank=place.rank,
            world_size=place.world_size,
            workers=options.batches.loader_workers,
        )
        if not from_first(checkpoint.latest_step(options.output) is not None, place):
            _start(model, stored, loader, setup, place)
        outcome = fit(
            model,
            adamw(model, betas=recipe.betas, weight_decay=recipe.weight_decay),
            batches=loader.batches,
            objective=vqnsp_objective(model),
            evaluate=None if held_out is None else _evaluation(model, store, held_out, setup.batch_size, place),
            plan=setup.plan,
            place=place,
            run=options.output,
            config=config,
            first_record={"windows": counts},
            options=asdict(options),
        )
        if place.writes and outcome.step > 0:
            shown = stored if held_out is None else StoredWindows(store, held_out)
            save_examples(
                options.output,
                (batch.to(place.device) for batch in _spread(shown, setup.batch_size)),
                codes_of=model.encode,
                n_codes=setup.config.n_codes,
                tokenizer=model,
                held_out=held_out is not None,
            )
            write_page(options.output)
    return TrainResult(_summary(options.output, setup, counts, outcome) if place.writes else {}, outcome.exit_code)


def _start(model: VQNSP, stored: StoredWindows, loader: BatchLoader[Batch], setup: _Setup, place: Place) -> None:
    """Set what the recipe does not leave to chance: the heads, and the codebook, alike on all processes."""
    spread = [batch.to(place.device) for batch in _spread(stored, setup.batch_size)]
    if setup.recipe.mean_start:
        start_heads(model, spread)
    start_codebook(model, spread if setup.recipe.shared_start else [loader.batch(0).to(place.device)], setup.plan.seed)


def _size_and_recipe(options: TrainOptions, place: Place) -> tuple[str, TokenizerRecipe]:
    size = options.size or ("base" if place.device.type == "cuda" else "tiny")
    if size not in TOKENIZER_SIZES:
        raise RunError(f"Unknown size in --size: expected {' or '.join(TOKENIZER_SIZES)}, found {size!r}.")
    recipe = tokenizer_recipe(options.recipe, size, options.changes)
    return size, recipe if options.lr is None else replace(recipe, lr=options.lr)


def _setup(options: TrainOptions, place: Place, size: str, recipe: TokenizerRecipe, training: Windows) -> _Setup:
    """Fill in what was not asked for."""
    on_gpu = place.device.type == "cuda"
    default = (GPU_BATCH if on_gpu else CPU_BATCH) * place.world_size
    batch_size = choose_batch_size(options.batch_size, options.batches, default=default, world_size=place.world_size)
    batches = plan_batches(
        training,
        options.batches,
        batch_size=batch_size,
        seed=options.seed,
        mixed=recipe.mixed_batches,
        world_size=place.world_size,
    )
    of_size = TOKENIZER_SIZES[size]
    steps = options.steps or math.ceil(recipe.epochs * len(training) / batches.sizes.mean_windows)
    code_width = options.code_width or of_size.code_width
    return _Setup(
        size=size,
        recipe=recipe,
        config=replace(
            of_size,
            n_codes=options.n_codes or of_size.n_codes,
            code_width=code_width,
            decoder=replace(of_size.decoder, vector_width=code_width),
            decay=recipe.decay,
            revive_after=recipe.revive_after,
            targets=SpectrumConfig(recipe.spectrum, recipe.phase, recipe.phase_power),
        ),
        batch_size=batch_size,
        batches=batches,
        plan=Plan(
            steps=steps,
            lr=recipe.lr,
            min_lr=recipe.lr * recipe.min_lr_share,
            warmup_steps=math.ceil(steps * recipe.warmup_share),
            checkpoint_every=options.checkpoint_every or min(MOST_STEPS_UNSAVED, math.ceil(steps / 5)),
            seed=options.seed,
            accumulate=options.accumulate,
            keep=options.keep,
            keep_best=True,
        ),
    )


def _evaluation(
    model: VQNSP, store: Store, held_out: Windows, batch_size: int, place: Place
) -> Callable[[nn.Module], dict[str, Any]]:
    """Return the scoring of the model on a fixed choice of the held-out windows."""
    stored = StoredWindows(store, held_out)
    return lambda _: score(model, (batch.to(place.device) for batch in _spread(stored, batch_size)))


def _spread(stored: StoredWindows, batch_size: int) -> Iterator[Batch]:
    """Yield a fixed choice of the windows, evenly spread over them."""
    n_windows = len(stored.windows)
    chosen = np.linspace(0, n_windows - 1, min(SPREAD_WINDOWS, n_windows)).astype(np.int64)
    for part in np.split(chosen, range(batch_size, len(chosen), batch_size)):
        yield stored.read(part)


def _log_start(setup: _Setup, counts: dict[str, int], place: Place) -> None:
    logger.info(
        "Training a %s tokenizer of %d codes on %s: %d windows, %d steps of %.0f windows.",
        setup.size,
        setup.config.n_codes,
        place.device,
        counts["training"],
        setup.plan.steps,
        setup.batches.sizes.mean_windows,
    )
    if counts["held_out"] == 0:
        logger.warning("No held-out scores: expected at least two known subjects in the store, found fewer.")


def _summary(run: Path, setup: _Setup, counts: dict[str, int], outcome: Outcome) -> dict[str, Any]:
    names = ("loss", "parts", "codes_in_use", "perplexity", "held_out")
    return {
        "output": str(run),
        "steps": outcome.step,
        "stopped_by": outcome.stopped_by,
        "windows": counts,
        "n_codes": setup.config.n_codes,
        **{name: outcome.record.get(name) for name in names},
        "tokenizer": checkpoint.content_hash(run),
    }
