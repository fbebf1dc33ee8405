"""How the files of each format begin."""

from __future__ import annotations

import re
import struct

FIF_START = bytes.fromhex("00000064 0000001f 00000014")  # the file-id tag: kind 100, type 31, 20 bytes
VHDR = re.compile(r"(\ufeff)?Brain ?Vision (Core Data Format|(V-Amp )?Data( Exchange)?) Header File", re.IGNORECASE)
VMRK = re.compile(r"(\ufeff)?Brain ?Vision .*Marker File", re.IGNORECASE)
CURRY_PARAMETERS = re.compile(r"^(\ufeff)?\s*DATA_PARAMETERS\s+START", re.MULTILINE)
PERSYST_LAYOUT = re.compile(r"(\ufeff)?\s*\[FileInfo\]", re.IGNORECASE)
_NIHON_KOHDEN = re.compile(rb"(EEG-1100[ABC]|QI-403A  |EEG-2100 |DAE-2100D|EEG-1200A) V0[12]\.[0-9]{2}")
_EGI_VERSIONS = range(2, 8)


def is_edf(head: bytes) -> bool:
    """EDF: the version is a 0 and spaces."""
    return head[:1] == b"0" and not head[1:8].strip(b" \x00")


def is_riff(head: bytes) -> bool:
    """A RIFF container (4 GB at most) or an RF64 one, as ANT Neuro and many others use them."""
    return head.startswith((b"RIFF", b"RF64"))


def is_ant(head: bytes) -> bool:
    """ANT Neuro's CNT: the form type follows the size, of 4 bytes in RIFF and of 8 in RF64."""
    form = head[12:16] if head.startswith(b"RF64") else head[8:12]
    return is_riff(head) and form in (b"CNT ", b"CNTX")


def is_nihon_kohden(head: bytes) -> bool:
    """Nihon Kohden's `.EEG`, and its `.LOG` and `.PNT` too: the device and its version."""
    return _NIHON_KOHDEN.match(head) is not None


def is_egi_raw(head: bytes) -> bool:
    """EGI's simple binary: a small version and a date that exists, big-endian."""
    if len(head) < 30:
        return False
    version, year, month, day, hour, minute, second = struct.unpack(">i6h", head[:16])
    date = 1980 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31
    return version in _EGI_VERSIONS and date and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60
