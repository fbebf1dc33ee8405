"""How MNE is asked for each format, and what the units of each format mean (docs/decisions/units.md)."""

from __future__ import annotations

import re
import tempfile
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
from mne.io.constants import FIFF

from eeg_ingest.readers.brainvision import brainvision_for_mne
from eeg_ingest.readers.cnt_header import cnt_data_format
from eeg_ingest.readers.companions import recording_files
from eeg_ingest.readers.completeness import check_fif, check_nihon_kohden, check_nxe
from eeg_ingest.readers.eeglab import open_eeglab
from eeg_ingest.readers.epochs import raw_of_epochs
from eeg_ingest.readers.mne_channels import FileUnits, wrap_raw
from eeg_ingest.readers.mne_raw import MneRecording, reading_by_mne, short
from eeg_ingest.recording import IngestError
from eeg_ingest.units import voltage_unit

_MAX_RECOMPUTED_BYTES = 2e9  # beyond this MNE has only the header's count of samples for Neuroscan files
_UNIT_OF_POWER = {0: "V", -3: "mV", -6: "uV", -9: "nV"}


@dataclass(frozen=True)
class _MneFormat:
    """A format that MNE reads: from a file called `*suffix`, with `read`.

    `units` are the units of the file's numbers, and what MNE made of them. `is_typed` says that the format tells which
    channels are EEG.
    """

    suffix: str
    read: Callable[[Path], Any]
    units: Callable[[Path, Any], FileUnits]
    is_typed: bool = False


def open_with_mne(
    path: Path, kind: str, unit: str | None, *, overrule: bool = False, sample_bits: int | None = None
) -> MneRecording:
    """Open a file of format `kind` lazily; `sample_bits` are those of a Neuroscan file that does not tell.

    Raises IngestError, with MNE's reason, if MNE cannot.
    """
    of_kind = _FORMATS[kind]
    readable, folder = _with_suffix(path, of_kind.suffix)
    try:
        with warnings.catch_warnings(record=True) as caught, reading_by_mne(f"this {kind} file"):
            warnings.simplefilter("always")
            raw = _cnt(readable, sample_bits) if sample_bits else of_kind.read(readable)
            recording = wrap_raw(
                raw, path, kind, unit, of_kind.units(readable, raw), is_typed=of_kind.is_typed, overrule=overrule
            )
    except IngestError:
        if folder:
            folder.cleanup()
        raise
    recording.warnings += _worth_telling(caught)
    if folder:
        weakref.finalize(recording, folder.cleanup)
    return recording


def _brainvision(path: Path) -> Any:
    return mne.io.read_raw_brainvision(path, preload=False, ignore_marker_types=False, verbose="ERROR")


def _brainvision_units(path: Path, raw: Any) -> FileUnits:  # noqa: ARG001
    """As the header spells them; MNE multiplies with 1 where it does not know the spelling."""
    declared = []
    for name in raw.ch_names:
        written = str(raw._orig_units.get(name, ""))
        declared.append(voltage_unit(written) or ("uV" if not written.strip() else "other"))  # the default is µV
    return FileUnits(tuple(declared), tuple(float(channel["range"]) for channel in raw.info["chs"]))


def _fif(path: Path) -> Any:
    check_fif(path)
    for part in recording_files(path)[1:]:
        check_fif(part, is_first=False)
    try:
        return mne.io.read_raw_fif(path, preload=False, verbose="ERROR")
    except ValueError as error:
        if "No raw data" not in str(error):
            raise
    try:
        epochs = mne.read_epochs(path, proj=False, verbose="ERROR")
    except ValueError as error:
        raise IngestError(
            f"{path.name} is no recording: expected raw data or epochs in the FIF file, found neither (averages, or "
            "a solution). Leave it out."
        ) from error
    return raw_of_epochs(epochs)


def _fif_units(path: Path, raw: Any) -> FileUnits:  # noqa: ARG001
    """V and its parts of a thousand, which MNE leaves alone."""
    declared = tuple(
        _UNIT_OF_POWER.get(int(channel["unit_mul"])) if channel["unit"] == FIFF.FIFF_UNIT_V else "other"
        for channel in raw.info["chs"]
    )
    return FileUnits(declared, (1.0,) * len(declared), constant="V")


