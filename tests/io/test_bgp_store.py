"""The state file: what is put is there again, in whole, and no other file is touched."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError, SourceError
from tidegate.io.bgp_store import Kept, RouteStore, StoreStatus, decode_route, encode_route
from tidegate.io.bgp_wanted import EVERYONE, Entry, Wanted
from tidegate.wire.bgp.communities import (
    Action,
    LargeCommunity,
    RawCommunity,
    RedirectToIp,
    TrafficAction,
    TrafficMarking,
    TrafficRateBytes,
)
from tidegate.wire.bgp.constants import Afi, Family, Origin
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.prefix import Prefix, parse_address, parse_prefix
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key

LIMIT_S = 30.0
U32 = st.integers(0, (1 << 32) - 1)
LARGE = st.lists(st.builds(LargeCommunity, U32, U32, U32), max_size=3).map(tuple)
ACTIONS: st.SearchStrategy[Action] = st.one_of(
    st.builds(TrafficRateBytes, st.floats(0, 1e9, width=32), st.integers(0, 65535)),
    st.builds(TrafficAction, st.booleans(), st.booleans()),
    st.builds(TrafficMarking, st.integers(0, 63)),
    st.builds(RedirectToIp, st.binary(min_size=4, max_size=4), st.booleans()),
    st.builds(lambda rest: RawCommunity(b"\x43\x77" + rest), st.binary(min_size=6, max_size=6)),
)


def rule(number: int, afi: Afi = Afi.IPV4) -> FlowRoute:
    address = number.to_bytes(4 if afi is Afi.IPV4 else 16, "big")
    prefix = PrefixComponent(ComponentType.DESTINATION, Prefix(address, 8 * len(address)))
    return FlowRoute(FlowRule(afi, (prefix,)), (TrafficRateBytes(0.0),))


def route(number: int) -> UnicastRoute:
    return UnicastRoute(parse_prefix(f"192.0.2.{number}"), parse_address("192.0.2.1"))


ROUTES: st.SearchStrategy[Route] = st.one_of(
    st.builds(
        FlowRoute,
        st.builds(lambda number, afi: rule(number, afi).rule, U32, st.sampled_from(Afi)),
        st.lists(ACTIONS, max_size=3).map(tuple),
        st.sampled_from([b"", bytes(4), bytes(16)]),
        st.none() | U32,
        st.lists(U32, max_size=3).map(tuple),
        LARGE,
    ),
    st.builds(
        UnicastRoute,
        st.integers(0, 255).map(lambda number: parse_prefix(f"192.0.2.{number}")),
        st.binary(min_size=4, max_size=4),
        st.sampled_from(Origin),
        st.lists(U32, max_size=3).map(tuple),
        st.none() | U32,
        st.none() | U32,
        st.lists(U32, max_size=3).map(tuple),
        LARGE,
    ),
)


@given(ROUTES)
def test_a_route_is_read_as_it_was_written(known: Route) -> None:
    assert decode_route(route_key(known), encode_route(known)) == known


@given(st.sampled_from(Family), st.binary(max_size=12), st.binary(max_size=20))
def test_octets_are_a_route_or_refused(family: Family, nlri: bytes, octets: bytes) -> None:
    key = RouteKey(family, nlri)
    try:
        found = decode_route(key, octets)
    except DecodeError:
        return
    assert decode_route(key, encode_route(found)) == found


def run(path: Path, change: Callable[[RouteStore, Wanted], object], *, clear: bool = False, **limits: float) -> Kept:
    """Open a store, let its list be changed on a loop, close it, and return what it held at first."""

    async def test() -> Kept:
        async with asyncio.timeout(LIMIT_S):
            wanted = Wanted()
            store = RouteStore(str(path), wanted.rows, **limits)  # type: ignore[arg-type]
            kept = store.open(100.0)
            for row in kept.rows:
                wanted.put(*row)
            store.start()
            wanted.note = store.put
            done = change(store, wanted)
            if asyncio.iscoroutine(done):
                await done
            await store.close(clear=clear)
            return kept

    return asyncio.run(test())


def nothing(_store: RouteStore, _wanted: Wanted) -> None:
    return


def held(path: Path) -> dict[tuple[str, RouteKey], Entry]:
    kept = run(path, nothing)
    return {(place, key): entry for place, key, entry in kept.rows}


def test_what_is_put_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "state"

    def change(_: RouteStore, wanted: Wanted) -> None:
        wanted.put(EVERYONE, route_key(rule(1)), Entry(rule(1)))
        wanted.put(EVERYONE, route_key(rule(2)), Entry(rule(2), 500.0))
        wanted.put("192.0.2.9", route_key(route(3)), Entry(route(3)))
        wanted.put("192.0.2.9", route_key(route(4)), Entry(route(4)))
        wanted.drop("192.0.2.9", route_key(rule(1)))
        wanted.drop("192.0.2.9", route_key(route(4)))

    assert run(path, change) == Kept((), restarted=False, expired=0)
    assert held(path) == {
        (EVERYONE, route_key(rule(1))): Entry(rule(1), restored=True),
        (EVERYONE, route_key(rule(2))): Entry(rule(2), 500.0, restored=True),
        ("192.0.2.9", route_key(route(3))): Entry(route(3), restored=True),
        ("192.0.2.9", route_key(rule(1))): Entry(None, restored=True),
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_has_expired_is_not_restored(tmp_path: Path) -> None:
    def change(_: RouteStore, wanted: Wanted) -> None:
        for number, expires in enumerate((99.0, 100.0, 100.1)):
            wanted.put("a", route_key(rule(number)), Entry(rule(number), expires))

    run(tmp_path / "state", change)
    kept = run(tmp_path / "state", nothing)
    assert [entry.expires for _, _, entry in kept.rows] == [100.1]
    assert kept.expired == 2
    assert run(tmp_path / "state", nothing).expired == 0


def test_one_that_is_cleared_holds_nothing_and_has_not_restarted(tmp_path: Path) -> None:
    path = tmp_path / "state"
    run(path, lambda _, wanted: wanted.put("a", route_key(rule(1)), Entry(rule(1))))
    kept = run(path, nothing, clear=True)
    assert (len(kept.rows), kept.restarted) == (1, True)
    assert run(path, nothing) == Kept((), restarted=False, expired=0)
    assert run(path, nothing) == Kept((), restarted=True, expired=0)


DIES = """
import asyncio, sys
sys.path[:0] = {path!r}
from tidegate.io.bgp_store import RouteStore
from tidegate.io.bgp_wanted import Entry, Wanted
from tidegate.wire.bgp.routes import route_key
from test_bgp_store import rule

