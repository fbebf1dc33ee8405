"""The command `eeg-tokenizer`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from eeg_store import StoreError

from eeg_tokenizer.batch_plan import BatchOptions
from eeg_tokenizer.checkpoint import CheckpointError, SaveError
from eeg_tokenizer.distributed import DeviceError, log_to_stderr
from eeg_tokenizer.encode import encode_store
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
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from eeg_tokenizer.training import TrainingError
from eeg_tokenizer.windows import WindowsError

WRONG_USAGE = (StoreError, WindowsError, QueryError, RunError, CheckpointError, DeviceError)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would swallow what stands in brackets
)
T = TypeVar("T")


@app.callback()
def _start() -> None:
    """Train a tokenizer of EEG patches on a store, and write its codes beside the signal."""
    log_to_stderr()


@app.command()
def train(
    *,
    store: StorePath,
    output: Annotated[Path, typer.Option(help="Directory for the checkpoints, metrics.jsonl and curves.png.")],
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps.  [default: 100 epochs]")] = None,
    size: Annotated[str | None, typer.Option(help="tiny or base.  [default: base on a GPU, else tiny]")] = None,
    codes: Annotated[int | None, typer.Option(min=2, help="Codes in the codebook.  [default: the size's]")] = None,
    code_dim: Annotated[int | None, typer.Option(min=1, help="Width of a code.  [default: the size's]")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows of a step, over all processes.  [default: 128 a GPU, else 32]")
    ] = None,
    lr: Lr = None,
    recipe: Annotated[str, typer.Option(help="improved or paper (docs/training.md).")] = "improved",
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe, as in --set revive_after=null.")
    ] = None,
    seed: Seed = 0,
    checkpoint_every: Annotated[
        int | None, typer.Option(min=1, help="Steps.  [default: a fifth of all, at most 1000]")
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
    """Train a VQ-NSP tokenizer. Under torchrun, each process takes its share of every batch."""
    options = TrainOptions(
        store=store,
        output=output,
        steps=steps,
        size=size,
        n_codes=codes,
        code_width=code_dim,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        checkpoint_every=checkpoint_every,
        resume=resume,
        device=device,
        precision=precision,
        compiled=compiled,
        recompute=recompute,
        recipe=recipe,
        changes=tuple(changes or ()),
        allow_inexact=allow_inexact,
        accumulate=accumulate,
        keep=keep,
        batches=BatchOptions(where, weights, tokens, loader_workers),
    )
    result = _run(lambda: train_tokenizer(options))
    if result.summary:
        _report(result.summary, _trained(result.summary), as_json=as_json)
    raise typer.Exit(result.exit_code)


@app.command()
def encode(
    *,
    store: StorePath,
    tokenizer: Annotated[Path, typer.Option(help="Directory of a trained tokenizer, or an official .pth.")],
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a tokenizer's codes into the store, for every recording that has none of it yet."""
    summary = _run(lambda: encode_store(store, tokenizer, device=device))
    _report(summary, _encoded(summary), as_json=as_json)


def main() -> None:
    """Run the command."""
    app()


def _run(command: Callable[[], T]) -> T:
    """Run a command; what a user can put right becomes a message and an exit code."""
    try:
        return command()
    except WRONG_USAGE as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2) from error
    except (TrainingError, LoaderError, SaveError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    except OSError as error:  # a full disk or a missing permission, named by the system
        typer.echo(f"Error: Cannot read or write a file: {error}. Put it right and repeat the command.", err=True)
        raise typer.Exit(1) from error


def _report(summary: dict[str, Any], text: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(summary) if as_json else text)


def _trained(summary: dict[str, Any]) -> str:
    lines = [f"Tokenizer in {summary['output']}: {summary['steps']} steps, loss {_number(summary['loss'])}."]
    if summary["stopped_by"]:
        lines[0] += f" Stopped by {summary['stopped_by']}; go on with --resume."
    held_out = summary["held_out"]
    if held_out:
        lines.append(
            f"Held-out subjects: loss {_number(held_out['loss'])}, {held_out['codes_in_use']} of "
            f"{summary['n_codes']} codes in use, perplexity {held_out['perplexity']:.1f}."
        )
        lines += [_by_band(name, ratios) for name, ratios in held_out["vs_mean"].items()]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


def _by_band(name: str, ratios: dict[str, float]) -> str:
    bands = ", ".join(f"{band} {ratio:.2f}" for band, ratio in ratios.items() if band != "all")
    return f"Error of the {name}, where the mean spectrum has 1: {ratios.get('all', 0):.2f} ({bands})."


def _encoded(summary: dict[str, Any]) -> str:
    return (
        f"Wrote {summary['codes']} codes for {summary['recordings']} recordings "
        f"({summary['recordings_before']} had theirs) under tokenizer {summary['tokenizer'][:16]}."
    )


if __name__ == "__main__":
    main()