def _cnt(path: Path, sample_bits: int | None = None) -> Any:
    return mne.io.read_raw_cnt(
        path,
        data_format=cnt_data_format(path, sample_bits),
        recompute_n_samples=path.stat().st_size < _MAX_RECOMPUTED_BYTES,  # the header's count is often wrong
        preload=False,
        verbose="ERROR",
    )


def _nihon_kohden(path: Path) -> Any:
    """MNE drops what it cannot decode: no byte is beyond Latin-1."""
    check_nihon_kohden(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        raw = mne.io.read_raw_nihon(path, preload=False, verbose="WARNING")  # "ERROR" would mute the warnings, too
    if any("Could not decode log" in str(warning.message) for warning in caught):
        return mne.io.read_raw_nihon(path, preload=False, encoding="latin-1", verbose="WARNING")
    for warning in caught:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return raw


def _eximia(path: Path) -> Any:
    check_nxe(path)
    return mne.io.read_raw_eximia(path, preload=False, verbose="ERROR")


def _microvolts(path: Path, raw: Any) -> FileUnits:  # noqa: ARG001
    """µV by the format (EEGLAB: by convention), of which MNE made V."""
    return FileUnits(("uV",) * len(raw.ch_names), (1e-6,) * len(raw.ch_names))


def _eeglab_units(path: Path, raw: Any) -> FileUnits:  # noqa: ARG001
    return FileUnits(("uV",) * len(raw.ch_names), (1e-6,) * len(raw.ch_names), constant="uV")


def _eximia_units(path: Path, raw: Any) -> FileUnits:  # noqa: ARG001
    """µV by the format, which MNE 1.13 passes on as if they were V."""
    return FileUnits(("uV",) * len(raw.ch_names), (1.0,) * len(raw.ch_names))


_FORMATS = {
    "brainvision": _MneFormat(".vhdr", _brainvision, _brainvision_units),
    "eeglab": _MneFormat(".set", open_eeglab, _eeglab_units, is_typed=True),
    "fif": _MneFormat(".fif", _fif, _fif_units, is_typed=True),
    "neuroscan-cnt": _MneFormat(".cnt", _cnt, _microvolts, is_typed=True),
    "nihon-kohden": _MneFormat(".EEG", _nihon_kohden, _microvolts),
    "eximia": _MneFormat(".nxe", _eximia, _eximia_units, is_typed=True),
}


def _with_suffix(path: Path, suffix: str) -> tuple[Path, tempfile.TemporaryDirectory[str] | None]:
    """A path that ends in `suffix`, which MNE insists on: the file itself, or a link in a temporary folder.

    It insists on the case of other files' suffixes too, where files may come from a system that ignores case.
    """
    if suffix == ".vhdr":
        return brainvision_for_mne(path)
    suffix = ".fif.gz" if suffix == ".fif" and _is_gzip(path) else suffix
    names = {file: _name_for_mne(file, path, suffix) for file in recording_files(path)[1:]}
    if path.name.endswith(suffix) and all(file.name == name for file, name in names.items()):
        return path, None
    folder = tempfile.TemporaryDirectory(prefix="eeg-ingest-")
    link = Path(folder.name) / f"{path.stem}{suffix}"
    link.symlink_to(path.resolve())
    for file, name in names.items():
        target = Path(folder.name) / name
        if not target.exists():
            target.symlink_to(file.resolve())
    return link, folder


def _name_for_mne(file: Path, path: Path, suffix: str) -> str:
    """The name under which MNE looks for `file`, which belongs to the recording at `path`."""
    if suffix == ".EEG":  # Nihon Kohden
        return f"{path.stem}{file.suffix.upper()}"
    return f"{path.stem}.fdt" if file.suffix.lower() == ".fdt" else file.name


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _worth_telling(caught: list[warnings.WarningMessage]) -> list[str]:
    """MNE's warnings about the recording, short and once each."""
    texts = []
    for warning in caught:
        text = short(warning.message if isinstance(warning.message, Warning) else RuntimeError(str(warning.message)))
        # of no news: MNE's plans and naming rules, and its arithmetic on positions that a file lacks
        silent = re.search("naming conventions|encountered in", text)
        if silent or issubclass(warning.category, (FutureWarning, DeprecationWarning)):
            continue
        texts.append(re.sub(r"\S*/(?=[^/\s]+)", "", text))
    return list(dict.fromkeys(texts))
