"""What the commands print for people; `--json` prints the same facts for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eeg_tokenizer.page import show

_SCORES = {
    "balanced_accuracy": "balanced accuracy",
    "cohen_kappa": "Cohen's kappa",
    "weighted_f1": "weighted F1",
    "auroc": "AUROC",
    "auc_pr": "AUC-PR",
    "pearson_r": "Pearson's r",
    "r2": "R2",
    "rmse": "RMSE",
}


def pretrained(summary: Mapping[str, Any]) -> str:
    """Report a pre-training."""
    if summary["stopped_by"]:
        return f"Stopped by {summary['stopped_by']} in {summary['output']}; go on with --resume."
    lines = [
        f"Pre-trained model in {summary['output']}: {summary['size']}, {summary['parameters']:,} parameters, "
        f"{summary['steps']} steps, loss {_loss(summary['loss'])}; {summary['n_codes']} codes {summary['codes']}."
    ]
    held_out = summary["held_out"]
    if held_out:
        lines.append(
            f"Held-out subjects: {held_out['accuracy']:.2%} of masked codes right (chance {held_out['chance']:.2%}, "
            f"always the most frequent code {held_out['most_frequent']:.2%}); {held_out['codes_in_use']} codes in use."
        )
    return "\n".join(lines)


def _loss(loss: float | None) -> str:
    return "unknown, as no step counted" if loss is None else f"{loss:.4f}"


def finetuned(result: Mapping[str, Any]) -> str:
    """Report a fine-tuning."""
    if result["stopped_by"]:
        return f"Stopped by {result['stopped_by']} in {result['output']}; go on with --resume."
    begun = "a pre-trained model" if result["pretrained"] else "random weights"
    shared = len(result["subjects_in_several_splits"])
    warning = [f"{shared} subjects are in several splits (by {result['split_by']}): the scores are not of new people."]
    return "\n".join(
        [
            f"Task {result['task']}, {result['size']} model from {begun}, seed {result['seed']}: chosen by "
            f"{result['chosen']['by']} at step {result['chosen']['step']} of {result['steps']}, in {result['output']}.",
            *(warning if shared else []),
            *_left_out(result),
            scores({**result, **result["test"], "split": "test"}),
        ]
    )


def _left_out(result: Mapping[str, Any]) -> list[str]:
    reasons = {
        "with samples that are no numbers": result["windows_left_out_not_finite"],
        "without a target": result.get("windows_left_out_without_target", 0),
    }
    return [f"{count} windows {reason} are left out." for reason, count in reasons.items() if count]


def scores(result: Mapping[str, Any]) -> str:
    """Report the scores of one split as a table, and more of each class or target."""
    rows = [
        [_SCORES[name], f"{value:.4f}", f"{result['chance'][name]:.4f}"] for name, value in result["scores"].items()
    ]
    scored = table([f"score ({result['split']})", "model", "chance"], rows)
    return "\n\n".join([scored, *(_of_targets(result) if "targets" in result else _of_classes(result))])


def _of_classes(result: Mapping[str, Any]) -> list[str]:
    names = result["classes"]
    windows = [[name, str(result["windows"][name]), str(result["subjects"][name])] for name in names]
    confusion = [[name, *map(str, row)] for name, row in zip(names, result["confusion"], strict=True)]
    return [table(["class", "windows", "subjects"], windows), table(["true \\ predicted", *names], confusion)]


def _of_targets(result: Mapping[str, Any]) -> list[str]:
    columns = [name for name in _SCORES if name in result["scores"]]
    rows = [
        [target, *("-" if scored[name] is None else f"{scored[name]:.4f}" for name in columns)]
        for target, scored in result["per_target"].items()
    ]
    count = f"{result['windows']} windows of {result['subjects']} subjects; RMSE of targets divided by"
    return [table(["target", *(_SCORES[name] for name in columns)], rows), f"{count} {result['scale']:g}."]


def embedded(summary: Mapping[str, Any]) -> str:
    """Report an embedding."""
    rows = [
        [
            file["file"],
            str(file["windows"]),
            str(file["seconds"]),
            str(len(file["channels"])),
            str(len(file["left_out"])),
        ]
        for file in summary["files"]
    ]
    text = table(["file", "windows", "seconds", "channels", "left out"], rows)
    if summary["failures"]:
        text += f"\n{len(summary['failures'])} of {len(rows) + len(summary['failures'])} files failed."
    return f"{text}\nEmbeddings in {summary['output']}." if rows else "Nothing embedded: every file failed."


def described(summary: Mapping[str, Any]) -> str:
    """Report a description, one fact a line."""
    lines: list[str] = []
    for name, value in summary.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{name}:", *(f"  {_facts(item)}" for item in value)]
        elif isinstance(value, dict):
            lines.append(f"{name}: {_facts(value)}")
        elif value is not None:
            lines.append(f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    return "\n".join(lines)


def runs(found: Mapping[str, Any]) -> str:
    """Report runs as a table, what differs between them where they are compared, and what could not be read."""
    columns = {
        "loss": "loss",
        "held-out loss": "held_out.loss",
        "accuracy": "held_out.accuracy",
        "codes": "held_out.codes_in_use",
        "windows/s": "totals.samples_per_s",
        "patches/s": "totals.patches_per_s",
        "padding": "totals.padding",
        "wait": "totals.loader_wait",
        "MFU": "totals.mfu",
        "device-h": "totals.device_hours",
    }
    columns = {head: name for head, name in columns.items() if any(name in run["numbers"] for run in found["runs"])}
    rows = [
        [
            run["path"],
            run["kind"] or "?",
            run["state"].split(":")[0],
            f"{show(run['step'])}/{show(run['steps'])}",
            *(show(run["numbers"].get(name)) for name in columns.values()),
        ]
        for run in found["runs"]
    ]
    parts = [table(["run", "kind", "state", "step", *columns], rows)]
    paths = [run["path"] for run in found["runs"]]
    for name, title in (("differing_options", "option"), ("numbers", "number")):
        if found.get(name):
            parts.append(table([title, *paths], [[key, *map(show, values)] for key, values in found[name].items()]))
    parts += [f"{run['path']}: {run['state']}" for run in found["runs"] if run["state"].startswith("failed")]
    parts += [f"{run['path']}: damaged: {problem}" for run in found["runs"] for problem in run["problems"]]
    parts += [f"Page in {page}." for page in found.get("pages", [])]
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out columns: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in [head, *rows])
    )


def _facts(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
