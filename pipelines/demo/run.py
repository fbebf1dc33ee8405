"""The whole path on a small corpus: recordings in, a pre-trained and fine-tuned model out. `make demo` runs it.

Everything goes into build/demo, which is made anew. The commands are the ones of the README; each is printed before it
runs.
"""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from pipelines.commands import ROOT, result, run

DEMO = Path("build/demo")
TASK = Path("pipelines/demo/task.yaml")
SEEDS = (0, 1, 2)

TOKENIZER_STEPS = 200
PRETRAINING_STEPS = 1500
FINETUNING_STEPS = 200


def main() -> None:
    """Run the commands and print the closing table."""
    began = time.monotonic()
    shutil.rmtree(ROOT / DEMO, ignore_errors=True)
    corpus, store, tokenizer, pretrained = (DEMO / name for name in ("corpus", "data.zarr", "tokenizer", "pretrained"))

    run("eeg-ingest", "demo", corpus)
    run("eeg-ingest", "build", "--sources", corpus / "sources.yaml", "--store", store)
    inspected = result("eeg-ingest", "inspect", "--store", store)
    run("eeg-ingest", "validate", "--store", store)

    tokenized = result(
        *("eeg-tokenizer", "train", "--store", store, "--output", tokenizer),
        *("--size", "tiny", "--codes", 64, "--steps", TOKENIZER_STEPS, "--batch-size", 8),
    )
    run("eeg-tokenizer", "encode", "--store", store, "--tokenizer", tokenizer)
    pretraining = result(
        *("labram", "pretrain", "--store", store, "--tokenizer", tokenizer, "--output", pretrained),
        *("--size", "tiny", "--steps", PRETRAINING_STEPS, "--batch-size", 4),
    )

    task = ("--store", store, "--task", TASK)
    scores: dict[str, list[float]] = {"pretrained": [], "random": []}
    for seed in SEEDS:
        for start, origin in (("pretrained", ("--checkpoint", pretrained)), ("random", ("--size", "tiny"))):
            output = DEMO / "finetuned" / f"{start}-{seed}"
            options = ("--output", output, "--steps", FINETUNING_STEPS, "--seed", seed)
            tuned = result("labram", "finetune", *task, *origin, *options)
            scores[start].append(tuned["test"]["scores"]["balanced_accuracy"])
    best = DEMO / "finetuned" / "pretrained-0"
    run("labram", "evaluate", *task, "--checkpoint", best)
    recordings = [corpus / "clinic/S01/S01_1.edf", corpus / "dense/subj01_rest1_raw.fif"]
    run("labram", "embed", *recordings, "--checkpoint", best, "-o", DEMO / "embeddings.parquet")

    print()
    print_table(inspected, tokenized, pretraining, scores, chance=tuned["test"]["chance"])
    print(f"\nDone in {(time.monotonic() - began) / 60:.1f} min. Everything is in {DEMO}.")


def print_table(
    inspected: dict[str, Any],
    tokenized: dict[str, Any],
    pretraining: dict[str, Any],
    scores: dict[str, list[float]],
    *,
    chance: dict[str, float],
) -> None:
    """Print what came out, each number beside what guessing gives."""
    print(f"{'source':<12}{'recordings':>12}{'subjects':>10}{'hours':>8}{'failures':>10}")
    for source in inspected["sources"]:
        counts = f"{source['recordings']:>12}{source['subjects']:>10}{source['hours']:>8.2f}"
        print(f"{source['name']:<12}{counts}{len(source['failures']):>10}")
    print(f"{'total':<12}{inspected['recordings']:>12}{'':>10}{inspected['hours']:>8.2f}\n")

    coded, masked = tokenized["held_out"], pretraining["held_out"]
    rows = [
        ("codes in use", f"{coded['codes_in_use']} of {tokenized['n_codes']}", f"perplexity {coded['perplexity']:.0f}"),
        (
            "masked-code accuracy",
            f"{masked['accuracy']:.1%}",
            f"chance {masked['chance']:.1%}, always the most frequent code {masked['most_frequent']:.1%}",
        ),
        (
            "balanced accuracy, fine-tuned",
            _spread(scores["pretrained"]),
            f"chance {chance['balanced_accuracy']:.3f}, mean and range of {len(SEEDS)} seeds",
        ),
        ("the same from random weights", _spread(scores["random"]), ""),
    ]
    for name, value, beside in rows:
        print(f"{name:<32}{value:<24}{beside}".rstrip())
    print("Codes and masked codes are those of held-out subjects; accuracies are those of test subjects.")


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
