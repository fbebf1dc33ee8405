"""What a training frees is used again: glibc would give it back, and take it as fresh pages at every step."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from eeg_tokenizer.distributed import join

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)  # 64 MB: 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with join("cpu"):
    print(min(faults() for _ in range(20)))  # the heap grows by some blocks before one fits
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_comes_again_without_page_faults() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    assert int(ran.stdout) < 100
