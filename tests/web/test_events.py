from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.web.polls import Polls
from tidegate.web.rest import create_app, end_polls
from web.asgi import Call, until_waiting
from web.fake_backend import FakeBackend, event, record


class Running:
    """An application whose polls are awake, on this loop."""

    def __init__(self, backend: FakeBackend) -> None:
        self.backend = backend
        self.app = create_app(backend)
        self.polls: Polls = self.app.state["polls"]

    def get(self, target: str) -> Call:
        return Call(self.app, target)


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    one = Running(FakeBackend())
    async with asyncio.timeout(30), one.polls.running():
        yield one


def on_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


def test_events_come_newest_first_with_their_own_names(client: TestClient[Litestar], backend: FakeBackend) -> None:
    backend.add(event(0), msgspec.structs.replace(event(1), flow_key="10.0.0.1,80", values=(12.0, None), samples=4.5))
    assert client.get("/events/json").json() == [
        {
            "eventID": 1,
            "timestamp": 1700000000001,
            "thresholdID": "elephant",
            "metric": "tcp",
            "threshold": 10.0,
            "value": 11.5,
            "agent": "10.0.0.20",
            "dataSource": "4",
            "flowKey": "10.0.0.1,80",
            "values": [12.0, None],
            "samples": 4.5,
        },
        {
            "eventID": 0,
            "timestamp": 1700000000000,
            "thresholdID": "elephant",
            "metric": "tcp",
            "threshold": 10.0,
            "value": 11.5,
            "agent": "10.0.0.20",
            "dataSource": "4",
        },
    ]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", [5, 4, 3, 2, 1]),
        ("?eventID=-1", [5, 4, 3, 2, 1]),
        ("?eventID=3", [5, 4]),
        ("?maxEvents=2", [5, 4]),
        ("?eventID=1&maxEvents=1", [5]),
        ("?thresholdID=even", [4, 2]),
        ("?thresholdID=even,odd&maxEvents=3", [5, 4, 3]),
        ("?thresholdID=even&thresholdID=odd", [5, 4, 3, 2, 1]),
        ("?thresholdID=even;odd", [5, 4, 3, 2, 1]),
        ("?thresholdID=other", []),
        ("?eventID=5&timeout=0", []),
        ("?eventID=-1&timeout=0", [5, 4, 3, 2, 1]),
    ],
)
def test_what_of_the_events_is_asked_for(
    client: TestClient[Litestar], backend: FakeBackend, query: str, ids: list[int]
) -> None:
    backend.add(*(event(number, "odd" if number % 2 else "even") for number in range(1, 6)))
    assert [one["eventID"] for one in client.get("/events/json" + query).json()] == ids


@pytest.mark.parametrize(
    ("query", "ids"),
    [("", [3, 2, 1]), ("?name=udp", [2]), ("?name=tcp&name=udp&maxFlows=2", [3, 2]), ("?flowID=2", [3])],
)
def test_what_of_the_flow_records_is_asked_for(
    client: TestClient[Litestar], backend: FakeBackend, query: str, ids: list[int]
) -> None:
    backend.add(record(1), record(2, "udp"), record(3))
    found = client.get("/flows/json" + query).json()
    assert [one["flowID"] for one in found] == ids
    assert set(found[0]) == {"flowID", "name", "flowKeys", "value", "start", "end", "agent", "dataSource"}


@pytest.mark.parametrize("query", ["maxEvents=0", "maxEvents=many", "eventID=1.5", "timeout=-1", "timeout=soon"])
def test_a_wrong_parameter_is_named(client: TestClient[Litestar], query: str) -> None:
    reply = client.get("/events/json?" + query)
    name, _, text = query.partition("=")
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(name + ": ")
    assert (reply.json()["text"], reply.json()["column"]) == (text, 0)


@on_loop
async def test_the_first_poll_waits_until_there_is_something() -> None:
    async with running() as one:
        call = one.get("/events/json?eventID=-1&timeout=60")
        await until_waiting(one.polls)
        await asyncio.to_thread(one.backend.add, event(0))
        assert [found["eventID"] for found in await call.reply()] == [0]
        assert one.polls.waiting == 0


