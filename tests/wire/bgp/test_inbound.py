"""What is kept of a peer's routes over restarts and refreshes, and when it goes."""

from __future__ import annotations

import pytest
from msgspec import structs

from bgp_cases import EXTERNAL
from tidegate.units import Asn, Seconds
from tidegate.wire.bgp.attributes import Attributes, Segment
from tidegate.wire.bgp.constants import Afi, Family, Origin, RefreshSubtype, SegmentType
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.inbound import Inbound
from tidegate.wire.bgp.message import Notification, RouteRefresh, hard_reset, shutdown
from tidegate.wire.bgp.open import GracefulRestart, Negotiated
from tidegate.wire.bgp.peer_news import Gone, News, Notice, NoticeKind
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.session import Down
from tidegate.wire.bgp.update import RouteGroup, Update

V4, F4 = Family.IPV4_UNICAST, Family.IPV4_FLOWSPEC
BOTH = (V4, F4)
LOST = Down("cable", was_up=True)
KEPT = GracefulRestart(60, notification=True, families=BOTH, kept=BOTH)
AGREED = structs.replace(EXTERNAL, families=frozenset(BOTH), enhanced_refresh=True)
HELPED = structs.replace(AGREED, graceful_restart=KEPT)
PATH = Attributes(origin=Origin.IGP, as_path=(Segment(SegmentType.SEQUENCE, (65001,)),))


def announce(inbound: Inbound, *hosts: int, now: float = 0.0) -> None:
    """Let routes come, one of each family a host."""
    for host in hosts:
        prefix = parse_prefix(f"192.0.2.{host}")
        rule = FlowRule(Afi.IPV4, (PrefixComponent(ComponentType.DESTINATION, prefix),))
        for group in (RouteGroup(V4, (prefix,), parse_address("192.0.2.254")), RouteGroup(F4, (rule,))):
            assert inbound.take(Update((group,), attributes=PATH), Seconds(now)) == []
    inbound.rib_in.finish()


def down(inbound: Inbound, now: float = 0.0) -> list[News]:
    """Let the session be lost."""
    news = inbound.down(LOST, Seconds(now))
    inbound.rib_in.finish()
    return news


def end_of_rib(inbound: Inbound, *families: Family, now: float = 0.0) -> list[News]:
    return [news for family in families for news in inbound.take(Update(end_of_rib=family), Seconds(now))]


def counts(inbound: Inbound) -> tuple[int, int]:
    inbound.rib_in.finish()
    return inbound.rib_in.count(V4), inbound.rib_in.count(F4)


def stale(inbound: Inbound) -> tuple[int, int]:
    inbound.rib_in.finish()
    return inbound.stale(V4), inbound.stale(F4)


def met(negotiated: Negotiated = HELPED, *, stale_s: float = 300.0) -> Inbound:
    """Return what has two hosts of one session."""
    inbound = Inbound(stale_s=stale_s)
    assert inbound.up(negotiated, Seconds(0.0)) == []
    announce(inbound, 1, 2)
    end_of_rib(inbound, *BOTH)
    return inbound


@pytest.mark.parametrize(
    ("end", "notification", "kept"),
    [
        (LOST, False, True),
        (Down("n", was_up=True, notification=Notification(3, 1)), False, False),
        (Down("n", was_up=True, notification=Notification(3, 1)), True, True),
        (Down("n", was_up=True, notification=Notification(4, 0), sent=True), False, False),
        (Down("n", was_up=True, notification=Notification(4, 0), sent=True), True, True),
        (Down("n", was_up=True, notification=hard_reset(shutdown(2))), True, False),  # type: ignore[arg-type]
        (Down("n", was_up=True, notification=Notification(6, 9)), True, False),
    ],
)
def test_which_ends_of_a_session_leave_its_routes(end: Down, notification: bool, kept: bool) -> None:  # noqa: FBT001
    inbound = met(structs.replace(HELPED, notification_restart=notification))
    news = inbound.down(end, Seconds(10.0))
    assert counts(inbound) == ((2, 2) if kept else (0, 0))
    assert stale(inbound) == ((2, 2) if kept else (0, 0))
    if kept:
        text = "4 routes of ipv4-unicast, ipv4-flowspec are kept for 60 s while the peer restarts"
        assert news == [Notice(NoticeKind.STALE, text)]
        assert inbound.deadline() == 70.0
    else:
        assert news == [Gone(BOTH, 4, "the session is over")]
        assert inbound.deadline() is None


