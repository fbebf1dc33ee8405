"""A process that reads one ANT CNT file with antio, for `ant.py`: a fault in antio's C library ends only this process.

Run as a script, so that it starts fast: it imports nothing of this package. On stdout it writes a line of JSON with
the header. Then for each line `start stop` on stdin it writes a line of JSON, {"bytes": n} or {"error": text}, and then
those bytes: float32 (C, stop - start) in the units of the header. It ends with its stdin.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# antio's library prints to stdout where it pleases: that goes to stderr, answers to a copy
_ANSWERS = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)


def _header(cnt: Any) -> dict[str, Any]:
    """Channels, rate, length and triggers; nothing of the patient or the date."""
    channels = [cnt.get_channel(index, encoding="latin-1")[:3] for index in range(cnt.get_channel_count())]
    triggers = [cnt.get_trigger(index) for index in range(cnt.get_trigger_count())]
    return {
        "channels": [{"label": label, "unit": unit, "reference": reference} for label, unit, reference in channels],
        "sfreq_hz": cnt.get_sample_frequency(),
        "n_samples": cnt.get_sample_count(),
        "triggers": [
            {"sample": sample, "n_samples": duration, "code": code, "condition": condition, "description": description}
            for code, sample, duration, condition, description, _ in triggers
        ],
    }


def _answer(answer: dict[str, Any], data: bytes = b"") -> None:
    _ANSWERS.write(json.dumps(answer).encode() + b"\n" + data)
    _ANSWERS.flush()


def main(path: str) -> None:
    """Read the file at `path` for as long as somebody asks."""
    from antio import read_cnt  # noqa: PLC0415  after stdout is safe

    try:
        cnt = read_cnt(path)
        _answer(_header(cnt))
    except Exception as error:  # noqa: BLE001  whatever antio raises is the answer
        _answer({"error": str(error) or type(error).__name__})
        return
    for line in sys.stdin:
        start, stop = map(int, line.split())
        try:
            data = cnt.get_samples_as_nparray(start, stop).astype("<f4", order="C").tobytes()
        except Exception as error:  # noqa: BLE001
            _answer({"error": str(error) or type(error).__name__})
        else:
            _answer({"bytes": len(data)}, data)


if __name__ == "__main__":
    main(sys.argv[1])
