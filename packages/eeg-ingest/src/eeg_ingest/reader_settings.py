"""The `reader` of a source: what its files do not say themselves."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eeg_ingest.stream_settings import NwbSettings, XdfSettings

ReaderSettings = Annotated[XdfSettings | NwbSettings, Field(discriminator="format")]
