"""How array functions are compiled: `@kernel` for those that Python calls, `@inline` for those that kernels call.

Every kernel releases the interpreter lock, is cached on disk (`tidegate.kernel_cache`) and checks each index against
its array, because kernels read bytes that strangers send. Kernels allocate nothing: arrays for results and for scratch
are arguments. So numba need not count who refers to an array, which it does with two atomic additions for each array
at each call of an inlined function: three quarters of the time of the walk over a datagram.

Nothing is compiled at import: `compile_kernels` does it at start, for a literal list; from then on each kernel has one
signature, and other arguments are converted or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from tidegate.kernel_cache import KernelCache

__all__ = [
    "F64",
    "I32",
    "I64",
    "U8",
    "U64",
    "Flags",
    "Int",
    "compile_kernels",
    "inline",
    "kernel",
    "records",
    "unkept_reason",
]

# Arrays as kernels take them.
U8 = NDArray[np.uint8]
U64 = NDArray[np.uint64]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
Int = int | np.signedinteger[Any]  # a number inside a kernel: which of the two it is, only the compiler sees

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Any = {"nogil": True, "boundscheck": True, "error_model": "numpy", "_nrt": False}  # NRT: numba's memory


def kernel(signature: str | tuple[Any, ...]) -> Callable[[F], F]:
    """Mark an array function that Python calls; `signature` is what `compile_kernels` compiles it for.

    It is a text, or the types of the arguments where one is an array of records (`records`), which has no text.
    """

    def mark(function: F) -> F:
        dispatcher = _cached(numba.njit(**_OPTIONS)(function), function)
        dispatcher.tidegate_signature = signature
        return cast("F", dispatcher)

    return mark


def records(dtype: np.dtype[Any]) -> Any:  # noqa: ANN401 - numba's types have no type
    """Return the type of a contiguous array of records, for a kernel's signature."""
    return numba.types.Array(numba.from_dtype(dtype), 1, "C")


def inline(function: F) -> F:
    """Mark a function that only kernels call; it is compiled with them."""
    return cast("F", _cached(numba.njit(forceinline=True, **_OPTIONS)(function), function))


def _cached(dispatcher: Any, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba's dispatchers have no type
    if dispatcher is not function:  # they are the same where NUMBA_DISABLE_JIT is set
        dispatcher._cache = KernelCache(function)  # noqa: SLF001 - numba lets nobody choose a cache
    return dispatcher


def unkept_reason(kernels: Iterable[Callable[..., Any]]) -> str:
    """Return why some of these kernels will have to be compiled again at the next start; empty where none will."""
    problems = (getattr(getattr(function, "_cache", None), "problem", "") for function in kernels)
    return next(filter(None, problems), "")


def compile_kernels(kernels: Iterable[Callable[..., Any]]) -> Iterator[str]:
    """Compile each kernel (or load it from the cache on disk), yielding its name before the work is done."""
    for function in kernels:
        yield function.__name__
        dispatcher: Any = function
        if hasattr(dispatcher, "compile") and not dispatcher.signatures:  # absent when NUMBA_DISABLE_JIT is set
            dispatcher.compile(dispatcher.tidegate_signature)
            dispatcher.disable_compile()
