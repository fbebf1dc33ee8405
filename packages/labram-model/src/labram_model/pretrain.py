"""Masked pre-training on a store, from whatever codes there are (paper, section 2.4 and Table 4)."""

from __future__ import annotations

import logging
import math
import signal
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from eeg_store import Store
from eeg_tokenizer import checkpoint
from eeg_tokenizer.batch_plan import DEFAULT, BatchOptions, BatchPlan, choose_batch_size, plan_batches
from eeg_tokenizer.batches import Batch
from eeg_tokenizer.checkpoint import KEPT
from eeg_tokenizer.compute import choose_compute
from eeg_tokenizer.distributed import Place, from_first, join
from eeg_tokenizer.encode import load_tokenizer
from eeg_tokenizer.examples import save_examples
from eeg_tokenizer.loader import BatchLoader, StoredWindows
from eeg_tokenizer.page import write_page
from eeg_tokenizer.recipes import recorded
from eeg_tokenizer.run import fixed_recordings, place_of, recording_checksums, start_run
from eeg_tokenizer.schedule import adamw
from eeg_tokenizer.sharding import shard
from eeg_tokenizer.step import Objective, Shares, StepLoss
from eeg_tokenizer.stop import stop_on_signal
from eeg_tokenizer.train import HELD_OUT_SHARE, TrainOptions, TrainResult, train_tokenizer
from eeg_tokenizer.training import Outcome, Plan, fit
from eeg_tokenizer.windows import Windows, data_digest, hold_out
from torch import Tensor, nn

from labram_model import models
from labram_model.beginning import choose_beginning
from labram_model.code_source import CodeSource, choose_codes, encoded_sets
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel
from labram_model.masked_scores import evaluation, spread
from labram_model.masks import random_mask
from labram_model.recipes import PretrainRecipe

logger = logging.getLogger(__name__)

GPU_BATCH = 512

CPU_BATCH = 32  # ours: a step of the tiny model takes about a second on two cores
MOST_STEPS_UNSAVED = 1000


@dataclass(frozen=True)
class PretrainOptions:
    """What `labram pretrain` is asked for; None takes the default of the device.

    Attributes:
        output: directory of the run; a tokenizer that is trained first goes into `tokenizer` in it.
        tokenizer: directory of a trained tokenizer; None for the codes in the store, or a tokenizer trained first.
        checkpoint: a pre-trained model to go on from, as a directory or an official file; None for random weights.
        size: of random weights, a key of `SIZES`; None is "base" on a GPU and "tiny" on a CPU.
        steps: of the pre-training, and as many again of a tokenizer that is trained first; None for all epochs.
        batch_size: windows of a step over all processes, also of the tokenizer's; None is 512 on GPUs (the tokenizer's
            128 for each) and 32 for each process on CPUs.
        lr: the highest learning rate; None is the recipe's.
        seed: of weights, batches, masks and held-out subjects.
        recipe: "improved" or "paper", also of a tokenizer that is trained first.
        changes: single fields of the recipe of pre-training, each as `field=value`.
        precision, compiled, recompute: see `compute.choose_compute`.
        allow_inexact, accumulate, keep: see `eeg_tokenizer.train.TrainOptions`; also of a tokenizer trained first.
        shard: whether the processes divide the model between them (`sharding.shard`); None for a huge one on GPUs.
        batches: which windows, how drawn and how many in a batch, also of a tokenizer that is trained first.
    """

    store: Path
    output: Path
    tokenizer: Path | None = None
    checkpoint: Path | None = None
    size: str | None = None
    steps: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int = 0
    resume: bool = False
    device: str = "auto"
    precision: str | None = None
    compiled: bool | None = None
    recompute: bool = False
    recipe: str = "improved"
    changes: tuple[str, ...] = ()
    allow_inexact: bool = False
    accumulate: int = 1
    keep: int = KEPT
    shard: bool | None = None
    batches: BatchOptions = DEFAULT


