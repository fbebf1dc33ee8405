"""The vocabulary that released weights depend on."""

from __future__ import annotations

from pathlib import Path

from eeg_store.channels import VOCABULARY, canonical_name, slot_of


def test_the_vocabulary_is_the_official_list(golden: Path) -> None:
    official = (golden / "channels_labram_v1.txt").read_text().split()
    assert list(VOCABULARY) == official
    assert [slot_of(name) for name in official] == [*range(1, 129), *[None] * 8]


def test_both_names_of_one_place_keep_their_own_ids() -> None:
    assert slot_of("T7") == 38
    assert slot_of("T3") == 89
    assert slot_of("P7") == 60
    assert slot_of("T5") == 90


def test_spelling_is_the_vocabularys() -> None:
    assert canonical_name("Fz") == "FZ"
    assert canonical_name("FTT9H") == "FTT9h"
    assert canonical_name(" Cz ") == "CZ"
    assert canonical_name("EXG1") == "EXG1"
    assert slot_of("ftt9H") == slot_of("FTT9h") == 115
    assert slot_of("EXG1") is None
