"""A classification task: which events make which classes, how windows are cut, who is in which split."""

from __future__ import annotations

import difflib
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


def _share_or_subjects(value: Any) -> float | tuple[str, ...]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list | tuple) and value and all(isinstance(subject, str) for subject in value):
        return tuple(value)
    raise ValueError(f'expected a share such as 0.6 or a list of subjects such as ["S001", "S002"], found {value!r}')


Part = Annotated[Any, BeforeValidator(_share_or_subjects)]


class Split(_Keys):
    """Shares of the subjects (drawn by `seed`), or the subjects themselves: a subject is never in two splits."""

    by: Literal["subject"] = "subject"
    train: Part = 0.6
    val: Part = 0.2
    test: Part = 0.2
    seed: int = 0

    @property
    def listed(self) -> dict[str, tuple[str, ...]] | None:
        """Subjects by split where the task names them, None where it gives shares."""
        parts = {name: getattr(self, name) for name in SPLITS}
        return parts if isinstance(self.train, tuple) else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        parts = [self.train, self.val, self.test]
        if len({isinstance(part, tuple) for part in parts}) > 1:
            raise ValueError("expected train, val and test to be all shares or all lists of subjects, found a mixture")
        if self.listed is None:
            if min(parts) <= 0 or abs(sum(parts) - 1) > 1e-6:
                raise ValueError(f"expected positive shares with the sum 1, found {', '.join(map(str, parts))}")
            return self
        named = [subject for part in parts for subject in part]
        if twice := sorted({subject for subject in named if named.count(subject) > 1}):
            raise ValueError(f"expected each subject once, found twice: {', '.join(twice)}")
        return self


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
        classes: class name to the event labels that mean it; of two classes the second is the positive one.
        sources: the sources that take part; all where it is left out.
        window_s: length of a window in whole seconds.
        stride_s: seconds between the starts of windows within an event; default `window_s`.
        offset_s: if given, one window per event, that starts this long after the event's onset (negative: before it),
            whatever the event's duration. Events of duration 0 are always cut this way.
        split: how subjects are divided.
        training: the recipe.
    """

    name: Label
    classes: Annotated[dict[Label, tuple[Label, ...]], Field(min_length=2)]
    sources: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None
    window_s: Annotated[int, Field(ge=1, le=MAX_SECONDS)]
    stride_s: Positive | None = None
    offset_s: float | None = None
    split: Split = Split()
    training: Training = Training()

    @property
    def class_of(self) -> dict[str, int]:
        """Event label to the index of its class."""
        return {label: index for index, labels in enumerate(self.classes.values()) for label in labels}

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
