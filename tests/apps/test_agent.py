"""The running agent: samples from a netlink socket, datagrams to a UDP socket, on this machine's loopback."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from running import prepare
from tidegate.agent.config import AgentConfig, CollectorConfig, NflogConfig, PsampleConfig, Source
from tidegate.apps.agent import Agent
from tidegate.errors import ConfigError, TidegateError
from tidegate.io.clock import SystemClock
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.samples import CountersSample, Datagram, FlowSample
from usersock import GROUP, INTERFACE, RATE, kernel, opener

LIMIT_S = 20.0
ADDRESS = "192.0.2.1"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="netlink multicast needs root")


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    prepare()


@pytest.fixture
def multicast(worker_id: str) -> int:
    """Groups are the machine's: each process of a run has one of its own."""
    return 20 + int(worker_id.removeprefix("gw")) if worker_id != "master" else 20


class Collector:
    """A socket of loopback, and what came to it."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.datagrams: list[Datagram] = []

    @property
    def config(self) -> CollectorConfig:
        return CollectorConfig(address="127.0.0.1", port=self.socket.getsockname()[1])

    def read(self) -> list[Datagram]:
        while True:
            try:
                self.datagrams.append(decode_datagram(self.socket.recv(65536)))
            except BlockingIOError:
                return self.datagrams

    def flows(self) -> list[FlowSample]:
        return [sample for one in self.read() for sample in one.samples if isinstance(sample, FlowSample)]


Listen = Callable[[], Collector]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Give what opens collectors; they are closed at the end."""
    opened: list[Collector] = []

    def open_one() -> Collector:
        opened.append(Collector())
        return opened[-1]

    yield open_one
    for one in opened:
        one.socket.close()


@asynccontextmanager
async def running(config: AgentConfig, multicast: int, *, buffer: int = 8 << 20) -> AsyncIterator[Agent]:
    agent = Agent(config, SystemClock(), open_psample=opener(multicast, buffer=buffer))
    with agent.run():
        yield agent


