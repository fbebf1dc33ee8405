"""Ends, lengths, labels, rates, counts and what the build said, against what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eeg_ingest.audit import Finding, write_page
from eeg_ingest.rate import RATE_DOUBT

from tests.eeg_ingest.audit.conftest import Audit
from tests.eeg_ingest.audit.heads import SFREQ_HZ, Head, brain, write_store


def heads(count: int = 6, seconds: int = 20, **row: Any) -> dict[str, Head]:
    return {f"h{seed}": Head(brain(seed, seconds), row=dict(row)) for seed in range(count)}


def of_weight(findings: list[Finding]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(finding.name, finding.weight, finding.recordings) for finding in findings if finding.has_weight]


@pytest.mark.parametrize(("tail_s", "is_found"), [(2, False), (4, False), (6, True), (15, True)])
def test_a_recording_that_is_dead_to_its_end(audit_of: Audit, tail_s: int, is_found: bool) -> None:
    found = heads()
    found["h3"].uv[:, -tail_s * SFREQ_HZ :] = 7
    assert of_weight(audit_of(found)) == ([("stops_early", "warning", ("h3",))] if is_found else [])


def test_a_recording_without_any_signal(audit_of: Audit) -> None:
    found = heads()
    found["h3"].uv[:] = 7
    assert ("railed_channels", "error", ("h3",)) in of_weight(audit_of(found))


def test_labels_after_the_end(audit_of: Audit) -> None:
    found = heads(3)
    at = {"onset_s": None, "duration_s": 1.0, "label": "seizure"}
    found["h0"].events = [{**at, "original_onset_s": 20.5}]  # a rounded clock
    found["h1"].events = [{**at, "original_onset_s": 200.0}]
    findings = audit_of(found)
    assert of_weight(findings) == [("stops_early", "warning", ("h1",))]
    assert "labels up to 180 s after the end" in findings[0].found


@pytest.mark.parametrize(
    ("lengths_s", "short"),
    [
        ([125, 125, 125, 124, 126, 40], ["h5"]),
        ([125, 125, 125, 124, 126, 63], ["h5"]),  # a half
        ([125, 125, 125, 124, 126, 80], []),
        ([125, 125, 125, 125, 61, 61], []),  # another task
        ([10, 90, 300, 700, 1500, 20], []),  # of any length
        ([125, 125, 60], []),  # too few to know
    ],
)
def test_a_recording_that_is_shorter_than_its_kind(audit_of: Audit, lengths_s: list[int], short: list[str]) -> None:
    found = heads(len(lengths_s), 4)
    for head, length_s in zip(found.values(), lengths_s, strict=True):
        head.row["original_duration_s"] = float(length_s)
    assert of_weight(audit_of(found)) == [("stops_early", "warning", (name,)) for name in short]


def test_runs_of_a_kind_are_compared_with_each_other(audit_of: Audit) -> None:
    found = heads(12, 2)
    for number, head in enumerate(found.values()):
        head.row |= {"run": str(number % 2), "original_duration_s": [182.0, 62.0][number % 2]}
    found["h4"].row["original_duration_s"] = 60.0
    assert of_weight(audit_of(found)) == [("stops_early", "warning", ("h4",))]


def test_rates_that_contradict_or_stand_out(audit_of: Audit, tmp_path: Path) -> None:
    found = heads(6, 2)
    found["h2"].row["original_sfreq_hz"] = 128.0
    assert of_weight(audit_of(found)) == [("sampling_rate", "warning", ("h2",))]


@pytest.mark.parametrize(("allowed", "weight"), [([256.0, 128.0], None), ([256.0], "error")])
def test_rates_against_the_expected_ones(audit_of: Audit, allowed: list[float], weight: str | None) -> None:
    found = heads(6, 2)
    found["h2"].row["original_sfreq_hz"] = 128.0
    findings = audit_of(found, expected={"heads": {"sfreq_hz": allowed}})
    assert of_weight(findings) == ([("sampling_rate", weight, ("h2",))] if weight else [])


def test_a_rate_that_the_hum_contradicts(audit_of: Audit) -> None:
    found = heads(6, 2)
    found["h2"].row["warnings"] = [f"{RATE_DOUBT}: 250 Hz puts a steady hum at 62.50 Hz, 200 Hz would put it at 50 Hz"]
    findings = audit_of(found)
    assert of_weight(findings) == [("sampling_rate", "warning", ("h2",))]
    assert len(findings) == 1  # and not once more among the warnings of the build


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ({"subjects": 6, "recordings": 6, "hours": 0.5, "channels": [19]}, []),
        ({"subjects": 3}, [("subjects", "warning")]),
        ({"subjects": 109}, [("subjects", "note")]),
        ({"subjects": 8, "recordings": 6}, [("subjects", "warning")]),
        ({"recordings": 5}, [("recordings", "warning")]),
        ({"hours": 0.49}, [("hours", "warning")]),
        ({"hours": 0.495}, []),
        ({"hours": 47.3}, [("hours", "note")]),
        ({"hours": 0.8, "recordings": 6}, [("hours", "warning")]),
        ({"channels": [21, 23]}, [("channels", "warning")]),
    ],
)
def test_counts(audit_of: Audit, expected: dict[str, Any], found: list[tuple[str, str]]) -> None:
    findings = audit_of(heads(6, 2, original_duration_s=300.0), expected={"heads": expected})
    assert [(finding.name, finding.weight) for finding in findings] == found


def test_what_the_build_said_is_repeated_once(tmp_path: Path, audit_of: Audit) -> None:
    found = heads(4, 2)
    for number in range(3):
        samples = [f"{number + 2} samples (0.{more} %) were set to the limit" for more in range(2)]
        found[f"h{number}"].row["warnings"] = samples
        found[f"h{number}"].row["left_out"] = [{"name": "EOG1", "type": "eog", "reason": "type eog"}]
        found[f"h{number}"].row["file"] = f"{'abc'[number]}/aaaaaa{'xyz'[number]}r_s001_t000.edf"
        found[f"h{number}"].row["warnings"].append(f"found no aaaaaa{'xyz'[number]}r_s001_t000.csv")
    findings = audit_of(found)
    assert findings[0].found.startswith("3 of 4 recordings with")
    names = [(f.name, f.weight, f.recordings) for f in findings]
    assert names.pop(1) == ("ingest_warning", "note", ("h0", "h1", "h2"))  # of files beside the recordings, once too
    assert names == [("ingest_warning", "note", ("h0", "h1", "h2")), ("left_out", "note", ("h0", "h1", "h2"))]


def test_filters_that_the_files_declare_differently(audit_of: Audit) -> None:
    found = heads(4, 2, original_highpass_hz=None, original_lowpass_hz=None)
    found["h1"].row |= {"original_highpass_hz": 0.5, "original_lowpass_hz": 45.0}
    (finding,) = audit_of(found)
    assert (finding.name, finding.weight) == ("filters", "note")
    assert finding.found == "none in 3, 0.5 to 45 Hz in 1 of 4 recordings"


def test_failures_and_damage_are_findings(tmp_path: Path) -> None:
    from eeg_ingest.audit import audit  # noqa: PLC0415

    from tests.eeg_ingest.audit.conftest import Here  # noqa: PLC0415

    store = write_store(tmp_path / "store", heads(2, 2))
    store = type(store).open(store.path, mode="a")
    store.record_failure("heads", "a.edf", "The file is short: expected 3 bytes, found 2. Copy it again.")
    store.record_failure("heads", "b.edf", "Read in uV: expected 0.1 µV to 2 mV. Declare `unit: mV` in sources.yaml.")
    (shard,) = (store.path / store.recordings()["array"][0].as_py()).glob("c.0.*")
    shard.write_bytes(b"\0" * shard.stat().st_size)
    findings = audit(store, Here())  # type: ignore[arg-type]
    assert {(f.name, f.weight) for f in findings} == {
        ("failures", "warning"),
        ("unit", "error"),
        ("unreadable", "error"),
    }
    page = write_page(findings, 1)
    assert page.index("error: unit in heads") < page.index("warning: failures in heads")
    assert page.endswith("1 recording looked at: 2 errors, 1 warning, 0 notes")
