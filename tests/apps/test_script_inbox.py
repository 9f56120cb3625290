"""The inbox of a script: urgent first, bounded by kind, losses counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.apps.script_desk import Job, Kind
from tidegate.apps.script_inbox import SIZES, Inbox

KINDS = st.lists(st.sampled_from(sorted(SIZES, key=lambda kind: kind.value)), max_size=30)


def taken(inbox: Inbox) -> list[Job]:
    return list(iter(inbox.take, None))


@given(KINDS)
def test_the_most_urgent_comes_first_and_within_a_kind_the_oldest(kinds: list[Kind]) -> None:
    inbox = Inbox()
    jobs = [Job(kind, at_ns) for at_ns, kind in enumerate(kinds)]
    for job in jobs:
        assert inbox.put(job)

    assert bool(inbox) == bool(jobs)
    assert taken(inbox) == sorted(jobs, key=lambda job: (list(Kind).index(job.kind), job.at_ns))
    assert not inbox


@given(KINDS, st.integers(0, 3))
def test_what_has_no_room_is_counted_by_kind(kinds: list[Kind], room: int) -> None:
    inbox = Inbox(dict.fromkeys(SIZES, room))
    put = [inbox.put(Job(kind, 0)) for kind in kinds]

    assert sum(put) == inbox.received.total() == len(taken(inbox))
    for kind in SIZES:
        came = kinds.count(kind)
        assert (inbox.received[kind], inbox.lost[kind]) == (min(came, room), max(came - room, 0))


def test_a_flood_of_flow_records_displaces_no_event() -> None:
    inbox = Inbox()
    for at_ns in range(SIZES[Kind.FLOW] + 5):
        inbox.put(Job(Kind.FLOW, at_ns))

    assert inbox.put(Job(Kind.EVENT, 1))
    assert inbox.lost == {Kind.FLOW: 5}
    first = inbox.take()
    assert first is not None
    assert first.kind is Kind.EVENT