async def until(ask: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not ask():  # noqa: ASYNC110 - of the kernel's doing there is no event
            await asyncio.sleep(0.01)


def _config(*collectors: Collector) -> AgentConfig:
    return AgentConfig(
        collectors=tuple(one.config for one in collectors),
        address=ADDRESS,
        source=Source.PSAMPLE,
        polling_s=0,
        delay_ms=20,
        most_samples=10_000_000,
        psample=PsampleConfig(ingress_groups=(GROUP,)),
    )


@needs_root
def test_samples_are_sent_and_numbered(multicast: int, listen: Listen) -> None:
    collector = listen()

    async def check() -> None:
        async with running(_config(collector), multicast):
            with kernel(multicast) as send:
                send(100)
                await until(lambda: len(collector.flows()) == 100)

    asyncio.run(check())
    flows = collector.flows()
    assert [one.sequence_number for one in flows] == list(range(1, 101))
    assert {(one.sampling_rate, one.drops) for one in flows} == {(RATE, 0)}
    assert flows[-1].sample_pool == 100 * RATE
    assert {one.agent_address for one in collector.datagrams} == {bytes([192, 0, 2, 1])}
    assert [one.sequence_number for one in collector.datagrams] == list(range(1, len(collector.datagrams) + 1))


@needs_root
def test_drops_are_exact_when_the_buffer_was_full(multicast: int, listen: Listen) -> None:
    collector = listen()

    async def check() -> dict[str, Any]:
        async with running(_config(collector), multicast, buffer=32768) as agent:
            with kernel(multicast) as send:
                send(10)
                await until(lambda: len(collector.flows()) == 10)
                send(5000)  # nobody reads meanwhile: it is this thread that does
                await until(lambda: agent.status().counts["packets_taken"] > 10)
                send(1)
                await until(lambda: collector.flows()[-1].drops > 0)
                return msgspec.to_builtins(agent.status())["sources"]  # type: ignore[no-any-return] # a dict it is

    told = asyncio.run(check())
    flows = collector.flows()
    assert 11 < len(flows) < 5000
    assert len(flows) + flows[-1].drops == 10 + 5000 + 1
    assert flows[-1].sample_pool == (10 + 5000 + 1) * RATE
    assert [one.sequence_number for one in flows] == list(range(1, len(flows) + 1))
    assert told["psample"]["overflows"] >= 1


@needs_root
def test_a_flood_is_thinned_and_the_rates_stay_true(multicast: int, listen: Listen) -> None:
    collector = listen()
    config = msgspec.structs.replace(_config(collector), most_samples=500)

    async def check() -> Agent:
        async with running(config, multicast) as agent:
            with kernel(multicast) as send:
                for _ in range(60):
                    send(500)
                    await asyncio.sleep(0.01)
                await until(lambda: _booked(agent) == 30_000)
            await asyncio.sleep(0.05)
            return agent

    agent = asyncio.run(check())
    flows = collector.flows()
    counts = agent.status().counts
    assert counts["packets_shed"] > 20_000
    assert counts["packets_taken"] == len(flows)
    assert counts["packets_lost"] == flows[-1].drops == 0
    assert flows[-1].sample_pool <= 30_000 * RATE
    estimate = sum(one.sampling_rate for one in flows)
    spread = sum(one.sampling_rate**2 for one in flows) ** 0.5
    assert abs(estimate - 30_000 * RATE) < 5 * spread


def _booked(agent: Agent) -> int:
    counts = agent.status().counts
    return counts["packets_taken"] + counts["packets_shed"]


@needs_root
def test_a_reload_changes_collectors_and_keeps_numbers(multicast: int, listen: Listen) -> None:
    first, second = listen(), listen()

    async def check() -> None:
        async with running(_config(first), multicast) as agent:
            with kernel(multicast) as send:
                send(20)
                await until(lambda: agent.status().counts["packets_taken"] == 20)
                agent.reload(_config(second))
                send(20)
                await until(lambda: len(second.flows()) == 20)

    asyncio.run(check())
    assert len(first.flows()) == 20
    assert [one.sequence_number for one in second.flows()] == list(range(21, 41))
    numbers = [one.sequence_number for collector in (first, second) for one in collector.datagrams]
    assert numbers == list(range(1, len(numbers) + 1))


@needs_root
def test_each_collector_gets_all_and_one_that_is_away_costs_the_others_nothing(multicast: int, listen: Listen) -> None:
    first, second, away = listen(), listen(), listen()
    config = _config(first, away, second)
    away.socket.close()

    async def check() -> Agent:
        async with running(config, multicast) as agent:
            with kernel(multicast) as send:
                for _ in range(5):
                    send(50)
                    await asyncio.sleep(0.03)
                await until(lambda: len(first.flows()) == len(second.flows()) == 250)
            return agent

    agent = asyncio.run(check())
    told = {one.target: one for one in agent.status().collectors}
    refused = told[f"127.0.0.1:{config.collectors[1].port}"]
    assert refused.problem == "Connection refused"
    assert [one.dropped for one in told.values() if one is not refused] == [0, 0]


@needs_root
def test_what_waits_is_sent_at_the_end(multicast: int, listen: Listen) -> None:
    collector = listen()
    config = msgspec.structs.replace(_config(collector), delay_ms=1000)

    async def check() -> None:
        async with running(config, multicast) as agent:
            with kernel(multicast) as send:
                send(3)
                await until(lambda: agent.status().counts["packets_taken"] == 3)

    asyncio.run(check())
    assert len(collector.flows()) == 3


@needs_root
def test_what_waits_at_the_socket_is_read_at_the_end(multicast: int, listen: Listen) -> None:
    collector = listen()

    async def check() -> None:
        async with running(_config(collector), multicast):
            with kernel(multicast) as send:
                send(5)

    asyncio.run(check())
    assert len(collector.flows()) == 5


@needs_root
def test_what_a_full_socket_holds_is_read_at_the_end_and_its_counts_are_told(
    multicast: int, listen: Listen, tmp_path: Path
) -> None:
    collector = listen()
    status = tmp_path / "status.json"
    config = msgspec.structs.replace(_config(collector), status_file=str(status))

    async def check() -> None:
        async with running(config, multicast, buffer=32768):
            with kernel(multicast) as send:
                send(5000)

    asyncio.run(check())
    told = json.loads(status.read_text())["sources"]["psample"]
    assert told["overflows"] == 1
    assert len(collector.flows()) == told["samples"] > 0


@needs_root
def test_counters_of_host_and_interfaces_come_within_the_interval(
    multicast: int, listen: Listen, tmp_path: Path
) -> None:
    collector = listen()
    status = tmp_path / "status.json"
    config = msgspec.structs.replace(_config(collector), polling_s=1, status_file=str(status))

    def sources() -> set[tuple[int, int]]:
        samples = (sample for one in collector.read() for sample in one.samples)
        return {(one.source_id.type, one.source_id.index) for one in samples if isinstance(one, CountersSample)}

    async def check() -> None:
        async with running(config, multicast):
            await until(lambda: (2, 1) in sources())

    asyncio.run(check())
    told = json.loads(status.read_text())
    assert told["agent_address"] == ADDRESS
    assert told["counts"]["datagrams"] == len(collector.read())


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (AgentConfig(address=ADDRESS, source=Source.NFLOG, nflog=NflogConfig()), "agent.nflog.groups: name the groups"),
        (AgentConfig(address=ADDRESS, sampling_by_speed={"fast": 1}), "agent.sampling_by_speed.fast: is no speed"),
        (AgentConfig(address="no such thing"), "agent.address: "),
        (AgentConfig(address_prefixes=("here",)), "agent.address_prefixes: "),
        (AgentConfig(address="tidegate-none"), "agent.address: "),
    ],
)
def test_what_cannot_start_says_why(config: AgentConfig, words: str) -> None:
    async def check() -> None:
        with Agent(msgspec.structs.replace(config, interfaces=("none",)), SystemClock()).run():
            raise AssertionError("it started")

    with pytest.raises(TidegateError) as raised:
        asyncio.run(check())
    assert str(raised.value).startswith(words)


@needs_root
def test_a_wrong_configuration_at_a_reload_changes_nothing(multicast: int, listen: Listen) -> None:
    collector = listen()

    async def check() -> None:
        async with running(_config(collector), multicast) as agent:
            with pytest.raises(ConfigError):
                agent.reload(msgspec.structs.replace(_config(collector), sampling_by_speed={"fast": 1}))
            with kernel(multicast) as send:
                send(1)
                await until(lambda: len(collector.flows()) == 1)

    asyncio.run(check())
    assert collector.flows()[0].input.value in {INTERFACE, 0}
