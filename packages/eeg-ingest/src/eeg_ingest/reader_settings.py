"""The `reader` and `targets` of a source: the layout of files that do not say themselves what they hold."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from eeg_ingest.facts import Positive
from eeg_ingest.mistakes import Keys, NotEmpty, OneOrList, expected
from eeg_ingest.stream_settings import NwbSettings, XdfSettings

Names = Annotated[tuple[str, ...], OneOrList, NotEmpty]
Columns = Annotated[tuple[str, ...], OneOrList]
Axis = Literal["sample", "channel", "trial"]
SECONDS_PER_UNIT = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
SEPARATORS = {"comma": ",", "tab": "\t", "semicolon": ";", "space": " "}


def _rate(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (isinstance(value, str) and value) and not (number and 0 < value < math.inf):
        raise expected("a rate in Hz or the variable that holds it")
    return value


def _names(value: Any) -> Any:
    listed = isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value)
    if not (isinstance(value, str) and value) and not listed:
        raise expected("a list of names or the variable that holds them")
    return value


def _axes(value: tuple[Axis, ...]) -> tuple[Axis, ...]:
    if sorted(value) not in (["channel", "sample"], ["channel", "sample", "trial"]):
        raise expected("sample and channel, and trial where there is such an axis")
    return value


NamesOrVariable = Annotated[tuple[str, ...] | str, BeforeValidator(_names)]


class Time(Keys):
    """The column of a table that holds the time of each row."""

    column: str = Field(description="Name of the column.")
    unit: Literal["s", "ms", "us"] = Field(default="s", description="Unit of its numbers.")


class ColumnsFrom(Keys):
    """Names of columns that another table beside the file lists, one in a row."""

    table: str = Field(description="File beside the recording.")
    column: str = Field(description="Its column of the names; the lines before that header do not matter.")
    before: Columns = Field(default=(), description="Names of the columns that come first.")


class TextLayout(Keys):
    """How a text file becomes columns of numbers."""

    separator: Literal["comma", "tab", "semicolon", "space"] = Field(
        default="comma", description="What lies between cells; space is any run of spaces and tabs."
    )
    skip_lines: int = Field(default=0, ge=0, description="Lines before the header row, or before the first row.")
    comment: str | None = Field(default=None, min_length=1, description="How lines begin that are no rows.")
    decimal: Literal[".", ","] = Field(default=".", description="Sign before the decimals.")
    columns: Names | None = Field(default=None, description="Names of the columns, for a file without a header row.")


class Marks(Keys):
    """What the numbers of the channels are, and which channels (columns, rows of a matrix) mark events."""

    scale: float = Field(default=1.0, description="Number in the file x scale = `unit` of the source.")
    flags: Columns = Field(
        default=(), description="Channels of 0 and 1: a run of 1 is an event with the name as label."
    )
    states: Columns = Field(default=(), description="Channels of classes: a run of one value is an event, its label.")
    triggers: Columns = Field(
        default=(), description="Channels of trigger codes: a rise of their sum is an event, the code its label."
    )


class TableSettings(TextLayout, Marks):
    """CSV, TSV and other text, a row for each sample; gzip or plain."""

    format: Literal["table"]
    columns_from: ColumnsFrom | None = Field(
        default=None, description="Where the columns are listed, for a file without a header row."
    )
    sfreq_hz: Positive | None = Field(default=None, description="Sampling rate; default: what `time` says.")
    time: Time | None = Field(default=None, description="Column of times, by which gaps are noticed.")
    names: Columns = Field(
        default=(), description="Columns that are EEG, * for any text; default: those that electrodes are called."
    )

    @model_validator(mode="after")
    def _has_rate(self) -> Self:
        if self.sfreq_hz is None and self.time is None:
            raise expected("sfreq_hz or time among the keys", "Add one of them.")
        if self.columns is not None and self.columns_from is not None:
            raise expected("columns or columns_from", "Remove one of them.")
        return self


class ArffSettings(Marks):
    """ARFF (Weka): attributes are columns, and nominal ones are `states` unless told."""

    format: Literal["arff"]
    sfreq_hz: Positive = Field(description="Sampling rate.")
    names: Columns = Field(
        default=(), description="Attributes that are EEG, * for any text; default: those that electrodes are called."
    )


class ArrayEvents(Keys):
    """Events in arrays beside the signal, one element each."""

    onset: str = Field(description="Variable of their samples in the signal, or in each of its parts.")
    label: str = Field(description="Variable of their labels: numbers or texts.")
    base: Literal[0, 1] = Field(default=1, description="Number of the first sample.")
    codes: tuple[int, ...] = Field(default=(), description="Labels as `label` has them, in the order of `names`.")
    names: NamesOrVariable | None = Field(default=None, description="What the codes mean, or the variable of that.")
    delay_s: float = Field(default=0.0, description="Seconds from the sample to the event's onset.")
    duration_s: float = Field(default=0.0, ge=0, description="Duration of the events in seconds.")
    optional: bool = Field(default=False, description="Files without these variables have no events.")
    skip_empty: bool = Field(default=False, description="Parts of the signal without events are left out.")

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if bool(self.codes) != (self.names is not None):
            raise expected("codes and names, or neither", "Give both.")
        return self


class ArraySettings(Marks):
    """Arrays in a file: the whole signal, or parts of it (trials, runs), each of them an unbroken segment."""

    signal: str = Field(description="Variable of the signal: NAME, or NAME{trial} for an array each trial.")
    axes: Annotated[tuple[Axis, ...], AfterValidator(_axes)] = Field(
        description="What its axes are, in order: sample, channel, and trial where there is such an axis."
    )
    sfreq_hz: Annotated[float | str, BeforeValidator(_rate)] = Field(description="Sampling rate, or its variable.")
    names: NamesOrVariable | None = Field(default=None, description="Channel names, or their variable; default: 1, 2.")
    events: ArrayEvents | None = Field(default=None, description="Events in arrays beside the signal.")
    trial_labels: NamesOrVariable | None = Field(
        default=None, description="A label for each trial, or their variable; default: the trial's number."
    )


class MatlabSettings(ArraySettings):
    """MATLAB files v5 to v7.3. Variables are paths: `EEG.data`, or `data[].X` for an array of structs or cells."""

    format: Literal["matlab"]


class NpzSettings(ArraySettings):
    """NumPy archives (.npz) of plain arrays."""

    format: Literal["npz"]


class TargetSettings(TextLayout):
    """Targets in time: a table with its own clock, beside the recording."""

    table: str = Field(
        description="Path of the table, beside the recording or above it, up to the source's path; {stem} and named "
        "groups as in labels."
    )
    time: Time = Field(description="Its column of times, on the clock of the signal's own times.")
    names: Names = Field(description="Columns that are targets.")
    units: Names = Field(description="Their units, one for all or one each.")
    scale: float = Field(default=1.0, description="Number in the table x scale = target.")

    @model_validator(mode="after")
    def _has_units(self) -> Self:
        if len(self.units) not in (1, len(self.names)):
            raise expected("one unit, or one for each name", "Correct units.")
        return self

    @property
    def named_units(self) -> tuple[tuple[str, str], ...]:
        """Each target's name with its unit."""
        units = self.units * len(self.names) if len(self.units) == 1 else self.units
        return tuple(zip(self.names, units, strict=True))


