"""What is wanted of whom, compared with a plain model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.io.bgp_wanted import EVERYONE, Entry, Wanted
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import RouteKey, UnicastRoute, route_key


def route(number: int, med: int | None = None) -> UnicastRoute:
    return UnicastRoute(parse_prefix(f"192.0.2.{number}"), parse_address("192.0.2.1"), med=med)


KEYS = [route_key(route(number)) for number in range(3)]
PEERS = ("a", "b")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "drop", "forget"]),
            st.sampled_from([EVERYONE, *PEERS]),
            st.integers(0, 2),
            st.integers(0, 9),
        ),
        max_size=30,
    )
)
def test_each_peer_is_told_what_was_said_last_of_it_or_of_all(  # noqa: C901 - the model is one case a step
    steps: list[tuple[str, str, int, int]],
) -> None:
    rows: dict[tuple[str, RouteKey], Entry] = {}

    def note(place: str, key: RouteKey, entry: Entry | None) -> None:
        if entry is None:
            del rows[place, key]
        else:
            rows[place, key] = entry

    wanted = Wanted(note)
    model: dict[str, dict[RouteKey, UnicastRoute]] = {peer: {} for peer in PEERS}
    late: dict[RouteKey, UnicastRoute] = {}  # what one that comes later is told
    for what, place, number, med in steps:
        at = PEERS if place == EVERYONE else (place,)
        key = KEYS[number]
        if what == "put":
            wanted.put(place, key, Entry(route(number, med)))
            for peer in at:
                model[peer][key] = route(number, med)
            if place == EVERYONE:
                late[key] = route(number, med)
        elif what == "drop":
            had = [peer for peer in at if model[peer].pop(key, None) is not None]
            had += ["late"] if place == EVERYONE and late.pop(key, None) is not None else []
            assert wanted.drop(place, key) == bool(had)
        elif place != EVERYONE:
            wanted.forget(place)
            model[place] = dict(late)
    for peer in PEERS:
        assert dict(wanted.routes(peer)) == model[peer]
    assert dict(wanted.routes(EVERYONE)) == dict(wanted.routes("later")) == late
    assert {(place, key): entry for place, key, entry in wanted.rows()} == rows
    assert len(wanted) == len(rows)
    again = Wanted()
    for (place, key), entry in sorted(rows.items(), key=lambda row: row[0]):
        again.put(place, key, entry)
    assert {peer: dict(again.routes(peer)) for peer in PEERS} == model


def test_what_expires_is_told_once_and_a_renewed_one_later() -> None:
    wanted = Wanted()
    wanted.put(EVERYONE, KEYS[0], Entry(route(0), 10.0))
    wanted.put("a", KEYS[1], Entry(route(1), 20.0))
    wanted.put("a", KEYS[2], Entry(route(2)))
    wanted.put(EVERYONE, KEYS[0], Entry(route(0), 30.0))
    assert wanted.next_expiry() == 20.0
    assert wanted.due(19.9, most=9) == []
    assert wanted.due(40.0, most=1) == [("a", KEYS[1])]
    assert wanted.due(40.0, most=9) == [(EVERYONE, KEYS[0])]
    assert wanted.next_expiry() is None


def test_one_that_is_withdrawn_does_not_expire() -> None:
    wanted = Wanted()
    wanted.put("a", KEYS[0], Entry(route(0), 10.0))
    assert wanted.drop("a", KEYS[0])
    assert wanted.next_expiry() is None


def test_renewing_for_ever_takes_no_room() -> None:
    wanted = Wanted()
    for second in range(20_000):
        wanted.put("a", KEYS[0], Entry(route(0), float(second)))
    assert len(wanted._times) < 2000
    assert wanted.next_expiry() == 19_999.0
