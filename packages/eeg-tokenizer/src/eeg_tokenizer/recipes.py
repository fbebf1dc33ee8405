"""Recipes: all that training decides beside the model's size, as named fields with two named sets of values.

`paper` is what the paper and the official code do. `improved` is the default; docs/training.md compares the two.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from eeg_tokenizer.run import RunError

# The bounds of a number follow its type.
Share = Annotated[float, 0.0, 1.0]
Positive = Annotated[float, 1e-12, math.inf]
Whole = Annotated[int, 1, math.inf]
Beta = Annotated[float, 0.0, 0.999999]  # AdamW divides by 1 - beta
Betas = tuple[Beta, Beta]

DECAY_PER_LR = 200  # 1 - decay of the codebook for each unit of the rate: the paper's 0.99 at 5e-5
LEAST_DECAY = 0.5

R = TypeVar("R")


@dataclass(frozen=True)
class Recipe:
    """What both trainings decide.

    Attributes:
        lr: the highest learning rate.
        min_lr_share: the rate at the end, as a share of `lr`.
        warmup_share: the share of the steps over which the rate rises.
        epochs: over all windows, where no number of steps is given.
        betas, weight_decay: of AdamW.
        stride_s: seconds between the starts of windows; stored codes have their own grid.
        mixed_batches: whether every batch mixes all sources; else an epoch goes through one source after another.
    """

    lr: Positive
    min_lr_share: Share
    warmup_share: Share
    epochs: Whole
    betas: Betas
    weight_decay: Annotated[float, 0.0, math.inf]
    stride_s: Whole
    mixed_batches: bool


@dataclass(frozen=True)
class TokenizerRecipe(Recipe):
    """How `eeg-tokenizer train` trains.

    Attributes:
        spectrum: which of the 200 bins are predicted: "full" with the mirrored half, or "half", 0 to 100 Hz.
        phase: "angle" is the angle itself, which jumps from pi to -pi; "circular" its cosine and sine.
        phase_power: cosine and sine are multiplied by this power of the amplitude, so that the phase of a bin counts
            for as much as there is of it: 0 for all alike, 0.5 by amplitude, 1 by power. Nothing to an "angle".
        mean_start: whether the heads predict the mean spectrum from the first step.
        shared_start: whether the codebook starts by k-means over windows spread over all of the data, whatever the
            processes, or over the first batch of the first process.
        codebook_decay: of the moving average; None follows the rate: 1 - 200 lr, at least 0.5.
        revive_after: vectors for each code that pass by a code before it moves to one of them; None for never.
    """

    spectrum: Literal["full", "half"]
    phase: Literal["angle", "circular"]
    phase_power: Annotated[float, 0.0, math.inf]
    mean_start: bool
    shared_start: bool
    codebook_decay: Share | None
    revive_after: Whole | None

    @property
    def decay(self) -> float:
        """The codebook's decay, worked out: slower than the encoder it is left behind, and codes fall out of use."""
        if self.codebook_decay is not None:
            return self.codebook_decay
        return max(LEAST_DECAY, 1 - DECAY_PER_LR * self.lr)


PAPER = TokenizerRecipe(
    lr=5e-5,
    min_lr_share=0.2,  # 1e-5
    warmup_share=0.1,  # 10 of 100 epochs
    epochs=100,
    betas=(0.9, 0.99),
    weight_decay=1e-4,
    stride_s=1,
    mixed_batches=False,
    spectrum="full",
    phase="angle",
    phase_power=0.0,
    mean_start=False,
    shared_start=False,
    codebook_decay=0.99,
    revive_after=None,
)  # Table 3 and the official code; batches are the device's

IMPROVED = replace(
    PAPER,
    mixed_batches=True,
    spectrum="half",
    phase="circular",
    phase_power=1.0,
    mean_start=True,
    shared_start=True,
    codebook_decay=None,
    revive_after=100,  # a code chosen 50 times less often than on average lives on
)

TINY_LR = 1e-3  # learns a small store within a few hundred steps


def tokenizer_recipe(name: str, size: str, changes: Sequence[str] = ()) -> TokenizerRecipe:
    """Return the recipe of a name for a size, with single fields changed (`field=value`).

    Raises:
        RunError: an unknown name or field, or a value that a field does not take; all are named.
    """
    recipes = {"paper": PAPER, "improved": replace(IMPROVED, lr=TINY_LR) if size == "tiny" else IMPROVED}
    return change(choose(recipes, name), changes)


def choose(recipes: Mapping[str, R], name: str) -> R:
    """Return the recipe of a name.

    Raises:
        RunError: no such recipe.
    """
    if name not in recipes:
        raise RunError(f"Unknown recipe in --recipe: expected {' or '.join(recipes)}, found {name!r}. Choose one.")
    return recipes[name]


def change(recipe: R, changes: Sequence[str]) -> R:
    """Return a recipe with some fields changed, each by a text `field=value`; values are JSON or plain words.

    Raises:
        RunError: an unknown field, or a value that it does not take; all are named.
    """
    kinds = get_type_hints(type(recipe), include_extras=True)
    values: dict[str, Any] = {}
    problems = []
    for text in changes:
        name, equals, value = text.partition("=")
        if not equals:
            problems.append(f"expected field=value, found {text!r}")
        elif name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            known = f"Did you mean {near[0]}?" if near else f"Fields are {', '.join(kinds)}."
            problems.append(f"unknown field {name!r}. {known}")
        else:
            try:
                values[name] = _read(_parse(value), kinds[name])
            except ValueError as error:
                problems.append(f"{name}: expected {error}, found {value!r}")
    if problems:
        raise RunError(f"Cannot change the recipe by --set: {'; '.join(problems)}")
    changed: R = replace(recipe, **values)  # type: ignore[type-var]  # recipes are dataclasses
    return changed


def recorded(recipe: Any) -> dict[str, Any]:
    """Return the fields of a recipe as `config.json` gives them back."""
    fields: dict[str, Any] = json.loads(json.dumps(asdict(recipe)))
    return fields


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read(value: Any, kind: Any) -> Any:
    """Return a value as a field of this type holds it.

    Raises:
        ValueError: the value is not of the type; the message says what is.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        base, low, high = inner
        number = _read(value, base)
        if not low <= number <= high or number == math.inf:
            raise ValueError(f"a number from {low:g} to {high:.6g}" if high < math.inf else f"at least {low:g}")
        return number
    if origin is Literal:
        if value not in inner or isinstance(value, bool):
            raise ValueError(" or ".join(inner))
        return value
    if origin in (Union, UnionType):
        return None if value is None else _read_or_null(value, inner[0])
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(inner):
            raise ValueError(f"a list of {len(inner)}")
        return tuple(_read(item, part) for item, part in zip(value, inner, strict=True))
    return _read_plain(value, kind)


def _read_plain(value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ValueError({float: "a number", int: "a whole number", bool: "true or false"}[kind])
    return value


def _read_or_null(value: Any, kind: Any) -> Any:
    try:
        return _read(value, kind)
    except ValueError as error:
        raise ValueError(f"{error} or null") from error
