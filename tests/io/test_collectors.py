"""Collectors that are there, away, refused, behind an interface or a slow name server: of this machine's own kernel."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from frame_lab import ARRIVES, LEAVES, MACS, make_pair
from net_namespace import in_namespace, shell
from running import until
from tidegate.data.block import Block, block_of
from tidegate.io.collectors import Collectors, CollectorSocket, Target, _reason

SECOND = 1_000_000_000
LIMIT_S = 20


class HeldClock:
    """Time moves when a test says so."""

    def __init__(self) -> None:
        self.now_ns = 5 * SECOND

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nobody waits here, not even {seconds} s")


def numbered(*numbers: int, octets: int = 4) -> Block:
    return block_of([number.to_bytes(4, "big").ljust(octets, b"\0") for number in numbers], [0] * len(numbers))


def listener(address: str = "127.0.0.1", port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((address, port))
    sock.settimeout(LIMIT_S)
    return sock


def heard(sock: socket.socket, count: int) -> list[int]:
    """Return the numbers in so many datagrams, and that no more came."""
    found = [int.from_bytes(sock.recv(65536)[:4], "big") for _ in range(count)]
    sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        sock.recv(1)
    sock.settimeout(LIMIT_S)
    return found


@contextmanager
def sender(target: Target, clock: HeldClock | None = None) -> Iterator[CollectorSocket]:
    one = CollectorSocket(target, clock or HeldClock())
    try:
        yield one
    finally:
        one.close()


def counts(one: CollectorSocket) -> tuple[int, int, str]:
    told = one.statistics()
    return told.datagrams, told.dropped, told.problem


def deliver(one: CollectorSocket, number: int) -> int:
    """Send a number until it could be sent; return how often it was given."""
    given = 0

    def sent() -> int:
        nonlocal given
        one.send([numbered(number)])
        given += 1
        return one.datagrams

    until(sent, "a look-up")
    return given


def problem_of(target: Target) -> str:
    """Return what is wrong with a target; that it does not raise, and counts what it was given."""
    with sender(target) as one:
        one.send([numbered(1)])

        def known() -> bool:
            one.send([numbered(1)])
            return not one.problem.endswith("is being looked up")

        until(known, "an answer")
        told = one.statistics()
        assert (told.datagrams, told.octets) == (0, 0)
        assert told.dropped >= 2
    return one.problem


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_datagrams_come_in_order_and_are_counted(address: str) -> None:
    with listener(address) as sock, sender(Target(address, sock.getsockname()[1])) as one:
        one.send([numbered(*range(200)), numbered(), numbered(*range(200, 250), octets=1400)])
        assert heard(sock, 250) == list(range(250))
        assert counts(one) == (250, 0, "")
        assert one.statistics().octets == 200 * 4 + 50 * 1400


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (Target("192.0.2.1"), "192.0.2.1:6343"),
        (Target("2001:db8::1", 9), "[2001:db8::1]:9"),
        (Target("switch.example"), "switch.example:6343"),
    ],
)
def test_targets_are_told_as_they_are_written(target: Target, text: str) -> None:
    assert str(target) == text
    assert CollectorSocket(target, HeldClock()).statistics().target == text


def test_a_name_is_looked_up_and_what_was_given_meanwhile_is_counted() -> None:
    with listener() as sock, sender(Target("localhost", sock.getsockname()[1])) as one:
        given = deliver(one, 8)
        assert counts(one) == (1, given - 1, "")
        assert heard(sock, 1) == [8]


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "a" * 300, "\udcff", "nul\0name", "", " ", "fe80::1%none"])
def test_names_that_cannot_be_are_told_as_such(name: str) -> None:
    assert problem_of(Target(name)).startswith(f"{name} cannot be looked up: ")


@in_namespace
def test_a_name_that_nobody_knows_is_told_and_asked_for_again() -> None:
    clock = HeldClock()
    with sender(Target("collector.invalid"), clock) as one:
        one.send([numbered(1)])

        def answered() -> bool:
            one.send([numbered(1)])
            return one.problem.startswith("collector.invalid cannot be looked up: ")

        until(answered, "the answer")
        asked_ns = one._opened_ns
        one.send([numbered(1)])
        assert one._opened_ns == asked_ns
        clock.now_ns += 7 * SECOND
        one.send([numbered(1)])
        assert one._opened_ns == clock.now_ns


@in_namespace
def test_a_name_server_that_takes_its_time_keeps_nobody_waiting() -> None:
    found = re.search(r"^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text(encoding="ascii"), re.MULTILINE)
    server = found[1] if found else "127.0.0.1"
    shell(f"ip link set lo up; ip addr add {server} dev lo || true")
    with ExitStack() as stack:
        names, sock = stack.enter_context(listener(server, 53)), stack.enter_context(listener())
        one = stack.enter_context(sender(Target("collector.test", sock.getsockname()[1])))
        started = time.monotonic()
        one.send([numbered(1)])
        for number in range(3):
            one.send([numbered(number)])
        assert time.monotonic() - started < 1
        assert counts(one) == (0, 4, "collector.test is being looked up")
        for _ in range(2):  # of IPv4 and of IPv6
            _answer(names)
        deliver(one, 9)
        assert heard(sock, 1) == [9]


def _answer(names: socket.socket) -> None:
    """Answer a question of the name system with 127.0.0.1, or with nothing where it is about IPv6."""
    query, asker = names.recvfrom(512)
    end = query.index(b"\0", 12) + 5
    is_four = query[end - 4 : end - 2] == b"\0\1"
    answer = b"\xc0\x0c" + struct.pack(">HHIH4s", 1, 1, 60, 4, bytes([127, 0, 0, 1]))
    head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, int(is_four), 0, 0)
    names.sendto(head + query[12:end] + answer * is_four, asker)


def test_who_refuses_is_told_and_tried_all_the_same_until_somebody_listens() -> None:
    with listener() as sock:
        port = sock.getsockname()[1]
    clock = HeldClock()
    with sender(Target("127.0.0.1", port), clock) as one:
        given = 0
        for _ in range(5):
            one.send([numbered(1, 2, 3)])
            given += 3
        assert one.problem == "Connection refused"
        assert one.datagrams + one.dropped == given
        with listener(port=port) as sock:
            one.send([numbered(4)])
            assert one.problem == "Connection refused"  # that nobody refuses is no news for a while
            clock.now_ns += 60 * SECOND
            one.send([numbered(5)])
            assert heard(sock, 2) == [4, 5]
            assert one.problem == ""
        assert one.datagrams + one.dropped == given + 2
        one.send([numbered(6)])
        one.send([numbered(7)])
        assert one.problem == "Connection refused"


@in_namespace
def test_a_network_that_cannot_be_reached_is_tried_again_after_a_while() -> None:
    shell("ip link set lo up")
    clock = HeldClock()
    with sender(Target("192.0.2.9", 9), clock) as one:
        one.send([numbered(1, 2), numbered(3)])
        assert counts(one) == (0, 3, "Network is unreachable")
        shell("ip addr add 192.0.2.9/32 dev lo")
        with listener("192.0.2.9", 9) as sock:
            clock.now_ns += 7 * SECOND - 1
            one.send([numbered(4)])
            assert counts(one) == (0, 4, "Network is unreachable")
            clock.now_ns += 1
            one.send([numbered(5)])
            assert counts(one) == (1, 4, "")
            assert heard(sock, 1) == [5]


@in_namespace
def test_a_machine_that_is_numbered_anew_sends_from_its_new_address() -> None:
    _far_collector()
    clock = HeldClock()
    with sender(Target("10.8.8.2", 9), clock) as one:
        one.send([numbered(1)])
        shell(f"ip addr flush dev {ARRIVES}; ip addr add 10.8.8.7/24 dev {ARRIVES}")
        shell(f"ip neigh replace 10.8.8.2 lladdr {MACS[LEAVES].hex(':')} dev {ARRIVES} nud permanent")
        for _ in range(3):
            clock.now_ns += 7 * SECOND
            one.send([numbered(2)])
        assert one.problem == ""
        assert one.datagrams + one.dropped == 4
        assert one._socket is not None
        assert one._socket.getsockname()[0] == "10.8.8.7"


def _far_collector() -> None:
    """Have 10.8.8.2 behind the pair of interfaces, without anybody there."""
    make_pair()
    shell(
        f"ip addr add 10.8.8.1/24 dev {ARRIVES};"
        f"ip neigh add 10.8.8.2 lladdr {MACS[LEAVES].hex(':')} dev {ARRIVES} nud permanent"
    )


@in_namespace
def test_what_a_full_send_buffer_has_no_room_for_is_counted_and_gone() -> None:
    _far_collector()
    shell(f"tc qdisc add dev {ARRIVES} root tbf rate 8kbit burst 2000 limit 100mb")
    with sender(Target("10.8.8.2", 9)) as one:
        for _ in range(40):
            one.send([numbered(*range(100), octets=1400)])
        assert 0 < one.datagrams < 4000
        assert counts(one) == (one.datagrams, 4000 - one.datagrams, "the send buffer is full")
        shell(f"tc qdisc del dev {ARRIVES} root")
        one.send([numbered(1)])
        assert counts(one) == (one.datagrams, 4001 - one.datagrams, "")


@in_namespace
def test_the_interface_that_is_named_is_sent_through_whatever_routing_says() -> None:
    _far_collector()
    shell("ip link add w0 type veth peer name w1; ip link set w0 up; ip link set w1 up; ip addr add 10.7.7.1/24 dev w0")
    shell("ip route add 10.8.8.2/32 dev w0")
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire,
        sender(Target("10.8.8.2", 9, interface=ARRIVES)) as one,
    ):
        wire.bind((LEAVES, 0x0800))
        wire.settimeout(LIMIT_S)
        one.send([numbered(0x01020304)])
        assert wire.recv(2048).endswith(b"\1\2\3\4")
        assert counts(one) == (1, 0, "")


@in_namespace
def test_an_interface_that_comes_later_is_found_then() -> None:
    clock = HeldClock()
    with sender(Target("10.8.8.2", 9, interface=ARRIVES), clock) as one:
        one.send([numbered(1)])
        assert counts(one) == (0, 1, f"there is no interface {ARRIVES}")
        _far_collector()
        clock.now_ns += 7 * SECOND
        one.send([numbered(1)])
        assert counts(one) == (1, 1, "")
        shell(f"ip link del {ARRIVES}")
        for _ in range(3):
            clock.now_ns += 7 * SECOND
            one.send([numbered(1)])
        assert counts(one) == (1, 4, f"there is no interface {ARRIVES}")
        _far_collector()
        clock.now_ns += 7 * SECOND
        one.send([numbered(1)])
        assert counts(one) == (2, 4, "")


@in_namespace
def test_a_name_too_long_for_an_interface_is_not_cut_to_that_of_another() -> None:
    long = "longest-name-15"
    shell(f"ip link set lo up; ip link add {long} type bridge; ip link set {long} up")
    assert problem_of(Target("127.0.0.1", 9, interface=f"{long}x")) == f"there is no interface {long}x"


@pytest.mark.parametrize(
    ("local", "address", "words"),
    [
        ("192.0.2.1", "127.0.0.1", "192.0.2.1 is no address of this machine"),
        ("2001:db8::1", "::1", "2001:db8::1 is no address of this machine"),
        ("eth0", "127.0.0.1", "eth0 is no address of this machine"),
        ("192.0.2.256", "127.0.0.1", "192.0.2.256 is no address of this machine"),
        ("127.0.0.1", "::1", "127.0.0.1 cannot send to ::1: one is IPv4, the other IPv6"),
        ("::1", "127.0.0.1", "::1 cannot send to 127.0.0.1: one is IPv4, the other IPv6"),
    ],
)
def test_a_local_address_that_cannot_be_used_says_why(local: str, address: str, words: str) -> None:
    assert problem_of(Target(address, 9, local_address=local)) == words


def test_the_local_address_is_sent_from() -> None:
    with listener() as sock, sender(Target("127.0.0.1", sock.getsockname()[1], "127.0.0.9")) as one:
        one.send([numbered(1)])
        assert sock.recvfrom(9)[1][0] == "127.0.0.9"


def test_of_the_addresses_of_a_name_the_first_that_can_be_sent_to_is() -> None:
    """`localhost` has one of each family on most machines; the local address says which of them it is."""
    found = {info[4][0] for info in socket.getaddrinfo("localhost", 9, type=socket.SOCK_DGRAM)}
    for address in found:
        local = str(ipaddress.ip_address(address))
        with listener(local) as sock, sender(Target("localhost", sock.getsockname()[1], local)) as one:
            deliver(one, 1)
            assert sock.recvfrom(9)[1][0] == local


def test_old_kernels_may_forbid_to_name_an_interface() -> None:
    refused = OSError(errno.EPERM, os.strerror(errno.EPERM))
    assert _reason(refused, Target("192.0.2.1", interface="eth0")) == "sending through eth0 needs CAP_NET_RAW"
    assert _reason(refused, Target("192.0.2.1")) == "Operation not permitted"


def test_each_collector_gets_all_and_one_that_is_away_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with listener() as sock:
        away = Target("127.0.0.1", sock.getsockname()[1])
    clock = HeldClock()
    collectors = Collectors(clock)
    with listener() as first, listener() as last, caplog.at_level(logging.WARNING):
        here = [Target("127.0.0.1", one.getsockname()[1]) for one in (first, last)]
        collectors.update([here[0], away, here[1]])
        for number in range(4):
            collectors.send([numbered(number)])
        assert heard(first, 4) == heard(last, 4) == list(range(4))
        with listener(port=away.port):
            collectors.send([numbered(4)])
            clock.now_ns += 60 * SECOND
            collectors.send([numbered(5)])
        assert heard(first, 2) == heard(last, 2)
        told = [(one.target, one.datagrams + one.dropped, one.problem) for one in collectors.statistics()]
        assert told == [(str(one), 6, "") for one in (here[0], away, here[1])]
        collectors.close()
    assert [record.getMessage() for record in caplog.records] == [
        f"collector {away}: Connection refused",
        f"collector {away}: reachable again",
    ]


def test_collectors_that_stay_keep_their_counts_and_their_sockets() -> None:
    with listener() as first, listener() as last:
        here = [Target("127.0.0.1", one.getsockname()[1]) for one in (first, last)]
        collectors = Collectors(HeldClock())
        collectors.update(here[:1])
        collectors.send([numbered(1)])
        port = first.recvfrom(9)[1]
        collectors.update([here[1], here[0]])
        collectors.send([numbered(2)])
        assert first.recvfrom(9)[1] == port
        assert [one.datagrams for one in collectors.statistics()] == [1, 2]
        collectors.update(here[1:])
        collectors.send([numbered(3)])
        assert heard(first, 0) == []
        assert heard(last, 2) == [2, 3]
        collectors.close()


def test_a_collector_that_is_named_twice_gets_all_once() -> None:
    with listener() as sock:
        target = Target("127.0.0.1", sock.getsockname()[1])
        collectors = Collectors(HeldClock())
        for _ in range(2):
            collectors.update([target, target])
            collectors.send([numbered(1)])
            assert heard(sock, 1) == [1]
        collectors.close()
