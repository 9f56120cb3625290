"""Big-endian loads from octet arrays, for kernels: one bounds check and one machine instruction each.

Reading octet by octet costs a check each; on the 2-core build machine these loads made the walk over a datagram a third
faster. An offset outside the array raises IndexError, as numba's own checks do.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from tidegate.kernel import U8, inline

__all__ = ["be8", "be16", "be32", "be64"]


def _loader(bits: int) -> Any:  # noqa: ANN401 - numba's intrinsics have no type of their own
    """Return a function `(data, at) -> int64 or uint64` that loads without a check."""
    if getattr(numba.config, "DISABLE_JIT", 0):
        kind = np.uint64 if bits == 64 else np.int64
        return lambda data, at: kind(int.from_bytes(data[at : at + bits // 8].tobytes(), "big"))

    @intrinsic
    def load(_context: Any, data: Any, at: Any) -> Any:  # noqa: ANN401 - numba types
        result = types.uint64 if bits == 64 else types.int64

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - LLVM values
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.gep(array.data, [arguments[1]], inbounds=True)
            word = ir.IntType(bits)
            value = builder.load(builder.bitcast(address, word.as_pointer()))
            value.align = 1
            swapped = builder.bswap(value)
            return swapped if bits == 64 else builder.zext(swapped, ir.IntType(64))

        return result(data, at), generate

    return load


_load16, _load32, _load64 = _loader(16), _loader(32), _loader(64)


@inline
def be8(data: U8, at: int) -> int:
    """Load one octet."""
    return np.int64(data[at])  # type: ignore[return-value] # numba types it


@inline
def be16(data: U8, at: int) -> int:
    """Load two octets."""
    if at < 0 or at > data.size - 2:
        raise IndexError
    return _load16(data, at)  # type: ignore[no-any-return] # numba types it


@inline
def be32(data: U8, at: int) -> int:
    """Load four octets."""
    if at < 0 or at > data.size - 4:
        raise IndexError
    return _load32(data, at)  # type: ignore[no-any-return] # numba types it


@inline
def be64(data: U8, at: int) -> np.uint64:
    """Load eight octets."""
    if at < 0 or at > data.size - 8:
        raise IndexError
    return _load64(data, at)  # type: ignore[no-any-return] # numba types it
