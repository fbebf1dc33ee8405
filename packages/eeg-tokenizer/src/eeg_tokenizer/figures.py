"""The figures of a run's page.

Shapes: E examples, S samples of a patch (200), F bins (101), T codes shown, M of a code's patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eeg_tokenizer.plots import Curve, draw_curve, finish_panel

SFREQ_HZ = 200
HIGHEST_HZ = 80  # a store holds nothing above 75 Hz

Array = NDArray[np.floating[Any]]


def draw_loss(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw the loss and its parts, in training and on held-out data."""
    parts = sorted(name.removeprefix("parts/") for name in curves if name.startswith("parts/"))
    return _panels(curves, [(["loss"], "loss"), (parts, "parts of the loss")])


def draw_accuracy(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw the share of masked codes predicted right, beside chance and the share of the commonest code."""
    figure = _panels(curves, [(["accuracy"], "masked codes predicted right")])
    if figure is not None:
        (axes,) = figure.axes
        for name, style in (("most_frequent", "-."), ("chance", ":")):
            if f"held_out/{name}" in curves:
                value = curves[f"held_out/{name}"][1, -1]
                axes.axhline(value, color="0.45", linestyle=style, label=f"{name.replace('_', ' ')} {value:.2%}")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize="small")
    return figure


def draw_code_use(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw how many codes are in use, and their perplexity."""
    return _panels(curves, [(["codes_in_use"], "codes in use"), (["perplexity"], "perplexity of the codes")])


def draw_rate(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw the learning rate and the gradient's norm."""
    return _panels(curves, [(["lr"], "learning rate"), (["grad_norm"], "gradient norm")])


def draw_speed(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw patches a second, what each step waits for, and the padding."""
    return _panels(
        curves,
        [(["patches_per_s"], "patches a second"), (["step_s", "loader_wait_s"], "seconds"), (["padding"], "padding")],
    )


def draw_scores(curves: Mapping[str, Curve]) -> Figure | None:
    """Draw the held-out scores that no other figure shows, as a fine-tuning has them."""
    taken = {"loss", "accuracy", "chance", "most_frequent", "codes_in_use", "perplexity"}
    parts = {name.removeprefix("parts/") for name in curves if name.startswith("parts/")}
    names = {name.removeprefix("held_out/") for name in curves if name.startswith("held_out/")} - taken - parts
    return _panels(curves, [([name], name.replace("_", " ")) for name in sorted(names)])


def draw_reconstructions(signal_uv: Array, reconstructed_uv: Array) -> Figure:
    """Draw patches (E, S) beside their reconstructions, and the amplitudes of both."""
    n = len(signal_uv)
    figure = Figure(figsize=(11, 1.7 * n), layout="constrained")
    time_s, hz = np.arange(signal_uv.shape[1]) / SFREQ_HZ, np.arange(1, HIGHEST_HZ + 1)
    for row, (signal, rebuilt) in enumerate(zip(signal_uv, reconstructed_uv, strict=True)):
        left = figure.add_subplot(n, 2, 2 * row + 1)
        right = figure.add_subplot(n, 2, 2 * row + 2)
        for values, color, label in ((signal, "0.55", "original"), (rebuilt, "C3", "reconstructed")):
            left.plot(time_s, values, linewidth=1.2, color=color, label=label)
            right.plot(hz, _amplitude_uv(values)[hz], linewidth=1.2, color=color)
        left.set_ylabel("µV")
        right.set_ylabel("amplitude (µV)")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.margins(x=0)
        if row == 0:
            left.legend(frameon=False, fontsize="small", ncols=2, loc="upper right")
        if row == n - 1:
            left.set_xlabel("time (s)")
            right.set_xlabel("frequency (Hz)")
    return figure


def draw_codes(codes: NDArray[np.int64], share: Array, waveforms: Array, spectra: Array, patches: Array) -> Figure:
    """Draw for each code (T,) its mean patch (T, S) over some of its patches (T, M, S), and mean amplitudes (T, F)."""
    columns = 4
    rows = -(-len(codes) // columns)
    figure = Figure(figsize=(13, 1.75 * rows + 0.4))
    # Set by hand: letting matplotlib lay out 32 small panels takes longer than drawing them.
    figure.subplots_adjust(
        0.01, 0.45 / (1.75 * rows + 0.4), 0.99, 1 - 0.25 / (1.75 * rows + 0.4), hspace=0.25, wspace=0.1
    )
    time_s, hz = np.arange(waveforms.shape[1]) / SFREQ_HZ, np.arange(1, HIGHEST_HZ + 1)
    lowest, highest = np.nanpercentile(patches, [1, 99])
    if lowest == highest:  # of flat signals
        lowest, highest = lowest - 1, highest + 1
    loudest = spectra[:, hz].max() * 1.3 or 1.0
    for index, code in enumerate(codes.tolist()):
        wave = figure.add_subplot(rows, 2 * columns, 2 * index + 1)
        wave.plot(time_s, patches[index].T, color="0.75", linewidth=0.5)
        wave.plot(time_s, waveforms[index], color="C0", linewidth=1.4)
        wave.set_ylim(lowest * 1.2, highest * 1.2)
        wave.set_title(f"code {code}: {share[index]:.1%}", fontsize="small", loc="left")
        spectrum = figure.add_subplot(rows, 2 * columns, 2 * index + 2)
        spectrum.plot(hz, spectra[index, hz], color="C1", linewidth=1.2)
        spectrum.set_xscale("log")
        spectrum.set_xticks([1, 4, 10, 30], ["1", "4", "10", "30"], minor=False)
        spectrum.minorticks_off()
        spectrum.set_ylim(0, loudest)
        last = index >= len(codes) - columns
        for axes, label in ((wave, "s"), (spectrum, "Hz")):
            axes.set_yticks([])
            axes.tick_params(labelsize="x-small", labelbottom=last)
            axes.set_xlabel(label if last else "", fontsize="x-small")
    return figure


def _amplitude_uv(signal: Array) -> Array:
    """Return the amplitude (F,) of each sine in a patch (S,)."""
    amplitude: Array = np.abs(np.fft.rfft(signal)) * 2 / len(signal)
    return amplitude


def _panels(curves: Mapping[str, Curve], panels: list[tuple[list[str], str]]) -> Figure | None:
    """Draw those panels, names and a label each, that have a curve; None where none has."""
    having = [(names, label) for names, label in panels if any(_has(curves, name) for name in names)]
    if not having:
        return None
    figure = Figure(figsize=(4.4 * len(having), 3.1), layout="constrained")
    for index, (names, label) in enumerate(having):
        axes: Axes = figure.add_subplot(1, len(having), index + 1)
        for color, name in enumerate(names):
            draw_curve(axes, name, curves, color=f"C{color}", several=len(names) > 1)
        finish_panel(axes, label)
    return figure


def _has(curves: Mapping[str, Curve], name: str) -> bool:
    return not curves.keys().isdisjoint((name, f"parts/{name}", f"held_out/{name}"))
