"""Weights of the official code and of braindecode into our directories, and ours into official files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from eeg_tokenizer import checkpoint
from eeg_tokenizer.encode import load_tokenizer
from eeg_tokenizer.official import OfficialStateError
from eeg_tokenizer.state_files import read_state, write_state
from eeg_tokenizer.tokenizer_weights import import_tokenizer, is_tokenizer
from eeg_tokenizer.untrained import save_untrained
from torch import Tensor

from labram_model import models
from labram_model.braindecode import is_braindecode, to_official_names
from labram_model.classifier import Classifier, class_names
from labram_model.errors import LabramError
from labram_model.masked import MaskedModel

logger = logging.getLogger(__name__)


def import_weights(path: Path, output: Path, *, classes: Sequence[str] = ()) -> dict[str, Any]:
    """Write the model in a file of the official code or of braindecode into `output`, and return what it is.

    Which kind it is, the names of its tensors tell. Every tensor of the file is loaded, or kept for `export_weights`
    where no forward pass reads it; a file with one too many, too few or of another shape is refused, with its name.

    Args:
        path: `.pth` or `.pt`, or `.safetensors`.
        output: a directory without a model.
        classes: names of a classifier's classes in the order of its outputs, which the file does not tell.

    Raises:
        LabramError: no such kind, tensors that do not fit, a wrong number of classes, an output that is taken.
        CheckpointError: no such file, or one that cannot be read.
        OSError: the output cannot be written.
    """
    if (output / "config.json").exists():
        raise LabramError(f"Cannot import into {output}: expected no model there, found one. Give another --output.")
    state = read_state(path)
    try:
        if is_tokenizer(state):
            document, untrained = import_tokenizer(state, output, path.name)
        elif "lm_head.weight" in state:
            document, untrained = _import_masked(state, output, path.name)
        else:
            document, untrained = _import_finetuned(state, output, path.name, classes)
    except OfficialStateError as error:
        raise LabramError(f"Cannot import {path}: {error}") from error
    return {
        "output": str(output),
        "file": str(path),
        "from": document["imported"]["from"],
        "kind": document["model"],
        "size": document["size"],
        "parameters": document["parameters"],
        "tensors": len(state),
        "kept_for_export": sorted(untrained),
        "content_hash": checkpoint.content_hash(output),
    }


def export_weights(folder: Path, output: Path) -> dict[str, Any]:
    """Write the model in `folder` as the official code reads it, and return what it is.

    Raises:
        LabramError: a model that the official code has no form for.
        CheckpointError: no model, or a damaged one.
        OSError: the output cannot be written.
    """
    kind = models.expect_kind(folder, models.MASKED, models.TOKENIZER, *models.FINETUNED)["model"]
    state = _official_state(folder, kind)
    write_state(output, state)
    return {"output": str(output), "model": str(folder), "kind": kind, "tensors": len(state)}


@contextmanager
def model_folder(path: Path) -> Iterator[Path]:
    """Give the directory of a model: `path` itself, or for a file what `import_weights` makes of it, for a while."""
    if not path.is_file():
        yield path
        return
    with TemporaryDirectory(prefix="labram-") as folder:
        with torch.random.fork_rng(devices=[]):  # a file must leave the random numbers as a directory would
            import_weights(path, Path(folder))
        try:
            yield Path(folder)
        except LabramError as error:  # of another kind of model, say: the folder is none that the user knows
            raise LabramError(str(error).replace(folder, str(path))) from error


def _official_state(folder: Path, kind: str) -> dict[str, Tensor]:
    if kind in models.FINETUNED:
        return models.load_finetuned(folder).to_official()
    if kind == models.MASKED:
        masked = models.load_masked(folder)
        if masked.config.cls_position != "first_channel":
            logger.warning(
                "Pre-trained with the position of cls at slot 0: official fine-tuning takes the same, but official "
                "pre-training gives cls that of the first channel."
            )
        return masked.to_official()
    tokenizer = load_tokenizer(folder, torch.device("cpu")).model
    try:
        return tokenizer.to_official()
    except OfficialStateError as error:
        raise LabramError(f"Cannot export {folder}: {error}") from error


def _import_masked(state: Mapping[str, Tensor], output: Path, file: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    model = MaskedModel.from_official(state)
    document = models.masked_document(model) | _origin("official", file, models.size_of(model.config))
    save_untrained(output, model.untrained)
    checkpoint.save_model(output, model, document)
    return document, model.untrained


def _import_finetuned(
    state: Mapping[str, Tensor], output: Path, file: str, classes: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    origin = "braindecode" if is_braindecode(state) else "official"
    model = Classifier.from_official(to_official_names(state) if origin == "braindecode" else state)
    named = list(classes) or class_names(model.n_outputs)
    if len(named) != max(2, model.n_outputs):
        raise LabramError(
            f"Cannot import {file}: expected names for its {model.n_outputs} outputs (one output is two classes), "
            f"found {', '.join(named)}. Correct --classes."
        )
    document = models.finetuned_document(model, models.CLASSIFIER, {"classes": named})
    document |= _origin(origin, file, models.size_of(model.config))
    checkpoint.save_model(output, model, document)
    return document, {}


def _origin(of: str, file: str, size: str) -> dict[str, Any]:
    return {"size": size, "imported": {"from": of, "file": file}}
