"""The `reader` of a source whose files hold several signals: which of them is the EEG."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eeg_ingest.mistakes import Keys


class XdfSettings(Keys):
    """XDF with several EEG streams."""

    format: Literal["xdf"]
    stream: str = Field(description="Name or id of the stream that is the EEG.")


class NwbSettings(Keys):
    """NWB with several electrical series."""

    format: Literal["nwb"]
    series: str = Field(description="Name or path of the ElectricalSeries that is the EEG.")
