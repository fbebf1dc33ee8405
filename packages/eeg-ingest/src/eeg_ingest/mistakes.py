"""Every mistake of a YAML file at once, each with its place, what was expected and what was found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

Place = tuple[str | int, ...]

_EXPECTED = {
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "missing": "a value",
}


class Keys(BaseModel):
    """A mapping of a YAML file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


@dataclass(frozen=True)
class Mistake:
    """One mistake; `str()` is a line for the user."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{write_place(self.place)}: {self.text}" if self.place else self.text


def write_place(place: Place) -> str:
    """Write a place as a user reads it: `sources[2].line_freq_hz`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def expected(what: str, action: str = "") -> PydanticCustomError:
    """Make the error that a validator raises when it expected `what`; what was found is added from the input."""
    return PydanticCustomError("expected", "{expected}", {"expected": what, "action": action})


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?`, or nothing where no known word is close."""
    by_folded = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_folded, n=1)
    return f"Did you mean {by_folded[close[0]]!r}?" if close else ""


class _OneOrList:
    """Accept a list or its only entry, and say so in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._wrap, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {"anyOf": [schema["items"], schema]}

    @staticmethod
    def _wrap(value: Any) -> Any:
        return value if value is None or isinstance(value, list | tuple) else [value]


def _not_empty(value: Any) -> Any:
    if value == []:
        raise expected("at least one entry")
    return value


OneOrList = _OneOrList()
NotEmpty = BeforeValidator(_not_empty)  # on the raw list: entries with mistakes count too


class _TextKeys(yaml.SafeLoader):
    """A safe loader whose keys are always text (`01:` stays `01`, `no:` stays `no`) and never given twice."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.twice: list[Mistake] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        first_lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            key.tag = "tag:yaml.org,2002:str"
            line = key.start_mark.line + 1
            if key.value in first_lines:
                found = f"the key {key.value!r} twice, on lines {first_lines[key.value]} and {line}"
                self.twice.append(Mistake((), f"line {line}: expected each key once, found {found}. Remove one."))
            first_lines.setdefault(key.value, line)
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> tuple[Any, list[Mistake]]:
    """Parse YAML safely; return its value and the mistakes of the YAML itself (bad syntax, a key given twice)."""
    loader: _TextKeys | None = None
    try:
        loader = _TextKeys(text)
        return loader.get_single_data(), loader.twice
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = " ".join(part for part in (error.context, error.problem) if part)
        return None, [Mistake((), f"{where}expected YAML, found a syntax error ({what}).")]
    except (yaml.YAMLError, RecursionError) as error:
        return None, [Mistake((), f"expected YAML, found {error}.")]
    finally:
        if loader is not None:
            loader.dispose()


def describe(error: ErrorDetails, raw: Any, models: Mapping[tuple[str, ...], type[BaseModel]]) -> Mistake:
    """Put one error of pydantic, raised for the input `raw`, in the user's words.

    `models` gives the model at each path of keys (and tags of unions), to suggest a key for an unknown one.
    """
    place = _place_in(raw, error["loc"], models)
    kind, context, found = error["type"], error.get("ctx", {}), _show(error["input"])
    if kind == "extra_forbidden":
        key = str(place[-1])
        path = tuple(part for part in error["loc"][:-1] if isinstance(part, str))
        known = [field.alias or name for name, field in models[path].model_fields.items()]
        return Mistake(place, f"unknown key. {suggest(key, known) or 'Expected one of ' + ', '.join(known) + '.'}")
    if kind == "missing":
        return Mistake(place, "expected a value, found nothing. Add the key.")
    action = str(context.get("action", ""))
    if kind == "union_tag_not_found":
        path = tuple(part for part in error["loc"] if isinstance(part, str))
        tags = [known[-1] for known in models if known[:-1] == path and path not in models]
        place, what, found = (*place, _tag_key(context)), _one_of(tags), "nothing"
    elif kind == "union_tag_invalid":
        tags = str(context["expected_tags"]).replace("'", "").split(", ")
        place, what, found = (*place, _tag_key(context)), _one_of(tags), _show(context["tag"])
    elif kind == "literal_error":
        what = str(context["expected"])
        action = action or suggest(str(error["input"]), what.replace("'", "").replace(" or ", ", ").split(", "))
    else:
        what = str(context.get("expected") or _EXPECTED.get(kind) or error["msg"])
        if kind == "string_type" and isinstance(error["input"], int | float) and not action:
            action = "Put it in quotes."
    return Mistake(place, f"expected {what}, found {found}. {action}".strip())


def _tag_key(context: Mapping[str, Any]) -> str:
    """The key that says which of several models a mapping is."""
    return str(context["discriminator"]).rpartition("|")[2].strip(" '")


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _place_in(raw: Any, loc: Sequence[str | int], models: Mapping[tuple[str, ...], type[BaseModel]]) -> Place:
    """Keep the parts of `loc` that the user wrote: pydantic adds the tags of unions and an index to a lone value."""
    place: list[str | int] = []
    path: tuple[str, ...] = ()
    node = raw
    for part in loc:
        path = (*path, part) if isinstance(part, str) else path
        tag = isinstance(part, str) and path in models and path[:-1] not in models
        if tag or part == "[key]" or (isinstance(part, int) and not isinstance(node, list)):
            continue
        place.append(part)
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
    return tuple(place)


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    text = f"a list of {len(value)}" if isinstance(value, list) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
