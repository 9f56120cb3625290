"""Changes of traffic control as data: each one request to the kernel, and one command line that says the same.

In goes a change, out come the type, flags and body of its request, or the text of the `tc` command that would do it.
"""

from __future__ import annotations

import shlex
from typing import assert_never

import msgspec

from tidegate.wire.netlink.message import Flags
from tidegate.wire.netlink.tc import (
    FilterFlags,
    Hook,
    Sampling,
    TcRequest,
    clsact_body,
    filter_body,
    sample_action_body,
    sample_filter_body,
)

__all__ = [
    "AddClsact",
    "AddFilter",
    "ChangeAction",
    "RemoveClsact",
    "RemoveFilter",
    "TcChange",
    "encode_change",
    "format_change",
]


class AddClsact(msgspec.Struct, frozen=True):
    """Make the qdisc that filters of both directions hang on."""

    ifindex: int
    name: str


class RemoveClsact(msgspec.Struct, frozen=True):
    """Remove that qdisc; whoever applies this looks again whether nothing hangs on it, as the kernel does not."""

    ifindex: int
    name: str


class AddFilter(msgspec.Struct, frozen=True):
    """Add a filter that samples all packets of one direction."""

    ifindex: int
    name: str
    hook: Hook
    pref: int
    sampling: Sampling
    flags: FilterFlags = FilterFlags.NONE


class ChangeAction(msgspec.Struct, frozen=True):
    """Give the sampling action of a filter new values; the filter stays, and no packet passes unseen."""

    ifindex: int
    name: str
    hook: Hook
    pref: int
    action: int
    sampling: Sampling


class RemoveFilter(msgspec.Struct, frozen=True):
    """Remove one filter."""

    ifindex: int
    name: str
    hook: Hook
    pref: int
    handle: int


TcChange = AddClsact | RemoveClsact | AddFilter | ChangeAction | RemoveFilter


def encode_change(change: TcChange) -> tuple[TcRequest, Flags, bytes]:
    """Return type, flags and body of the request; `EncodeError` where a number does not fit."""
    match change:
        case AddClsact():
            return TcRequest.NEW_QDISC, Flags.CREATE | Flags.EXCL, clsact_body(change.ifindex)
        case RemoveClsact():
            return TcRequest.DELETE_QDISC, Flags(0), clsact_body(change.ifindex)
        case AddFilter(ifindex=ifindex, hook=hook, pref=pref):
            body = sample_filter_body(ifindex, hook, change.sampling, pref=pref, flags=change.flags)
            return TcRequest.NEW_FILTER, Flags.CREATE | Flags.EXCL, body
        case ChangeAction():
            body = sample_action_body(change.action, change.sampling)
            return TcRequest.NEW_ACTION, Flags.CREATE | Flags.REPLACE, body
        case RemoveFilter(ifindex=ifindex, hook=hook, pref=pref):
            body = filter_body(ifindex, hook, pref=pref, handle=change.handle)
            return TcRequest.DELETE_FILTER, Flags(0), body
        case _:
            assert_never(change)


def format_change(change: TcChange) -> str:
    """Return the `tc` command that does the same."""
    device = f"dev {shlex.quote(change.name)}"
    match change:
        case AddClsact():
            return f"tc qdisc add {device} clsact"
        case RemoveClsact():
            return f"tc qdisc del {device} clsact"
        case AddFilter():
            skip = "".join(
                f" {flag.name}".lower() for flag in (FilterFlags.SKIP_HW, FilterFlags.SKIP_SW) if flag in change.flags
            )
            return f"tc filter add {device} {_place(change)} matchall{skip} {_action(change.sampling)}"
        case ChangeAction():
            where = f"# {change.name} {_place(change)}"
            return f"tc actions replace {_action(change.sampling, index=change.action)}  {where}"
        case RemoveFilter():
            return f"tc filter del {device} {_place(change)} handle {change.handle:#x} matchall"
        case _:
            assert_never(change)


def _place(change: AddFilter | ChangeAction | RemoveFilter) -> str:
    return f"{change.hook.name.lower()} pref {change.pref}"


def _action(sampling: Sampling, *, index: int = 0) -> str:
    words = [f"action sample rate {sampling.rate} group {sampling.group}"]
    if sampling.trunc:
        words.append(f"trunc {sampling.trunc}")
    words.append("continue")
    if index:
        words.append(f"index {index}")
    if sampling.cookie:
        words.append(f"cookie {sampling.cookie.hex()}")
    return " ".join(words)
