"""Channel names: labels taken apart, caps by position, what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence

import mne
import numpy as np
import numpy.typing as npt
import pytest
from eeg_ingest.caps import cap_electrodes, cap_sites
from eeg_ingest.channel_types import Label, common_reference, is_electrode, parse_label, type_labels
from eeg_ingest.montage import ChannelChoice, choose_channels
from eeg_ingest.recording import Channel, ChannelType, IngestError, Recording
from eeg_ingest.sites import site_names
from eeg_store.channels import VOCABULARY, canonical_name
from hypothesis import given
from hypothesis import strategies as st


class Labels(Recording):
    """A recording of which only the channels matter."""

    def __init__(self, labels: Sequence[str], types: Sequence[ChannelType] | None = None) -> None:
        types = types or type_labels(labels)
        channels = tuple(Channel(name, kind, 256.0, "uV") for name, kind in zip(labels, types, strict=True))
        super().__init__("edf", 256.0, channels, (), (), ())

    def read_uv(self, channels: Sequence[int], start_sample: int, stop_sample: int) -> npt.NDArray[np.float32]:
        raise NotImplementedError


def choose(labels: Sequence[str], **options: object) -> ChannelChoice:
    defaults: dict[str, object] = {"rename": {}, "drop": (), "montage": None}
    return choose_channels(Labels(labels), **{**defaults, **options})  # type: ignore[arg-type]  # options by name


@pytest.mark.parametrize(
    ("label", "name", "kind", "reference"),
    [
        ("Fc5.", "FC5", "eeg", None),
        ("T10.", "T10", "eeg", None),
        ("EEG Fp1-REF", "FP1", "eeg", "REF"),
        ("EEG FP1-LE", "FP1", "eeg", "LE"),
        ("EEG Fp1-M1Ref", "FP1", "eeg", "M1"),
        ("EEG Fp1-Ref", "FP1", "eeg", "Ref"),
        ("C4-A1", "C4", "eeg", "A1"),
        ("EEG A1-REF", "A1", "eeg", "REF"),
        ("F7-CS2", "F7", "eeg", "CS2"),
        (" EEG  Cz ", "CZ", "eeg", None),
        ("eeg_Oz", "OZ", "eeg", None),
        ("FTT9H", "FTT9h", "eeg", None),
        ("AFp1", "AFp1", "eeg", None),
        ("T3", "T3", "eeg", None),
        ("T7", "T7", "eeg", None),
        ("fp1-f7", "FP1-F7", "eeg", None),
        ("FZ-CZ", "FZ-CZ", "eeg", None),
        ("EEG Fpz-Cz", "FPZ-CZ", "eeg", None),
        ("EEG A2-A1", "A2-A1", "ref", None),
        ("M1-M2", "M1-M2", "ref", None),
        ("VREF", "VREF", "ref", None),
        ("LEFT_EAR", "LEFT_EAR", "ref", None),
        ("ECG ECG", "ECG", "ecg", None),
        ("EKG EKG", "EKG", "ecg", None),
        ("EEG EKG1-REF", "EKG1", "ecg", "REF"),
        ("EEG ROC-REF", "ROC", "eog", "REF"),
        ("EOG1", "EOG1", "eog", None),
        ("HEOGli", "HEOGli", "eog", None),
        ("VEO", "VEO", "eog", None),
        ("EOG horizontal", "horizontal", "eog", None),
        ("EMG-REF", "EMG", "emg", "REF"),
        ("EMG submental", "submental", "emg", None),
        ("Status", "Status", "stim", None),
        ("STI 014", "STI 014", "stim", None),
        ("PHOTIC-REF", "PHOTIC", "stim", "REF"),
        ("GYROX", "GYROX", "misc", None),
        ("SEEG A1", "A1", "misc", None),
        ("CQ_AF3", "CQ_AF3", "misc", None),
        ("SaO2", "SaO2", "misc", None),
        ("EXG1", "EXG1", "misc", None),
        ("EEG 26-REF", "26", None, "REF"),
        ("Fp1-A1+A2", "FP1", "eeg", "A1+A2"),
        ("F3-(M1/M2)", "F3", "eeg", "(M1/M2)"),
        ("EEG Fp1-LER", "FP1", "eeg", "LER"),
        ("Fp1-Vref", "FP1", "eeg", "Vref"),
        ("EEG Cz-G2", "CZ", "eeg", "G2"),
        ("C3_M2", "C3", "eeg", "M2"),
        ("C4/A1", "C4", "eeg", "A1"),
        ("EEG Fp1 Ref", "FP1", "eeg", "Ref"),
        ("C4A1", "C4", "eeg", "A1"),
        ("O2 Sat", "O2 Sat", "misc", None),
        ("O2-Sat", "O2-Sat", "misc", None),
        ("T8-P8-1", "T8-P8", "eeg", None),
        ("EEG FP1-REF-0", "FP1", "eeg", "REF"),
        ("EKG1-EKG2", "EKG1-EKG2", "ecg", None),
        ("X-axis", "X-axis", "misc", None),
        ("Left Eye", "Left Eye", "eog", None),
        ("BIP01", "BIP01", "misc", None),
        ("Resp nasal", "Resp nasal", "misc", None),
        ("CM", "CM", "ref", None),
        ("OorLiAchter", "OorLiAchter", None, None),
        ("POL E", "E", None, None),
        ("POL $A1", "$A1", None, None),
    ],
)
def test_label(label: str, name: str, kind: ChannelType | None, reference: str | None) -> None:
    assert parse_label(label) == Label(name, kind, reference)


@given(
    site=st.sampled_from([name for name in VOCABULARY if "-" not in name]),
    spell=st.sampled_from([str.upper, str.lower, str.title, str]),
    form=st.sampled_from(["{}", "EEG {}", "EEG {}-REF", "{}-LE", "{}.", "{}..", " {} ", "EEG {}-M1Ref", "{}-AVG"]),
)
def test_every_decoration_of_every_site(site: str, spell: type[str], form: str) -> None:
    assert parse_label(form.format(spell(site))).name == site
    assert parse_label(form.format(spell(site))).type == "eeg"


@given(st.text(max_size=16))
def test_no_label_fails(label: str) -> None:
    assert parse_label(label).type in (None, "eeg", "eog", "ecg", "emg", "stim", "ref", "misc")


def test_bipolar_names_of_the_vocabulary() -> None:
    pairs = [name for name in VOCABULARY if "-" in name]
    assert len(pairs) == 16
    assert choose([pair.lower() for pair in pairs]).names == tuple(pairs)


def test_reference_only_where_all_agree() -> None:
    assert common_reference(["EEG Fp1-REF", "EEG C3-REF"]) == "REF"
    assert common_reference(["F4-A1", "CZ-A2"]) is None
    assert common_reference(["Fp1", "EEG C3-REF"]) is None


def test_pairs_that_end_in_one_electrode_are_electrodes_against_it() -> None:
    labels = [f"EEG {site}-Pz" for site in ("Fp1", "F3", "C3", "O1", "T3")]
    assert choose([*labels, "ECG"]).names == ("FP1", "F3", "C3", "O1", "T3")
    assert common_reference(labels) == "PZ"
    assert choose([*labels[:4], "Fp2-F8"]).names == ("FP1-PZ", "F3-PZ", "C3-PZ", "O1-PZ", "FP2-F8")
    assert choose(["Fpz-Cz", "Pz-Oz"]).names == ("FPZ-CZ", "PZ-OZ")


def test_duplicates_and_the_rest_are_left_out_with_reasons() -> None:
    choice = choose(["EEG F1-Ref", "F1", "F2", "Sph1", "EKG", "27"])
    assert (choice.indices, choice.names) == ((0, 2), ("F1", "F2"))
    assert [(item.name, item.reason) for item in choice.left_out] == [
        ("F1", "same name as 'EEG F1-Ref'"),
        ("Sph1", "label 'Sph1' is no electrode name of the 10-05 system"),
        ("EKG", "type ecg"),
        ("27", "label '27' is no electrode name of the 10-05 system"),
    ]


def test_rename_and_drop_go_by_label_or_stripped_label() -> None:
    labels = ["EEG Fp1-REF", "X1", "X2", "EEG C3-REF", "Pz"]
    choice = choose(labels, rename={"X1": "Oz", "FP1": "AF7", "X2": "HEOG", "Nz": "Iz"}, drop=["EEG C3-REF", "PO3"])
    assert choice.names == ("AF7", "OZ", "PZ")
    assert [(item.name, item.type, item.reason) for item in choice.left_out] == [
        ("X2", "eog", "type eog"),
        ("EEG C3-REF", "eeg", "dropped by the source"),
    ]
    assert choice.warnings == ("rename 'Nz' matches no channel", "drop 'PO3' matches no channel")


def test_of_two_references_the_one_of_most_channels_is_taken() -> None:
    """Files of Temple University Hospital may hold an electrode twice."""
    labels = ["EEG FP1-LE", "EEG FP1-REF", "EEG F3-REF", "EEG C3-REF", "EEG C3-LE", "EEG OZ-LE", "EEG P3-REF"]
    choice = choose(labels)
    assert (choice.names, choice.indices) == (("FP1", "F3", "C3", "OZ", "P3"), (1, 2, 3, 5, 6))
    assert [(item.name, item.reason) for item in choice.left_out] == [
        ("EEG FP1-LE", "same name as 'EEG FP1-REF'"),
        ("EEG C3-LE", "same name as 'EEG C3-REF'"),
    ]
    assert choose(labels, drop=["EEG FP1-REF"]).indices == (0, 2, 3, 5, 6)  # of what the source leaves


def test_renamed_labels_may_swap() -> None:
    assert choose(["C3", "C4"], rename={"C3": "C4", "C4": "C3"}).names == ("C4", "C3")


def test_names_that_only_count_are_kept_where_nothing_else_is() -> None:
    choice = choose(["E1", "E2", "E17"])
    assert choice.names == ("E1", "E2", "E17")
    assert "declare the source's montage" in choice.warnings[0]


def test_a_net_that_names_its_vertex_keeps_its_electrodes() -> None:
    labels = [*(f"E{i}" for i in range(1, 129)), "Cz", "ECG"]
    choice = choose(labels)
    assert len(choice.names) == 129
    assert [item.name for item in choice.left_out] == ["ECG"]
    named = choose(labels, montage="GSN-HydroCel-129")
    assert len(named.names) == 129
    assert {"FZ", "CZ", "OZ", "C3"} <= set(named.names)
    for labels in (["Cz", "E1", "E2"], ["Cz", *map(str, range(1, 33))]):  # the eyes; unused inputs
        assert choose(labels).names == ("CZ",)


def test_a_declared_cap_counts_beside_named_sites() -> None:
    choice = choose(["E11", "E36", "E129", "Fp1", "X1"], montage="GSN-HydroCel-128")
    assert choice.names == ("FZ", "C3", "FP1")
    assert [item.name for item in choice.left_out] == ["E129", "X1"]


def test_nothing_left_tells_what_there_is() -> None:
    with pytest.raises(IngestError, match=r"No EEG channel is left: found 1 ecg, 1 misc\..*Rename or declare"):
        choose(["ECG", "GYROX"])
    with pytest.raises(IngestError, match="dropped by the source"):
        choose(["C3"], drop=["C3"])


# Caps


def test_biosemi_caps_of_named_sites_go_by_order() -> None:
    for count in (16, 32, 64):
        labels = [f"{'AB'[i // 32]}{i % 32 + 1}" for i in range(count)]
        sites = mne.channels.make_standard_montage(f"biosemi{count}").ch_names
        choice = choose([*labels, "EXG1", "Status"], montage=f"biosemi{count}")
        assert choice.names == tuple(canonical_name(site) for site in sites)
        assert choice.warnings == ()


def test_a_lettered_cap_is_never_taken_for_sites() -> None:
    labels = [f"{letter}{i}" for letter in "ABCD" for i in range(1, 33)]
    with pytest.raises(IngestError, match=r"'A1' counts the electrodes of a cap: declare `channels: \{montage"):
        choose(labels)
    choice = choose(labels, montage="biosemi128")
    at = {labels[index]: name for index, name in zip(choice.indices, choice.names, strict=True)}
    # BioSemi's own plan of the 128 cap: A1 vertex, A19 Pz, A23 Oz, B22 and D19 near C4 and C3, C21 Fz
    assert [at[e] for e in ("A1", "A19", "A23", "B22", "D19", "C21")] == ["CZ", "PZ", "OZ", "C4", "C3", "FZ"]
    assert not any(electrode == name and is_electrode(name) for electrode, name in at.items())
    assert len(at) > 120
    for item in choice.left_out:
        assert item.reason == f"no free site within 20 mm, and its label {item.name!r} is the name of another site"


def test_hydrocel_pairs_that_the_field_uses() -> None:
    """Luu & Ferree 2005, "Determination of the HydroCel Geodesic Sensor Nets' average electrode positions"."""
    sites = {electrode: site.site for electrode, site in cap_sites("GSN-HydroCel-129").items()}
    pairs = {"E11": "FZ", "E24": "F3", "E124": "F4", "E36": "C3", "E104": "C4", "E62": "PZ", "E75": "OZ", "E70": "O1"}
    pairs |= {"E83": "O2", "E22": "FP1", "E9": "FP2", "E33": "F7", "E122": "F8", "E6": "FCZ", "E55": "CPZ", "Cz": "CZ"}
    assert {electrode: sites[electrode] for electrode in pairs} == pairs


@pytest.mark.parametrize(
    "montage", ["GSN-HydroCel-32", "GSN-HydroCel-64_1.0", "GSN-HydroCel-128", "GSN-HydroCel-257", "biosemi128",
                "biosemi160", "biosemi256", "easycap-M10"]
)  # fmt: skip
def test_positions_keep_sides_and_give_each_site_once(montage: str) -> None:
    positions = mne.channels.make_standard_montage(montage).get_positions()["ch_pos"]
    sites = cap_sites(montage)
    named = {electrode: site for electrode, site in sites.items() if site.site}
    assert set(sites) == set(cap_electrodes(montage))
    assert len({site.site for site in named.values()}) == len(named) > 20
    assert all(site.distance_mm <= 20 for site in named.values())
    for electrode, site in named.items():
        digits = "".join(c for c in str(site.site) if c.isdigit())
        x = positions[electrode][0]
        if digits and abs(x) > 0.02:
            assert (x < 0) == (int(digits) % 2 == 1), (electrode, site)


def test_caps_of_named_sites_map_to_themselves() -> None:
    """The positions are right if each 10-10 name of easycap-M1 and biosemi64 finds itself."""
    for montage in ("biosemi64", "easycap-M1"):
        sites = cap_sites(montage)
        wrong = {name: site for name, site in sites.items() if site.site != canonical_name(name)}
        assert set(wrong) <= {"O9", "O10"}  # the vocabulary's, but not among MNE's 10-05 sites
        assert max(site.distance_mm for name, site in sites.items() if name not in wrong) < 8


@pytest.mark.parametrize("label", ["E{}", "{}", "EEG {:03d}"])
def test_counted_labels_find_their_electrode(label: str) -> None:
    choice = choose([label.format(i) for i in range(1, 129)], montage="GSN-HydroCel-128")
    assert (choice.names[10], choice.names[35], choice.names[61]) == ("FZ", "C3", "PZ")
    assert choice.names[16].endswith("17")  # no free site within 20 mm: it keeps its label
    assert "have no free 10-05 site within 20 mm" in choice.warnings[0]
    assert len(set(choice.names)) == 128


def test_a_montage_that_fits_nothing_warns_and_an_unknown_one_fails() -> None:
    assert choose(["C3", "C4"], montage="GSN-HydroCel-128").warnings == (
        "montage GSN-HydroCel-128 knows none of the labels",
    )
    with pytest.raises(IngestError, match="'GSN-128' is unknown to MNE: expected one of"):
        choose(["E1"], montage="GSN-128")


def test_sites_are_those_of_the_10_05_system() -> None:
    assert site_names() == set(cap_electrodes("spherical_1005"))
    assert is_electrode("AFp1")
    assert is_electrode("t3")
    assert not is_electrode("GYROX")


def test_channels_are_dropped_by_globs_and_in_any_case() -> None:
    labels = ["Fp1", "FC1", "EXG1", "exg2", "GSR1", "EEG T1-REF", "[1]"]
    found = choose(labels, drop=("EXG*", "fc1", "T1", "GSR?", "[1]", "Resp*", "Plet"))
    assert found.names == ("FP1",)
    assert {one.name for one in found.left_out if one.reason == "dropped by the source"} == set(labels) - {"Fp1"}
    assert found.warnings == ("drop 'Plet' matches no channel",)  # a glob is for what only some files have


def test_names_by_position() -> None:
    """The GDF of BCI Competition IV 2a calls its electrodes EEG-0, EEG-1 and so on."""
    found = choose(["EEG-Fz", "EEG-0", "EEG-1", "EOG-left"], names=("Fz", "FC3", "FC1", "EOG1"), drop=("FC1",))
    assert (found.names, found.indices) == (("FZ", "FC3"), (0, 1))
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("EEG-1", "dropped by the source"),
        ("EOG-left", "type eog"),
    ]
    with pytest.raises(IngestError, match="expected 3 channels, found 2"):
        choose(["a", "b"], names=("Fz", "Cz", "Pz"))
