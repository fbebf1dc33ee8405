"""The model card (`README.md`) that goes with published weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

CARD = "README.md"

_WHAT = {
    "vqnsp": "A VQ-NSP tokenizer: it turns each one-second patch of EEG into one of {n_codes} codes.",
    "masked": "A LaBraM backbone, pre-trained by predicting the codes (of {n_codes}) of masked patches of EEG.",
    "classifier": "A LaBraM model, fine-tuned to tell {classes} apart.",
    "regressor": "A LaBraM model, fine-tuned to predict {targets}.",
}


def model_card(
    model: type,
    document: Mapping[str, Any],
    *,
    license: str,  # noqa: A002  # the hub's word
    data: str | None,
    metrics: Mapping[str, float] | None,
) -> str:
    """Return the card of a model: what it is, from what data, how well it does, and how to load it.

    Args:
        model: its class.
        document: its `config.json`.
        license: by the hub's names.
        data: what it learned from.
        metrics: its scores; None for those of `document`.
    """
    kind, config = document["model"], document["config"]
    scores = document.get("val", {}) if metrics is None else metrics
    head = {"license": license, "library_name": "labram", "tags": ["eeg", "labram", kind]}
    words = {name: ", ".join(map(str, config[name])) for name in ("classes", "targets") if name in config}
    facts = {
        "Size": document.get("size"),
        "Parameters": f"{document['parameters']:,}",
        "Imported from": document.get("imported", {}).get("file"),
        "Codes of the tokenizer": document.get("tokenizer"),
        "Data": data or "not stated",
        "License": license,
    }
    lines = [f"---\n{yaml.safe_dump(head, sort_keys=False)}---", "", _WHAT[kind].format(**{**config, **words}), ""]
    lines += [f"- {name}: {value}" for name, value in facts.items() if value is not None]
    if scores:
        lines += [
            "",
            "| score | value |",
            "|---|---|",
            *(f"| {name} | {value:.4f} |" for name, value in scores.items()),
        ]
    lines += [
        "",
        "Input: 200 Hz, patches of one second, in units of 100 µV, channels by the vocabulary `labram-v1`.",
        "",
        "```python",
        f"from {model.__module__} import {model.__name__}",
        "",
        f'model = {model.__name__}.from_pretrained("owner/name", local_files_only=False)',
        "```",
        "",
    ]
    return "\n".join(lines)