class NeuroscanSettings(Keys):
    """Neuroscan CNT whose header does not tell 16-bit from 32-bit samples, as of files of a gigabyte."""

    format: Literal["neuroscan-cnt"]
    sample_bits: Literal[16, 32] = Field(description="Bits of a sample, where the header does not tell.")


LayoutSettings = MatlabSettings | TableSettings | ArffSettings | NpzSettings
ReaderSettings = Annotated[
    LayoutSettings | NeuroscanSettings | XdfSettings | NwbSettings, Field(discriminator="format")
]

_FORMATS: dict[str, type[Keys]] = {
    "matlab": MatlabSettings,
    "table": TableSettings,
    "arff": ArffSettings,
    "npz": NpzSettings,
    "neuroscan-cnt": NeuroscanSettings,
    "xdf": XdfSettings,
    "nwb": NwbSettings,
}
MODELS_OF_READERS: dict[tuple[str, ...], type[Keys]] = {
    ("sources", "targets"): TargetSettings,
    ("sources", "targets", "time"): Time,
    ("sources", "reader", "table", "time"): Time,
    ("sources", "reader", "table", "columns_from"): ColumnsFrom,
    ("sources", "reader", "matlab", "events"): ArrayEvents,
    ("sources", "reader", "npz", "events"): ArrayEvents,
    **{("sources", "reader", name): model for name, model in _FORMATS.items()},
}
"""The model at each place of a sources.yaml, to tell mistakes by."""
