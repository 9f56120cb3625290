"""What must change in the kernel so that it samples as wanted, and so that it no longer does.

In go the filters that there should be and what hangs on the interfaces, out comes an ordered list of changes with what
the user should know. Nothing is applied here.

What is ours is known by its cookie alone, so that an agent finds what one before it left behind; one agent in a network
namespace is assumed. What is not ours is never changed or removed: other filters stay, and so does a `clsact` qdisc
that was there. Whether we made it is told by the cookie of each filter on it. An agent that is killed between making
the qdisc and adding the first filter leaves an empty qdisc behind, which does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from tidegate.agent.config import AgentConfig, Direction
from tidegate.errors import ConfigError
from tidegate.wire.netlink.tc import CONTINUE, Filter, FilterFlags, Hook, Qdisc, Sampling, TcState
from tidegate.wire.netlink.tc_change import (
    AddClsact,
    AddFilter,
    ChangeAction,
    RemoveClsact,
    RemoveFilter,
    TcChange,
)

__all__ = [
    "SamplingPlan",
    "WantedFilter",
    "is_ours",
    "our_cookie",
    "plan_removal",
    "plan_sampling",
    "wanted_filters",
]

_FIRST_PREF = 1  # packets that a filter before ours drops or redirects are not seen
_MARK, _LAYOUT, _MADE_CLSACT = b"tidegate", 1, 1
_PLACEMENT = FilterFlags.SKIP_HW | FilterFlags.SKIP_SW


class WantedFilter(msgspec.Struct, frozen=True):
    """Sampling that there should be: one direction of one interface."""

    ifindex: int
    name: str
    hook: Hook
    sampling: Sampling  # its cookie is ours to write
    flags: FilterFlags = FilterFlags.NONE


class SamplingPlan(msgspec.Struct, frozen=True):
    """Changes in their order; each note is a line about what is not as the user may expect."""

    changes: tuple[TcChange, ...] = ()
    notes: tuple[str, ...] = ()


def wanted_filters(
    ifindex: int, name: str, *, rate: int, config: AgentConfig, flags: FilterFlags = FilterFlags.NONE
) -> tuple[WantedFilter, ...]:
    """Return what should sample an interface at 1 in `rate` (0: nothing); `ConfigError` where a group is missing."""
    if not rate:
        return ()
    groups = {
        Hook.INGRESS: ("ingress_groups", config.psample.ingress_groups),
        Hook.EGRESS: ("egress_groups", config.psample.egress_groups),
    }
    wanted = []
    for hook in _hooks(config.direction):
        key, numbers = groups[hook]
        if not numbers:
            raise ConfigError(f"agent.psample.{key}", f"{hook.name.lower()} sampling needs a group: name one")
        wanted.append(WantedFilter(ifindex, name, hook, Sampling(rate, numbers[0], config.header_octets), flags))
    return tuple(wanted)


def our_cookie(*, made_clsact: bool) -> bytes:
    """Return the cookie of our filters; it tells whether the qdisc that they hang on is ours, too."""
    return _MARK + bytes((_LAYOUT, _MADE_CLSACT if made_clsact else 0))


def is_ours(found: Filter) -> bool:
    """Tell whether an agent of ours made a filter."""
    return found.sample is not None and found.sample.sampling.cookie.startswith(_MARK)


def plan_sampling(wanted: Sequence[WantedFilter], found: TcState) -> SamplingPlan:
    """Return what leads from what was found to what is wanted, interface by interface; what is there already stays."""
    ours = {one.ifindex for one in found.filters if is_ours(one)}
    plans = [
        _plan_interface(ifindex, [one for one in wanted if one.ifindex == ifindex], found)
        for ifindex in sorted(ours | {one.ifindex for one in wanted})
    ]
    changes = tuple(change for plan in plans for change in plan.changes)
    return SamplingPlan(changes, tuple(note for plan in plans for note in plan.notes))


def plan_removal(found: TcState) -> SamplingPlan:
    """Return what removes everything of ours, whichever agent left it."""
    return plan_sampling((), found)


def _plan_interface(ifindex: int, wanted: Sequence[WantedFilter], found: TcState) -> SamplingPlan:
    qdisc = next((one for one in found.qdiscs if one.ifindex == ifindex and one.kind in {"clsact", "ingress"}), None)
    filters = [one for one in found.filters if one.ifindex == ifindex]
    ours = [one for one in filters if is_ours(one)]
    others = _others(filters, ours)
    name = next((one.name for one in wanted), found.names.get(ifindex, f"if{ifindex}"))
    made = qdisc is None or (_could_be_ours(qdisc) and any(_made_clsact(one) for one in ours))
    placed, notes = _place(wanted, qdisc, others)
    missing = {place: _signed(one, made=made) for place, one in placed.items()}
    changes: list[TcChange] = []
    for old in ours:
        one = missing.get((old.hook, old.pref)) if not old.chain else None
        if one is None or not _can_stay(old, one):
            changes.append(RemoveFilter(ifindex, name, old.hook, old.pref, old.handle))
            continue
        del missing[old.hook, old.pref]
        changes += _changed_action(old, one)
    if qdisc is None and missing:
        changes.append(AddClsact(ifindex, name))
    changes += [AddFilter(ifindex, name, hook, at, one.sampling, one.flags) for (hook, at), one in missing.items()]
    if ours and made and not placed and not others:
        changes.append(RemoveClsact(ifindex, name))
    return SamplingPlan(tuple(changes), notes)


def _others(filters: Iterable[Filter], ours: Sequence[Filter]) -> list[Filter]:
    """Return what is not ours; that a preference is in use is also told on its own, for ours too."""
    told = {(one.hook, one.chain, one.pref) for one in ours}
    return [one for one in filters if not is_ours(one) and (one.handle or (one.hook, one.chain, one.pref) not in told)]


def _could_be_ours(qdisc: Qdisc) -> bool:
    """Tell whether a qdisc is such as we make; one with a block has been put in the place of ours."""
    return qdisc.kind == "clsact" and not qdisc.ingress_block and not qdisc.egress_block


def _made_clsact(one: Filter) -> bool:
    cookie = one.sample.sampling.cookie if one.sample else b""
    return len(cookie) > len(_MARK) + 1 and bool(cookie[len(_MARK) + 1] & _MADE_CLSACT)


def _place(
    wanted: Iterable[WantedFilter], qdisc: Qdisc | None, others: Sequence[Filter]
) -> tuple[dict[tuple[Hook, int], WantedFilter], tuple[str, ...]]:
    """Return where each filter goes, and what is to be said of that."""
    placed: dict[tuple[Hook, int], WantedFilter] = {}
    notes: list[str] = []
    for one in wanted:
        taken = {other.pref for other in others if other.hook is one.hook and not other.chain}
        place = next((at for at in range(_FIRST_PREF, 0x10000) if at not in taken), 0)
        refusal = _refusal(one, qdisc) or ("" if place else "not sampled: no preference is free")
        remark = refusal or _moved(place)
        if remark:
            notes.append(f"{one.name} {one.hook.name.lower()}: {remark}")
        if not refusal:
            placed[one.hook, place] = one
    return placed, tuple(notes)


def _refusal(one: WantedFilter, qdisc: Qdisc | None) -> str:
    """Return why the kernel takes no filter there, or would take it for something else; empty where it does."""
    if qdisc is None:
        return ""
    block = qdisc.ingress_block if one.hook is Hook.INGRESS else qdisc.egress_block
    if block:
        return f"not sampled: its filters are those of block {block}, which other interfaces may share"
    if qdisc.kind == "ingress" and one.hook is Hook.EGRESS:  # the kernel would sample ingress once more
        return "not sampled: the interface has a qdisc ingress; with clsact in its place egress can be sampled"
    return ""


def _moved(place: int) -> str:
    if place == _FIRST_PREF:
        return ""
    return (
        f"preference {_FIRST_PREF} is another filter's; sampling has preference {place}, and does not see what filters "
        "before it drop or redirect"
    )


def _signed(one: WantedFilter, *, made: bool) -> WantedFilter:
    sampling = msgspec.structs.replace(one.sampling, cookie=our_cookie(made_clsact=made))
    return msgspec.structs.replace(one, sampling=sampling)


def _can_stay(old: Filter, one: WantedFilter) -> bool:
    """Tell whether a filter is as wanted or can become so.

    A driver is not told of a changed action, and an action that another filter uses is not ours alone.
    """
    if old.sample is None or old.flags & _PLACEMENT != one.flags & _PLACEMENT:
        return False
    return not _changed_action(old, one) or (FilterFlags.IN_HW not in old.flags and old.sample.bindings == 1)


def _changed_action(old: Filter, one: WantedFilter) -> list[TcChange]:
    if old.sample is None or (old.sample.sampling == one.sampling and old.sample.control == CONTINUE):
        return []
    return [ChangeAction(old.ifindex, one.name, old.hook, old.pref, old.sample.index, one.sampling)]


def _hooks(direction: Direction) -> tuple[Hook, ...]:
    return {
        Direction.INGRESS: (Hook.INGRESS,),
        Direction.EGRESS: (Hook.EGRESS,),
        Direction.BOTH: (Hook.INGRESS, Hook.EGRESS),
    }[direction]