async def main():
    wanted = Wanted()
    store = RouteStore(sys.argv[1], wanted.rows)
    store.open(0.0)
    store.start()
    wanted.note = store.put
    turn = told = 0
    while True:
        for number in range(10):
            wanted.put("a", route_key(rule(number)), Entry(rule(number), 1000.0 + turn))
        turn += 1
        await asyncio.sleep(0)
        if store.status().written > 100 and not told:
            told = not print("ready", flush=True)

asyncio.run(main())
"""


def test_a_crash_leaves_whole_turns(tmp_path: Path) -> None:
    script = DIES.format(path=[str(Path(__file__).parent), *sys.path])
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "state")], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(child.pid, signal.SIGKILL)
    kept = run(tmp_path / "state", nothing)
    assert kept.restarted
    assert len(kept.rows) == 10
    assert len({entry.expires for _, _, entry in kept.rows}) == 1


def test_two_cannot_have_one_file(tmp_path: Path) -> None:
    async def change(_store: RouteStore, _wanted: Wanted) -> None:
        other = RouteStore(str(tmp_path / "state"), list)
        with pytest.raises(SourceError, match="another process has it: each needs a state file of its own"):
            await asyncio.to_thread(other.open, 0.0)

    run(tmp_path / "state", change)


def test_two_processes_cannot_have_one_file(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path[:0] = {sys.path!r}
from tidegate.errors import SourceError
from tidegate.io.bgp_store import RouteStore
try:
    RouteStore(sys.argv[1], list).open(0.0)
except SourceError as error:
    print(error)
"""

    async def change(_store: RouteStore, _wanted: Wanted) -> None:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(tmp_path / "state"), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await child.communicate()
        assert b"another process has it: each needs a state file of its own" in said

    run(tmp_path / "state", change)


