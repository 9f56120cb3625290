"""Traffic control: qdiscs, filters and the action that samples, as octets.

In go interface numbers and what is to be sampled, out come the bodies of requests, which are those that iproute2's `tc`
sends; and the other way round for the answers to dumps. Nothing here knows what else hangs on an interface.

A filter that samples ends with `continue`, not with `pipe`, which is tc's own default: after `pipe` the kernel asks no
filter behind this one, so that sampling would switch off the users' own rules (seen on Linux 6.1).

Answers for: RFC 3549 section 3.1.3, linux/rtnetlink.h (tcmsg, tcamsg), pkt_sched.h (clsact), pkt_cls.h (matchall,
action cookies), tc_act/tc_sample.h.
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

import msgspec

from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.netlink.message import (
    ORDER,
    Message,
    attribute,
    attributes,
    first_attributes,
    nested,
    text_of,
    uint_of,
)

__all__ = [
    "CONTINUE",
    "COOKIE_OCTETS",
    "Filter",
    "FilterFlags",
    "Hook",
    "Qdisc",
    "SampleAction",
    "Sampling",
    "TcRequest",
    "TcState",
    "clsact_body",
    "filter_body",
    "filters_body",
    "qdiscs_body",
    "read_filter",
    "read_qdisc",
    "sample_action_body",
    "sample_filter_body",
]

COOKIE_OCTETS = 16  # TC_COOKIE_MAX_SIZE
_TCMSG = struct.Struct("=BxxxiIII")
_TCAMSG = bytes(4)
_ACTION = struct.Struct("=IIiii")  # tc_gen: index, capabilities, control action, references, bindings
_CLSACT_HANDLE, _CLSACT_PARENT = 0xFFFF0000, 0xFFFFFFF1
_ALL_PROTOCOLS = int.from_bytes(b"\x00\x03", ORDER)  # ETH_P_ALL, big-endian within a number of the host's
_MATCHALL = b"matchall\0"
CONTINUE = -1  # TC_ACT_UNSPEC: ask the next filter
_KIND, _OPTIONS, _CHAIN, _INGRESS_BLOCK, _EGRESS_BLOCK = 1, 2, 11, 13, 14  # TCA_
_MATCHALL_ACTIONS, _MATCHALL_FLAGS = 2, 3
_ACTION_KIND, _ACTION_OPTIONS, _ACTION_COOKIE = 1, 2, 6
_PARAMETERS, _RATE, _TRUNC, _GROUP = 2, 3, 4, 5  # TCA_SAMPLE_


class TcRequest(IntEnum):
    """Types of messages; answers carry that of the `NEW_` request."""

    NEW_QDISC = 36
    DELETE_QDISC = 37
    GET_QDISC = 38
    NEW_FILTER = 44
    DELETE_FILTER = 45
    GET_FILTER = 46
    NEW_ACTION = 48


class Hook(IntEnum):
    """Where filters hang: what of a `clsact` qdisc is their parent."""

    INGRESS = 0xFFFFFFF2
    EGRESS = 0xFFFFFFF3


class FilterFlags(IntFlag):
    """Where a filter is to work, and where the kernel says that it does."""

    NONE = 0
    SKIP_HW = 1
    SKIP_SW = 2
    IN_HW = 4
    NOT_IN_HW = 8


class Sampling(msgspec.Struct, frozen=True):
    """What a sampling action does: 1 in `rate` packets to a psample group, cut to `trunc` octets (0: whole)."""

    rate: int
    group: int
    trunc: int = 0
    cookie: bytes = b""  # at most `COOKIE_OCTETS`; kept with the action, and from Linux 6.11 on part of each sample


class SampleAction(msgspec.Struct, frozen=True):
    """A sampling action as found: its number, how many filters use it, and what it does with the packet afterwards."""

    sampling: Sampling
    index: int
    bindings: int
    control: int


class Filter(msgspec.Struct, frozen=True):
    """A filter as found, whoever made it. `sample` is the first sampling action of a `matchall` filter.

    Each preference is also told once on its own, with `handle` 0, ahead of its filters.
    """

    ifindex: int
    hook: Hook
    chain: int
    pref: int
    handle: int
    kind: str
    flags: FilterFlags = FilterFlags.NONE
    sample: SampleAction | None = None


class Qdisc(msgspec.Struct, frozen=True):
    """A queueing discipline; a block is one that several interfaces share, 0 where there is none."""

    ifindex: int
    kind: str
    handle: int
    parent: int
    ingress_block: int = 0
    egress_block: int = 0


class TcState(msgspec.Struct, frozen=True):
    """What hangs on the interfaces of a network namespace: qdiscs of all, filters where there is a hook for them."""

    qdiscs: tuple[Qdisc, ...] = ()
    filters: tuple[Filter, ...] = ()
    names: dict[int, str] = {}


def qdiscs_body() -> bytes:
    """Return the body that asks for the qdiscs of all interfaces (a dump)."""
    return _TCMSG.pack(0, 0, 0, 0, 0)


def clsact_body(ifindex: int) -> bytes:
    """Return the body that makes (or removes) the `clsact` qdisc of an interface."""
    return _TCMSG.pack(0, ifindex, _CLSACT_HANDLE, _CLSACT_PARENT, 0) + attribute(_KIND, b"clsact\0")


def filters_body(ifindex: int, hook: Hook) -> bytes:
    """Return the body that asks for the filters of one hook (a dump)."""
    return _TCMSG.pack(0, ifindex, 0, hook, 0)


def filter_body(ifindex: int, hook: Hook, *, pref: int, handle: int) -> bytes:
    """Return the body that removes one `matchall` filter."""
    return _TCMSG.pack(0, ifindex, handle, hook, _fitting("preference", pref, 0xFFFF, least=1) << 16) + attribute(
        _KIND, _MATCHALL
    )


def sample_filter_body(
    ifindex: int, hook: Hook, sampling: Sampling, *, pref: int, flags: FilterFlags = FilterFlags.NONE
) -> bytes:
    """Return the body that adds a `matchall` filter with one sampling action; `EncodeError`."""
    info = _fitting("preference", pref, 0xFFFF, least=1) << 16 | _ALL_PROTOCOLS
    options = attribute(_MATCHALL_ACTIONS, _actions(sampling, index=0))
    if flags:
        options += _u32(_MATCHALL_FLAGS, flags)
    return _TCMSG.pack(0, ifindex, 0, hook, info) + attribute(_KIND, _MATCHALL) + attribute(_OPTIONS, options)


def sample_action_body(index: int, sampling: Sampling) -> bytes:
    """Return the body that gives an existing action new values, without a gap in any filter that uses it."""
    return _TCAMSG + attribute(1, _actions(sampling, index=index))


def read_qdisc(message: Message) -> Qdisc:
    """Return the qdisc that an answer tells; `DecodeError`."""
    ifindex, handle, parent, _ = _tcmsg(message.body)
    told = first_attributes(message.body, _TCMSG.size)
    ingress_block, egress_block = uint_of(told.get(_INGRESS_BLOCK)), uint_of(told.get(_EGRESS_BLOCK))
    return Qdisc(ifindex, text_of(told.get(_KIND)), handle, parent, ingress_block, egress_block)


def read_filter(message: Message, *, ifindex: int, hook: Hook) -> Filter:
    """Return a filter from a dump of one hook; `DecodeError`.

    The answer names the shared block in place of interface and hook where there is one, hence the arguments.
    """
    _, handle, _, info = _tcmsg(message.body)
    told = first_attributes(message.body, _TCMSG.size)
    kind = text_of(told.get(_KIND))
    found = Filter(ifindex, hook, uint_of(told.get(_CHAIN)), info >> 16, handle, kind)
    if kind != "matchall" or _OPTIONS not in told:
        return found
    options = first_attributes(told[_OPTIONS])
    flags = FilterFlags(uint_of(options.get(_MATCHALL_FLAGS)) & 0xF)
    return msgspec.structs.replace(found, flags=flags, sample=_first_sample(options.get(_MATCHALL_ACTIONS, b"")))


def _tcmsg(body: bytes) -> tuple[int, int, int, int]:
    if len(body) < _TCMSG.size:
        raise DecodeError("truncated traffic control header", 0)
    _, ifindex, handle, parent, info = _TCMSG.unpack_from(body)
    return ifindex, handle, parent, info


def _first_sample(actions: bytes) -> SampleAction | None:
    for _, action in attributes(actions):
        told = first_attributes(action)
        if text_of(told.get(_ACTION_KIND)) == "sample":
            return _sample(first_attributes(told.get(_ACTION_OPTIONS, b"")), told.get(_ACTION_COOKIE, b""))
    return None


def _sample(options: dict[int, bytes], cookie: bytes) -> SampleAction:
    parameters = options.get(_PARAMETERS, b"")
    if len(parameters) < _ACTION.size:
        raise DecodeError("truncated parameters of a sampling action", 0)
    index, _, control, _, bindings = _ACTION.unpack_from(parameters)
    rate, group, trunc = (uint_of(options.get(kind)) for kind in (_RATE, _GROUP, _TRUNC))
    return SampleAction(Sampling(rate, group, trunc, cookie), index, bindings, control)


def _actions(sampling: Sampling, *, index: int) -> bytes:
    """Return a list of one action, as `tc` writes it: the order of attributes is its own."""
    options = attribute(_PARAMETERS, _ACTION.pack(index, 0, CONTINUE, 0, 0))
    options += _u32(_RATE, _fitting("sampling rate", sampling.rate, 0xFFFFFFFF, least=1))
    options += _u32(_GROUP, _fitting("psample group", sampling.group, 0xFFFFFFFF))
    if sampling.trunc:
        options += _u32(_TRUNC, _fitting("octets of a sample", sampling.trunc, 0xFFFFFFFF))
    action = attribute(_ACTION_KIND, b"sample\0") + nested(_ACTION_OPTIONS, options)
    if len(sampling.cookie) > COOKIE_OCTETS:
        raise EncodeError(f"a cookie of {len(sampling.cookie)} octets: the kernel keeps {COOKIE_OCTETS}")
    if sampling.cookie:
        action += attribute(_ACTION_COOKIE, sampling.cookie)
    return attribute(1, action)


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, value.to_bytes(4, ORDER))


def _fitting(what: str, value: int, most: int, *, least: int = 0) -> int:
    if not least <= value <= most:
        raise EncodeError(f"{what} {value} is not within {least} to {most}")
    return value
