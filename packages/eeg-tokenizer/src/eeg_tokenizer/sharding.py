"""Weights, gradients and optimizer state divided over the processes (FSDP2), for models too large for one device.

Outside of a step nobody need know: files hold whole tensors, so that one process loads what many have trained.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from eeg_tokenizer.distributed import Place
from eeg_tokenizer.transformer import Block


def shard(model: nn.Module, place: Place) -> None:
    """Divide a model, equal on all processes, over them: block by block, then the rest. Make its optimizer afterwards.

    A block's weights are whole only while it computes.
    """
    mesh = init_device_mesh(place.device.type, (place.world_size,))
    # Torch's caches keep the mesh for good. Without its own references to the group, which it finds by name too,
    # the group and its threads end with the training (`distributed.join`).
    getattr(mesh, "_pg_registry", {}).clear()
    for module in model.modules():
        if isinstance(module, Block):
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` divided the model. Then all processes must evaluate and save it together."""
    return isinstance(model, FSDPModule)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors, whole and on the CPU; all processes call it together where they are divided.

    They meet in the order of the names: what was loaded from a file has another order in every process, and parts of
    two tensors of one shape would be put together without an error.
    """
    return {name: _whole(tensor).detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}


def divided_like(tensor: Tensor, own: Tensor) -> Tensor:
    """Return this process's part of a whole tensor where `own` is divided; else the tensor itself."""
    if not isinstance(own, DTensor) or tensor.shape != own.shape:  # a count of steps is never divided
        return tensor
    on_device = tensor.to(own.to_local().device)
    part: Tensor = distribute_tensor(on_device, own.device_mesh, own.placements, src_data_rank=None)
    return part


def _whole(tensor: Tensor) -> Tensor:
    with torch.no_grad():
        full: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full
