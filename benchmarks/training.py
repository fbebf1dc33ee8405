"""Training steps against a plain implementation of the official ones (`official_step.py`), from the same weights.

    python benchmarks/training.py [--quick] [--repeats N] [--json] [--device cuda] [--sizes base large huge] [--batch N]

A step is: codes (on line: by the tokenizer; stored: given), two passes of the student, loss, backward, clipping, AdamW.
The tokenizer's step is its loss, backward and AdamW. Windows have 64 channels of 4 s, the paper's 256 patches. Before
anything is timed, both are given the same weights and must find the same loss.

Subjects take turns, each turn a process of its own with the same allocator settings; the table shows the best of all
turns. `cpu s` are seconds of the processor for a step, which other jobs disturb less than the clock's. Official steps
run as shipped, in float32 without autocast on a CPU, and in bfloat16 autocast on a GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from official_step import Masked, Tokenizer
from turns import machine, show, take_turns

CHANNELS, SECONDS, N_CODES = 64, 4, 8192
ALLOCATOR = {  # freed memory stays with the process: fresh pages take a third of the official step on a CPU
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:"
    "glibc.malloc.trim_threshold=34359738368"
}
SUBJECTS = {  # name: (who, precision, codes or None for the tokenizer's step)
    "official": ("official", "as shipped", "on line"),
    "ours, fp32": ("ours", "fp32", "on line"),
    "ours, fp32, stored codes": ("ours", "fp32", "stored"),
    "ours, bf16 compiled": ("ours", "bf16", "on line"),
    "ours, bf16 compiled, stored codes": ("ours", "bf16", "stored"),
    "tokenizer, official": ("official", "as shipped", None),
    "tokenizer, ours, fp32": ("ours", "fp32", None),
    "tokenizer, ours, bf16 compiled": ("ours", "bf16", None),
}


class Steps:
    """Both implementations with the same weights, on windows of noise."""

    def __init__(self, size: str, batch: int, device: str) -> None:
        from eeg_tokenizer.backbone import SIZES  # noqa: PLC0415
        from eeg_tokenizer.batches import Batch  # noqa: PLC0415
        from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP  # noqa: PLC0415
        from labram_model.masked import MaskedModel  # noqa: PLC0415

        torch.manual_seed(0)
        shape = (batch, CHANNELS * SECONDS)
        self.slots = torch.arange(1, CHANNELS + 1, device=device)
        self.batch = Batch(
            patches=torch.randn(*shape, 200),
            channel=torch.arange(1, CHANNELS + 1).repeat_interleave(SECONDS).repeat(batch, 1),
            time=torch.arange(SECONDS).repeat(CHANNELS).repeat(batch, 1),
            valid=torch.ones(shape, dtype=torch.bool),
            window=torch.arange(batch),
        ).to(device)
        tokenizer_size = TOKENIZER_SIZES["tiny" if size == "tiny" else "base"]
        self.vqnsp = VQNSP(tokenizer_size).to(device)
        self.vqnsp.quantizer.start(torch.randn(2 * tokenizer_size.n_codes, tokenizer_size.code_width).to(device))
        self.masked = MaskedModel(SIZES[size], tokenizer_size.n_codes).to(device)
        self.official_tokenizer = Tokenizer(tokenizer_size).to(device)
        self.official_tokenizer.load_state_dict(self.vqnsp.to_official(), strict=False)
        self.official = Masked(SIZES[size], tokenizer_size.n_codes).to(device)
        self.official.load_state_dict(self.masked.to_official(), strict=False)
        self.codes = self.vqnsp.eval().encode(self.batch)
        self.mask = torch.rand(shape, device=device) < 0.5  # the same number in each window is not needed here

    def check(self) -> None:
        """End with a message unless both find the same codes and losses."""
        patches, batch = self.batch.patches, self.batch
        pairs = {"masked": (self.official(patches, self.slots, self.codes, self.mask), self._masked_loss())}
        self.official_tokenizer.eval(), self.vqnsp.eval()
        pairs["tokenizer"] = (self.official_tokenizer(patches, self.slots), self.vqnsp(batch).loss)
        same = (self.official_tokenizer.codes(patches, self.slots) == self.codes).float().mean().item()
        wrong = [name for name, (theirs, ours) in pairs.items() if not torch.isclose(theirs, ours, rtol=1e-3)]
        if wrong or same < 0.99:
            raise SystemExit(f"Not the same step: {', '.join(wrong)} differ, {same:.1%} of the codes are equal.")

    def step(self, who: str, precision: str, codes: str | None) -> tuple[Callable[[], object], float]:
        """Return a step, and its floating-point operations."""
        from eeg_tokenizer.compute import Compute  # noqa: PLC0415
        from eeg_tokenizer.schedule import adamw, set_learning_rate  # noqa: PLC0415

        n_windows, n_patches = self.batch.valid.shape
        ours, official = (self.vqnsp, self.official_tokenizer) if codes is None else (self.masked, self.official)
        flops = ours.training_flops(n_windows, n_patches)
        if who == "ours":
            compute = Compute(bf16=precision == "bf16", compiled=precision == "bf16")
            for model in (self.masked, self.vqnsp):
                compute.prepare(model)
            optimizer: torch.optim.Optimizer = adamw(ours, betas=(0.9, 0.98), weight_decay=0.05)
            set_learning_rate(optimizer, 5e-4)
            losses = {None: self._tokenizer_loss, "on line": self._on_line_loss, "stored": self._masked_loss}
            return lambda: self._learn(ours, optimizer, losses[codes]), flops
        optimizer = torch.optim.AdamW(official.parameters(), lr=5e-4, betas=(0.9, 0.98), weight_decay=0.05)
        return lambda: self._learn(official, optimizer, lambda: self._official_loss(codes)), flops

    def _learn(self, model: Any, optimizer: torch.optim.Optimizer, loss_of: Callable[[], torch.Tensor]) -> None:
        model.train()
        optimizer.zero_grad(set_to_none=True)
        loss_of().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()

    def _official_loss(self, codes: str | None) -> torch.Tensor:
        patches = self.batch.patches
        with torch.autocast("cuda", torch.bfloat16, enabled=patches.is_cuda):
            if codes is None:
                loss: torch.Tensor = self.official_tokenizer(patches, self.slots)
                return loss
            with torch.no_grad():
                found = self.official_tokenizer.eval().codes(patches, self.slots)
            loss = self.official(patches, self.slots, found, self.mask)
        return loss

    def _tokenizer_loss(self) -> torch.Tensor:
        loss: torch.Tensor = self.vqnsp(self.batch).loss
        return loss

    def _masked_loss(self) -> torch.Tensor:
        loss: torch.Tensor = self.masked(self.batch, self.codes, self.mask).loss
        return loss

    def _on_line_loss(self) -> torch.Tensor:
        loss: torch.Tensor = self.masked(self.batch, self.vqnsp.eval().encode(self.batch), self.mask).loss
        return loss


def take_turn(subject: str, size: str, batch: int, device: str, n_steps: int) -> None:
    """Take steps after three that warm up; print the best of them."""
    steps = Steps(size, batch, device)
    step, flops = steps.step(*SUBJECTS[subject])
    taken = []
    for number in range(n_steps + 3):
        begin, used = time.perf_counter(), time.process_time()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        if number >= 3:
            taken.append((time.perf_counter() - begin, time.process_time() - used))
    memory = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else 0.0
    found = {"step_s": min(s for s, _ in taken), "step_cpu_s": min(c for _, c in taken)}
    print(json.dumps({**found, "flops": flops, "memory_mb": memory}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="size tiny, two windows: shows that it works, no more")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each subject")
    parser.add_argument("--steps", type=int, default=4, help="timed steps of a turn")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--sizes", nargs="+", default=["base"], choices=("tiny", "base", "large", "huge"))
    parser.add_argument("--batch", type=int, default=16, help="windows of a step")
    parser.add_argument("--turn", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
    if options.turn:
        subject, size, batch, n_steps = options.turn
        take_turn(subject, size, int(batch), options.device, int(n_steps))
        return
    sizes, batch, n_steps = (["tiny"], 2, 1) if options.quick else (options.sizes, options.batch, options.steps)
    found: dict[str, Any] = {"machine": machine(), "threads": torch.get_num_threads(), "batch": batch}
    for size in sizes:
        Steps(size, 2, options.device).check()
        subjects = {name: [name, size, str(batch), str(n_steps), "--device", options.device] for name in SUBJECTS}
        turns = take_turns(__file__, subjects, options.repeats, dict.fromkeys(SUBJECTS, ALLOCATOR))
        found[size] = table(
            {name: {key: min(t[key] for t in of) for key in of[0]} for name, of in turns.items()}, batch
        )
        if not options.json:
            show(f"{size}, batches of {batch}, {machine()}", found[size])
    if options.json:
        print(json.dumps(found, indent=2))


def table(best: dict[str, dict[str, float]], batch: int) -> list[dict[str, Any]]:
    """Return a row for each subject, beside the official step of its kind."""
    rows = []
    for name, numbers in best.items():
        peer = best["tokenizer, official" if name.startswith("tokenizer") else "official"]
        row: dict[str, Any] = {"step": name, "samples/s": batch / numbers["step_s"]}
        row |= {"times official": peer["step_s"] / numbers["step_s"], "cpu s": numbers["step_cpu_s"]}
        row |= {"times official, cpu": peer["step_cpu_s"] / numbers["step_cpu_s"]}
        row |= {"TFLOP/s": numbers["flops"] / numbers["step_s"] / 1e12, "GPU MB": round(numbers["memory_mb"])}
        rows.append(row)
    return rows


if __name__ == "__main__":
    main()
