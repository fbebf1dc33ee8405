"""What a model's directory or a store is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eeg_store import Store
from eeg_tokenizer import checkpoint
from eeg_tokenizer.metrics import last_record
from eeg_tokenizer.runs import Run
from eeg_tokenizer.runs import read as read_run
from eeg_tokenizer.vqnsp import VQNSP, VQNSPConfig
from eeg_tokenizer.windows import data_digest

from labram_model import models
from labram_model.errors import LabramError
from labram_model.weights import model_folder

_KINDS = (models.MASKED, *models.FINETUNED, models.TOKENIZER)


def describe(path: Path) -> dict[str, Any]:
    """Describe a store, or the model of a run, a checkpoint in it, a tokenizer, or an official file.

    Raises:
        LabramError: neither of the two.
        StoreError, CheckpointError: one of the two, but damaged or of another version.
    """
    if (path / "zarr.json").is_file():
        return _describe_store(path)
    if path.is_file() or (path / "config.json").is_file():
        with model_folder(path) as folder:
            return _describe_model(folder) | {"path": str(path)}
    raise LabramError(
        f"Cannot describe {path}: expected a model's directory (config.json) or a store (zarr.json), found "
        f"{'neither' if path.exists() else 'nothing there'}. Give the --output of a training, or a store."
    )


def _describe_model(folder: Path) -> dict[str, Any]:
    document = models.expect_kind(folder, *_KINDS)
    kind, config = document["model"], document["config"]
    backbone = config["encoder"] if kind == models.TOKENIZER else config["backbone"]
    options = {name: value for name, value in document.get("options", {}).items() if not name.startswith("task.")}
    last = checkpoint.latest_step(folder)
    record = last_record(folder / "metrics.jsonl")
    run = read_run(folder)
    trained = (folder / "model.safetensors").is_file()
    described = {
        "path": str(folder),
        "kind": kind,
        "made_by": None if "imported" in document else models.MADE_BY[kind],
        "imported": document.get("imported"),
        "size": document.get("size", options.get("size")),
        "parameters": document.get("parameters") or _tokenizer_parameters(config),
        "backbone": {name: backbone[name] for name in ("width", "layers", "heads", "mlp_width")},
        "steps": record.get("step", 0),
        "steps_planned": options.get("steps"),
        "last_checkpoint": last.name if last else None,
        "trained_on": document.get("data", {}).get("store_digest"),
        "options": options,
        "held_out": record.get("held_out"),
        "content_hash": checkpoint.content_hash(folder) if trained else None,
        "versions": document.get("versions"),
        "run": _essentials(run),
    }
    if kind in models.FINETUNED:
        return (
            described
            | {name: document[name] for name in ("task", "split") if name in document}
            | {name: config[name] for name in ("classes", "targets", "scale") if name in config}
        )
    return described | {"n_codes": config["n_codes"], "tokenizer": document.get("tokenizer")}


def _essentials(run: Run) -> dict[str, Any] | None:
    """Return the state, speeds and costs of the training, None where it left no record."""
    names = ("samples_per_s", "patches_per_s", "padding", "loader_wait", "device_hours", "mfu")
    told = {name: run.numbers[f"totals.{name}"] for name in names if f"totals.{name}" in run.numbers}
    if not told:
        return None
    chosen = {name: run.options.get(f"machine.{name}") for name in ("device_name", "processes")}
    return {"state": run.state, **told, **chosen, "commit": run.options.get("git.commit")}


def _tokenizer_parameters(config: dict[str, Any]) -> int:
    return models.count_parameters(VQNSP(VQNSPConfig.from_dict(config)))


def _describe_store(path: Path) -> dict[str, Any]:
    store = Store.open(path)
    rows = store.recordings(columns=["source", "subject", "n_seconds"]).to_pylist()
    sources = sorted({row["source"] for row in rows})
    return {
        "path": str(path),
        "kind": "store",
        "digest": data_digest(store),
        "spec_hash": store.spec_hash,
        "recordings": len(rows),
        "hours": sum(row["n_seconds"] for row in rows) / 3600,
        "sources": [
            {
                "name": source,
                "recordings": sum(row["source"] == source for row in rows),
                "subjects": len({row["subject"] for row in rows if row["source"] == source and row["subject"]}),
                "hours": sum(row["n_seconds"] for row in rows if row["source"] == source) / 3600,
            }
            for source in sources
        ],
        "codes": [
            {"tokenizer": tokenizer, "n_codes": attributes["n_codes"], "recordings": len(store.codes_done(tokenizer))}
            for tokenizer, attributes in sorted(store.code_sets().items())
        ],
        "failures": store.failures().num_rows,
    }
