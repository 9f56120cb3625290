"""How the C library handles freed memory.

Each block takes a few megabytes and gives them back. By default glibc hands that memory to the kernel and asks for it
anew for the next block, which costs a page fault for each 4 KiB: a tenth of the time of a replay.

Answers for: mallopt(3).
"""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 32 << 20
_IN_HEAP = 4 << 20  # more than the arrays of a block, less than those of flow tables


def keep_freed_memory() -> bool:
    """Keep up to 32 MiB of freed memory for the next block; tell whether the C library does so (glibc)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _IN_HEAP)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