def pretrain(options: PretrainOptions) -> tuple[dict[str, Any], int]:
    """Pre-train a model into `options.output`; return a summary and the exit code of the process.

    Raises:
        LabramError: codes of several tokenizers, an unknown size.
        StoreError, WindowsError, CheckpointError, RunError, DeviceError, TrainingError, OSError: as the parts that
            raise them say.
    """
    _check_output(options)
    with stop_on_signal(signal.SIGTERM), join(options.device) as place:
        store = fixed_recordings(
            Store.open(options.store),
            options.output,
            place,
            resume=options.resume,
            allow_inexact=options.allow_inexact,
        )
        begun = choose_beginning(options.checkpoint, options.size, place.device)
        size, recipe = begun.size, begun.recipe(options.recipe, options.changes)
        if options.lr is not None:
            recipe = replace(recipe, lr=options.lr)
        folder, trained = options.tokenizer, TrainResult({}, 0)
        if folder is None and _needs_tokenizer(store, options):
            folder = options.output / "tokenizer"
            trained = train_tokenizer(_tokenizer_options(options, folder))
        # Only the first process knows whether the tokenizer is whole and on the disk; the others wait for it here.
        if from_first(bool(trained.summary.get("stopped_by")), place):
            return trained.summary, trained.exit_code
        codes = choose_codes(store, folder, place.device, stride_seconds=recipe.stride_s, where=options.batches.where)
        training, held_out = hold_out(codes.windows, share=HELD_OUT_SHARE, seed=options.seed)
        torch.manual_seed(options.seed)
        model = begun.make_model(recipe, codes).to(place.device)
        model.passes = 2 if recipe.symmetric else 1
        compute = choose_compute(
            options.precision, compiled=options.compiled, recompute=options.recompute, device=place.device
        )
        for computed in (model, codes.model):
            if computed is not None:
                compute.prepare(computed)
        sharded = _is_sharded(options, size, place)
        batches, plan = _plan(options, place, recipe, training)
        counts = {
            "training": len(training),
            "held_out": len(held_out or ()),
            "left_out": codes.windows.n_left_out + codes.n_without,
        }
        used = store.only(codes.windows.recordings)  # codes that are written later do not change the run
        document = _document(model, size, codes, batches, plan, options=options) | {
            "recipe": recorded(recipe),
            "data": {"store_digest": data_digest(used), "codes": codes.origin},
            "place": place_of(place, accumulate=plan.accumulate, sharded=sharded),
        }
        document["options"] |= compute.recorded() | ({"checkpoint": begun.content_hash} if begun.model else {})
        if place.writes:
            document = start_run(
                options.output,
                document,
                resume=options.resume,
                recordings=recording_checksums(used),
                allow_inexact=options.allow_inexact,
            )
            _log_start(document, counts, batches, place)
        loader = BatchLoader(
            StoredWindows(store, training, codes=codes.stored).read,
            batches,
            rank=place.rank,
            world_size=place.world_size,
            workers=options.batches.loader_workers,
        )
        if sharded:
            shard(model, place)
        outcome = fit(
            model,
            adamw(model, betas=recipe.betas, weight_decay=recipe.weight_decay),
            batches=loader.batches,
            objective=masked_objective(codes, recipe, options.seed),
            evaluate=None if held_out is None else evaluation(store, held_out, codes, place),
            plan=plan,
            place=place,
            run=options.output,
            config=document,
            first_record={"windows": counts},
            options=asdict(options),
        )
        if place.writes and outcome.step > 0:
            _write_page(options.output, store, training, held_out, codes=codes, tokenizer=folder, place=place)
    return (_summary(options.output, document, counts, outcome) if place.writes else {}), outcome.exit_code


def masked_objective(codes: CodeSource, recipe: PretrainRecipe, seed: int) -> Objective[Batch]:
    """Return what is learned: the codes of patches hidden at random, then, if symmetric, those of the others."""

    def mask_of(batch: Batch, step: int) -> Tensor:
        return random_mask(batch.valid, recipe.mask_ratio, window=batch.window, seed=seed, step=step)

    def loss(model: nn.Module, batch: Batch, step: int, shares: Shares) -> StepLoss:
        out = model(batch, codes.of(batch), mask_of(batch, step), symmetric=recipe.symmetric, shares=shares)
        return StepLoss(out.loss, out.parts, {"accuracy": out.accuracy})

    def counts(batch: Batch, step: int) -> dict[str, Tensor]:
        known, mask = codes.known(batch), mask_of(batch, step)
        masked, others = (known & mask).sum(), (known & ~mask).sum()
        return {"masked": masked, "complement": others, "accuracy": masked + others if recipe.symmetric else masked}

    return Objective(loss, counts)


def _write_page(
    run: Path,
    store: Store,
    training: Windows,
    held_out: Windows | None,
    *,
    codes: CodeSource,
    tokenizer: Path | None,
    place: Place,
) -> None:
    """Write the page of the run, with what the codes stand for, and reconstructions where a tokenizer is at hand."""
    windows = training if held_out is None else held_out
    model = codes.model
    if model is None and tokenizer is not None:
        model = load_tokenizer(tokenizer, place.device).model
    stored = StoredWindows(store, windows, codes=codes.stored)
    save_examples(
        run,
        (stored.read(part).to(place.device) for part in spread(windows)),
        codes_of=codes.of,
        n_codes=codes.n_codes,
        tokenizer=model,
        held_out=held_out is not None,
    )
    write_page(run)


