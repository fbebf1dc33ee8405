"""The command `labram`: results on stdout, the rest on stderr; exit codes 0 done, 1 failed, 2 wrong usage."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import torch
import typer
from eeg_store import StoreError
from eeg_tokenizer.batch_plan import BatchOptions
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.distributed import DeviceError, log_to_stderr
from eeg_tokenizer.options import (
    Accumulate,
    AllowInexact,
    AsJson,
    Compiled,
    Device,
    Keep,
    LoaderWorkers,
    Lr,
    Precision,
    Recompute,
    Resume,
    Seed,
    StorePath,
    Tokens,
    Weights,
    Where,
)
from eeg_tokenizer.queries import QueryError
from eeg_tokenizer.reader_processes import LoaderError
from eeg_tokenizer.run import RunError
from eeg_tokenizer.training import TrainingError
from eeg_tokenizer.windows import WindowsError

from labram_model import reports
from labram_model.errors import LabramError
from labram_model.evaluate import evaluate as evaluate_model
from labram_model.finetune import FinetuneOptions
from labram_model.finetune import finetune as finetune_model
from labram_model.info import describe
from labram_model.list_runs import list_runs
from labram_model.pretrain import PretrainOptions
from labram_model.pretrain import pretrain as pretrain_model
from labram_model.weights import export_weights, import_weights

WRONG_USAGE = (LabramError, StoreError, WindowsError, QueryError, RunError, CheckpointError, DeviceError)
FAILED = (TrainingError, LoaderError, OSError)

app = typer.Typer(
    help="Pre-train, fine-tune and use LaBraM on a store of EEG.",
    epilog="Exit codes: 0 done, 1 failed (for embed: some files), 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would swallow what stands in brackets
)
T = TypeVar("T")

TaskPath = Annotated[Path, typer.Option("--task", help="The task.yaml: classes or targets, windows, split, recipe.")]
Size = Annotated[
    Literal["tiny", "base", "large", "huge"] | None, typer.Option(help="[default: base on a GPU, else tiny]")
]


@app.callback()
def _start() -> None:
    """Pre-train, fine-tune and use LaBraM on a store of EEG."""
    log_to_stderr()


@app.command()
def pretrain(
    *,
    store: StorePath,
    output: Annotated[Path, typer.Option(help="Directory for the run.")] = Path("pretrained"),
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            help="Directory of a trained tokenizer, or an official .pth.  [default: the codes in the store; where "
            "there are none, a tokenizer is trained first]"
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Pre-trained model to go on from: a directory, or an official .pth.  [default: random weights]"
        ),
    ] = None,
    size: Size = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps of the pre-training, and as many of a tokenizer trained first.  [default: 50 epochs]"
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows of a step, over all processes.  [default: 512 on GPUs, else 32]")
    ] = None,
    lr: Lr = None,
    recipe: Annotated[str, typer.Option(help="improved or paper (docs/training.md).")] = "improved",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe, as in --set mask_ratio=0.4.")
    ] = None,
    seed: Seed = 0,
    shard: Annotated[
        bool | None,
        typer.Option("--shard/--no-shard", help="Divide the model over the processes.  [default: huge on GPUs]"),
    ] = None,
    accumulate: Accumulate = 1,
    keep: Keep = 2,
    resume: Resume = False,
    allow_inexact: AllowInexact = False,
    device: Device = "auto",
    precision: Precision = None,
    compiled: Compiled = None,
    recompute: Recompute = False,
    where: Where = None,
    weights: Weights = "hours",
    tokens: Tokens = None,
    loader_workers: LoaderWorkers = 0,
    as_json: AsJson = False,
) -> None:
    """Pre-train a model by predicting the codes of masked patches, from a store alone."""
    options = PretrainOptions(
        store=store,
        output=output,
        tokenizer=tokenizer,
        checkpoint=checkpoint,
        size=size,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        resume=resume,
        allow_inexact=allow_inexact,
        accumulate=accumulate,
        keep=keep,
        shard=shard,
        device=device,
        precision=precision,
        compiled=compiled,
        recompute=recompute,
        recipe=recipe,
        changes=tuple(changes or ()),
        batches=BatchOptions(where, weights, tokens, loader_workers),
    )
    summary, exit_code = _run(lambda: pretrain_model(options))
    _report(summary, reports.pretrained, as_json=as_json)
    raise typer.Exit(exit_code)


@app.command()
def finetune(
    *,
    store: StorePath,
    task: TaskPath,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Output of labram pretrain, or an official .pth.  [default: the same model from random weights]"
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Directory for the run.")] = Path("finetuned"),
    size: Size = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="At most so many steps.  [default: the task's epochs]")
    ] = None,
    seed: Seed = 0,
    accumulate: Accumulate = 1,
    keep: Keep = 2,
    resume: Resume = False,
    allow_inexact: AllowInexact = False,
    device: Device = "auto",
    precision: Precision = None,
    compiled: Compiled = None,
    recompute: Recompute = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model on a task, choose by the validation subjects, and score the test subjects once."""
    options = FinetuneOptions(
        store=store,
        task=task,
        output=output,
        checkpoint=checkpoint,
        size=size,
        steps=steps,
        seed=seed,
        resume=resume,
        allow_inexact=allow_inexact,
        accumulate=accumulate,
        keep=keep,
        device=device,
        precision=precision,
        compiled=compiled,
        recompute=recompute,
    )
    result, exit_code = _run(lambda: finetune_model(options))
    _report(result, reports.finetuned, as_json=as_json)
    raise typer.Exit(exit_code)


