"""The same commands on real recordings: `python -m pipelines.real.run`, with EEG_TEST_DATA naming their folder.

Everything goes into build/real; a second run adds what is new to the store and trains anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pipelines.commands import ROOT, result, run

REAL = Path("build/real")
PIPELINE = Path("pipelines/real")
DATA = Path(os.environ.get("EEG_TEST_DATA") or "../shared/eeg")

SOME_FAILED = 1  # recordings that cannot be read are rows of the failures table, and no end of the run

TOKENIZER_STEPS = 400
PRETRAINING_STEPS = 1500
FINETUNING_STEPS = 200


def main() -> None:
    """Run the commands and print what came out, each number beside what guessing gives."""
    store, tokenizer, pretrained, finetuned = (
        REAL / name for name in ("data.zarr", "tokenizer", "pretrained", "finetuned")
    )
    for trained in (tokenizer, pretrained, finetuned):
        shutil.rmtree(ROOT / trained, ignore_errors=True)
    run("eeg-ingest", "build", "--sources", PIPELINE / "sources.yaml", "--store", store, accept=(0, SOME_FAILED))
    run("eeg-ingest", "validate", "--store", store)
    coded = result(
        *("eeg-tokenizer", "train", "--store", store, "--output", tokenizer),
        *("--codes", 64, "--steps", TOKENIZER_STEPS, "--batch-size", 8),
    )["held_out"]
    run("eeg-tokenizer", "encode", "--store", store, "--tokenizer", tokenizer)
    masked = result(
        *("labram", "pretrain", "--store", store, "--tokenizer", tokenizer, "--output", pretrained),
        *("--steps", PRETRAINING_STEPS, "--batch-size", 4),
    )["held_out"]
    task = ("--store", store, "--task", PIPELINE / "task.yaml")
    run(*("labram", "finetune", *task, "--checkpoint", pretrained, "--output", finetuned, "--steps", FINETUNING_STEPS))
    run("labram", "evaluate", *task, "--checkpoint", finetuned)
    recording = DATA / "physionet_eegmat" / "Subject00_1.edf"
    run("labram", "embed", recording, "--checkpoint", pretrained, "-o", REAL / "embeddings.parquet")

    print(f"\nCodes in use: {coded['codes_in_use']} of 64, perplexity {coded['perplexity']:.0f}.")
    beside = f"chance {masked['chance']:.1%}, always the most frequent code {masked['most_frequent']:.1%}"
    print(f"Masked-code accuracy on held-out subjects: {masked['accuracy']:.1%} ({beside}).")


if __name__ == "__main__":
    main()
