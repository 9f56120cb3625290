"""How array functions are compiled: `@kernel` for those that Python calls, `@inline` for those that kernels call.

Every kernel releases the interpreter lock, is cached on disk and checks each index against its array, because kernels
read bytes that strangers send. Nothing is compiled at import: `compile_kernels` does it at start, for a literal list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["F64", "I32", "I64", "U8", "U64", "Flags", "compile_kernels", "inline", "kernel"]

# Arrays as kernels take them.
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Any = {"nogil": True, "cache": True, "boundscheck": True, "error_model": "numpy"}


def kernel(signature: str) -> Callable[[F], F]:
    """Mark an array function that Python calls; `signature` is what `compile_kernels` compiles it for."""

    def mark(function: F) -> F:
        dispatcher = numba.njit(**_OPTIONS)(function)
        dispatcher.tidegate_signature = signature
        return cast("F", dispatcher)

    return mark


def inline(function: F) -> F:
    """Mark a function that only kernels call; it is compiled with them."""
    return cast("F", numba.njit(forceinline=True, **_OPTIONS)(function))


def compile_kernels(kernels: Iterable[Callable[..., Any]]) -> Iterator[str]:
    """Compile each kernel (or load it from the cache on disk), yielding its name before the work is done."""
    for function in kernels:
        yield function.__name__
        compile_now = getattr(function, "compile", None)  # absent when NUMBA_DISABLE_JIT is set
        if compile_now is not None:
            compile_now(cast("Any", function).tidegate_signature)
