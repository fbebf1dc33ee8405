"""Which windows to train on: a condition such as `line_noise < 0.2 and source != 'tusl'`.

It may name every text and number among the columns of the recordings table, and the quality measures (docs/store.md).
A measure of a window is its mean over the window's seconds and the channels that have a slot.

Shapes: W windows, M quality measures.
"""

from __future__ import annotations

import ast
import difflib
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from eeg_store import QUALITY_MEASURES
from eeg_store.tables import RECORDINGS
from numpy.typing import NDArray

_KINDS = {"string": "text", "int64": "number", "double": "number"}
COLUMNS = {field.name: _KINDS[str(field.type)] for field in RECORDINGS if str(field.type) in _KINDS}
_NAMES = {**COLUMNS, **dict.fromkeys(QUALITY_MEASURES, "number")}
_ORDERS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}
_EQUAL, _IN = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot), (ast.In, ast.NotIn)
_NEGATED = (ast.NotEq, ast.IsNot, ast.NotIn)

Value = Any  # a text, a number, None, a tuple of them, or the numbers (W,) of a measure


class QueryError(ValueError):
    """A condition that cannot be understood."""


class Query:
    """A condition on windows: names, numbers, texts, comparisons, `in`, `is None`, `and`, `or`, `not`; nothing runs.

    A comparison with an empty value is false; `!=`, `not in` and `is None` are true of it.
    """

    def __init__(self, text: str) -> None:
        """Understand `text`.

        Raises:
            QueryError: it is no condition, names what is not there, or compares texts with numbers; all is said.
        """
        self.text = text
        try:
            self._condition = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _refusal(text, [f"found {getattr(error, 'msg', error)}"]) from error
        problems = list(_problems(self._condition))
        if problems:
            raise _refusal(text, problems)

    def fits(self, row: Mapping[str, Any], measures: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (W,) whether the condition holds for windows of one recording.

        Args:
            row: the recording's row, with `COLUMNS`.
            measures: (W, M) of its windows, in the order of `QUALITY_MEASURES`.
        """
        values = {**row, **dict(zip(QUALITY_MEASURES, measures.T, strict=True))}
        return np.broadcast_to(np.asarray(_holds(self._condition, values), dtype=np.bool_), (len(measures),))


def _problems(node: ast.expr) -> Iterator[str]:
    """Say all that is wrong with a condition."""
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                yield from _problems(part)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            yield from _problems(part)
        case ast.Compare(left=left, ops=ops, comparators=others):
            for op, one, other in zip(ops, [left, *others], others, strict=False):
                yield from _comparison_problems(op, one, other)
        case _:
            yield f"expected a comparison, found {ast.unparse(node)!r}"


def _comparison_problems(op: ast.cmpop, one: ast.expr, other: ast.expr) -> Iterator[str]:
    problems = [*_operand_problems(one), *_operand_problems(other)]
    yield from problems
    if problems:
        return
    kinds, shown = (_kind(one), _kind(other)), ast.unparse(ast.Compare(one, [op], [other]))
    if isinstance(op, _IN):
        if kinds[1] != f"list of {kinds[0]}":
            yield f"expected a list of {kinds[0]}s after 'in', found {shown!r}"
    elif isinstance(op, (ast.Is, ast.IsNot)) and kinds[1] != "None":
        yield f"expected None after 'is', found {shown!r}"
    elif any(kind.startswith("list") for kind in kinds):
        yield f"expected 'in' before a list, found {shown!r}"
    elif "None" in kinds:
        if not isinstance(op, _EQUAL):
            yield f"expected 'is None' or 'is not None', found {shown!r}"
    elif kinds[0] != kinds[1]:
        yield f"expected two texts or two numbers, found {shown!r}, {kinds[0]} and {kinds[1]}"


def _operand_problems(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            if name not in _NAMES:
                close = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.5)
                hint = f" (did you mean {close[0]}?)" if close else ""
                yield f"expected one of {', '.join(_NAMES)}, found {name!r}{hint}"
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            kinds = {_kind(part) if _is_constant(part) else "" for part in parts}
            if len(kinds) != 1 or not kinds <= {"text", "number"}:
                yield f"expected a list of texts or of numbers, found {ast.unparse(node)!r}"
        case _ if not _is_constant(node):
            yield f"expected a name, a number, a text in quotes or None, found {ast.unparse(node)!r}"


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return isinstance(node.operand, ast.Constant) and _kind(node.operand) == "number"
    return isinstance(node, ast.Constant) and _kind(node) != ""


def _kind(node: ast.expr) -> str:
    """Return "text", "number", "None" or a list of the first two."""
    match node:
        case ast.Name(id=name):
            return _NAMES[name]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return f"list of {_kind(parts[0])}"
        case ast.UnaryOp(operand=part):
            return _kind(part)
        case ast.Constant(value=value):
            return {str: "text", int: "number", float: "number", type(None): "None"}.get(type(value), "")
    return ""


def _holds(node: ast.expr, values: Mapping[str, Value]) -> Value:
    """Return whether a condition holds: for a whole recording, or (W,) for its windows."""
    match node:
        case ast.BoolOp(op=op, values=parts):
            combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
            return combine.reduce(np.broadcast_arrays(*(_holds(part, values) for part in parts)))
        case ast.UnaryOp(operand=part):
            return np.logical_not(_holds(part, values))
        case ast.Compare(left=left, ops=ops, comparators=others):
            operands = [_value(operand, values) for operand in (left, *others)]
            pairs = zip(ops, operands, operands[1:], strict=False)
            return np.logical_and.reduce(np.broadcast_arrays(*(_compare(op, one, other) for op, one, other in pairs)))
    raise AssertionError(node)  # refused when it was read


def _compare(op: ast.cmpop, one: Value, other: Value) -> Value:
    if order := _ORDERS.get(type(op)):
        return False if one is None or other is None else order(one, other)
    if isinstance(op, _IN):
        found = one in other if isinstance(one, str) or one is None else np.isin(one, other)
    else:
        found = one is other if one is None or other is None else one == other
    return np.logical_not(found) if isinstance(op, _NEGATED) else found


def _value(node: ast.expr, values: Mapping[str, Value]) -> Value:
    return values[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


def _refusal(text: str, problems: list[str]) -> QueryError:
    return QueryError(
        f"Cannot understand --where {text!r}: {'; '.join(problems)}. "
        "Write a condition as in --where \"line_noise < 0.2 and source != 'tusl'\"."
    )
