"""Which source is chosen, and how its sockets follow configuration and interfaces: on this machine's own kernel."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from frame_lab import ARRIVES, LEAVES, frame, make_pair, send
from net_namespace import NET_RAW, drop, in_namespace, shell
from running import until
from tidegate.agent.config import AgentConfig, Direction, NflogConfig, Setup, Source
from tidegate.agent.nft_rules import OWN_GROUP, format_rules, log_rules
from tidegate.agent.ports import Port
from tidegate.apps.agent_sources import PacketSource, PacketSources, chosen_source
from tidegate.data.sampled import Row
from tidegate.errors import ConfigError, SourceError
from tidegate.io.clock import Clock, SystemClock
from tidegate.io.nft import run_nft
from tidegate.io.packet_socket import PacketSocket
from tidegate.io.sample_socket import SampleSocket, open_nflog
from usersock import kernel, opener

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="not installed: nft")
GROUPS = NflogConfig(groups=(5,))
MULTICAST = 20  # of a namespace of its own


@pytest.mark.parametrize(
    ("config", "has_samplers", "source"),
    [
        (AgentConfig(), False, Source.PACKET),
        (AgentConfig(), True, Source.PSAMPLE),
        (AgentConfig(nflog=GROUPS), True, Source.NFLOG),
        (AgentConfig(nflog=GROUPS, source=Source.PACKET), True, Source.PACKET),
        (AgentConfig(source=Source.PSAMPLE), False, Source.PSAMPLE),
        (AgentConfig(source=Source.NONE), True, Source.NONE),
        (AgentConfig(source=Source.NFLOG), True, Source.NFLOG),
        (AgentConfig(setup=Setup.TC, nflog=GROUPS), False, Source.PSAMPLE),
        (AgentConfig(setup=Setup.TC, source=Source.PSAMPLE), False, Source.PSAMPLE),
        (AgentConfig(setup=Setup.NFT), True, Source.NFLOG),
        (AgentConfig(setup=Setup.NFT, source=Source.NFLOG), True, Source.NFLOG),
    ],
)
def test_the_source_is_what_is_configured_else_what_the_machine_has(
    config: AgentConfig, *, has_samplers: bool, source: Source
) -> None:
    assert chosen_source(config, has_samplers=lambda: has_samplers) is source


@pytest.mark.parametrize(
    ("setup", "source", "words"),
    [
        (Setup.TC, Source.PACKET, "tc samples for psample"),
        (Setup.TC, Source.NFLOG, "tc samples for psample"),
        (Setup.NFT, Source.PSAMPLE, "nft samples for nflog"),
        (Setup.NFT, Source.NONE, "nft samples for nflog"),
    ],
)
def test_a_setup_that_samples_for_another_source_is_refused(setup: Setup, source: Source, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen_source(AgentConfig(setup=setup, source=source), has_samplers=lambda: True)
    assert str(caught.value) == f"agent.setup: {words}: leave out source, or leave out setup"


class Told(msgspec.Struct, frozen=True):
    """What the watcher was asked, of which socket; how many packets were drained, and at which rates."""

    what: str
    key: int
    packets: int = 0
    rates: frozenset[int] = frozenset()


class Watching:
    """A watcher that reads when it is asked to."""

    def __init__(self) -> None:
        self.sources: dict[int, PacketSource] = {}
        self._told: list[Told] = []

    def watch(self, key: int, source: PacketSource) -> None:
        assert key not in self.sources
        self.sources[key] = source
        self._told.append(Told("watch", key))

    def drain(self, key: int, source: PacketSource) -> None:
        rows = [row for one in source.read() for row in one.rows[: one.count].tolist()]
        self._told.append(Told("drain", key, len(rows), frozenset(row[Row.RATE] for row in rows)))

    def unwatch(self, source: PacketSource) -> None:
        assert source.fileno() >= 0  # it is still open
        key = next(key for key, one in self.sources.items() if one is source)
        del self.sources[key]
        self._told.append(Told("unwatch", key))

    def take(self) -> list[Told]:
        told, self._told = self._told, []
        return told


@contextmanager
def following(source: Source) -> Iterator[tuple[PacketSources, Watching]]:
    watching = Watching()
    sources = PacketSources(source, SystemClock(), watching)
    try:
        yield sources, watching
    finally:
        sources.close()
        assert watching.sources == {}


def port(name: str, rate: int = 1) -> Port:
    return Port(socket.if_nametoindex(name), name, rate, 2)


PACKET = AgentConfig(source=Source.PACKET)
GONE = Port(99, "gone", 1, 2)


def deliver(start: str, count: int) -> None:
    """Send frames from one end of the pair and wait until the other has them."""
    end = LEAVES if start == ARRIVES else ARRIVES
    before = received(end)
    send(start, [frame(number) for number in range(count)])
    until(lambda: received(end) == before + count)


def received(interface: str) -> int:
    told = json.loads(shell(f"ip -s -j link show {interface}"))[0]
    return int(told["stats64"]["rx"]["packets"])


@in_namespace
def test_each_interface_has_a_socket_that_follows_its_rate() -> None:
    make_pair()
    here, there = port(ARRIVES), port(LEAVES)
    with following(Source.PACKET) as (sources, watching):
        sources.update(PACKET, [here, there])
        assert watching.take() == [Told("watch", here.index), Told("watch", there.index)]
        sources.update(PACKET, [here, there])
        assert watching.take() == []
        deliver(LEAVES, 5)
        sources.update(PACKET, [msgspec.structs.replace(here, rate=1000), there])
        assert watching.take() == [Told("drain", here.index, 5, frozenset({1}))]  # as they were sampled
        one = watching.sources[here.index]
        assert isinstance(one, PacketSocket)
        assert one.tap.rate == 1000
        assert sources.statistics() == {ARRIVES: {"rate": 1000, "errors": 0}, LEAVES: {"rate": 1, "errors": 0}}


@in_namespace
def test_what_waits_is_read_before_a_socket_is_closed() -> None:
    make_pair()
    here, there = port(ARRIVES), port(LEAVES)
    with following(Source.PACKET) as (sources, watching):
        sources.update(PACKET, [here, there])
        watching.take()
        deliver(LEAVES, 3)
        sources.update(PACKET, [there])
        assert watching.take() == [Told("drain", here.index, 3, frozenset({1})), Told("unwatch", here.index)]
        deliver(ARRIVES, 4)
        sources.update(msgspec.structs.replace(PACKET, direction=Direction.EGRESS), [there])  # needs another socket
        assert watching.take() == [
            Told("drain", there.index, 4, frozenset({1})),
            Told("unwatch", there.index),
            Told("watch", there.index),
        ]
        deliver(LEAVES, 2)
        sources.close()
        assert watching.take() == [Told("drain", there.index, 2, frozenset({1})), Told("unwatch", there.index)]
        assert sources.statistics() == {LEAVES: {"rate": 1, "errors": 0}}


@pytest.mark.netns
@pytest.mark.parametrize(("direction", "expected"), [("ingress", [0]), ("egress", [1]), ("both", [0, 1])])
def test_packets_are_taken_in_the_direction_that_is_wanted(direction: str, expected: list[int]) -> None:
    @in_namespace
    def check() -> None:
        make_pair()
        config = msgspec.structs.replace(PACKET, direction=Direction(direction), header_octets=16)
        with following(Source.PACKET) as (sources, watching):
            sources.update(config, [port(ARRIVES)])
            send(LEAVES, [frame(1)])
            send(ARRIVES, [frame(2)])
            (packets,) = watching.sources[port(ARRIVES).index].read()
            rows = packets.rows[: packets.count]
            assert rows[:, Row.EGRESS].tolist() == expected
            assert rows[:, Row.DATA_LENGTH].tolist() == [16] * len(expected)

    check()


@in_namespace
def test_one_interface_that_fails_leaves_the_others_alone_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    here = port(ARRIVES)
    words = "interface gone: there is no such interface"
    with following(Source.PACKET) as (sources, watching):
        for _ in range(3):
            sources.update(PACKET, [GONE, here])
            assert list(watching.sources) == [here.index]
            assert sources.problems == {"interface gone": words}
        assert [record.getMessage() for record in caplog.records] == [words]  # once
        shell("ip link add gone index 99 type bridge")
        sources.update(PACKET, [GONE, here])
        assert set(watching.sources) == {here.index, 99}
        assert sources.problems == {}


@in_namespace
def test_a_problem_goes_with_its_interface(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    with following(Source.PACKET) as (sources, _):
        for _ in range(2):
            sources.update(PACKET, [GONE, port(ARRIVES)])
            assert list(sources.problems) == ["interface gone"]
            sources.update(PACKET, [port(ARRIVES)])
            assert sources.problems == {}
    assert len(caplog.records) == 2


@in_namespace
def test_where_no_interface_can_be_sampled_at_the_start_it_is_an_error() -> None:
    make_pair()
    here = port(ARRIVES)
    with following(Source.PACKET) as (sources, watching):
        with pytest.raises(SourceError, match=r"^interface gone: there is no such interface$"):
            sources.update(PACKET, [GONE])
        drop(NET_RAW)
        with pytest.raises(SourceError, match=f"^interface {ARRIVES}: packet sockets need CAP_NET_RAW"):
            sources.update(PACKET, [here, GONE])
        assert watching.take() == []


@in_namespace
def test_later_it_is_a_problem_and_no_error() -> None:
    with following(Source.PACKET) as (sources, _):
        sources.update(PACKET, [])  # nothing is up yet
        sources.update(PACKET, [GONE])
        assert sources.problems == {"interface gone": "interface gone: there is no such interface"}


@in_namespace
def test_without_a_source_there_is_no_socket() -> None:
    make_pair()
    with following(Source.NONE) as (sources, watching):
        sources.update(AgentConfig(source=Source.NONE), [port(ARRIVES)])
        sources.check(10**18)
        assert (watching.take(), sources.statistics(), sources.problems) == ([], {}, {})


def nflog(*groups: int, octets: int = 128) -> AgentConfig:
    return AgentConfig(source=Source.NFLOG, nflog=NflogConfig(groups=groups), header_octets=octets)


def are_taken(*groups: int) -> list[bool]:
    """Tell of groups whether somebody has them."""
    found = []
    for group in groups:
        try:
            open_nflog((group,), SystemClock(), octets=128).close()
        except SourceError:
            found.append(True)
        else:
            found.append(False)
    return found


@in_namespace
def test_groups_come_and_go_and_those_that_stay_may_stay() -> None:
    with following(Source.NFLOG) as (sources, watching):
        sources.update(nflog(5), ())
        assert watching.take() == [Told("watch", 0)]
        sources.update(nflog(5), [GONE])
        assert watching.take() == []
        sources.update(nflog(5, 6), ())
        assert watching.take() == [Told("drain", 0), Told("unwatch", 0), Told("watch", 0)]
        assert are_taken(5, 6, 7) == [True, True, False]
        sources.update(nflog(6, 7), ())
        assert are_taken(5, 6, 7) == [False, True, True]
        (told,) = sources.statistics().values()
        assert told == {"samples": 0, "other": 0, "broken": 0, "incomplete": 0, "overflows": 0}
    assert are_taken(5, 6, 7) == [False, False, False]


@in_namespace
def test_groups_that_cannot_be_had_leave_things_as_they_were() -> None:
    other = open_nflog((9,), SystemClock(), octets=128)
    with following(Source.NFLOG) as (sources, watching):
        with pytest.raises(SourceError, match=r"^NFLOG group 9: another program has joined it"):
            sources.update(nflog(9), ())
        assert watching.sources == {}
        sources.update(nflog(5), ())
        for _ in range(2):
            with pytest.raises(SourceError, match=r"^NFLOG group 9: another program has joined it"):
                sources.update(nflog(6, 9), ())
            assert are_taken(5, 6) == [True, False]
            assert list(watching.sources) == [0]
        other.close()
        sources.update(nflog(6, 9), ())
        assert are_taken(5, 6, 9) == [False, True, True]


def test_groups_must_be_named() -> None:
    with following(Source.NFLOG) as (sources, _), pytest.raises(ConfigError) as caught:
        sources.update(nflog(), ())
    assert str(caught.value) == "agent.nflog.groups: name the groups that your rules log to, or use --setup nft"


@needs_nft
@in_namespace
def test_more_octets_of_logged_packets_are_asked_for_where_they_are_wanted() -> None:
    make_pair()
    here = port(ARRIVES)
    config = AgentConfig(setup=Setup.NFT, header_octets=32)
    most = msgspec.structs.replace(config, header_octets=512)
    run_nft(format_rules(log_rules(here.index, here.name, rate=1, config=most)))
    with following(Source.NFLOG) as (sources, watching):
        for one, octets in ((config, 32), (most, 512)):
            sources.update(one, [here])
            assert are_taken(OWN_GROUP) == [True]
            send(LEAVES, [frame(1, 1000)])
            (packets,) = until(watching.sources[0].read, "a packet")
            assert packets.rows[0, Row.DATA_LENGTH] == octets


SECOND = 1_000_000_000
Opener = Callable[[Clock], SampleSocket]
PSAMPLE = AgentConfig(source=Source.PSAMPLE)


def refusing(_: Clock) -> SampleSocket:
    raise SourceError("psample", "it is gone")


@in_namespace
def test_psample_is_joined_once_and_what_waits_is_read_at_the_end() -> None:
    watching = Watching()
    sources = PacketSources(Source.PSAMPLE, SystemClock(), watching, open_psample=opener(MULTICAST))
    for _ in range(2):
        sources.update(PSAMPLE, [GONE])
    assert watching.take() == [Told("watch", 0)]
    with kernel(MULTICAST) as emit:
        emit(7)
    sources.check(100 * SECOND)  # nothing is new
    sources.close()
    assert [(one.what, one.packets) for one in watching.take()] == [("drain", 7), ("unwatch", 0)]
    assert sources.statistics() == {"psample": {"samples": 7, "other": 0, "broken": 0, "incomplete": 0, "overflows": 0}}


def test_psample_that_is_not_there_is_an_error_at_the_start() -> None:
    sources = PacketSources(Source.PSAMPLE, SystemClock(), Watching(), open_psample=refusing)
    with pytest.raises(SourceError, match=r"^psample: it is gone$"):
        sources.update(PSAMPLE, ())


@in_namespace
def test_psample_that_was_loaded_anew_is_joined_again_and_its_counts_go_on(caplog: pytest.LogCaptureFixture) -> None:
    there: list[Opener] = [opener(MULTICAST)]
    current = [True]

    def open_one(clock: Clock) -> SampleSocket:
        source = there[0](clock)
        source.is_current = lambda: current[0]
        return source

    watching = Watching()
    sources = PacketSources(Source.PSAMPLE, SystemClock(), watching, open_psample=open_one)
    sources.update(PSAMPLE, ())
    with kernel(MULTICAST) as emit:
        emit(3)
        there[0], current[0] = refusing, False
        for now in (100, 200):
            sources.check(now * SECOND)
            assert sources.problems == {"psample": "psample: it is gone"}
            sources.update(PSAMPLE, ())  # interfaces changed meanwhile
        assert [(one.what, one.packets) for one in watching.take()] == [("watch", 0), ("drain", 3), ("unwatch", 0)]
        there[0], current[0] = opener(MULTICAST), True
        sources.check(300 * SECOND)
        assert sources.problems == {}
        emit(4)
        assert watching.take() == [Told("watch", 0)]
    sources.close()
    assert [(one.what, one.packets) for one in watching.take()] == [("drain", 4), ("unwatch", 0)]
    assert sources.statistics()["psample"] == {
        "samples": 7, "other": 0, "broken": 0, "incomplete": 0, "overflows": 0
    }  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        "psample: it is gone",
        "psample was loaded anew, and joined again",
    ]
