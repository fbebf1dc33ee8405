"""Defects of channels and of whole recordings, each beside what is nearly one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.eeg_ingest.audit.conftest import Audit
from tests.eeg_ingest.audit.heads import NAMES, SFREQ_HZ, Head, blinks, brain, tone

SEEDS = range(3)


def healthy(first_seed: int, count: int = 2, seconds: int = 64) -> dict[str, Head]:
    seeds = range(100 + first_seed, 100 + first_seed + count)
    return {f"ok{seed}": Head(brain(seed, seconds)) for seed in seeds}


def found(audit_of: Audit, head: Head, seed: int, **options: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """Findings of weight in a store of the head and two healthy ones."""
    findings = audit_of({**healthy(seed), "head": head}, **options)
    return [(finding.name, finding.weight, finding.recordings) for finding in findings if finding.has_weight]


@pytest.mark.parametrize("seed", SEEDS)
def test_healthy_heads_have_no_finding(audit_of: Audit, seed: int) -> None:
    assert found(audit_of, Head(brain(seed)), seed) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hum_hz", [60.0, 50.0])
def test_hum_beside_the_notch(audit_of: Audit, seed: int, hum_hz: float) -> None:
    humming = {name: Head(head.uv + tone(64, hum_hz, 2.0)) for name, head in healthy(seed).items()}
    lines = {name: Head(head.uv, row={"line_freq_hz": 110 - hum_hz}) for name, head in humming.items()}
    (finding,) = audit_of(lines)
    assert (finding.name, finding.weight, finding.recordings) == ("mains_frequency", "error", tuple(sorted(humming)))
    assert f"hum at {hum_hz:g} Hz" in finding.found


@pytest.mark.parametrize("seed", SEEDS)
def test_no_hum_is_found_in_a_few_channels_or_at_the_harmonic_of_a_stimulus(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv[-6:] += tone(64, 60, 2.0)  # 15 Hz flicker, in a third of the channels
    assert found(audit_of, Head(uv), seed) == []


def test_one_recording_of_another_mains_in_a_source_of_auto(audit_of: Audit) -> None:
    heads = {**healthy(0), "head": Head(brain(1), row={"line_freq_hz": 60.0})}
    (finding,) = audit_of(heads, line_freq_hz="auto")
    assert (finding.name, finding.weight, finding.recordings) == ("mains_frequency", "warning", ("head",))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("amplitude_uv", "weight"), [(0.6, "warning"), (600.0, "error"), (280.0, "warning")])
def test_a_recording_in_another_unit(audit_of: Audit, seed: int, amplitude_uv: float, weight: str) -> None:
    head = Head(brain(seed, amplitude_uv=amplitude_uv))
    assert found(audit_of, head, seed) == [("unit", weight, ("head",))]


@pytest.mark.parametrize("amplitude_uv", [4.0, 80.0])
def test_quiet_and_loud_heads_are_heads(audit_of: Audit, amplitude_uv: float) -> None:
    assert found(audit_of, Head(brain(0, amplitude_uv=amplitude_uv)), 0) == []


def test_a_source_in_another_unit_names_the_factor(audit_of: Audit) -> None:
    (finding,) = audit_of({f"h{seed}": Head(brain(seed, amplitude_uv=0.07)) for seed in range(3)})
    assert (finding.name, finding.weight) == ("unit", "error")
    assert "1000 times it would be EEG" in finding.found


@pytest.mark.parametrize("seed", SEEDS)
def test_white_noise_is_no_eeg(audit_of: Audit, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 15, (len(NAMES), 2 * SFREQ_HZ))
    heads = {"head": Head(noise, source="noise"), "calm": Head(brain(seed, 2), source="brain")}
    (finding,) = audit_of(heads)
    assert (finding.name, finding.weight, finding.recordings) == ("noise", "error", ("head",))


@pytest.mark.parametrize("seed", SEEDS)
def test_tense_muscles_are_no_noise(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv += np.random.default_rng(seed).normal(0, 8, uv.shape)
    assert found(audit_of, Head(uv), seed) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_two_identical_channels(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv[5] = uv[8]
    assert found(audit_of, Head(uv), seed) == [("identical_channels", "warning", ("head",))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bridge_and_another_gain_are_no_copies(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv[5] = uv[8] + 0.1 * uv[9]
    uv[1] = 1.05 * uv[0]
    uv[2] = -uv[3]
    assert found(audit_of, Head(uv), seed) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_a_calibration_signal_on_all_channels(audit_of: Audit, seed: int) -> None:
    uv = brain(seed, n_channels=1) + np.random.default_rng(seed).normal(0, 0.2, (len(NAMES), 64 * SFREQ_HZ))
    assert found(audit_of, Head(uv), seed) == [("identical_channels", "error", ("head",))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_railed_and_a_flat_channel(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv[4], uv[7] = 0, 300
    findings = audit_of({**healthy(seed), "head": Head(uv, clipped=["T7"])})
    assert [(f.name, f.weight, f.recordings) for f in findings] == [("railed_channels", "warning", ("head",))]
    assert findings[0].found.startswith("FZ, T7 constant")
    assert "1 of them at the converter's limit" in findings[0].found


def test_a_channel_of_which_the_last_bit_flickers_is_flat(audit_of: Audit) -> None:
    uv = brain(0)
    uv[4] = np.random.default_rng(0).integers(-1, 2, uv.shape[1]) * 0.04  # 0.1 µV is the store's step
    findings = audit_of({**healthy(0), "head": Head(uv)})
    assert [(f.name, f.weight, f.recordings) for f in findings] == [("railed_channels", "warning", ("head",))]
    assert findings[0].found.startswith("FZ constant")


@pytest.mark.parametrize(("dead", "weighty"), [([9], []), ([9, 4], ["FZ constant for half of the time or more"])])
def test_a_reference_that_is_known_to_be_flat(audit_of: Audit, dead: list[int], weighty: list[str]) -> None:
    uv = brain(0)
    uv[dead] = 0
    findings = audit_of({"head": Head(uv)}, expected={"heads": {"flat": ["CZ"]}})
    assert [finding.found.split(",")[0] for finding in findings if finding.has_weight] == weighty


def test_most_channels_railed_is_an_error(audit_of: Audit) -> None:
    uv = brain(0)
    uv[2:] = 187
    assert found(audit_of, Head(uv, clipped=NAMES[2:]), 0) == [("railed_channels", "error", ("head",))]


@pytest.mark.parametrize("seed", SEEDS)
def test_drop_outs_are_no_railed_channels(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv[4, : 20 * SFREQ_HZ] = 0
    uv[:, 30 * SFREQ_HZ : 33 * SFREQ_HZ] = 0
    assert found(audit_of, Head(uv), seed) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_an_eog_under_the_name_of_an_eeg_channel(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    eyes = blinks(seed, 64, 120)
    uv[0], uv[1] = uv[0] + eyes, uv[1] + eyes
    uv[11] -= 2 * eyes
    findings = audit_of({**healthy(seed), "head": Head(uv)})
    assert [(f.name, f.weight, f.recordings) for f in findings] == [("eog_as_eeg", "warning", ("head",))]
    assert findings[0].found.startswith("T8 with")


@pytest.mark.parametrize("seed", SEEDS)
def test_blinks_at_the_forehead_and_loose_electrodes_are_no_eog(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    eyes, rng = blinks(seed, 64, 250), np.random.default_rng(seed)
    uv[:2] += eyes
    uv[2:7] += 0.3 * eyes
    for start in range(SFREQ_HZ, 60 * SFREQ_HZ, 4 * SFREQ_HZ):  # pops of either sign
        uv[16, start : start + 70] += rng.choice([-1, 1]) * rng.uniform(100, 300) * np.hanning(70)
    assert found(audit_of, Head(uv), seed) == []


def test_a_channel_that_its_file_names_as_eyes(audit_of: Audit) -> None:
    labels = [*NAMES[:-1], "EOG left"]
    head = Head(brain(0), row={"original_names": labels})
    assert found(audit_of, head, 0) == [("eog_as_eeg", "warning", ("head",))]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_open_input(audit_of: Audit, seed: int) -> None:
    uv = brain(seed)
    uv[3] *= 250
    assert found(audit_of, Head(uv), seed) == [("open_inputs", "warning", ("head",))]
