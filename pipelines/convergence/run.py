"""How masked pre-training converges on the demo corpus, as one figure: `python -m pipelines.convergence.run`.

Sizes, mask ratios, one pass or two, and recipes, all on the codes of one tokenizer, scored on the same held-out windows
with the same masks. The x axis counts windows that went through the model, twice where a step has two passes, so that a
curve is never ahead for having computed more. Everything goes into build/convergence (or --output); the figure is
docs/convergence.png (or in --output with --quick, which takes few steps to see that all commands work).
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from eeg_tokenizer.metrics import read_metrics
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.commands import ROOT, run

N_CODES = 64
TOKENIZER_STEPS = 200
BATCH = 4
STEPS = 1500
BASE_STEPS = 300
SMOOTHED = 50  # steps that a point of the training curve averages


@dataclass(frozen=True)
class Trial:
    """A run under the name that the figure gives it; `passes` of the model in each step."""

    name: str
    steps: int = STEPS
    options: tuple[object, ...] = ()
    passes: int = 2

    @property
    def folder(self) -> str:
        """The name without what a path would not like."""
        return self.name.replace(" ", "-").replace(",", "")


TINY = Trial("tiny, mask 0.5, two passes")
PANELS: dict[str, tuple[Trial, ...]] = {
    "size": (TINY, Trial("base", BASE_STEPS, ("--size", "base"))),
    "mask ratio": (
        Trial("mask 0.3", options=("--set", "mask_ratio=0.3")),
        TINY,
        Trial("mask 0.7", options=("--set", "mask_ratio=0.7")),
    ),
    "symmetric mask": (TINY, Trial("one pass", 2 * STEPS, ("--set", "symmetric=false"), passes=1)),
    "recipe": (
        TINY,
        Trial("paper", options=("--recipe", "paper")),
        Trial("paper, our rate", options=("--recipe", "paper", "--lr", 3e-3)),
    ),
}
QUICK_PANELS = ("size", "symmetric mask")


def main() -> None:
    """Run the commands and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build/convergence")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    output, share = options.output.resolve(), STEPS if options.quick else 1
    shutil.rmtree(output, ignore_errors=True)
    store, tokenizer = output / "data.zarr", output / "tokenizer"
    run("eeg-ingest", "demo", output / "corpus")
    run("eeg-ingest", "build", "--sources", output / "corpus/sources.yaml", "--store", store)
    run(
        *("eeg-tokenizer", "train", "--store", store, "--output", tokenizer, "--size", "tiny"),
        *("--codes", N_CODES, "--steps", -(-TOKENIZER_STEPS // share), "--batch-size", 8),
    )
    run("eeg-tokenizer", "encode", "--store", store, "--tokenizer", tokenizer)
    panels = {name: PANELS[name] for name in QUICK_PANELS} if options.quick else PANELS
    for trial in dict.fromkeys(trial for trials in panels.values() for trial in trials):
        size = () if "--size" in trial.options else ("--size", "tiny")
        run(
            *("labram", "pretrain", "--store", store, "--tokenizer", tokenizer, "--output", output / trial.folder),
            *("--steps", -(-trial.steps // share), "--batch-size", BATCH, *size, *trial.options),
        )
    png = output / "convergence.png" if options.quick else ROOT / "docs/convergence.png"
    draw(output, png, panels)
    print(f"Drew {png}.")


def draw(runs: Path, png: Path, panels: Mapping[str, Sequence[Trial]]) -> None:
    """Draw a column for each panel: held-out accuracy above, the loss of a pass in training below."""
    figure = Figure(figsize=(4 * len(panels), 6.4), layout="constrained")
    axes = figure.subplots(2, len(panels), sharex="col", sharey="row")
    for column, (name, trials) in enumerate(panels.items()):
        axes[0, column].set_title(name)
        draw_panel(axes[0, column], axes[1, column], runs, trials)
        axes[1, column].set_xlabel("windows × passes")
    axes[0, 0].set_ylabel("masked codes right, held-out subjects")
    axes[1, 0].set_ylabel("training loss of a pass (nats)")
    figure.savefig(png, dpi=80, format="png")


def draw_panel(accuracy: Axes, loss: Axes, runs: Path, trials: Sequence[Trial]) -> None:
    """Draw the runs of one comparison."""
    for trial in trials:
        records = list(read_metrics(runs / trial.folder / "metrics.jsonl"))
        scored = [(record["step"], record["held_out"]) for record in records if "held_out" in record]
        seen = BATCH * trial.passes
        accuracy.plot(
            [step * seen for step, _ in scored],
            [scores["accuracy"] for _, scores in scored],
            marker="o",
            markersize=3,
            label=trial.name,
        )
        losses = np.array([record["loss"] / trial.passes for record in records])
        width = min(SMOOTHED, len(losses))
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        loss.plot(np.arange(width, len(losses) + 1) * seen, smooth, linewidth=1.2, label=trial.name)
        floor = scored[-1][1]
    accuracy.axhline(floor["chance"], color="grey", linestyle=":", linewidth=1)
    accuracy.axhline(floor["most_frequent"], color="grey", linestyle="--", linewidth=1)
    accuracy.legend(frameon=False, fontsize="small")
    for panel in (accuracy, loss):
        panel.grid(alpha=0.3)


if __name__ == "__main__":
    main()
