"""Traffic control of this network namespace: read what hangs on the interfaces, apply changes to it.

Each change is one netlink request. What the kernel refuses becomes a `SourceError` that names the interface, what was
tried, the kernel's words and what to do; the others are applied all the same, so that one interface that cannot sample
leaves the rest alone. What is gone already counts as removed.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import assert_never

from tidegate.errors import SourceError
from tidegate.io.netlink import Netlink
from tidegate.wire.netlink.tc import (
    Filter,
    FilterFlags,
    Hook,
    Qdisc,
    TcRequest,
    TcState,
    filters_body,
    qdiscs_body,
    read_filter,
    read_qdisc,
)
from tidegate.wire.netlink.tc_change import (
    AddClsact,
    AddFilter,
    ChangeAction,
    RemoveClsact,
    RemoveFilter,
    TcChange,
    encode_change,
)

__all__ = ["apply_changes", "read_tc", "refusal_of"]

_HOOKS = {"clsact": tuple(Hook), "ingress": (Hook.INGRESS,)}
_ANY = (AddClsact, AddFilter, ChangeAction, RemoveClsact, RemoveFilter)
_ADVICE: tuple[tuple[set[int], tuple[type, ...], str], ...] = (
    ({errno.EPERM, errno.EACCES}, _ANY, "this needs CAP_NET_ADMIN (root has it)"),
    ({errno.ENODEV}, _ANY, "the interface is gone"),
    ({errno.EEXIST}, _ANY, "another program has put something there meanwhile"),
    (
        {errno.ENOENT, errno.EOPNOTSUPP},
        (AddFilter, ChangeAction),
        (
            "load its modules (modprobe -a act_sample cls_matchall); "
            "the kernel needs CONFIG_NET_ACT_SAMPLE and CONFIG_NET_CLS_MATCHALL"
        ),
    ),
    (
        {errno.ENOENT, errno.EOPNOTSUPP},
        (AddClsact,),
        "load its module (modprobe sch_ingress); the kernel needs CONFIG_NET_SCH_INGRESS",
    ),
)


def read_tc(route: Netlink) -> TcState:
    """Return qdiscs and filters of all interfaces; `SourceError` where the kernel does not tell."""
    try:
        qdiscs = _qdiscs(route)
        filters = [
            found
            for qdisc in qdiscs
            for hook in _HOOKS.get(qdisc.kind, ())
            for found in _filters(route, qdisc.ifindex, hook)
        ]
        names = dict(socket.if_nameindex())
    except OSError as error:
        raise SourceError("traffic control", f"cannot be read: {error.strerror or error}") from None
    return TcState(tuple(qdiscs), tuple(filters), names)


def apply_changes(route: Netlink, changes: Iterable[TcChange]) -> tuple[SourceError, ...]:
    """Apply changes in their order and return what was refused.

    Where an interface got a qdisc but none of its filters, the qdisc is taken away again.
    """
    refused: dict[int, list[SourceError]] = {}
    made: dict[int, str] = {}
    for change in changes:
        if refused.get(change.ifindex) and isinstance(change, AddClsact | AddFilter):
            continue
        refusal = _apply(route, change)
        if refusal is not None:
            refused.setdefault(change.ifindex, []).append(refusal)
        elif isinstance(change, AddClsact):
            made[change.ifindex] = change.name
    for ifindex, name in made.items():
        if refused.get(ifindex):
            _apply(route, RemoveClsact(ifindex, name))
    return tuple(one for refusals in refused.values() for one in refusals)


def refusal_of(change: TcChange, error: OSError) -> SourceError:
    """Return what a refused change is told as."""
    words = error.strerror or str(error)
    return SourceError(change.name, f"{_tried(change)} was refused: {words}{_advice(change, error)}")


def _apply(route: Netlink, change: TcChange) -> SourceError | None:
    try:
        if _is_moot(route, change):
            return None
        kind, flags, body = encode_change(change)
        route.do(kind, body, flags)
    except OSError as error:
        return None if _is_gone(route, change) else refusal_of(change, error)
    return None


def _is_moot(route: Netlink, change: TcChange) -> bool:
    """Tell whether things have changed since they were looked at, so that a change would hit something else."""
    match change:
        case RemoveClsact(ifindex=ifindex):
            return any(_filters(route, ifindex, hook) for hook in Hook)
        case ChangeAction(ifindex=ifindex, hook=hook, pref=pref, action=action):
            there = _filters(route, ifindex, hook)
            return not any(one.sample and one.sample.index == action and one.pref == pref for one in there)
        case _:
            return False


def _is_gone(route: Netlink, change: TcChange) -> bool:
    """Tell whether what was to be removed is not there, with its interface or before; the error numbers vary."""
    match change:
        case RemoveFilter(ifindex=ifindex, hook=hook, pref=pref):
            return not any(one.pref == pref for one in _filters(route, ifindex, hook))
        case RemoveClsact(ifindex=ifindex):
            return not any(one.ifindex == ifindex and one.kind == "clsact" for one in _qdiscs(route))
        case _:
            return False


def _qdiscs(route: Netlink) -> list[Qdisc]:
    return [read_qdisc(one) for one in route.dump(TcRequest.GET_QDISC, qdiscs_body())]


def _filters(route: Netlink, ifindex: int, hook: Hook) -> list[Filter]:
    answers = route.dump(TcRequest.GET_FILTER, filters_body(ifindex, hook))
    return [read_filter(one, ifindex=ifindex, hook=hook) for one in answers]


def _tried(change: TcChange) -> str:
    match change:
        case AddClsact():
            return "adding a clsact qdisc"
        case RemoveClsact():
            return "removing the clsact qdisc"
        case AddFilter():
            return f"sampling {change.hook.name.lower()} at preference {change.pref}"
        case ChangeAction():
            return f"changing how {change.hook.name.lower()} is sampled at preference {change.pref}"
        case RemoveFilter():
            return f"ending to sample {change.hook.name.lower()} at preference {change.pref}"
        case _:
            assert_never(change)


def _advice(change: TcChange, error: OSError) -> str:
    """Return what the user can do, after a colon; nothing where the kernel's words say all there is."""
    if error.errno == errno.EOPNOTSUPP and error.strerror != os.strerror(errno.EOPNOTSUPP):
        return ""  # such as that a block of filters is shared
    if error.errno == errno.EOPNOTSUPP and isinstance(change, AddFilter) and FilterFlags.SKIP_SW in change.flags:
        return ": the driver does not sample in hardware"
    return next(
        (f": {text}" for numbers, kinds, text in _ADVICE if error.errno in numbers and isinstance(change, kinds)), ""
    )
