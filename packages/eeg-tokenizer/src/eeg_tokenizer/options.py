"""Options that the commands of tokenizer and model share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

StorePath = Annotated[Path, typer.Option("--store", help="The store that eeg-ingest built.")]
Seed = Annotated[int, typer.Option(min=0, help="Of weights, batches, held-out subjects and all else that is random.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the output directory.")]
AllowInexact = Annotated[
    bool, typer.Option("--allow-inexact", help="Resume though store, machine, processes or options have changed.")
]
Lr = Annotated[float | None, typer.Option(min=1e-9, max=1e9, help="Highest learning rate.  [default: the recipe's]")]
Accumulate = Annotated[
    int, typer.Option(min=1, help="Parts in which a process takes its share of a batch; less memory, same result.")
]
Keep = Annotated[int, typer.Option(min=1, help="Last checkpoints to keep, beside the best one.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Precision = Annotated[
    Literal["fp32", "bf16"] | None, typer.Option(help="Of matrix products.  [default: bf16 on a GPU, else fp32]")
]
Compiled = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Compile the blocks (seconds at the start).  [default: on a GPU]"),
]
Recompute = Annotated[
    bool, typer.Option("--checkpoint-activations", help="Compute activations again: less memory, a third more time.")
]
Where = Annotated[
    str | None, typer.Option(help="Take windows that fit, as in --where \"line_noise < 0.2 and source != 'tusl'\".")
]
Weights = Annotated[
    str, typer.Option(help="Draw sources by hours, uniform, temperature:T, or given ones: siena=1,tusz=3.")
]
Tokens = Annotated[
    int | None, typer.Option(min=1, help="Patches of a step, padding included, in place of --batch-size.")
]
LoaderWorkers = Annotated[
    int, typer.Option(min=0, help="Processes that read batches, for each that trains; 0 reads in a thread.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
