"""One HTML page of a run, with its figures inside: nothing is fetched, so that it can be mailed and read anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from matplotlib.figure import Figure

from eeg_tokenizer import checkpoint, figures
from eeg_tokenizer.examples import load_examples
from eeg_tokenizer.metrics import last_record
from eeg_tokenizer.plots import read_curves
from eeg_tokenizer.record import read_run
from eeg_tokenizer.runs import flat

PAGE = "report.html"

_RECONSTRUCTED = (
    "One patch from the middle of each of a few {windows}, evenly spread and not chosen by how well they came out. "
    "The decoder predicts amplitude and phase on a scale of the window (z-scores), so the reconstruction is given "
    "the window's own mean and standard deviation; its shape is all that the codes hold."
)
_CODES = (
    "The codes chosen most often for {windows}, with their share of all patches. Left: some of a code's patches and "
    "their mean, each divided by the RMS of its window, all codes on one scale. Where phases differ within a code, the "
    "mean is flat. Right: their mean amplitude from 1 to 80 Hz, on one scale too."
)
_ABSENT = "Nothing to show: the run has not come that far, or it had no held-out subjects or no tokenizer at hand."


def write_page(run: Path) -> Path:
    """Write `report.html` into a run, from the files in it alone, and return its path.

    Raises:
        CheckpointError: the directory holds no run.
        ValueError: a file of the run is damaged.
        OSError: a file cannot be read or written.
    """
    config, record = checkpoint.load_config(run), read_run(run)
    metrics = run / "metrics.jsonl"
    curves = read_curves(metrics) if metrics.is_file() else {}
    examples = {name: tensor.numpy() for name, tensor in load_examples(run).items()}
    windows = "windows of held-out subjects" if examples.get("held_out", True) else "windows of the training"
    sections = [
        _section("In short", _facts(_essentials(record, last_record(metrics)))),
        _figure("Loss", figures.draw_loss(curves), "Training is a line; held-out subjects are dashed, with dots."),
    ]
    if config.get("model") == "masked":
        caption = "Accuracy is of the patches that were hidden; chance and the most frequent code are of held-out data."
        sections.append(_figure("Masked-code accuracy", figures.draw_accuracy(curves), caption))
    if config.get("model") in ("masked", "vqnsp"):
        caption = "Over the last hundred batches or so in training; over the scored windows on held-out subjects."
        sections.append(_figure("Code use and perplexity", figures.draw_code_use(curves), caption))
    else:
        sections.append(_figure("Held-out scores", figures.draw_scores(curves), "On the validation windows."))
    sections += [
        _figure("Learning rate", figures.draw_rate(curves), ""),
        _figure("Throughput", figures.draw_speed(curves), "Patches without padding; a step includes its wait."),
    ]
    if config.get("model") in ("masked", "vqnsp"):
        sections += [
            _figure(
                "Original and reconstructed patches", _reconstructions(examples), _RECONSTRUCTED.format(windows=windows)
            ),
            _figure("Most used codes", _codes(examples), _CODES.format(windows=windows)),
        ]
    sections += [
        _section("Held-out scores, last", _facts(flat(last_record(metrics).get("held_out", {})))),
        _section("Configuration", _facts(flat({name: config[name] for name in config if name != "split"}))),
        _section("Sessions", "".join(_facts(flat(session)) + "<p></p>" for session in record.get("sessions", []))),
    ]
    title = f"{run.resolve().name}: {config.get('model')}"
    state = f"{record.get('state', 'no record')}, step {record.get('step', '?')} of {record.get('steps', '?')}"
    template = Template((files("eeg_tokenizer") / "page.html").read_text(encoding="utf-8"))
    text = template.substitute(title=escape(title), subtitle=escape(state), sections="\n".join(sections))
    checkpoint.write_whole(run / PAGE, text.encode())
    return run / PAGE


def _essentials(record: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few numbers that stand on top."""
    totals = record.get("totals", {})
    held_out = last.get("held_out", {})
    memory = totals.get("peak_memory_bytes", {})
    shown = {
        "loss": last.get("loss"),
        "held-out loss": held_out.get("loss"),
        "held-out accuracy": held_out.get("accuracy"),
        "held-out codes in use": held_out.get("codes_in_use"),
        "windows a second": totals.get("samples_per_s"),
        "patches a second": totals.get("patches_per_s"),
        "padding": totals.get("padding"),
        "wait for batches (share of the steps)": totals.get("loader_wait"),
        "device-hours": totals.get("device_hours"),
        "model FLOPs utilisation": totals.get("mfu"),
        "peak memory (GB)": memory["resident"] / 1e9 if memory else None,
        "peak GPU memory (GB)": memory["gpu"] / 1e9 if memory.get("gpu") else None,
        "store": (record.get("data") or {}).get("store_digest"),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _reconstructions(examples: Mapping[str, Any]) -> Figure | None:
    if "signal_uv" not in examples:
        return None
    return figures.draw_reconstructions(examples["signal_uv"], examples["reconstructed_uv"])


def _codes(examples: Mapping[str, Any]) -> Figure | None:
    names = ("codes", "share", "waveforms", "spectra", "patches")
    return figures.draw_codes(*(examples[name] for name in names)) if "codes" in examples else None


def _figure(title: str, figure: Figure | None, caption: str) -> str:
    """Return a section with a figure as PNG inside the page."""
    if figure is None:
        return _section(title, f'<p class="absent">{escape(_ABSENT)}</p>')
    png = io.BytesIO()
    figure.savefig(png, dpi=110, format="png")
    data = base64.b64encode(png.getvalue()).decode()
    image = f'<img alt="{escape(title)}" src="data:image/png;base64,{data}">'
    return _section(title, f'{image}<p class="dim">{escape(caption)}</p>')


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _facts(values: Mapping[str, Any]) -> str:
    """Return a table of two columns."""
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(show(value))}</td></tr>" for name, value in values.items())
    return f'<div class="scroll"><table>{rows}</table></div>' if rows else '<p class="absent">None.</p>'


def show(value: Any) -> str:
    """Return a value for people: numbers with as many digits as tell something."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(show, value))
    return str(value)
