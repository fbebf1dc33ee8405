"""Auditing a store without starting processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from eeg_ingest.audit import Finding, audit

from tests.eeg_ingest.audit.heads import Head, write_store

Audit = Callable[..., list[Finding]]


class Here:
    """Workers that work in this process."""

    def run(
        self, task: Callable[[Sequence[Any]], list[Any]], items: Sequence[Any], *, batch: int = 1
    ) -> Iterator[tuple[Any, Any]]:
        yield from zip(items, task(items), strict=True)


@pytest.fixture
def audit_of(tmp_path: Path) -> Audit:
    """Write a store of heads and audit it."""

    def run(heads: dict[str, Head], **options: Any) -> list[Finding]:
        return audit(write_store(tmp_path / "store", heads, **options), Here())  # type: ignore[arg-type]

    return run
