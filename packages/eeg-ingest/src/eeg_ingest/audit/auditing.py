"""The audit of a store: every recording is looked at on the workers, then each source is judged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from eeg_store import Store

from eeg_ingest.audit.channels import check_eyes, check_identical, check_railed
from eeg_ingest.audit.counts import check_counts
from eeg_ingest.audit.ends import check_ends, check_lengths
from eeg_ingest.audit.evidence import Evidence
from eeg_ingest.audit.finding import Finding, in_order
from eeg_ingest.audit.look import COLUMNS, Look, LookTask, look_at
from eeg_ingest.audit.mains import check_mains
from eeg_ingest.audit.noise import check_noise
from eeg_ingest.audit.rates import check_rates
from eeg_ingest.audit.remarks import check_remarks
from eeg_ingest.audit.repeats import check_repeats
from eeg_ingest.audit.units import check_open_inputs, check_units
from eeg_ingest.facts import Expected
from eeg_ingest.progress import Progress
from eeg_ingest.workers import Workers

LOOKS_PER_TASK = 16
CHECKS = (
    check_mains,
    check_rates,
    check_units,
    check_open_inputs,
    check_noise,
    check_identical,
    check_railed,
    check_eyes,
    check_ends,
    check_lengths,
    check_counts,
    check_remarks,
)


def audit(store: Store, workers: Workers, expected: Mapping[str, Expected] | None = None) -> list[Finding]:
    """Compare what the store holds of each source with what is expected of it. Most severe findings first.

    `expected` replaces, for its sources, what the store keeps. Raises StoreError, and StoppedError where workers are
    lost; a recording that cannot be read is a finding.
    """
    facts = {name: Expected.model_validate(values) for name, values in store.expected.items()} | dict(expected or {})
    looks: dict[str, list[Look]] = defaultdict(list)
    unreadable: dict[str, dict[str, str]] = defaultdict(dict)
    tasks = [LookTask(store, row) for row in store.recordings(COLUMNS).to_pylist()]
    with Progress("audit", len(tasks), "recordings") as bar:
        for task, outcome in workers.run(look_at, tasks, batch=LOOKS_PER_TASK):
            bar.advance()
            if isinstance(outcome, Look):
                looks[task.row["source"]].append(outcome)
            else:
                unreadable[task.row["source"]][task.row["recording"]] = outcome.reason
    for of_source in looks.values():
        of_source.sort(key=lambda look: look.recording)
    failures: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in store.failures().to_pylist():
        failures[row["source"]].append(row)
    last_label_s = _last_labels(store)
    findings: list[Finding] = []
    for source, options in store.spec.get("sources", {}).items():
        evidence = Evidence(
            source=source,
            options=options,
            expected=facts.get(source, Expected()),
            looks=looks[source],
            failures=failures[source],
            last_label_s=last_label_s,
            unreadable=unreadable[source],
        )
        for check in CHECKS:
            findings += check(evidence)
    findings += check_repeats(store, [look for source in store.spec.get("sources", {}) for look in looks[source]])
    return in_order(findings)


def _last_labels(store: Store) -> dict[str, float]:
    events = store.events(["recording", "original_onset_s"]).group_by("recording")
    last = events.aggregate([("original_onset_s", "max")])
    return dict(zip(*(last[name].to_pylist() for name in ("recording", "original_onset_s_max")), strict=True))