def test_without_the_agreement_nothing_is_kept() -> None:
    inbound = met(AGREED)
    assert down(inbound, 1.0) == [Gone(BOTH, 4, "the session is over")]


def test_a_family_that_the_peer_does_not_restart_goes_at_once() -> None:
    inbound = met(structs.replace(HELPED, graceful_restart=structs.replace(KEPT, families=(F4,), kept=())))
    news = down(inbound, 1.0)
    assert news[0] == Gone((V4,), 2, "the session is over")
    assert counts(inbound) == (0, 2)


def test_what_does_not_come_back_in_time_goes() -> None:
    inbound = met()
    down(inbound, 0.0)
    assert inbound.tick(Seconds(59.9)) == []
    assert inbound.tick(Seconds(60.0)) == [
        Gone((V4,), 2, "the peer did not come back in time"),
        Gone((F4,), 2, "the peer did not come back in time"),
    ]
    assert counts(inbound) == (0, 0)
    assert inbound.deadline() is None
    assert inbound.up(HELPED, Seconds(61.0)) == []


def test_end_of_rib_ends_each_family_by_itself() -> None:
    inbound = met()
    down(inbound, 0.0)
    inbound.up(HELPED, Seconds(5.0))
    assert inbound.deadline() == 305.0
    announce(inbound, 2, 3, now=6.0)
    assert stale(inbound) == (1, 1)
    assert end_of_rib(inbound, F4, now=7.0) == [Gone((F4,), 1, "the peer has restarted and not announced them again")]
    assert counts(inbound) == (3, 2)
    assert inbound.end_of_rib == {F4: 7.0}
    assert inbound.tick(Seconds(305.0)) == [Gone((V4,), 1, "the peer sent no End-of-RIB in time")]
    assert counts(inbound) == (2, 2)
    assert end_of_rib(inbound, V4) == []


def test_what_waits_to_be_taken_counts_before_end_of_rib() -> None:
    inbound = met()
    down(inbound, 0.0)
    inbound.up(HELPED, Seconds(5.0))
    prefixes = tuple(parse_prefix(f"192.0.2.{host}") for host in (1, 2))
    inbound.take(Update((RouteGroup(V4, prefixes, parse_address("192.0.2.254")),), attributes=PATH), Seconds(6.0))
    assert end_of_rib(inbound, V4, now=6.0) == []
    assert inbound.busy
    inbound.rib_in.finish()
    assert inbound.settle() == []
    assert not inbound.busy
    assert counts(inbound) == (2, 2)


def test_a_peer_that_restarts_again_before_end_of_rib_loses_what_was_stale() -> None:
    inbound = met()
    down(inbound, 0.0)
    inbound.up(HELPED, Seconds(5.0))
    announce(inbound, 1)
    news = down(inbound, 6.0)
    assert news[0] == Gone(BOTH, 2, "stale since the restart before")
    assert counts(inbound) == (1, 1)
    assert stale(inbound) == (1, 1)


def test_families_that_the_peer_did_not_keep_go_when_it_is_back() -> None:
    inbound = met()
    down(inbound, 0.0)
    restart = structs.replace(KEPT, kept=(F4,))
    news = inbound.up(structs.replace(HELPED, graceful_restart=restart), Seconds(5.0))
    assert news == [Gone((V4,), 2, "the peer has come back without them")]
    assert counts(inbound) == (0, 2)


def test_a_family_that_is_not_agreed_on_any_more_goes() -> None:
    inbound = met()
    down(inbound, 0.0)
    news = inbound.up(structs.replace(HELPED, families=frozenset({F4})), Seconds(5.0))
    assert news == [Gone((V4,), 2, "the peer has come back without them")]


@pytest.mark.parametrize("changes", [{"peer_as": Asn(65009)}, {"router_id": 9}])
def test_another_identity_inherits_nothing(changes: dict[str, int]) -> None:
    inbound = met()
    down(inbound, 0.0)
    notice, gone = inbound.up(structs.replace(HELPED, **changes), Seconds(5.0))
    assert isinstance(notice, Notice)
    assert notice.kind is NoticeKind.IDENTITY
    assert "and was AS 65001 with identifier 0.0.0.1" in notice.text
    assert gone == Gone(BOTH, 4, "the peer has come back as another")
    assert inbound.deadline() is None


def test_another_identity_is_told_where_nothing_was_kept() -> None:
    inbound = met(AGREED)
    down(inbound, 0.0)
    (notice,) = inbound.up(structs.replace(AGREED, router_id=9), Seconds(5.0))
    assert isinstance(notice, Notice)
    inbound.forget()
    assert inbound.up(structs.replace(AGREED, router_id=10), Seconds(5.0)) == []


