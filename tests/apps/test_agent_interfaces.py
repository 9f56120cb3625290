"""Interfaces as they come, go and change, on this machine's own kernel, in a network namespace."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from frame_lab import ARRIVES, LEAVES, MACS, frame, make_pair, send
from net_namespace import in_namespace, shell
from running import until
from tidegate.agent.discards import Station
from tidegate.agent.polling import HOST, Polled
from tidegate.apps.agent_interfaces import Interfaces
from tidegate.io.links import LinkChanges
from tidegate.wire.sflow.host_counters import HostDescr
from tidegate.wire.sflow.interface_counters import IfCounters, PortName
from tidegate.wire.sflow.samples import DataSource

SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@contextmanager
def followed() -> Iterator[Interfaces]:
    interfaces = Interfaces()
    try:
        yield interfaces
    finally:
        interfaces.close()


def names(interfaces: Interfaces) -> dict[int, str]:
    return {index: link.name for index, link in interfaces.now.items()}


def known(interfaces: Interfaces, now_ns: int) -> dict[int, str]:
    interfaces.forget(now_ns)
    found = interfaces.known()
    told = {link.index: link.name for link in found}
    assert len(told) == len(found)  # each number once
    return told


def settle(interfaces: Interfaces) -> None:
    """Take all that is told of what was done, until the interfaces have a carrier."""

    def has_carrier() -> bool:
        interfaces.follow(0)
        return all(link.running for link in interfaces.now.values() if link.kind == "veth")

    until(has_carrier, "a carrier")


@in_namespace
def test_interfaces_come_and_go() -> None:
    with followed() as interfaces:
        assert list(names(interfaces).values()) == ["lo"]
        assert not interfaces.follow(0)
        make_pair()
        assert interfaces.follow(0)
        assert set(names(interfaces).values()) == {"lo", ARRIVES, LEAVES}
        assert known(interfaces, 0) == names(interfaces)
        shell(f"ip link del {ARRIVES}")
        assert interfaces.follow(0)
        assert list(names(interfaces).values()) == ["lo"]
        assert not interfaces.follow(0)


@in_namespace
def test_those_that_are_there_at_the_start_are_known() -> None:
    make_pair()
    with followed() as interfaces:
        assert set(names(interfaces).values()) == {"lo", ARRIVES, LEAVES}
        assert not interfaces.follow(0)


@in_namespace
def test_only_what_matters_is_told() -> None:
    make_pair()
    shell("ip link add br0 type bridge")
    index = socket.if_nametoindex(ARRIVES)
    with followed() as interfaces:
        settle(interfaces)
        for change, matters in (
            ("mtu 1400", False),
            ("promisc on", False),
            ("txqueuelen 77", False),
            ("alias words", False),
            ("address 02:00:00:00:00:77", True),
            ("master br0", True),
            ("nomaster", True),
            ("down", True),
            ("name port1", True),
        ):
            shell(f"ip link set {names(interfaces)[index]} {change}")
            assert interfaces.follow(0) == matters, change
        link = interfaces.now[index]
        assert (link.name, link.up, link.address) == ("port1", False, bytes.fromhex("020000000077"))
        shell("ip link set port1 up")
        assert interfaces.follow(0)
        settle(interfaces)
        shell("ip addr add 192.0.2.1/24 dev port1")
        assert interfaces.follow(0)
        assert [(one.index, one.address) for one in interfaces.addresses()] == [(index, bytes([192, 0, 2, 1]))]
        shell("ip addr del 192.0.2.1/24 dev port1")
        assert interfaces.follow(0)
        assert interfaces.addresses() == ()


@in_namespace
def test_what_is_gone_is_known_for_a_minute() -> None:
    make_pair()
    here, there = socket.if_nametoindex(ARRIVES), socket.if_nametoindex(LEAVES)
    with followed() as interfaces:
        shell(f"ip link del {ARRIVES}")
        assert interfaces.follow(5 * SECOND)
        assert known(interfaces, 5 * SECOND + MINUTE - 1) == {1: "lo", here: ARRIVES, there: LEAVES}
        assert not interfaces.forget(5 * SECOND + MINUTE - 1)
        assert interfaces.forget(5 * SECOND + MINUTE)
        assert not interfaces.forget(5 * SECOND + MINUTE)
        assert known(interfaces, 5 * SECOND + MINUTE) == {1: "lo"}
        assert known(interfaces, 5 * SECOND) == {1: "lo"}


@in_namespace
def test_a_number_that_is_used_again_is_the_new_ones() -> None:
    make_pair()
    index = socket.if_nametoindex(ARRIVES)
    with followed() as interfaces:
        shell(f"ip link del {ARRIVES}; ip link add other index {index} type bridge")
        assert interfaces.follow(0)
        assert known(interfaces, 0)[index] == "other"
        assert interfaces.stations()[index].address == interfaces.now[index].address
        assert interfaces.read(Polled(index, ARRIVES)) is None
        assert interfaces.read(Polled(index, "other")) is not None
        shell("ip link del other")
        assert interfaces.follow(SECOND)
        assert known(interfaces, SECOND)[index] == "other"
        assert interfaces.read(Polled(index, "other")) is None


@in_namespace
def test_a_new_name_is_the_same_interface() -> None:
    make_pair()
    index = socket.if_nametoindex(ARRIVES)
    with followed() as interfaces:
        shell(f"ip link set {ARRIVES} down name port1")
        assert interfaces.follow(0)
        assert known(interfaces, 0)[index] == "port1"
        assert interfaces.read(Polled(index, ARRIVES)) is None
        assert interfaces.read(Polled(index, "port1")) is not None


@in_namespace
def test_after_too_many_changes_all_is_read_anew() -> None:
    make_pair()
    here = socket.if_nametoindex(ARRIVES)
    with followed() as interfaces:
        interfaces.changes.close()
        interfaces.changes = LinkChanges(buffer=4096)
        shell("for i in $(seq 20); do ip link add b$i type bridge; done")
        shell(f"ip link set {LEAVES} down name port1; ip link del port1; ip link add port1 index {here} type bridge")
        assert interfaces.follow(3 * SECOND)
        assert set(names(interfaces).values()) == {"lo", "port1", *(f"b{number}" for number in range(1, 21))}
        assert known(interfaces, 3 * SECOND) == names(interfaces) | {
            index: name for index, name in known(interfaces, 3 * SECOND).items() if name == LEAVES
        }
        assert LEAVES in known(interfaces, 3 * SECOND).values()
        assert not interfaces.follow(3 * SECOND)


@in_namespace
def test_speeds_are_those_that_are_known() -> None:
    with followed() as interfaces:
        make_pair()
        interfaces.follow(0)
        told = {interfaces.now[index].name: speed for index, speed in interfaces.speeds.items()}
        assert told == {"lo": 0, ARRIVES: 10_000_000_000, LEAVES: 10_000_000_000}
        shell(f"ip link del {ARRIVES}; ip link add b0 type bridge")
        interfaces.follow(0)
        assert {interfaces.now[index].name: speed for index, speed in interfaces.speeds.items()} == {"lo": 0, "b0": 0}


@in_namespace
def test_stations_of_a_bridge_and_of_who_listens_to_all_take_what_is_not_theirs() -> None:
    make_pair()
    shell(f"ip link add br0 type bridge; ip link set {ARRIVES} master br0; ip link set {LEAVES} promisc on")
    here, there = socket.if_nametoindex(ARRIVES), socket.if_nametoindex(LEAVES)
    with followed() as interfaces:
        stations = interfaces.stations()
        assert stations[here] == Station(MACS[ARRIVES], takes_all=True)
        assert stations[there] == Station(MACS[LEAVES], takes_all=True)
        shell(f"ip link set {ARRIVES} nomaster; ip link set {LEAVES} promisc off")
        interfaces.follow(0)
        assert interfaces.stations()[here] == Station(MACS[ARRIVES])
        assert interfaces.stations()[there] == Station(MACS[LEAVES])


@in_namespace
def test_readings_are_those_of_the_moment() -> None:
    make_pair()
    with followed() as interfaces:
        settle(interfaces)
        assert {link.name for link in interfaces.polled()} == {ARRIVES, LEAVES}
        index = socket.if_nametoindex(ARRIVES)
        counts = []
        for packets in (3, 4):
            send(LEAVES, [frame(number, 100) for number in range(packets)])
            reading = interfaces.read(Polled(index, ARRIVES))
            assert reading is not None
            source, records = reading
            assert source == DataSource(type=0, index=index)
            (counters,) = (one for one in records if isinstance(one, IfCounters))
            assert (counters.ifIndex, counters.ifSpeed, counters.ifStatus) == (index, 10_000_000_000, 3)
            assert PortName(name=ARRIVES.encode()) in records
            counts.append((counters.ifInUcastPkts, counters.ifInOctets))
        assert counts == [(3, 300), (7, 700)]
        shell(f"ip link set {LEAVES} down")
        until(lambda: _status(interfaces, index) == 1, "the loss of the carrier")  # up, and not operational


def _status(interfaces: Interfaces, index: int) -> int | None:
    reading = interfaces.read(Polled(index, ARRIVES))
    assert reading is not None
    return next(one.ifStatus for one in reading[1] if isinstance(one, IfCounters))


def test_the_host_has_a_reading_of_its_own() -> None:
    with followed() as interfaces:
        reading = interfaces.read(HOST)
    assert reading is not None
    source, records = reading
    assert source == DataSource(type=2, index=1)
    (host,) = (one for one in records if isinstance(one, HostDescr))
    assert host.hostname == socket.gethostname().encode()
