"""The whole path on real recordings, by recipe and seed: `python -m pipelines.real.run`.

EEG_TEST_DATA names the folder of recordings. Everything goes into build/real (or --output); a second run adds what is
new to the store and trains anew. `--jobs` trains so many models at once (set OMP_NUM_THREADS then). `--quick` takes
three steps of each training, on one source, to see that all commands work.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.commands import ROOT, result, run

PIPELINE = Path("pipelines/real")
DATA = Path(os.environ.get("EEG_TEST_DATA") or "../shared/eeg")
NO_EEG = {
    *("chb_mit", "siena", "tusz", "seizeit"),  # random numbers under real headers
    *("biosemi_cap", "biosemi", "edf_types", "edf_labels"),  # calibration and test signals
    *("marley_enobio", "marley_epoc", "marley_openbci"),  # amplifiers without a head
    "ssvep_fif",  # a session of ssvep_gdf once more: its subject would be trained on and held out
    "eeglab_epochs",  # of 0.16 s: no whole second
}
TASK_SOURCE = "eegmat"
SOME_FAILED = 1  # recordings that cannot be read are rows of the failures table, and no end of the run

N_CODES = 256
TOKENIZER_STEPS, TOKENIZER_BATCH = 1000, 8
PRETRAINING_STEPS, PRETRAINING_BATCH = 3000, 4
FINETUNING_STEPS = 200
QUICK_STEPS = 3


@dataclass(frozen=True)
class Variant:
    """Options of both trainings under a name, and the seeds to try."""

    name: str
    seeds: tuple[int, ...]
    tokenizer: tuple[object, ...] = ()
    pretraining: tuple[object, ...] = ()


PAPER = ("--recipe", "paper")
VARIANTS = (
    Variant("improved", (0, 1, 2)),
    Variant("paper", (0,), PAPER, PAPER),
    Variant("paper, our rates", (0,), (*PAPER, "--lr", 1e-3), (*PAPER, "--lr", 3e-3)),
)


def main() -> None:
    """Run the commands and print what came out, each number beside what guessing gives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build/real")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    output, quick = options.output.resolve(), options.quick
    store = output / "data.zarr"
    build_store(output, store, quick=quick)
    shutil.rmtree(output / "runs", ignore_errors=True)
    trials = [(variant, seed) for variant in VARIANTS for seed in variant.seeds]
    if quick:
        trials = [trials[0], trials[-1]]
    with ThreadPoolExecutor(options.jobs) as threads:
        scores = []
        for score in threads.map(lambda trial: train(store, output / "runs", *trial, quick=quick), trials):
            scores.append(score)
            (output / "scores.json").write_text(json.dumps(scores, indent=2))
    use(store, output, quick=quick)
    print_tables(scores)


def build_store(output: Path, store: Path, *, quick: bool) -> None:
    """Build the store of the sources that hold EEG, or, if quick, of the one that the task is about."""
    sources = yaml.safe_load((ROOT / PIPELINE / "sources.yaml").read_text())["sources"]
    names = [source.get("name", source.get("recipe")) for source in sources]
    kept = [
        source
        for source, name in zip(sources, names, strict=True)
        if name not in NO_EEG and (name == TASK_SOURCE or not quick)
    ]
    for source in kept:  # the list lies elsewhere now, so paths that are relative to it no longer hold
        source["path"] = str((ROOT / DATA).resolve() / source["path"].partition("}/")[2])
    output.mkdir(parents=True, exist_ok=True)
    (output / "sources.yaml").write_text(yaml.safe_dump({"sources": kept}, sort_keys=False))
    run("eeg-ingest", "build", "--sources", output / "sources.yaml", "--store", store, accept=(0, SOME_FAILED))
    run("eeg-ingest", "validate", "--store", store)


def train(store: Path, runs: Path, variant: Variant, seed: int, *, quick: bool) -> dict[str, Any]:
    """Train a tokenizer and a tiny model, and return their held-out scores."""
    folder = runs / f"{variant.name.replace(', ', '-').replace(' ', '-')}-{seed}"
    coded = result(
        *("eeg-tokenizer", "train", "--store", store, "--output", folder / "tokenizer", *variant.tokenizer),
        *("--codes", N_CODES, "--steps", QUICK_STEPS if quick else TOKENIZER_STEPS),
        *("--batch-size", TOKENIZER_BATCH, "--seed", seed, "--size", "tiny"),
    )["held_out"]
    run("eeg-tokenizer", "encode", "--store", store, "--tokenizer", folder / "tokenizer")
    masked = result(
        *("labram", "pretrain", "--store", store, "--tokenizer", folder / "tokenizer"),
        *("--output", folder / "pretrained", *variant.pretraining),
        *("--steps", QUICK_STEPS if quick else PRETRAINING_STEPS),
        *("--batch-size", PRETRAINING_BATCH, "--seed", seed, "--size", "tiny"),
    )["held_out"]
    return {"recipe": variant.name, "seed": seed, "tokenizer": coded, "pretraining": masked}


def use(store: Path, output: Path, *, quick: bool) -> None:
    """Fine-tune the first model on a task, and embed a recording with it."""
    finetuned, task = output / "runs" / "finetuned", ("--store", store, "--task", PIPELINE / "task.yaml")
    pretrained = output / "runs" / f"improved-{VARIANTS[0].seeds[0]}" / "pretrained"
    steps = QUICK_STEPS if quick else FINETUNING_STEPS
    run(*("labram", "finetune", *task, "--checkpoint", pretrained, "--output", finetuned, "--steps", steps))
    run("labram", "evaluate", *task, "--checkpoint", finetuned)
    recording = DATA / "physionet_eegmat" / "Subject00_1.edf"
    run("labram", "embed", recording, "--checkpoint", pretrained, "-o", output / "embeddings.parquet")


def print_tables(scores: list[dict[str, Any]]) -> None:
    """Print the tables of docs/training.md: means over the seeds, with the range of several."""
    names = list(dict.fromkeys(score["recipe"] for score in scores))
    by_name = {name: [score for score in scores if score["recipe"] == name] for name in names}

    def row(label: str, *keys: str, form: str = ".2f") -> None:
        cells = [_spread([_get(score, keys) for score in by_name[name]], form) for name in names]
        print(f"| {label} | {' | '.join(cells)} |")

    print(f"\n| held-out subjects | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    row("tokenizer: loss", "tokenizer", "loss", form=".3f")
    row(f"codes in use, of {N_CODES}", "tokenizer", "codes_in_use", form=".0f")
    row("perplexity", "tokenizer", "perplexity", form=".0f")
    for part in ("amplitude", "phase"):
        for band in scores[0]["tokenizer"]["vs_mean"][part]:
            label = f"{part}, {'all bins' if band == 'all' else band}: error, that of the mean = 1"
            row(label, "tokenizer", "vs_mean", part, band)
    row("masked codes right", "pretraining", "accuracy", form=".1%")
    row("always the most frequent", "pretraining", "most_frequent", form=".1%")
    row("chance", "pretraining", "chance", form=".1%")


def _get(score: dict[str, Any], keys: tuple[str, ...]) -> float:
    value: Any = score
    for key in keys:
        value = value[key]
    return float(value)


def _spread(values: list[float], form: str) -> str:
    mean = f"{statistics.mean(values):{form}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


if __name__ == "__main__":
    main()
