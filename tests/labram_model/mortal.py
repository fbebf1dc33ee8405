"""Runs trainings in processes that may be killed, one for each line of JSON on stdin, without importing torch anew.

It says the process's id when it starts and its exit status (negative: the signal) when it ends. What forks here has
opened no store and computed nothing, so it has no threads whose locks a child could inherit.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

import torch
from eeg_tokenizer.train import TrainOptions, train_tokenizer
from labram_model.pretrain import PretrainOptions, pretrain

PATHS = ("store", "output", "tokenizer")


def run(kind: str, given: dict[str, object]) -> None:
    options = {name: Path(str(value)) if name in PATHS else value for name, value in given.items()}
    torch.set_num_threads(1)
    if kind == "tokenizer":
        train_tokenizer(TrainOptions(**options))  # type: ignore[arg-type]
    else:
        pretrain(PretrainOptions(**options))  # type: ignore[arg-type]


def say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                run(*json.loads(line))
            except BaseException:  # noqa: BLE001  # told to the test, which expects none
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        say(child)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