def damaged(path: Path) -> None:
    def change(_: RouteStore, wanted: Wanted) -> None:
        for number in range(2000):
            wanted.put("a", route_key(rule(number)), Entry(rule(number)))

    run(path, change)
    octets = bytearray(path.read_bytes())
    octets[8192:-4096] = bytes(len(octets) - 8192 - 4096)
    path.write_bytes(octets)


def another_database(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (what)")
        database.execute("INSERT INTO theirs VALUES (42)")
    database.close()


def later_version(path: Path) -> None:
    run(path, nothing)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version=9")
    database.close()


def strange_route(path: Path) -> None:
    run(path, nothing)
    with sqlite3.connect(path) as database:
        database.execute("INSERT INTO routes VALUES ('a', 389, x'00', x'00', NULL)")
    database.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"notes of somebody\n" * 100), "this is no state file, and is left as it is"),
        (lambda path: path.write_bytes(b"x"), "this is no state file, and is left as it is"),
        (damaged, "damaged"),
        (another_database, "another program's database"),
        (later_version, "a later version has written it"),
        (strange_route, "a route of a cannot be read"),
    ],
    ids=["text", "one octet", "damaged", "another database", "later version", "strange route"],
)
def test_a_file_that_is_none_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "state"
    make(path)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(SourceError, match=message):
            RouteStore(str(path), list).open(0.0)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_had_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is there such a folder"):
        RouteStore(str(tmp_path / "nowhere" / "state"), list).open(0.0)
    with pytest.raises(SourceError, match="is there such a folder"):
        RouteStore(str(tmp_path), list).open(0.0)


def test_a_full_disk_is_one_warning_and_the_file_is_whole_again_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state"
    seen: list[StoreStatus] = []

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the thread has no event to wait for
            await asyncio.sleep(0.001)

    async def change(store: RouteStore, wanted: Wanted) -> None:
        wanted.put("a", route_key(rule(0)), Entry(rule(0)))
        await until(lambda: store.status().written == 1)
        for number in range(1, 5000):
            wanted.put("a", route_key(rule(number)), Entry(rule(number)))
        await until(lambda: store.status().failures > 2)
        seen.append(store.status())
        for number in range(5, 5000):
            wanted.drop("a", route_key(rule(number)))
        await until(lambda: not store.status().behind)
        wanted.put("a", route_key(rule(9)), Entry(rule(9)))

    with caplog.at_level(logging.WARNING):
        run(path, change, most_octets=65536, retry_s=0.01)
    assert seen[0].behind
    assert [record.message for record in caplog.records] == [
        (
            f"{path}: cannot be written: the disk is full, or the file has reached its greatest size. "
            "Routes are announced all the same; after a crash they would be missing"
        ),
        f"{path}: is written again, and up to date",
    ]
    assert {key for _, key in held(path)} == {route_key(rule(number)) for number in (0, 1, 2, 3, 4, 9)}


def test_a_thread_that_lags_takes_the_whole_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.io.bgp_store._MOST_WAITING", 10)

    async def change(_: RouteStore, wanted: Wanted) -> None:
        for number in range(100):
            wanted.put("a", route_key(rule(number)), Entry(rule(number)))
        await asyncio.sleep(0)
        for number in range(50):
            wanted.drop("a", route_key(rule(number)))

    run(tmp_path / "state", change)
    assert {key for _, key in held(tmp_path / "state")} == {route_key(rule(number)) for number in range(50, 100)}
