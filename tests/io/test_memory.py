from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

# Prints how often the kernel was asked for a page while 50 blocks of 8 MiB, in parts of 1 MiB, were taken and freed.
CODE = """
import resource, sys
import numpy as np
from tidegate.io.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def block():
    parts = [np.ones(1 << 20, np.uint8) for _ in range(8)]
block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library has no mallopt")
def test_what_a_block_freed_is_used_again_without_asking_the_kernel() -> None:
    kept, given_back = (
        int(subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, check=True).stdout)
        for how in ("keep", "give back")
    )
    assert kept < given_back / 10
