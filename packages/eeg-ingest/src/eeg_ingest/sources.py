"""`sources.yaml`: which datasets to ingest, checked as a whole before anything is read."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from eeg_ingest.bids import ENTITIES, entities
from eeg_ingest.errors import UsageError
from eeg_ingest.facts import About, Expected
from eeg_ingest.labels import KINDS, Labels, mistakes_of_groups, mistakes_of_label, placeholders
from eeg_ingest.mistakes import Keys, Mistake, NotEmpty, OneOrList, describe, expected, read_yaml, suggest
from eeg_ingest.reader_settings import MODELS_OF_READERS, ReaderSettings, TargetSettings
from eeg_ingest.recipe import fill_in_recipes

MICRO = "[\u00b5\u03bc]"  # two code points look like µ
UNITS = ("uV", "mV", "V", "nV", "auto")


class SourcesError(UsageError):
    """A `sources.yaml` cannot be used; `mistakes` holds one line for each mistake."""

    def __init__(self, path: Path, mistakes: list[str]) -> None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{count} in {path}:", *(f"  {mistake}" for mistake in mistakes)]))
        self.mistakes = tuple(mistakes)


def _name(value: str) -> str:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", value) or value == "tables":
        raise expected("a name of letters, digits, ., _ and - other than tables")
    return value


def _line_freq(value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value != "auto" and not (number and 0 < value < float("inf")):
        raise expected("a frequency in Hz or auto")
    return value


def _unit(value: Any) -> Any:
    unit = re.sub(MICRO, "u", value) if isinstance(value, str) else value
    if unit not in UNITS:
        raise expected("uV, mV, V, nV or auto", suggest(str(unit), UNITS))
    return unit


def _pattern(value: str) -> str:
    parts = value.split("/")
    if not value or value.startswith("/") or ".." in parts or "\\" in value:
        raise expected("a pattern relative to the path of the source, with /")
    return value


def _group_pattern(value: str) -> str:
    try:
        groups = re.compile(value).groupindex
    except re.error as error:
        raise expected("a regular expression", f"{str(error).capitalize()}.") from None
    if "subject" not in groups:
        raise expected("a regular expression with a named group (?P<subject>...)")
    return value


def _montage(value: str) -> str:
    import mne  # noqa: PLC0415  # takes a second; few sources name a montage

    names = mne.channels.get_builtin_montages()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # names that MNE is about to replace still work
            mne.channels.make_standard_montage(value)
    except ValueError:
        action = suggest(value, names) or "See mne.channels.get_builtin_montages()."
        raise expected("a montage of MNE", action) from None
    return value


class Channels(Keys):
    """How the channels of a source are called and chosen."""

    names: tuple[str, ...] | None = Field(
        default=None, description="Names of all channels in the order of the files, whose own names tell nothing."
    )
    rename: dict[str, str] = Field(default={}, description="Names in the files to names in the store.")
    drop: tuple[str, ...] = Field(
        default=(),
        description="Channels to leave out, by their name in the files in any case, or by globs (EXG*).",
    )
    montage: Annotated[str, AfterValidator(_montage)] | None = Field(
        default=None,
        description="Built-in montage of MNE, whose positions give cap names (A1, E1) their nearest 10-05 site.",
    )


def _named_by_recipe(schema: dict[str, Any]) -> None:
    schema["required"].remove("name")
    schema["anyOf"] = [{"required": ["name"]}, {"required": ["recipe"]}]


class Source(Keys):
    """One dataset."""

    model_config = ConfigDict(json_schema_extra=_named_by_recipe)

    recipe: str | None = Field(
        default=None,
        description="Recipe that gives all keys but `path`; keys written here override its own, null removes one.",
    )
    release: str | None = Field(
        default=None,
        description="Another published form of the dataset, where the recipe has any: `eeg-ingest recipes NAME`.",
    )
    name: Annotated[str, AfterValidator(_name)] = Field(description="Name in the store: letters, digits, ., _ and -.")
    path: Path = Field(
        description="Folder of the dataset, relative to this file; ~, ${NAME} and ${NAME:-default} are expanded."
    )
    files: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], OneOrList, NotEmpty] | None = Field(
        default=None,
        description="Globs over the path relative to `path` (** for any folders). Default: every file with a suffix of "
        "a known recording format.",
    )
    exclude: Annotated[tuple[Annotated[str, AfterValidator(_pattern)], ...], OneOrList] = Field(
        default=(), description="Globs of files that are not looked at, of those that `files` names."
    )
    subject: Annotated[str, AfterValidator(_group_pattern)] | None = Field(
        default=None,
        description="Regular expression, searched in the path relative to `path`, with the named group subject and "
        "optionally session, run, reference (which then counts instead of the file's), and others for labels.",
    )
    sessions_by: str | None = Field(
        default=None,
        description="Named group of `subject`, such as a date, by which a subject's files are its sessions 1, 2, 3. "
        "All of a subject's files must be there at the first build.",
    )
    line_freq_hz: Annotated[float | Literal["auto"], BeforeValidator(_line_freq)] = Field(
        default="auto", description="Mains frequency to notch, or auto: found in each recording."
    )
    unit: Annotated[Literal["uV", "mV", "V", "nV", "auto"], BeforeValidator(_unit)] | None = Field(
        default=None,
        description="Unit of the samples, only where the files do not declare one; or auto, for files that declare a "
        "wrong one: what they declare where that makes EEG, else the only unit that does.",
    )
    reader: ReaderSettings | None = Field(
        default=None,
        description="Layout of files that do not say what they hold (MATLAB, tables of text, ARFF, NPZ), or which of "
        "several signals in a file is the EEG (XDF, NWB).",
    )
    targets: TargetSettings | None = Field(
        default=None, description="Targets in time (regression), from a table with its own clock beside the recording."
    )
    bids: bool = Field(
        default=False,
        description="The folder is a BIDS dataset: subject, session, task and run come from the files' names, types, "
        "bad channels, events and the mains from the sidecars.",
    )
    channels: Channels = Field(default_factory=Channels, description="Names and choice of channels.")
    labels: Annotated[tuple[Labels, ...], OneOrList] = Field(
        default=(), description="Where the labels come from, one or a list."
    )
    licence: str | None = Field(default=None, description="Licence of the dataset, stored with its arrays.")
    about: About | None = Field(default=None, description="What the dataset is and how to get it.")
    expected: Expected | None = Field(default=None, description="Facts of the dataset that its files are held against.")

    @field_validator("path", mode="before")
    @classmethod
    def _expand(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Path):
            return value
        if not isinstance(value, str) or not value:
            raise expected("a folder")
        folder = info.context["folder"] if info.context else Path()
        return folder / Path(_expand_variables(value)).expanduser()

    def spec(self) -> dict[str, Any]:
        """Return the options that change the data, as JSON values: they enter the store's spec hash."""
        keys = {"subject", "line_freq_hz", "unit", "channels", "labels"}
        keys |= {key for key in ("sessions_by", "reader", "targets", "bids") if getattr(self, key)}
        return self.model_dump(mode="json", by_alias=True, include=keys)

    def groups(self, file: str) -> dict[str, str | None] | None:
        """Return the named groups of `subject` in the relative path `file`, or None where it does not match.

        In a BIDS dataset the entities of the file's name are groups, too.
        """
        named: dict[str, str | None] = {}
        if self.bids:
            named = {key: value for key, value in entities(file).items() if key in ENTITIES.values()}
            if self.subject is None:
                return named if "subject" in named else None
        if self.subject is None:
            return named
        match = re.search(self.subject, file)
        return named | match.groupdict() if match else None


