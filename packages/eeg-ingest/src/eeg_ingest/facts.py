"""What a source says of itself: what it is and how to get it, and the facts that its files are held against."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from eeg_ingest.mistakes import Keys, NotEmpty, OneOrList

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class About(Keys):
    """What a dataset is and how a reader of these lines gets it."""

    title: str = Field(description="Full name of the dataset.")
    url: str = Field(description="Where it is published.")
    access: str = Field(description="What it takes to get it: open, an account, a signed agreement.")
    citation: str = Field(description="How to cite it: authors, year, DOI.")
    get: str = Field(description="How to download it, and which folder `path` is to name.")


class Expected(Keys):
    """Facts of the published dataset; a part of it, or another release, may well differ."""

    subjects: Count | None = Field(default=None, description="Subjects of the whole dataset.")
    recordings: Count | None = Field(default=None, description="Recordings (files with EEG) of the whole dataset.")
    hours: Positive | None = Field(default=None, description="Hours of the whole dataset.")
    channels: Annotated[tuple[Count, ...], OneOrList, NotEmpty] | None = Field(
        default=None, description="How many EEG channels a recording may have in the store."
    )
    flat: Annotated[tuple[str, ...], OneOrList, NotEmpty] | None = Field(
        default=None, description="Channels of the store that have no signal, such as a reference among the channels."
    )
    sfreq_hz: Annotated[tuple[Positive, ...], OneOrList, NotEmpty] | None = Field(
        default=None, description="Sampling rates that a recording may have."
    )