def _document(
    model: MaskedModel, size: str, codes: CodeSource, batches: BatchPlan, plan: Plan, *, options: PretrainOptions
) -> dict[str, Any]:
    """Return `config.json` but for the data: the model, and the options that a resumed run must repeat."""
    return {
        **models.masked_document(model),
        "size": size,
        "tokenizer": codes.tokenizer,
        "options": {
            "size": size,
            "tokenizer": codes.tokenizer,
            "batch_size": batches.sizes.n_windows,
            "steps": plan.steps,
            "lr": plan.lr,
            "seed": plan.seed,
            **options.batches.lasting(),
            "recipe": options.recipe,
        },
    }


def _check_output(options: PretrainOptions) -> None:
    """Refuse a directory that holds a run before a tokenizer is trained for nothing."""
    if not options.resume and (options.output / "config.json").exists():
        raise LabramError(
            f"Cannot write a run into {options.output}: expected an empty directory, found a run. "
            "Give --resume to go on with it, or another --output."
        )


def _is_sharded(options: PretrainOptions, size: str, place: Place) -> bool:
    if options.shard and place.world_size == 1:
        raise LabramError(
            "Cannot shard the model: expected several processes for --shard, found one. Start it with torchrun."
        )
    on_gpus = place.world_size > 1 and place.device.type == "cuda"
    return options.shard if options.shard is not None else size == "huge" and on_gpus


def _needs_tokenizer(store: Store, options: PretrainOptions) -> bool:
    """Whether a tokenizer must be trained first, or the training of one that this run began must go on."""
    if (options.output / "tokenizer").exists():
        return True
    if encoded_sets(store):
        return False
    logger.info(
        "No codes in %s and no --tokenizer: training a tokenizer into %s first%s.",
        options.store,
        options.output / "tokenizer",
        f", for {options.steps} steps, and then the model for as many" if options.steps else "",
    )
    return True


def _tokenizer_options(options: PretrainOptions, folder: Path) -> TrainOptions:
    """Return the options of the tokenizer's training: its own defaults, and the same held-out subjects."""
    return TrainOptions(
        store=options.store,
        output=folder,
        steps=options.steps,
        batch_size=options.batch_size,
        seed=options.seed,
        resume=options.resume,
        device=options.device,
        precision=options.precision,
        compiled=options.compiled,
        recompute=options.recompute,
        allow_inexact=options.allow_inexact,
        accumulate=options.accumulate,
        keep=options.keep,
        recipe=options.recipe,
        batches=options.batches,
    )


def _plan(options: PretrainOptions, place: Place, recipe: PretrainRecipe, training: Windows) -> tuple[BatchPlan, Plan]:
    on_gpu = place.device.type == "cuda"
    default = GPU_BATCH if on_gpu else CPU_BATCH * place.world_size
    batch_size = choose_batch_size(options.batch_size, options.batches, default=default, world_size=place.world_size)
    batches = plan_batches(
        training,
        options.batches,
        batch_size=batch_size,
        seed=options.seed,
        mixed=recipe.mixed_batches,
        world_size=place.world_size,
    )
    steps = options.steps or math.ceil(recipe.epochs * len(training) / batches.sizes.mean_windows)
    return batches, Plan(
        steps=steps,
        lr=recipe.lr,
        min_lr=recipe.lr * recipe.min_lr_share,
        warmup_steps=math.ceil(steps * recipe.warmup_share),
        checkpoint_every=min(MOST_STEPS_UNSAVED, math.ceil(steps / 5)),
        seed=options.seed,
        clip_grad=recipe.clip_grad,
        accumulate=options.accumulate,
        keep=options.keep,
        keep_best=True,
    )


def _log_start(document: dict[str, Any], counts: dict[str, int], batches: BatchPlan, place: Place) -> None:
    options = document["options"]
    logger.info(
        "Pre-training a %s model (%d parameters) on %s: %d windows, %d steps of %.0f, codes %s of tokenizer %s.",
        document["size"],
        document["parameters"],
        place.device,
        counts["training"],
        options["steps"],
        batches.sizes.mean_windows,
        document["data"]["codes"],
        document["tokenizer"][:16],
    )
    if counts["held_out"] == 0:
        logger.warning("No held-out scores: expected at least two known subjects in the store, found fewer.")


def _summary(run: Path, document: dict[str, Any], counts: dict[str, int], outcome: Outcome) -> dict[str, Any]:
    return {
        "output": str(run),
        "size": document["size"],
        "parameters": document["parameters"],
        "steps": outcome.step,
        "stopped_by": outcome.stopped_by,
        "tokenizer": document["tokenizer"],
        "codes": document["data"]["codes"],
        "n_codes": document["config"]["n_codes"],
        "windows": counts,
        **{name: outcome.record.get(name) for name in ("loss", "accuracy", "held_out")},
        "model": checkpoint.content_hash(run),
    }
