"""What `labram runs` tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eeg_tokenizer.page import write_page
from eeg_tokenizer.runs import differing_options, find_runs, shared_numbers


def list_runs(folders: Sequence[Path], *, compare: bool, html: bool) -> dict[str, Any]:
    """Return the runs in and beneath `folders`; compared, and with new pages, as asked for.

    A run that is damaged gets no page and says so among its problems.

    Raises:
        RunError: no run.
        OSError: a page cannot be written.
    """
    found = find_runs(folders)
    pages = []
    if html:
        for run in found:
            try:
                pages.append(str(write_page(run.path)))
            except (AttributeError, TypeError, KeyError, ValueError) as error:  # CheckpointError is one, too
                run.problems.append(f"no page: {error}")
    return {
        "runs": [run.as_json() for run in found],
        **({"differing_options": differing_options(found), "numbers": shared_numbers(found)} if compare else {}),
        **({"pages": pages} if html else {}),
    }