@on_loop
async def test_a_poll_goes_on_where_the_last_one_ended() -> None:
    async with running() as one:
        one.backend.add(event(1), event(2))
        last = (await one.get("/events/json?eventID=-1&timeout=60").reply())[0]["eventID"]
        call = one.get(f"/events/json?eventID={last}&timeout=60")
        await until_waiting(one.polls)
        await asyncio.to_thread(one.backend.add, event(3), event(4))
        assert [found["eventID"] for found in await call.reply()] == [4, 3]


@on_loop
async def test_without_a_timeout_a_poll_waits_too() -> None:
    async with running() as one:
        call = one.get("/events/json?eventID=-1")
        await until_waiting(one.polls)
        one.backend.add(event(0))
        assert len(await call.reply()) == 1


@on_loop
async def test_events_of_other_thresholds_do_not_end_a_poll() -> None:
    async with running() as one:
        call = one.get("/events/json?eventID=-1&thresholdID=mine&timeout=60")
        await until_waiting(one.polls)
        one.backend.add(event(1, "other"), record(1))
        for _ in range(20):
            await asyncio.sleep(0)
        await until_waiting(one.polls)
        assert not call.task.done()
        one.backend.add(event(2, "mine"))
        assert [found["eventID"] for found in await call.reply()] == [2]


@on_loop
async def test_records_are_waited_for_as_events_are() -> None:
    async with running() as one:
        call = one.get("/flows/json?flowID=7&name=udp&timeout=60")
        await until_waiting(one.polls)
        one.backend.add(record(7, "udp"), record(8, "udp"))
        assert [found["flowID"] for found in await call.reply()] == [8]


@on_loop
async def test_a_poll_is_empty_at_its_end() -> None:
    async with running() as one:
        assert await one.get("/events/json?eventID=-1&timeout=0.01").reply() == []
        assert one.polls.waiting == 0


@on_loop
async def test_a_client_that_goes_away_leaves_nothing() -> None:
    async with running() as one:
        call = one.get("/events/json?eventID=-1&timeout=3600")
        await until_waiting(one.polls)
        call.disconnect()
        await call.task
        assert one.polls.waiting == 0


@on_loop
async def test_a_poll_that_is_cancelled_leaves_nothing() -> None:
    async with running() as one:
        call = one.get("/events/json?eventID=-1&timeout=3600")
        await until_waiting(one.polls)
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.task
        assert one.polls.waiting == 0


@on_loop
async def test_polls_end_when_the_server_stops() -> None:
    async with running() as one:
        calls = [one.get("/events/json?eventID=-1&timeout=3600") for _ in range(3)]
        await until_waiting(one.polls, 3)
        end_polls(one.app)
        assert [await call.reply() for call in calls] == [[], [], []]
        assert await one.get("/events/json?eventID=-1&timeout=3600").reply() == []


@on_loop
async def test_hundreds_of_polls_are_woken_by_one_event() -> None:
    async with running() as one:
        calls = [one.get("/events/json?eventID=-1&timeout=3600") for _ in range(200)]
        await until_waiting(one.polls, 200)
        await asyncio.to_thread(one.backend.add, event(1))
        assert all([len(await call.reply()) == 1 for call in calls])


@on_loop
async def test_no_event_is_missed_or_seen_twice_while_many_are_added() -> None:
    async with running() as one:

        def flood() -> None:
            for number in range(300):
                one.backend.add(event(number))

        flooding = asyncio.create_task(asyncio.to_thread(flood))
        seen: list[int] = []
        while len(seen) < 300:
            last = seen[-1] if seen else -1
            found = await one.get(f"/events/json?eventID={last}&timeout=60").reply()
            seen += [row["eventID"] for row in reversed(found)]
        await flooding
        assert seen == list(range(300))


@on_loop
async def test_changes_after_the_end_wake_nobody() -> None:
    async with running() as one:
        (changed,) = one.backend.watchers
    assert one.backend.watchers == []
    changed()


def test_changes_after_the_loop_was_closed_are_let_go() -> None:
    kept: list[Callable[[], None]] = []

    async def start() -> None:
        async with running() as one:
            kept.extend(one.backend.watchers)

    asyncio.run(start())
    kept[0]()
