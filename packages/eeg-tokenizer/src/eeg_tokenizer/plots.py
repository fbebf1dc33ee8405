"""The curves of a run as a PNG."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eeg_tokenizer.metrics import read_metrics

_MOST_POINTS = 500
_RATES = {"lr": "learning rate", "grad_norm": "gradient norm", "samples_per_s": "windows per second"}

Curve = NDArray[np.float64]  # (2, n): steps, values


def draw_curves(metrics: Path, png: Path) -> None:
    """Draw loss, its parts, every other measure, the learning rate and the speed against the step.

    Long runs are drawn as means over equal stretches of steps.

    Raises:
        OSError: `metrics` is absent or `png` cannot be written.
    """
    curves = read_curves(metrics)
    measures = sorted({name.removeprefix("held_out/") for name in curves} - {"loss", *_RATES})
    measures = [name for name in measures if not name.startswith("parts/")]
    panels = ["loss", *(["parts"] if any(name.startswith("parts/") for name in curves) else []), *measures, *_RATES]
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(13.5, 3.4 * rows), layout="constrained")
    for panel, axes in zip(panels, figure.subplots(rows, 3, squeeze=False).flat, strict=False):
        _draw_panel(axes, panel, curves)
    for axes in figure.axes[len(panels) :]:
        axes.remove()
    figure.savefig(png, dpi=110, format="png")


def read_curves(metrics: Path) -> dict[str, Curve]:
    """Return (2, n) steps and values for each number in the records; nested names are joined by a slash."""
    points: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for record in read_metrics(metrics):
        for name, value in record.items():
            if name in ("parts", "held_out"):
                for inner, number in value.items():
                    points[f"{name}/{inner}"].append((record["step"], number))
            elif name != "step" and isinstance(value, int | float):
                points[name].append((record["step"], value))
    return {name: np.array(values, dtype=np.float64).T for name, values in points.items()}


def _draw_panel(axes: Axes, panel: str, curves: dict[str, Curve]) -> None:
    if panel == "parts":
        for name in sorted(curves):
            if name.startswith("parts/"):
                _draw(axes, curves[name], name.removeprefix("parts/").replace("_", " "))
        axes.set_ylabel("parts of the loss")
    else:
        if panel in curves:
            _draw(axes, curves[panel], "training")
        if f"held_out/{panel}" in curves:
            _draw(axes, curves[f"held_out/{panel}"], "held out", marker="o")
        axes.set_ylabel(_RATES.get(panel, panel.replace("_", " ")))
    axes.set_xlabel("step")
    axes.grid(alpha=0.3)
    if len(axes.lines) > 1:
        axes.legend(frameon=False)


def _draw(axes: Axes, curve: Curve, label: str, marker: str | None = None) -> None:
    n = curve.shape[1]
    if n > _MOST_POINTS:
        edges = np.linspace(0, n, _MOST_POINTS + 1).astype(int)[:-1]
        curve = np.add.reduceat(curve, edges, axis=1) / np.diff([*edges, n])
    axes.plot(curve[0], curve[1], label=label, marker=marker, markersize=3, linewidth=1.2)
