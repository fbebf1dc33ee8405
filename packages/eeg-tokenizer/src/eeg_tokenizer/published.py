"""Models by the conventions of the Hugging Face hub: `config.json` and `model.safetensors` in one folder or repository.

Off line unless told otherwise: a path is read from the disk and a repository's name from the local cache of the hub.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from eeg_tokenizer import checkpoint
from eeg_tokenizer.checkpoint import CheckpointError
from eeg_tokenizer.model_card import CARD, model_card
from eeg_tokenizer.state_files import read_state
from eeg_tokenizer.untrained import UNTRAINED, load_untrained, save_untrained

# What a published config.json takes from that of a run. Paths, options and who was in which split stay behind.
PUBLIC = ("size", "recipe", "tokenizer", "imported", "versions", "val")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class PublishedModel(nn.Module):
    """What all models have: `from_pretrained`, `save_pretrained` and `push_to_hub`."""

    kinds: ClassVar[tuple[str, ...]]  # in `config.json` under "model"

    def __init__(self) -> None:
        super().__init__()
        self.document: dict[str, Any] = {}  # `config.json` of where the weights come from
        self.untrained: dict[str, Tensor] = {}  # of an official state, for `to_official`

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Build the model, with random weights, that a `config.json` describes."""
        raise NotImplementedError

    @classmethod
    def from_official(cls, state: Mapping[str, Tensor]) -> Self:
        """Build the model of an official state dict."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """Return `model` and `config` of a `config.json`."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the model in a folder, in `eval` mode.

        Raises:
            CheckpointError: no model there, a damaged one, or one of another kind.
        """
        document = checkpoint.load_config(folder)
        if document.get("model") not in cls.kinds:
            raise CheckpointError(
                f"Cannot load a {cls.__name__} from {folder}: expected a model {' or '.join(map(repr, cls.kinds))} in "
                f"config.json, found {document.get('model')!r}. Give the directory of such a model."
            )
        try:
            model = cls.from_document(document)
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"Cannot build the model in {folder}: expected a config.json of this version, found {error!r}. "
                "Train it again, or use the version that wrote it."
            ) from error
        checkpoint.load_into(model, checkpoint.load_weights(folder), folder)
        model.document, model.untrained = document, load_untrained(folder)
        return model.eval()

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo_id: str | os.PathLike[str],
        *,
        revision: str | None = None,
        local_files_only: bool = True,
        token: str | None = None,
    ) -> Self:
        """Load a model in `eval` mode from a folder, an official file (`.pth`), or a repository of the hub.

        Args:
            path_or_repo_id: a path, which never touches the network, or `owner/name`.
            revision: branch, tag or commit of the repository.
            local_files_only: False allows a download; otherwise a repository is looked up in the local cache alone.
            token: for a private repository.

        Raises:
            CheckpointError: neither a model nor a cached or reachable repository; or as `load`.
            OfficialStateError: a file of another kind of model.
        """
        path = Path(path_or_repo_id)
        if path.is_file():
            return cls.from_official(read_state(path)).eval()
        if path.exists() or not _REPOSITORY.fullmatch(str(path_or_repo_id)):
            return cls.load(path)
        return cls.load(_snapshot(str(path_or_repo_id), revision, token, local_files_only=local_files_only))

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        license: str = "unknown",  # noqa: A002  # the hub's word
        data: str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Write `config.json`, `model.safetensors` and a model card into a folder.

        Args:
            folder: made where it is not there.
            license: of the weights, by the hub's names.
            data: what the model learned from, in words, for the card.
            metrics: for the card; None for the validation scores that the model came with.

        Raises:
            OSError: the folder cannot be written.
        """
        folder = Path(folder)
        document = {
            **self.described(),
            "parameters": sum(parameter.numel() for parameter in self.parameters()),
            **{name: self.document[name] for name in PUBLIC if name in self.document},
        }
        save_untrained(folder, self.untrained)
        checkpoint.save_model(folder, self, document)
        card = model_card(type(self), document, license=license, data=data, metrics=metrics)
        (folder / CARD).write_text(card, encoding="utf-8")

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        token: str | None = None,
        commit_message: str = "Upload model",
        license: str = "unknown",  # noqa: A002  # the hub's word
        data: str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> str:
        """Upload what `save_pretrained` writes, into a repository that is made where it is not there; return its URL.

        A new repository is private unless told otherwise; the other arguments are those of `save_pretrained`.

        Raises:
            CheckpointError: huggingface_hub is not installed.
            OSError: the hub cannot be reached, or refuses.
        """
        api = _hub().HfApi(token=token)
        with TemporaryDirectory(prefix="labram-") as folder:
            self.save_pretrained(folder, license=license, data=data, metrics=metrics)
            url = api.create_repo(repo_id, private=private, exist_ok=True)
            api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=commit_message)
        return str(url)


def _snapshot(repo_id: str, revision: str | None, token: str | None, *, local_files_only: bool) -> Path:
    """Return the folder of a repository in the local cache."""
    hub = _hub()
    try:
        folder = hub.snapshot_download(
            repo_id,
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            allow_patterns=["config.json", "model.safetensors", UNTRAINED],
        )
    except (OSError, ValueError) as error:
        where = "the local cache" if local_files_only else "the hub"
        action = (
            "Correct the path, or allow a download with local_files_only=False"
            if local_files_only
            else "Correct the name or the token"
        )
        raise CheckpointError(
            f"Cannot load {repo_id}: expected a path on this disk or a repository in {where}, found neither "
            f"({str(error).splitlines()[0]}). {action}."
        ) from error
    return Path(folder)


def _hub() -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415  # an extra; what stays on the disk does without
    except ImportError as error:
        raise CheckpointError(
            "Cannot use the hub: expected the package huggingface_hub, found none. "
            "Install the extra: pip install 'eeg-tokenizer[hub]'."
        ) from error
    return huggingface_hub
