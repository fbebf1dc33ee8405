"""One of several processes that train a codebook together; `test_quantizer.py` starts it."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from eeg_tokenizer.quantizer import NormEMAQuantizer
from safetensors.torch import load_file, save_file
from torch import Tensor


def teach(quantizer: NormEMAQuantizer, z: Tensor, valid: Tensor | None) -> Tensor:
    """Take a training step on this process's vectors and return their codes."""
    out = quantizer(z, valid)
    chosen = out.codes >= 0
    quantizer.learn(out.units[chosen], out.codes[chosen])
    codes: Tensor = out.codes
    return codes


def train(folder: Path, rank: int, world: int) -> None:
    """Train on this process's rows of `batches.safetensors` and write the codebook and the codes."""
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    batches = load_file(folder / "batches.safetensors")
    torch.manual_seed(rank)  # processes whose random states differ still agree
    quantizer = NormEMAQuantizer(n_codes=24, code_width=8).train()
    first = F.normalize(batches["z"][0], dim=-1)
    quantizer.start(first[batches["valid"][0]] if rank == 0 else first[0])  # the first process decides
    codes = [
        teach(quantizer, z[rows], valid[rows])
        for z, valid in zip(batches["z"], batches["valid"], strict=True)
        for rows in [slice(0, 2) if rank == 0 else slice(2, None)]
    ]
    revived = NormEMAQuantizer(n_codes=24, code_width=8, revive_after=1).train()
    revived.start(first[0].abs())
    for _ in range(3):
        revived.codebook[:12] = -1  # far from all that comes
        teach(revived, batches["z"][0][:1].abs(), None)
    state = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    save_file(state | {"codes": torch.stack(codes), "revived": revived.codebook}, folder / f"rank{rank}.safetensors")
    dist.destroy_process_group()


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
