"""A classification task: which events make which classes, how windows are cut, who is in which split."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from eeg_tokenizer.batches import MAX_SECONDS
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from labram_model.errors import LabramError

SPLITS = ("train", "val", "test")
Label = Annotated[StrictStr, Field(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class _Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _part(value: Any) -> float | tuple[str, ...] | Files:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list | tuple) and value and all(isinstance(entry, str) for entry in value):
        return tuple(value)
    if isinstance(value, dict) and list(value) == ["file"] and isinstance(_part(value["file"]), tuple):
        return Files(file=value["file"])
    raise ValueError(
        'expected a share such as 0.6, a list such as ["S001", "S002"] or ["S001..S070"], or {file: ["eval/*"]}, '
        f"found {value!r}"
    )


class Files(_Keys):
    """A part of the recordings by their `file`: patterns in which * stands for anything, folders included."""

    file: Annotated[tuple[Label, ...], Field(min_length=1)]


Part = Annotated[Any, BeforeValidator(_part)]


class Split(_Keys):
    """What goes into which split.

    By subject, a subject is never in two splits: shares of the subjects (drawn by `seed`), lists of them, or `Files`
    for the subjects of some recordings. By file, session or event, lists say which files (patterns), sessions, or
    events by their number within their recording belong to a split, and subjects may be in several.
    """

    by: Literal["subject", "file", "session", "event"] = "subject"
    train: Part = 0.6
    val: Part = 0.2
    test: Part = 0.2
    seed: int = 0

    @property
    def parts(self) -> dict[str, float | tuple[str, ...] | Files]:
        """What the task says of each split."""
        return {name: getattr(self, name) for name in SPLITS}

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = list(self.parts.values())
        if self.by != "subject" and not all(isinstance(part, tuple) for part in parts):
            raise ValueError(f"expected a list of {self.by}s for each of train, val and test, found something else")
        shares = [part for part in parts if isinstance(part, float)]
        named = [entry for part in parts if isinstance(part, tuple) for entry in expand(part)]
        if shares and named:
            raise ValueError("expected train, val and test to be all shares or all lists of subjects, found a mixture")
        if shares and (min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6):
            raise ValueError(f"expected positive shares with the sum 1, found {', '.join(map(str, shares))}")
        if twice := sorted({entry for entry in named if named.count(entry) > 1}):
            raise ValueError(f"expected each {self.by} once, found twice: {', '.join(twice)}")
        return self


def expand(entries: Iterable[str]) -> list[str]:
    """Write out ranges: `S008..S010` is S008, S009, S010; `9..11` is 9, 10, 11."""
    names: list[str] = []
    for entry in entries:
        ends = is_range(entry)
        if ends is None:
            names.append(entry)
            continue
        names += [f"{ends[1]}{number:0{len(ends[2])}d}" for number in range(int(ends[2]), int(ends[3]) + 1)]
    return names


def is_range(entry: str) -> re.Match[str] | None:
    """Return the prefix, first and last number of a range such as `S001..S070`, None for another text."""
    return re.fullmatch(r"(.*?)(\d+)\.\.\1(\d+)", entry)


class Training(_Keys):
    """How the model is fine-tuned; the defaults are those of LaBraM-Base (paper, table 5), but for the batch.

    The paper's batch of 512 is that of eight GPUs: 64 on each.
    """

    epochs: Annotated[int, Field(ge=1)] = 50
    warmup_epochs: NotNegative = 5
    batch_size: Annotated[int, Field(ge=1)] = 64
    lr: Positive = 5e-4
    min_lr: NotNegative = 1e-6
    weight_decay: NotNegative = 0.05
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.65
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1


class Task(_Keys):
    """What is told from what.

    Attributes:
        name: the task's name, for the reader of its results.
        classes: class name to the event labels that mean it, in which * stands for anything; of two classes the second
            is the positive one.
        sources: the sources that take part; all where it is left out.
        window_s: length of a window in whole seconds.
        stride_s: seconds between the starts of windows within an event; default `window_s`.
        offset_s: if given, one window per event, that starts this long after the event's onset (negative: before it),
            whatever the event's duration. Events of duration 0 are always cut this way.
        every_event: whether a window counts again for each event of its class that it is cut for (an event seen on
            several channels) instead of once.
        split: how subjects are divided.
        training: the recipe.
    """

    name: Label
    classes: Annotated[dict[Label, tuple[Label, ...]], Field(min_length=2)]
    sources: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None
    window_s: Annotated[int, Field(ge=1, le=MAX_SECONDS)]
    stride_s: Positive | None = None
    offset_s: float | None = None
    every_event: bool = False
    split: Split = Split()
    training: Training = Training()

    def class_of(self, labels: Iterable[str]) -> dict[str, int]:
        """Return the index of its class for each of the event labels that has one.

        Raises:
            LabramError: a label that the patterns of two classes fit.
        """
        wanted = {label: index for index, known in enumerate(self.classes.values()) for label in known}
        patterns = {label: index for label, index in wanted.items() if "*" in label}
        found: dict[str, int] = {}
        for label in labels:
            fits = {wanted[label]} if label in wanted else {patterns[p] for p in patterns if fnmatchcase(label, p)}
            if len(fits) > 1:
                names = " and ".join(name for index, name in enumerate(self.classes) if index in fits)
                raise LabramError(f"Unclear classes: expected one class for the label {label!r}, found {names}.")
            found |= dict.fromkeys([label], *fits) if fits else {}
        return found

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        labels = [label for labels in classes.values() for label in labels]
        if empty := [name for name, labels in classes.items() if not labels]:
            raise ValueError(f"expected at least one event label for each class, found none for {', '.join(empty)}")
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"expected each event label once, found twice: {', '.join(twice)}")
        return classes

    @field_validator("offset_s")
    @classmethod
    def _check_offset(cls, offset_s: float | None, info: ValidationInfo) -> float | None:
        if offset_s is not None and info.data.get("stride_s") is not None:
            raise ValueError("expected stride_s (windows within events) or offset_s (one window per event), found both")
        return offset_s


def load_task(path: Path) -> Task:
    """Read `task.yaml`.

    Raises:
        LabramError: the file is not readable YAML; every mistake in it at once.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LabramError(f"Cannot read the task {path}: {error}. Give the path of a task.yaml.") from error
    except yaml.YAMLError as error:
        raise LabramError(f"Cannot read the task {path}: expected YAML, found: {error}") from error
    if not isinstance(content, dict):
        raise LabramError(
            f"Cannot read the task {path}: expected keys such as classes, found {type(content).__name__}."
        )
    try:
        return Task.model_validate(content)
    except ValidationError as error:
        lines = [f"  {_mistake(details)}" for details in error.errors()]
        raise LabramError("\n".join([f"The task {path} has {len(lines)} mistake(s):", *lines])) from error


def _mistake(details: Any) -> str:
    where = [str(part) for part in details["loc"] if part != "[key]"]
    key = ".".join(where)
    if details["type"] == "extra_forbidden":
        known = list((_SECTIONS.get(where[0], Task) if where[1:] else Task).model_fields)
        near = difflib.get_close_matches(where[-1], known, n=1)
        return f"{key}: unknown key; " + (f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}")
    if details["type"] == "missing":
        return f"{key}: expected a value, found none"
    if details["type"] == "value_error":
        return f"{key}: {details['msg'].removeprefix('Value error, ')}"
    text = details["msg"].replace("Input should be", "expected").replace("valid tuple", "list")
    quote = " (write it in quotes)" if details["type"] == "string_type" else ""
    return f"{key}: {text[0].lower()}{text[1:]}{quote}, found {details['input']!r}"


_SECTIONS: dict[str, type[BaseModel]] = {"split": Split, "training": Training}
