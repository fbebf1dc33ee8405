"""Damage to a recording's files: what disks, copies and careless editors do, by a seed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.eeg_ingest.builds.sound_files import Sound

NUMBERS = (b"", b"0", b"-1", b"1", b"7", b"4.5", b"nan", b"1e308", b"99999999999999999999", b"x")

Change = Callable[[bytearray, int, int, np.random.Generator], None]


@dataclass(frozen=True)
class Mutant:
    """The files that are left, and what was done; `in_header` where no byte of a sample was touched.

    `moves_bytes` where a file became longer or shorter.
    """

    files: dict[str, bytes]
    what: str
    in_header: bool
    moves_bytes: bool


def mutate(sound: Sound, rng: np.random.Generator) -> Mutant:
    """Damage a sound recording in one way. Bytes of headers are hit as often as those of samples."""
    while True:
        name = str(rng.choice(list(sound.files)))
        content = bytearray(sound.files[name])
        n_head = min(sound.head_of(name), len(content))
        in_header = n_head == len(content) or (n_head > 0 and rng.random() < 0.5)
        if name != sound.opened and rng.random() < 0.1:
            left = {other: c for other, c in sound.files.items() if other != name}
            return Mutant(left, f"{name} removed", in_header=True, moves_bytes=True)
        start, stop = (0, n_head) if in_header else (n_head, len(content))
        changes = _HEADER if in_header else _BODY
        change = changes[int(rng.integers(len(changes)))]
        change(content, start, stop, rng)
        if content != sound.files[name]:
            part = "header" if in_header else "body"
            what = f"{name}: {part}, {change.__name__.strip('_')}"
            moves_bytes = len(content) != len(sound.files[name])
            return Mutant(sound.files | {name: bytes(content)}, what, in_header, moves_bytes)


def _flip(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    for place in rng.integers(start, stop, rng.integers(1, 9)):
        content[int(place)] = int(rng.choice([rng.integers(256), *b"0123456789-. \n="]))


def _replace_number(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    """One of the numbers that are written as text becomes another, as wide as it was half of the time."""
    numbers = list(re.finditer(rb"\d+(\.\d+)?", bytes(content[start:stop])))
    if not numbers:
        return _flip(content, start, stop, rng)
    found = numbers[int(rng.integers(len(numbers)))]
    other = NUMBERS[int(rng.integers(len(NUMBERS)))]
    if rng.random() < 0.5:
        width = len(found[0])
        other = other[:width].ljust(width)
    content[start + found.start() : start + found.end()] = other


def _truncate(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    del content[int(rng.integers(start, stop)) :]


def _block(start: int, stop: int, rng: np.random.Generator) -> slice:
    first = int(rng.integers(start, stop))
    longest = max(1, (stop - start) // 8)  # so that most of the signal stays
    return slice(first, min(stop, first + min(longest, int(rng.choice([1, 2, 16, 100, 512, 1000])))))


def _remove(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    del content[_block(start, stop, rng)]


def _double(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    block = _block(start, stop, rng)
    content[block.start : block.start] = content[block]


def _zero(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    block = _block(start, stop, rng)
    content[block] = bytes(block.stop - block.start)


def _swap(content: bytearray, start: int, stop: int, rng: np.random.Generator) -> None:
    first, second = _block(start, stop, rng), _block(start, stop, rng)
    width = min(first.stop - first.start, second.stop - second.start)
    a, b = slice(first.start, first.start + width), slice(second.start, second.start + width)
    content[a], content[b] = content[b], content[a]


_BODY: tuple[Change, ...] = (_flip, _truncate, _remove, _double, _zero, _swap)
_HEADER: tuple[Change, ...] = (_flip, _flip, _replace_number, _replace_number, _replace_number, *_BODY[1:])
