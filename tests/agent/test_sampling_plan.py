from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from plan_text import format_plan
from tidegate.agent.config import AgentConfig, Direction, PsampleConfig
from tidegate.agent.sampling_plan import (
    SamplingPlan,
    WantedFilter,
    is_ours,
    our_cookie,
    plan_removal,
    plan_sampling,
    wanted_filters,
)
from tidegate.errors import ConfigError
from tidegate.wire.netlink.tc import CONTINUE, Filter, FilterFlags, Hook, Qdisc, SampleAction, Sampling, TcState
from tidegate.wire.netlink.tc_change import AddClsact, AddFilter, ChangeAction, RemoveClsact, RemoveFilter, TcChange

NAMES = {2: "eth0", 3: "eth1"}
PIPE = 3
MADE, FOUND = our_cookie(made_clsact=True), our_cookie(made_clsact=False)


def _clsact(ifindex: int = 2, kind: str = "clsact", *, ingress_block: int = 0) -> Qdisc:
    return Qdisc(ifindex, kind, 0xFFFF0000, 0xFFFFFFF1, ingress_block)


def _sampler(ifindex: int, hook: Hook, pref: int, sampling: Sampling, *, action: int = 1) -> Filter:
    sample = SampleAction(sampling, action, bindings=1, control=CONTINUE)
    return Filter(ifindex, hook, 0, pref, 1, "matchall", FilterFlags.NOT_IN_HW, sample)


def _wanted(hook: Hook = Hook.INGRESS, rate: int = 1000, *, ifindex: int = 2) -> WantedFilter:
    return WantedFilter(ifindex, NAMES[ifindex], hook, Sampling(rate, 1 if hook is Hook.INGRESS else 2, 128))


def _state(*parts: Qdisc | Filter) -> TcState:
    qdiscs = tuple(one for one in parts if isinstance(one, Qdisc))
    return TcState(qdiscs, tuple(one for one in parts if isinstance(one, Filter)), NAMES)


def applied(state: TcState, changes: tuple[TcChange, ...]) -> TcState:
    """The kernel, as far as plans are concerned: refuses what it would refuse."""
    qdiscs, filters = list(state.qdiscs), list(state.filters)
    for change in changes:
        match change:
            case AddClsact(ifindex=ifindex):
                assert all(one.ifindex != ifindex or one.kind not in {"clsact", "ingress"} for one in qdiscs)
                qdiscs.append(_clsact(ifindex))
            case RemoveClsact(ifindex=ifindex):
                assert not [one for one in filters if one.ifindex == ifindex]
                qdiscs.remove(_clsact(ifindex))
            case AddFilter(ifindex=ifindex, hook=hook, pref=pref):
                (qdisc,) = (one for one in qdiscs if one.ifindex == ifindex and one.kind in {"clsact", "ingress"})
                assert qdisc.kind == "clsact" or hook is Hook.INGRESS
                assert not (qdisc.ingress_block if hook is Hook.INGRESS else qdisc.egress_block)
                place = (ifindex, hook, pref)
                assert place not in {(one.ifindex, one.hook, one.pref) for one in filters if not one.chain}
                filters += [
                    Filter(*place[:2], 0, pref, 0, "matchall"),
                    replace(_sampler(*place, change.sampling), flags=change.flags | FilterFlags.NOT_IN_HW),
                ]
            case ChangeAction(ifindex=ifindex, hook=hook, pref=pref):
                place = (ifindex, hook, pref)
                (old,) = (one for one in filters if (one.ifindex, one.hook, one.pref) == place and one.sample)
                assert is_ours(old)
                assert old.sample is not None
                assert old.sample.index == change.action
                sample = replace(old.sample, sampling=change.sampling, control=CONTINUE)
                filters[filters.index(old)] = replace(old, sample=sample)
            case RemoveFilter(ifindex=ifindex, hook=hook, pref=pref, handle=handle):
                place = (ifindex, hook, pref)
                mine = [one for one in filters if (one.ifindex, one.hook, one.pref) == place and is_ours(one)]
                assert [one.handle for one in mine] == [handle]
                filters = [one for one in filters if (one.ifindex, one.hook, one.pref, one.chain) != (*place, 0)]
    return TcState(tuple(qdiscs), tuple(filters), state.names)


