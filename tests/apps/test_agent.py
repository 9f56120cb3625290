"""The running agent: samples from a netlink socket, datagrams to a UDP socket, on this machine's loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from frame_lab import ARRIVES, LEAVES, make_pair
from net_namespace import in_namespace, shell
from running import prepare
from tidegate.agent.config import AgentConfig, CollectorConfig, DiscardsConfig, NflogConfig, PsampleConfig, Source
from tidegate.apps.agent import Agent
from tidegate.errors import ConfigError, TidegateError
from tidegate.io.clock import SystemClock
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink import dropmon
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.samples import CountersSample, Datagram, FlowSample
from usersock import GROUP, INTERFACE, RATE, kernel, opener

LIMIT_S = 20.0
ADDRESS = "192.0.2.1"
ELSEWHERE = CollectorConfig(address="127.0.0.1", port=6399)  # nobody's, in a namespace of its own
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


@contextmanager
def started(config: AgentConfig) -> Iterator[Agent]:
    agent = Agent(config, SystemClock())
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
def test_more_than_a_look_takes_is_read_at_the_end(multicast: int, listen: Listen, tmp_path: Path) -> None:
    collector = listen()
    status = tmp_path / "status.json"
    config = msgspec.structs.replace(_config(collector), status_file=str(status), datagram_octets=8192)

    async def check() -> None:
        async with running(config, multicast, buffer=64 << 20):
            with kernel(multicast) as send:
                send(12_000)

    asyncio.run(check())
    told = json.loads(status.read_text())
    assert told["sources"]["psample"]["overflows"] == 0
    assert (told["counts"]["packets_taken"], told["counts"]["packets_lost"]) == (12_000, 0)
    assert [one.sequence_number for one in collector.flows()] == list(range(1, 12_001))


@needs_root
def test_more_than_the_buffer_holds_is_taken_or_told_as_lost_at_the_end(
    multicast: int, listen: Listen, tmp_path: Path
) -> None:
    collector = listen()
    status = tmp_path / "status.json"
    config = msgspec.structs.replace(_config(collector), status_file=str(status), datagram_octets=8192)

    async def check() -> int:
        async with running(config, multicast) as agent:
            with kernel(multicast) as send:
                send(12_000)
                extra = 0

                def is_loss_told() -> bool:
                    nonlocal extra
                    send(1)
                    extra += 1
                    return agent.status().counts["packets_lost"] > 0

                await until(is_loss_told)
                return 12_000 + extra

    sent = asyncio.run(check())
    told = json.loads(status.read_text())
    flows = collector.flows()
    assert told["sources"]["psample"]["overflows"] >= 1
    assert told["counts"]["packets_taken"] + told["counts"]["packets_lost"] == sent
    assert len(flows) + flows[-1].drops == sent


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

    wanted = {(2, 1), *((0, index) for index, name in socket.if_nameindex() if name != "lo")}

    def sources() -> set[tuple[int, int]]:
        samples = (sample for one in collector.read() for sample in one.samples)
        return {(one.source_id.type, one.source_id.index) for one in samples if isinstance(one, CountersSample)}

    async def check() -> None:
        async with running(config, multicast):
            await until(lambda: wanted <= sources())

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


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("agent.sampling_by_speed.fast: is no speed", {"sampling_by_speed": {"fast": 1}}),
    ("agent.address_prefixes: ", {"address_prefixes": ("here",)}),
    ("agent.address: ", {"address": "no such thing"}),
]


@needs_root
@pytest.mark.parametrize(("words", "wrong"), WRONG)
def test_a_wrong_configuration_at_a_reload_changes_nothing(
    words: str, wrong: dict[str, Any], multicast: int, listen: Listen
) -> None:
    collector, other = listen(), listen()
    config = msgspec.structs.replace(_config(collector), polling_s=0, sub_agent=7)
    fresh = {"collectors": (other.config,), "address": "192.0.2.9", "sub_agent": 8, "most_samples": 1, **wrong}

    async def check() -> None:
        async with running(config, multicast) as agent:
            before = settings(agent)
            with pytest.raises(ConfigError) as raised:
                agent.reload(msgspec.structs.replace(config, **fresh))
            assert str(raised.value).startswith(words)
            assert settings(agent) == before
            with kernel(multicast) as send:
                send(50)
                await until(lambda: len(collector.flows()) == 50)

    asyncio.run(check())
    assert {(one.agent_address, one.sub_agent_id) for one in collector.datagrams} == {(bytes([192, 0, 2, 1]), 7)}
    assert other.read() == []
    assert collector.flows()[0].input.value in {INTERFACE, 0}


@in_namespace
def test_rates_and_sockets_stay_at_a_reload_that_is_wrong() -> None:
    make_pair()
    config = AgentConfig(address=ADDRESS, source=Source.PACKET, sampling=400, collectors=(ELSEWHERE,))

    async def check() -> None:
        with started(config) as agent:
            before = settings(agent)
            assert before["interfaces"] == {ARRIVES: 400, LEAVES: 400}
            for words, wrong in WRONG:
                fresh: dict[str, Any] = {"sampling": 7, "address": "192.0.2.9", "collectors": (), **wrong}
                with pytest.raises(ConfigError) as raised:
                    agent.reload(msgspec.structs.replace(config, **fresh))
                assert str(raised.value).startswith(words)
                assert settings(agent) == before
            agent.reload(msgspec.structs.replace(config, sampling=7, address="192.0.2.9", collectors=()))
            after = {"agent_address": "192.0.2.9", "interfaces": {ARRIVES: 7, LEAVES: 7}, "collectors": []}
            assert settings(agent) == {**before, **after}

    asyncio.run(check())


@in_namespace
def test_a_reload_without_groups_of_nflog_changes_nothing() -> None:
    make_pair()
    collectors = (ELSEWHERE,)
    named = AgentConfig(address=ADDRESS, source=Source.NFLOG, nflog=NflogConfig(groups=(77,)), collectors=collectors)

    async def check(config: AgentConfig) -> None:
        with started(config) as agent:
            before = settings(agent)
            assert before["source"] == "nflog"
            with pytest.raises(ConfigError, match=r"^agent\.nflog\.groups: name the groups"):
                agent.reload(msgspec.structs.replace(config, nflog=NflogConfig(), address="192.0.2.9", collectors=()))
            assert settings(agent) == before

    asyncio.run(check(named))
    asyncio.run(check(msgspec.structs.replace(named, source=Source.AUTO)))


@needs_root
def test_what_the_machine_cannot_do_is_told_once_at_a_reload_and_the_rest_done(
    multicast: int, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    with Netlink(GENERIC) as generic:
        if find_family(generic, dropmon.FAMILY):
            pytest.skip("this kernel has a drop monitor")
    first, second = listen(), listen()
    fresh = msgspec.structs.replace(
        _config(second), address="192.0.2.9", polling_s=1, discards=DiscardsConfig(enabled=True)
    )
    problem = "drop_monitor: the kernel does not have it: load the module with `modprobe drop_monitor`"

    async def check() -> None:
        async with running(_config(first), multicast) as agent:
            with kernel(multicast) as send:
                send(5)
                await until(lambda: len(first.flows()) == 5)
                for _ in range(3):
                    agent.reload(fresh)
                    assert agent.status().problems == {"drop monitor": problem}
                assert agent.status().agent_address == "192.0.2.9"
                assert [one.target for one in agent.status().collectors] == [_target(second)]
                send(5)
                await until(lambda: len(second.flows()) == 5)
                await until(
                    lambda: any(isinstance(one, CountersSample) for each in second.read() for one in each.samples)
                )
                agent.reload(_config(second))
                assert agent.status().problems == {}
                send(1)
                await until(lambda: len(second.flows()) == 6)

    asyncio.run(check())
    assert {one.agent_address for one in second.datagrams} >= {bytes([192, 0, 2, 9])}
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == [problem]


def settings(agent: Agent) -> dict[str, object]:
    """Return what a reload may change, as far as it shows."""
    status = agent.status()
    return {
        "agent_address": status.agent_address,
        "source": status.source,
        "interfaces": status.interfaces,
        "collectors": [one.target for one in status.collectors],
        "problems": status.problems,
    }


def _target(collector: Collector) -> str:
    return f"127.0.0.1:{collector.config.port}"


# The agent address.


@in_namespace
def test_an_address_that_others_reach_takes_the_place_of_a_local_one_and_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    make_pair()
    shell(f"ip addr add fe80::7/64 dev {ARRIVES} nodad")
    config = AgentConfig(source=Source.NONE, polling_s=0)

    async def check() -> None:
        with started(config) as agent:

            async def comes(text: str) -> None:
                await until(lambda: agent.status().agent_address == text)

            async def stays(text: str) -> None:
                """Wait for a change behind those before to be told: by then they were."""
                shell("ip link add last type bridge")
                await until(lambda: "last" in agent.names().values())
                shell("ip link del last")
                assert agent.status().agent_address == text

            await comes("fe80::7")
            shell(f"ip addr add 169.254.3.4/16 dev {ARRIVES}")
            await stays("fe80::7")
            shell(f"ip addr add 192.0.2.7/24 dev {ARRIVES}")
            await comes("192.0.2.7")
            shell(f"ip addr add 198.51.100.7/24 dev {LEAVES}")
            await stays("192.0.2.7")  # whatever comes
            shell(f"ip addr del 198.51.100.7/24 dev {LEAVES}; ip addr del 192.0.2.7/24 dev {ARRIVES}")
            await stays("192.0.2.7")  # only local ones are left
            shell(f"ip addr add 192.0.2.7/24 dev {ARRIVES}")
            await stays("192.0.2.7")
            shell(f"ip addr del 192.0.2.7/24 dev {ARRIVES}; ip addr add 198.51.100.7/24 dev {LEAVES}")
            await comes("198.51.100.7")

    asyncio.run(check())
    assert [one.getMessage() for one in caplog.records if "agent address" in one.getMessage()] == [
        "the agent address changes from fe80::7 to 192.0.2.7",
        "the agent address changes from 192.0.2.7 to 198.51.100.7",
    ]