class Sources(Keys):
    """The datasets of a store."""

    sources: Annotated[tuple[Source, ...], Field(description="The datasets, in the order of the store."), NotEmpty]


_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): Sources,
    ("sources",): Source,
    ("sources", "about"): About,
    ("sources", "channels"): Channels,
    ("sources", "expected"): Expected,
    **{("sources", "labels", kind): model for kind, model in KINDS.items()},
    **MODELS_OF_READERS,
}


def load_sources(path: Path) -> tuple[Source, ...]:
    """Read and check a `sources.yaml`.

    Raises SourcesError with every mistake at once: its place, what was expected and what was found.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SourcesError(path, [f"expected a YAML file, found that it cannot be read: {reason}."]) from None
    raw, mistakes = read_yaml(text)
    if not (mistakes and raw is None):
        raw, unknown = fill_in_recipes(raw)
        mistakes += unknown
        try:
            loaded = Sources.model_validate(raw, context={"folder": path.absolute().parent})
        except ValidationError as invalid:
            mistakes += [describe(error, raw, _MODELS) for error in invalid.errors()]
        mistakes += _across_keys(raw)
    if mistakes:
        raise SourcesError(path, [str(mistake) for mistake in sorted(mistakes, key=_source_of)])
    return loaded.sources


def _source_of(mistake: Mistake) -> int:
    numbers = [part for part in mistake.place if isinstance(part, int)]
    return numbers[0] if numbers else -1


def _expand_variables(path: str) -> str:
    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        found = os.environ.get(name) or default
        if found is None:
            raise expected(f"the environment variable {name} to be set", f"Set it, or write ${{{name}:-default}}.")
        return found

    return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", value, path)


def _across_keys(raw: Any) -> Iterator[Mistake]:
    """Find the mistakes that lie between keys, on the raw values: a mistake within a key must not hide them."""
    listed = raw.get("sources") if isinstance(raw, Mapping) else None
    sources = [
        (("sources", i), s) for i, s in enumerate(listed if isinstance(listed, list) else []) if isinstance(s, Mapping)
    ]
    names = Counter(source["name"] for _, source in sources if isinstance(source.get("name"), str))
    for place, source in sources:
        name = source.get("name")
        if isinstance(name, str) and names[name] > 1:
            yield Mistake((*place, "name"), f"expected each name once, found {name!r} {names[name]} times. Rename one.")
        try:
            groups = set(re.compile(source.get("subject") or "").groupindex)
            groups |= set(ENTITIES.values()) if source.get("bids") is True else set()
        except (re.error, TypeError):
            groups = None  # reported as a mistake of `subject`
        ranked = source.get("sessions_by")
        yield from mistakes_of_groups((*place, "sessions_by"), [ranked] if isinstance(ranked, str) else [], groups)
        targets = source.get("targets")
        if isinstance(targets, Mapping):
            groups_of_table = placeholders(targets.get("table"))
            yield from mistakes_of_groups((*place, "targets", "table"), groups_of_table, groups)
        labels = source.get("labels")
        if isinstance(labels, Mapping):
            yield from mistakes_of_label((*place, "labels"), labels, groups)
        for i, label in enumerate(labels if isinstance(labels, list) else []):
            if isinstance(label, Mapping):
                yield from mistakes_of_label((*place, "labels", i), label, groups)