SAMPLINGS = st.builds(
    Sampling,
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from([0, 128]),
    st.sampled_from([MADE, FOUND, b"", b"other", b"tidegate"]),
)
FOREIGN = st.tuples(st.sampled_from(["flower", "u32", "bpf"]), st.integers(0, 1))


@st.composite
def states(draw: st.DrawFn) -> TcState:
    """Interfaces with and without qdiscs, with filters of ours and of others wherever there is room."""
    qdiscs, filters = [], []
    for ifindex in NAMES:
        kind = draw(st.sampled_from(["", "clsact", "ingress"]))
        qdiscs.append(Qdisc(ifindex, "noqueue", 0, 0xFFFFFFFF))
        if not kind:
            continue
        block = draw(st.sampled_from([0, 0, 0, 7]))
        qdiscs.append(_clsact(ifindex, kind, ingress_block=block))
        for hook in Hook if kind == "clsact" else [Hook.INGRESS]:
            for pref in draw(st.sets(st.integers(1, 4), max_size=3)):
                if draw(st.booleans()) and not (block and hook is Hook.INGRESS):
                    sampler = _sampler(ifindex, hook, pref, draw(SAMPLINGS), action=draw(st.integers(1, 9)))
                    control = draw(st.sampled_from([CONTINUE, PIPE]))
                    assert sampler.sample is not None
                    sample = replace(sampler.sample, control=control, bindings=draw(st.integers(1, 2)))
                    flags = draw(st.sampled_from([FilterFlags.IN_HW, FilterFlags.NOT_IN_HW, FilterFlags(9)]))
                    filters += [
                        Filter(ifindex, hook, 0, pref, 0, "matchall"),
                        replace(sampler, sample=sample, flags=flags),
                    ]
                else:
                    kind, chain = draw(FOREIGN)
                    filters += [Filter(ifindex, hook, chain, pref, handle, kind) for handle in (0, 1)]
    return TcState(tuple(qdiscs), tuple(filters), NAMES)


@st.composite
def wishes(draw: st.DrawFn) -> list[WantedFilter]:
    flags = draw(st.sampled_from([FilterFlags.NONE, FilterFlags.SKIP_HW]))
    places = draw(st.sets(st.tuples(st.sampled_from(sorted(NAMES)), st.sampled_from(Hook))))
    return [
        replace(_wanted(hook, draw(st.integers(1, 3)), ifindex=ifindex), flags=flags)
        for ifindex, hook in sorted(places)
    ]


def _others(state: TcState) -> list[Filter]:
    mine = {(one.ifindex, one.hook, one.pref) for one in state.filters if is_ours(one)}
    return [one for one in state.filters if one.chain or (one.ifindex, one.hook, one.pref) not in mine]


def _ours(state: TcState) -> dict[tuple[int, Hook], Filter]:
    mine = [one for one in state.filters if is_ours(one)]
    by_place = {(one.ifindex, one.hook): one for one in mine}
    assert len(by_place) == len(mine)
    return by_place


@given(wishes(), states())
def test_what_is_wanted_is_there_afterwards(wanted: list[WantedFilter], found: TcState) -> None:
    plan = plan_sampling(wanted, found)
    after = applied(found, plan.changes)
    there = _ours(after)
    for one in wanted:
        refused = any(note.startswith(f"{one.name} {one.hook.name.lower()}: not sampled") for note in plan.notes)
        old = there.pop((one.ifindex, one.hook), None)
        assert (old is None) == refused
        if old is not None:
            assert old.sample is not None
            assert replace(old.sample.sampling, cookie=b"") == one.sampling
            assert old.sample.control == CONTINUE
            assert old.flags & (FilterFlags.SKIP_HW | FilterFlags.SKIP_SW) == one.flags
    assert not there


@given(wishes(), states())
def test_planning_again_gives_nothing(wanted: list[WantedFilter], found: TcState) -> None:
    plan = plan_sampling(wanted, found)
    after = applied(found, plan.changes)
    again = plan_sampling(wanted, after)
    assert again == SamplingPlan((), plan.notes)


