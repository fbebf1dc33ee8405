"""The `reader` of a source: what its files do not say themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eeg_ingest.mistakes import Keys
from eeg_ingest.stream_settings import NwbSettings, XdfSettings

ReaderSettings = Annotated[XdfSettings | NwbSettings, Field(discriminator="format")]

_FORMATS: dict[str, type[Keys]] = {"xdf": XdfSettings, "nwb": NwbSettings}
MODELS_OF_READERS: dict[tuple[str, ...], type[Keys]] = {
    ("sources", "reader", name): model for name, model in _FORMATS.items()
}
"""The model at each place of a sources.yaml, to tell mistakes by."""
