"""Learning rate and parameter groups, as the paper trains (tables 3 to 5)."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn
from torch.optim import AdamW, Optimizer

_DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d)


def learning_rate(step: int, *, steps: int, peak: float, floor: float, warmup_steps: int) -> float:
    """Return the rate of one step, counted from 0: a linear rise over `warmup_steps`, then a cosine to `floor`.

    The cosine is the official one. The rise begins at `peak / warmup_steps` and not at 0, so that every step learns.
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * min(1.0, done)))


def adamw(
    model: nn.Module,
    *,
    betas: tuple[float, float],
    weight_decay: float,
    lr_scale: Callable[[str], float] | None = None,
) -> Optimizer:
    """Return AdamW over the parameters that learn.

    Only the weights of linear and convolution layers decay: not biases, norms, layer scales, embeddings, the cls token
    or the mask token (the official code lets the mask token decay, by oversight).

    Args:
        model: what learns; parameters without `requires_grad` stay out.
        betas: AdamW's two decay rates.
        weight_decay: of the weights that decay.
        lr_scale: the factor on the learning rate for a parameter's name (layer decay of fine-tuning); None is 1.
    """
    decayed = {id(module.weight) for module in model.modules() if isinstance(module, _DECAYED)}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if id(parameter) in decayed else 0.0
            groups.setdefault((decay, lr_scale(name) if lr_scale else 1.0), []).append(parameter)
    return AdamW(
        [{"params": params, "weight_decay": decay, "lr_scale": scale} for (decay, scale), params in groups.items()],
        lr=0.0,  # set at every step by `set_learning_rate`
        betas=betas,
        fused=True,
    )


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Give every group its share of the rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