@app.command()
def evaluate(
    *,
    store: StorePath,
    task: TaskPath,
    checkpoint: Annotated[Path, typer.Option(help="Output of labram finetune, or an official .pth.")],
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Whose subjects to score.")] = "test",
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a fine-tuned model on the subjects of one split of its task."""
    result = _run(lambda: evaluate_model(store, task, checkpoint, split=split, device=device))
    _report(result, reports.scores, as_json=as_json)


@app.command()
def embed(
    files: Annotated[list[Path], typer.Argument(help="Raw recordings, of any format that eeg-ingest reads.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.")],
    checkpoint: Annotated[Path, typer.Option(help="Output of labram pretrain or finetune, or an official .pth.")],
    unit: Annotated[str | None, typer.Option(help="Unit of the samples, where a file does not say.")] = None,
    line_freq_hz: Annotated[str, typer.Option(help="Mains to take out: auto, 50 or 60.")] = "auto",
    montage: Annotated[str | None, typer.Option(help="The cap, where channels are only numbered.")] = None,
    sources: Annotated[
        Path | None,
        typer.Option(
            help="A sources.yaml whose keys (reader, unit, line_freq_hz, channels) tell how to read the files, in "
            "place of the three above."
        ),
    ] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source there, where it has several.")] = None,
    window_s: Annotated[
        int | None, typer.Option(min=1, max=16, help="Seconds of a window.  [default: as many as the model takes]")
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Turn raw recordings into embeddings, one for each window; they are harmonized on the way."""
    from labram_model.embed import EmbedOptions, choose_source  # noqa: PLC0415  # the readers take long to import
    from labram_model.embed import embed as embed_files  # noqa: PLC0415

    if sources is not None and (unit, line_freq_hz, montage) != (None, "auto", None):
        raise typer.BadParameter(
            "excludes --unit, --line-freq-hz and --montage: leave them out", param_hint="--sources"
        )
    if source is not None and sources is None:
        raise typer.BadParameter("needs --sources: add it", param_hint="--source")
    options = EmbedOptions(
        files=files,
        output=output,
        checkpoint=checkpoint,
        unit=unit,
        line_freq_hz=_mains(line_freq_hz),
        montage=montage,
        source=None if sources is None else _run(lambda: choose_source(sources, source)),
        window_s=window_s,
        device=device,
    )
    summary = _run(lambda: embed_files(options))
    _report(summary, reports.embedded, as_json=as_json)
    raise typer.Exit(1 if summary["failures"] else 0)


@app.command()
def info(
    path: Annotated[Path, typer.Argument(help="A model's directory or official .pth, or a store.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what a model or a store is."""
    _report(_run(lambda: describe(path)), reports.described, as_json=as_json)


@app.command()
def runs(
    folders: Annotated[list[Path], typer.Argument(help="Directories with runs in or beneath them.")],
    *,
    compare: Annotated[
        bool, typer.Option("--compare", help="Show the options that differ, and all numbers side by side.")
    ] = False,
    html: Annotated[bool, typer.Option("--html", help="Make the page of each run (report.html) again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell of trainings: how far they are, how well they learn, and what they take."""
    _report(_run(lambda: list_runs(folders, compare=compare, html=html)), reports.runs, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .pth of the official code, or a state dict of braindecode's Labram.")],
    *,
    output: Annotated[Path, typer.Option(help="Directory for the model.")],
    classes: Annotated[str | None, typer.Option(help="Names of a classifier's classes, as in wake,sleep.")] = None,
    as_json: AsJson = False,
) -> None:
    """Turn weights of the official code or of braindecode into a directory of ours (docs/weights.md)."""
    names = classes.split(",") if classes else []
    _report(_run(lambda: import_weights(file, output, classes=names)), reports.described, as_json=as_json)


@app.command()
def export(
    model: Annotated[Path, typer.Argument(help="A model's directory.")],
    *,
    output: Annotated[Path, typer.Option(help="The .pth to write.")],
    as_json: AsJson = False,
) -> None:
    """Write a model as the official code reads it."""
    _report(_run(lambda: export_weights(model, output)), reports.described, as_json=as_json)


def main() -> None:
    """Run the command."""
    app()


def _mains(value: str) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    if value not in ("50", "60"):
        raise typer.BadParameter(f"expected auto, 50 or 60, found {value}", param_hint="--line-freq-hz")
    return float(value)


def _run(command: Callable[[], T]) -> T:
    """Run a command; what a user can put right becomes a message and an exit code."""
    try:
        return command()
    except WRONG_USAGE as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from error
    except torch.OutOfMemoryError as error:
        typer.echo(f"Error: the GPU's memory is full. Give a smaller --batch-size or --size. ({error})", err=True)
        raise typer.Exit(1) from error
    except FAILED as error:
        # The system's own words, where no part of ours has found better ones.
        bare = isinstance(error, OSError) and error.errno is not None
        told = f"Cannot read or write a file: {error}. Put it right and repeat the command." if bare else str(error)
        typer.echo(f"Error: {told}", err=True)
        raise typer.Exit(1) from error


def _report(result: Mapping[str, Any], text: Callable[[Mapping[str, Any]], str], *, as_json: bool) -> None:
    if result:  # only the first of several processes has one
        typer.echo(json.dumps(result, allow_nan=False) if as_json else text(result))