def refreshed(inbound: Inbound, family: Family, subtype: RefreshSubtype, now: float = 0.0) -> list[News]:
    return inbound.refresh(RouteRefresh(family, subtype), Seconds(now))


def test_a_refresh_removes_what_did_not_come_again() -> None:
    inbound = met()
    assert refreshed(inbound, F4, RefreshSubtype.BEGIN, 10.0) == []
    assert stale(inbound) == (0, 2)
    announce(inbound, 2)
    assert refreshed(inbound, F4, RefreshSubtype.END) == [
        Gone((F4,), 1, "the peer did not announce them again in a refresh")
    ]
    assert counts(inbound) == (2, 1)
    assert inbound.deadline() is None


def test_a_refresh_that_does_not_end_is_ended_by_a_timer() -> None:
    inbound = met(stale_s=30.0)
    refreshed(inbound, F4, RefreshSubtype.BEGIN, 10.0)
    assert inbound.deadline() == 40.0
    assert inbound.tick(Seconds(40.0)) == [Gone((F4,), 2, "a refresh of the peer did not end in time")]
    assert refreshed(inbound, F4, RefreshSubtype.END) == []


def test_a_refresh_that_begins_again_marks_everything_again() -> None:
    inbound = met()
    refreshed(inbound, F4, RefreshSubtype.BEGIN)
    announce(inbound, 1, 2)
    refreshed(inbound, F4, RefreshSubtype.BEGIN)
    assert stale(inbound) == (0, 2)


def test_an_end_without_a_begin_changes_nothing() -> None:
    inbound = met()
    assert refreshed(inbound, F4, RefreshSubtype.END) == []
    assert counts(inbound) == (2, 2)


def test_a_refresh_before_end_of_rib_is_ignored_where_that_must_come_first() -> None:
    inbound = met()
    down(inbound, 0.0)
    inbound.up(HELPED, Seconds(5.0))
    (notice,) = refreshed(inbound, F4, RefreshSubtype.BEGIN)
    assert notice == Notice(NoticeKind.REFRESH, "a refresh of ipv4-flowspec began before End-of-RIB and is ignored")
    plain = Inbound(stale_s=300.0)
    plain.up(AGREED, Seconds(0.0))
    announce(plain, 1)
    assert refreshed(plain, F4, RefreshSubtype.BEGIN) == []
    assert stale(plain) == (0, 1)


def test_the_end_of_a_session_ends_its_refreshes() -> None:
    inbound = met()
    refreshed(inbound, F4, RefreshSubtype.BEGIN)
    down(inbound, 1.0)
    assert refreshed(inbound, F4, RefreshSubtype.END) == []
    assert counts(inbound) == (2, 2)
    assert inbound.refresh(RouteRefresh(None, RefreshSubtype.BEGIN), Seconds(1.0)) == []


def test_a_refresh_that_begins_while_another_is_being_settled() -> None:
    inbound = met()
    refreshed(inbound, V4, RefreshSubtype.BEGIN)
    prefix = parse_prefix("192.0.2.1")
    inbound.take(Update((RouteGroup(V4, (prefix,), parse_address("192.0.2.254")),), attributes=PATH), Seconds(6.0))
    assert refreshed(inbound, V4, RefreshSubtype.END) == []  # it waits for what came before
    refreshed(inbound, V4, RefreshSubtype.BEGIN)
    assert counts(inbound)[0] == 1
    assert stale(inbound)[0] == 1
    assert not inbound.busy


def test_forget_removes_everything() -> None:
    inbound = met()
    assert inbound.forget() == [Gone(BOTH, 4, "the session was stopped here")]
    assert inbound.forget() == []
    assert inbound.end_of_rib == {}


def test_a_session_that_ends_while_a_refresh_is_being_settled_keeps_its_routes() -> None:
    inbound = met()
    refreshed(inbound, V4, RefreshSubtype.BEGIN)
    prefix = parse_prefix("192.0.2.1")
    inbound.take(Update((RouteGroup(V4, (prefix,), parse_address("192.0.2.254")),), attributes=PATH), Seconds(6.0))
    refreshed(inbound, V4, RefreshSubtype.END)
    news = inbound.down(LOST, Seconds(7.0))
    assert news[0] == Gone((V4,), 1, "the peer did not announce them again in a refresh")
    assert counts(inbound) == (1, 2)
    assert stale(inbound) == (1, 2)
