"""The truth audit: what a store holds of each source, against what was expected of it (docs/audit.md).

stretches.py, spectrum.py, likeness.py, blinks.py, echoes.py   numbers of one recording, from a few stretches of it
look.py                                                        all of them together, made on the workers
mains.py, rates.py, units.py, channels.py, noise.py, ends.py,
counts.py, remarks.py                                          checks of one source
repeats.py                                                     the one check across sources
finding.py                                                     what they find, and the page of it
"""

from eeg_ingest.audit.auditing import audit
from eeg_ingest.audit.finding import Finding, write_page

__all__ = ["Finding", "audit", "write_page"]
