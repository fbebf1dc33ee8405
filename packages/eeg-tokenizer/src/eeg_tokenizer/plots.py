"""The curves of a run as a PNG."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from eeg_tokenizer.checkpoint import write_whole
from eeg_tokenizer.metrics import read_metrics

_COLUMNS = 3
_MOST_POINTS = 500
_OF_THE_RUN = {
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "samples_per_s": "speed (windows/s)",
    "patches_per_s": "speed (patches/s, without padding)",
    "tflops_per_s": "TFLOP/s",
    "loader_wait_s": "wait for a batch (s)",
    "step_s": "step (s)",
    "padding": "padding (share of the patches)",
}

Curve = NDArray[np.float64]  # (2, n): steps, values


def draw_curves(metrics: Path, png: Path) -> None:
    """Draw the loss, its parts, every other measure, and the run's rates against the step.

    Training is a line, held-out data a dashed line with dots. Long runs are drawn as means over stretches of steps.

    Raises:
        OSError: `metrics` is absent or `png` cannot be written.
    """
    curves = read_curves(metrics)
    parts = sorted(name.removeprefix("parts/") for name in curves if name.startswith("parts/"))
    named = {name.removeprefix("held_out/") for name in curves if not name.startswith("parts/")}
    measures = sorted(named - {"loss", *parts, *_OF_THE_RUN})
    panels = [["loss"], *([parts] if parts else []), *([name] for name in measures), *([name] for name in _OF_THE_RUN)]
    rows = -(-len(panels) // _COLUMNS)
    figure = Figure(figsize=(4.5 * _COLUMNS, 3.4 * rows), layout="constrained")
    for index, names in enumerate(panels):
        axes = figure.add_subplot(rows, _COLUMNS, index + 1)
        for color, name in enumerate(names):
            draw_curve(axes, name, curves, color=f"C{color}", several=len(names) > 1)
        of_parts = "parts of the loss (dashed: held out)"
        finish_panel(axes, of_parts if names == parts else _OF_THE_RUN.get(names[0], names[0].replace("_", " ")))
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=110, format="png")
    write_whole(png, drawn.getvalue())


def read_curves(metrics: Path) -> dict[str, Curve]:
    """Return (2, n) steps and values for each number in the records; nested names are joined by a slash."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in read_metrics(metrics):
        for name, value in record.items():
            if name in ("parts", "held_out"):
                for inner, number in value.items():
                    if isinstance(number, int | float):  # scores by band are for tables
                        points[f"{name}/{inner}"].append((record["step"], number))
            elif name != "step" and isinstance(value, int | float):
                points[name].append((record["step"], value))
    return {name: np.array(values, dtype=np.float64).T for name, values in points.items()}


def draw_curve(axes: Axes, name: str, curves: Mapping[str, Curve], *, color: str, several: bool) -> None:
    """Draw a name's training curve, found under itself or among the parts, and its held-out curve."""
    training = curves.get(name, curves.get(f"parts/{name}"))
    if training is not None:
        label = name.replace("_", " ") if several else "training"
        axes.plot(*_thinned(training), color=color, linewidth=1.2, label=label)
    if f"held_out/{name}" in curves:
        label = "_" if several else "held out"  # matplotlib leaves "_" out of the legend
        held_out = curves[f"held_out/{name}"]
        axes.plot(*held_out, color=color, linestyle="--", marker="o", markersize=3, label=label)


def finish_panel(axes: Axes, label: str) -> None:
    """Name the axes of a panel of curves and, where there are several, the curves."""
    axes.set_ylabel(label)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 5))
    axes.grid(alpha=0.3)
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize="small")


def _thinned(curve: Curve) -> Curve:
    n = curve.shape[1]
    if n <= _MOST_POINTS:
        return curve
    edges = np.linspace(0, n, _MOST_POINTS + 1).astype(int)
    thinned: Curve = np.add.reduceat(curve, edges[:-1], axis=1) / np.diff(edges)
    return thinned
