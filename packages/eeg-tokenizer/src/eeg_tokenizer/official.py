"""Official LaBraM parameter names (github.com/935963004/LaBraM) and ours, in both directions.

Each model says how its names map (`OfficialNames`) and has `from_official` and `to_official`. A `state` is the official
state dict itself: of a released checkpoint, its entry "model".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size, Tensor, nn, zeros_like

from eeg_tokenizer.backbone import BackboneConfig

OFFICIAL_HEAD_WIDTH = 20


class OfficialStateError(ValueError):
    """A state dict is not the official one of this kind of model."""


@dataclass(frozen=True)
class OfficialNames:
    """How a model's parameter names map.

    Attributes:
        renames: (official, ours) beginnings of names; the first that fits counts.
        untrained: official tensors that no forward pass reads and our models lack, each with the name of another
            official tensor that has its shape.
        own: tensors of ours that the official models lack; loading leaves them.
        unused: beginnings of names that released files hold beyond the official model's own, and that nothing reads.
    """

    renames: tuple[tuple[str, str], ...]
    untrained: Mapping[str, str]
    own: frozenset[str] = frozenset()
    unused: tuple[str, ...] = ()

    def shared(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the tensors that both have, by their official names."""
        return {self.theirs(name): tensor for name, tensor in model.state_dict().items() if name not in self.own}

    def ours(self, name: str) -> str:
        """Translate an official name."""
        return _renamed(name, self.renames)

    def theirs(self, name: str) -> str:
        """Translate one of our names."""
        return _renamed(name, tuple((ours, theirs) for theirs, ours in self.renames))


def load_official(model: nn.Module, state: Mapping[str, Tensor], names: OfficialNames) -> dict[str, Tensor]:
    """Copy an official state into `model` and return its untrained and unused tensors, which `to_official` wants back.

    Raises:
        OfficialStateError: listing every missing, unexpected or differently shaped tensor; `model` is then unchanged.
    """
    own = names.shared(model)
    expected = {**own, **{name: own[like] for name, like in names.untrained.items()}}
    unused = {name for name in state if name.startswith(names.unused) and name not in expected}
    problems = [f"missing {name}" for name in expected if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in expected and name not in unused]
    problems += [
        f"{name}: expected {tuple(_official_form(name, expected[name]).shape)}, found {tuple(state[name].shape)}"
        for name in expected
        if name in state and _official_form(name, expected[name]).shape != state[name].shape
    ]
    problems += [f"{name}: {wrong}" for name in own if name in state and (wrong := _wrong_values(state[name]))]
    if problems:
        raise OfficialStateError(
            f"official state for {type(model).__name__}: expected its {len(expected)} tensors, found "
            f"{len(problems)} problems: {'; '.join(problems)}. Pass the state dict of this kind of model."
        )
    kept = {name: tensor for name, tensor in model.state_dict().items() if name in names.own}
    model.load_state_dict(kept | {names.ours(name): state[name].reshape(own[name].shape) for name in own})
    return {name: state[name].clone() for name in [*names.untrained, *sorted(unused)]}


def to_official(model: nn.Module, names: OfficialNames, untrained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the official state dict of `model`, with `untrained` tensors, or zeros where a model needs one."""
    state = {name: _official_form(name, tensor.detach().clone()) for name, tensor in names.shared(model).items()}
    return state | {name: zeros_like(state[like]) for name, like in names.untrained.items()} | dict(untrained)


def backbone_config(state: Mapping[str, Tensor], prefix: str, *, heads: int | None = None) -> BackboneConfig:
    """Read the shape of a backbone from the official tensors under `prefix`.

    Args:
        heads: must be given where the model does not normalize queries, because then no tensor tells; the default
            is the official models' head width of 20.

    Raises:
        OfficialStateError: when a tensor that is needed is missing.
    """
    blocks = {
        name.removeprefix(f"{prefix}blocks.").split(".")[0] for name in state if name.startswith(f"{prefix}blocks.")
    }
    width = shape_of(state, f"{prefix}cls_token")[-1]
    first = f"{prefix}blocks.0."
    qk_norm = f"{first}attn.q_norm.weight" in state
    if qk_norm:
        heads = width // shape_of(state, f"{first}attn.q_norm.weight")[0]
    vectors = f"{prefix}patch_embed.proj.weight"
    return BackboneConfig(
        width=width,
        layers=len(blocks),
        heads=heads or width // OFFICIAL_HEAD_WIDTH,
        mlp_width=shape_of(state, f"{first}mlp.fc1.weight")[0],
        layer_scale=0.1 if f"{first}gamma_1" in state else None,  # a start value, which loading overwrites
        vector_width=shape_of(state, vectors)[1] if vectors in state else None,
        qk_norm=qk_norm,
        qkv_bias=f"{first}attn.q_bias" in state,
        mask_token=f"{prefix}mask_token" in state,
        n_slots=shape_of(state, f"{prefix}pos_embed")[1],
        max_seconds=shape_of(state, f"{prefix}time_embed")[1],
    )


def shape_of(state: Mapping[str, Tensor], name: str) -> Size:
    """Return the shape of an official tensor that must be there."""
    if name not in state:
        raise OfficialStateError(f"official state: expected a tensor {name}, found none. Pass the official state dict.")
    return state[name].shape


def _wrong_values(tensor: Tensor) -> str | None:
    if not tensor.is_floating_point():
        return f"expected floating-point numbers, found {tensor.dtype}"
    # Tensors of the device "meta", which stand for a shape, have no values.
    return None if tensor.is_meta or tensor.isfinite().all() else "expected finite numbers, found others"


def _renamed(name: str, renames: tuple[tuple[str, str], ...]) -> str:
    for old, new in renames:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _official_form(name: str, tensor: Tensor) -> Tensor:
    """Shape one of our tensors as the official one: a 1x1 convolution in place of a linear map, a flag as a number."""
    if name.endswith("patch_embed.proj.weight"):
        return tensor[:, :, None, None]
    if name.endswith("initted"):
        return tensor.float().reshape(1)
    return tensor
