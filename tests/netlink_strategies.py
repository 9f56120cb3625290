"""Drawn netlink messages: attributes that fit and that do not, datagrams of several messages, cut anywhere."""

from __future__ import annotations

import struct
from typing import Literal

from hypothesis import strategies as st

from tidegate.wire.netlink.message import attribute, encode_message

__all__ = ["FLAGS", "cut_datagrams", "garbage", "numbers", "padded"]

FLAGS = st.sampled_from([0, 0x8000, 0x4000, 0xC000])  # of an attribute's type: nested, network byte order
_EDGES = st.sampled_from([0, 1, 0xFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1])


def padded(message: bytes) -> bytes:
    """Return a message as the kernel places the next one behind it."""
    return message + bytes(-len(message) % 4)


def numbers(last_kind: int, order: Literal["little", "big"]) -> st.SearchStrategy[bytes]:
    """Draw attributes that hold a number, of widths that fit their kind or not."""
    return st.builds(
        lambda kind, flags, width, value: attribute(kind | flags, (value % (1 << 8 * width)).to_bytes(width, order)),
        st.integers(0, last_kind), FLAGS, st.sampled_from([0, 1, 2, 3, 4, 8, 16]),
        st.integers(0, (1 << 64) - 1) | _EDGES,
    )  # fmt: skip


def garbage() -> st.SearchStrategy[bytes]:
    """Draw attributes whose lengths are true or not."""
    return st.builds(
        lambda length, kind, value: struct.pack("=HH", length, kind) + value,
        st.integers(0, 40) | st.just(0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=36),
    )  # fmt: skip


def cut_datagrams(messages: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Draw datagrams of some messages, of some that are netlink's own or nobody's, up to an octet or to the end."""
    return st.builds(
        lambda parts, octets: b"".join(parts)[:octets],
        st.lists(messages | _foreign() | st.binary(max_size=40), max_size=4),
        st.none() | st.integers(0, 400),
    )


def _foreign() -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda kind, body: padded(encode_message(kind, 2, 0, body)), st.integers(0, 20), st.binary(max_size=20)
    )