@given(wishes(), states())
def test_what_others_made_is_never_touched(wanted: list[WantedFilter], found: TcState) -> None:
    after = applied(found, plan_sampling(wanted, found).changes)
    assert _others(after) == _others(found)
    removed = plan_removal(after)
    assert _others(applied(after, removed.changes)) == _others(found)


@given(wishes(), states())
def test_removal_leaves_nothing_of_ours(wanted: list[WantedFilter], found: TcState) -> None:
    """A clsact that was there stays; one that we made goes, unless others use it by now."""
    bare = applied(found, plan_removal(found).changes)
    after = applied(bare, plan_sampling(wanted, bare).changes)
    last = applied(after, plan_removal(after).changes)
    assert last == bare
    assert not _ours(last)
    assert plan_removal(last) == SamplingPlan()


def test_an_interface_gets_its_qdisc_and_its_filters() -> None:
    plan = plan_sampling([_wanted(), _wanted(Hook.EGRESS)], TcState(names=NAMES))
    assert format_plan(plan).splitlines() == [
        "tc qdisc add dev eth0 clsact",
        (
            "tc filter add dev eth0 ingress pref 1 matchall action sample rate 1000 group 1 trunc 128 continue"
            " cookie 74696465676174650101"
        ),
        (
            "tc filter add dev eth0 egress pref 1 matchall action sample rate 1000 group 2 trunc 128 continue"
            " cookie 74696465676174650101"
        ),
    ]


def test_leftovers_are_known_by_their_cookie_alone() -> None:
    left = [_sampler(2, hook, 9, Sampling(7, 7, 0, MADE)) for hook in Hook]
    plan = plan_removal(_state(_clsact(), *left))
    assert format_plan(plan).splitlines() == [
        "tc filter del dev eth0 ingress pref 9 handle 0x1 matchall",
        "tc filter del dev eth0 egress pref 9 handle 0x1 matchall",
        "tc qdisc del dev eth0 clsact",
    ]


def test_a_clsact_that_was_there_stays() -> None:
    state = _state(_clsact())
    after = applied(state, plan_sampling([_wanted()], state).changes)
    assert [one.sample.sampling.cookie for one in after.filters if one.sample] == [FOUND]
    assert applied(after, plan_removal(after).changes) == state


def test_a_clsact_of_ours_stays_while_others_use_it() -> None:
    other = Filter(2, Hook.EGRESS, 0, 5, 1, "bpf")
    left = _state(_clsact(), _sampler(2, Hook.INGRESS, 1, Sampling(7, 7, 0, MADE)), other)
    assert format_plan(plan_removal(left)) == "tc filter del dev eth0 ingress pref 1 handle 0x1 matchall\n"


def test_a_clsact_of_ours_stays_ours_when_filters_are_exchanged() -> None:
    left = _state(_clsact(), _sampler(2, Hook.INGRESS, 1, Sampling(7, 7, 0, MADE)))
    after = applied(left, plan_sampling([_wanted(Hook.EGRESS)], left).changes)
    assert [one.sample.sampling.cookie for one in after.filters if one.sample] == [MADE]


def test_another_rate_is_set_without_a_gap() -> None:
    left = _state(_clsact(), _sampler(2, Hook.INGRESS, 1, Sampling(7, 1, 128, FOUND), action=42))
    assert format_plan(plan_sampling([_wanted(rate=50)], left)) == (
        "tc actions replace action sample rate 50 group 1 trunc 128 continue index 42"
        " cookie 74696465676174650100  # eth0 ingress pref 1\n"
    )


@pytest.mark.parametrize("reason", ["hardware", "shared", "placement"])
def test_a_filter_that_cannot_be_changed_in_place_is_exchanged(reason: str) -> None:
    old = _sampler(2, Hook.INGRESS, 1, Sampling(7, 1, 128, FOUND))
    assert old.sample is not None
    sample = replace(old.sample, bindings=2 if reason == "shared" else 1)
    flags = {"hardware": FilterFlags.IN_HW, "placement": FilterFlags.SKIP_HW}.get(reason, FilterFlags.NOT_IN_HW)
    plan = plan_sampling([_wanted(rate=50)], _state(_clsact(), replace(old, sample=sample, flags=flags)))
    assert [type(change) for change in plan.changes] == [RemoveFilter, AddFilter]


