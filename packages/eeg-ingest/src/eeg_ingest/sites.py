"""Names of the sites of the 10-05 system, by its rule: what MNE's montages call them, without loading MNE."""

from __future__ import annotations

from functools import cache

# Rows of electrodes: sites of these numbers, each with and without an h, and one on the midline (z).
_WHOLE_ROWS = ("AFp", "AF", "AFF", "F", "P", "PPO", "PO", "POO")  # 1 to 10
_INNER_ROWS = ("FFC", "FC", "FCC", "C", "CCP", "CP", "CPP")  # 1 to 6
_OUTER_ROWS = ("FFT", "FT", "FTT", "T", "TTP", "TP", "TPP")  # 7 to 10: the ends of the inner ones, no midline
_SHORT_ROWS = ("NFp", "Fp", "O", "OI", "I")  # 1 and 2
_NASION_ROW = "N"  # MNE has no Nz here


@cache
def site_names() -> frozenset[str]:
    """Names of all 10-05 sites: Cz, FC5h, AFp10."""
    names = {f"{row}z" for row in (*_WHOLE_ROWS, *_INNER_ROWS, *_SHORT_ROWS)}
    for rows, first, last in (
        (_WHOLE_ROWS, 1, 10),
        (_INNER_ROWS, 1, 6),
        (_OUTER_ROWS, 7, 10),
        ((*_SHORT_ROWS, _NASION_ROW), 1, 2),
    ):
        names |= {f"{row}{n}{half}" for row in rows for n in range(first, last + 1) for half in ("", "h")}
    return frozenset(names)