def test_what_is_in_hardware_as_wanted_stays() -> None:
    old = replace(_sampler(2, Hook.INGRESS, 1, Sampling(1000, 1, 128, FOUND)), flags=FilterFlags.IN_HW)
    assert plan_sampling([_wanted()], _state(_clsact(), old)) == SamplingPlan()


def _prefs(*taken: int) -> tuple[int, tuple[str, ...]]:
    others = (Filter(2, Hook.INGRESS, 0, one, 1, "flower") for one in taken)
    plan = plan_sampling([_wanted()], _state(_clsact(), *others))
    (change,) = plan.changes
    assert isinstance(change, AddFilter)
    return change.pref, plan.notes


def test_a_foreign_filter_keeps_its_preference() -> None:
    assert _prefs(1, 2, 4) == (
        3,
        (
            (
                "eth0 ingress: preference 1 is another filter's; sampling has preference 3, and does not see what "
                "filters before it drop or redirect"
            ),
        ),
    )
    assert _prefs(2) == (1, ())


def test_no_preference_is_free() -> None:
    others = (Filter(2, Hook.INGRESS, 0, pref, 1, "flower") for pref in range(1, 0x10000))
    plan = plan_sampling([_wanted()], _state(_clsact(), *others))
    assert plan == SamplingPlan((), ("eth0 ingress: not sampled: no preference is free",))


def test_a_shared_block_and_an_ingress_qdisc_are_left_alone() -> None:
    plan = plan_sampling([_wanted()], _state(_clsact(ingress_block=7)))
    assert plan.notes == (
        "eth0 ingress: not sampled: its filters are those of block 7, which other interfaces may share",
    )
    plan = plan_sampling([_wanted(), _wanted(Hook.EGRESS)], _state(_clsact(kind="ingress")))
    assert [type(change) for change in plan.changes] == [AddFilter]
    assert plan.notes == (
        "eth0 egress: not sampled: the interface has a qdisc ingress; with clsact in its place egress can be sampled",
    )
    assert format_plan(plan).startswith("# eth0 egress: not sampled")


def test_a_clsact_such_as_we_do_not_make_is_not_removed() -> None:
    left = _state(_clsact(ingress_block=7), _sampler(2, Hook.EGRESS, 1, Sampling(7, 7, 0, MADE)))
    assert format_plan(plan_removal(left)) == "tc filter del dev eth0 egress pref 1 handle 0x1 matchall\n"


def test_an_interface_without_a_name_is_told_by_its_number() -> None:
    left = TcState((_clsact(),), (_sampler(2, Hook.INGRESS, 1, Sampling(7, 7, 0, FOUND)),))
    assert "dev if2" in format_plan(plan_removal(left))


def test_configuration_becomes_filters() -> None:
    config = AgentConfig(direction=Direction.BOTH, header_octets=64, psample=PsampleConfig((5,), (6, 7)))
    assert wanted_filters(2, "eth0", rate=400, config=config) == (
        WantedFilter(2, "eth0", Hook.INGRESS, Sampling(400, 5, 64)),
        WantedFilter(2, "eth0", Hook.EGRESS, Sampling(400, 6, 64)),
    )
    assert wanted_filters(2, "eth0", rate=0, config=config) == ()
    skip = wanted_filters(2, "eth0", rate=1, config=AgentConfig(), flags=FilterFlags.SKIP_SW)
    assert [one.flags for one in skip] == [FilterFlags.SKIP_SW]


def test_a_direction_without_a_group_cannot_be_set_up() -> None:
    config = AgentConfig(direction=Direction.EGRESS, psample=PsampleConfig(egress_groups=()))
    with pytest.raises(ConfigError, match=r"agent.psample.egress_groups: egress sampling needs a group: name one"):
        wanted_filters(2, "eth0", rate=1, config=config)
