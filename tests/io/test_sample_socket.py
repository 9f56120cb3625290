"""NFLOG of this machine's own kernel, in a network namespace; psample's messages by a netlink family that it has."""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from frame_lab import ARRIVES, EXPERIMENT, LEAVES, frame, make_pair, send
from net_namespace import NET_ADMIN, drop, in_namespace, shell
from running import until
from tidegate.data.sampled import Packets, Row
from tidegate.errors import SourceError
from tidegate.io.clock import SystemClock
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.io.sample_socket import SampleSocket, _nflog_reason, has_samplers, open_nflog, open_psample
from tidegate.wire.netlink.message import split_messages
from tidegate.wire.netlink.nflog import NFLOG
from usersock import GROUP, INTERFACE, RATE, kernel, opener

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="not installed: nft")
MULTICAST = 20  # of a namespace of its own


@contextmanager
def joined(*groups: int, octets: int = 128) -> Iterator[SampleSocket]:
    source = open_nflog(groups, SystemClock(), octets=octets)
    try:
        yield source
    finally:
        source.close()


def log_to(*groups: int, at_once: int = 64) -> None:
    """Log frames that arrive: those of EXPERIMENT to the first group, those of the next EtherType to the second."""
    rules = "".join(
        f'ether type {EXPERIMENT + place} log prefix "N=7 " group {group} snaplen 128 queue-threshold {at_once};\n'
        for place, group in enumerate(groups)
    )
    hook = f'type filter hook ingress device "{ARRIVES}" priority 0; policy accept;'
    shell('printf %s "$RULES" | nft -f -', RULES=f"table netdev t {{ chain c {{ {hook}\n{rules} }}\n}}\n")


def taken(source: SampleSocket, count: int) -> list[dict[Row, int]]:
    """Wait until so many packets were read; return their rows."""
    found: list[dict[Row, int]] = []

    def look() -> bool:
        found.extend(rows(source.read()))
        return len(found) >= count

    until(look, f"{count} packets")
    return found


def rows(batches: Sequence[Packets]) -> list[dict[Row, int]]:
    """Return rows, with the number of the frame in place of where its octets are."""
    found = []
    for one in batches:
        for values in one.rows[: one.count].tolist():
            row = dict(zip(Row, values, strict=True))
            row[Row.DATA] = int.from_bytes(one.data[row[Row.DATA] : row[Row.DATA] + 4].tobytes(), "big")
            found.append(row)
    return found


def read_all(source: SampleSocket) -> list[dict[Row, int]]:
    """Read until nothing waits."""
    found: list[dict[Row, int]] = []
    while batches := source.read():
        found += rows(batches)
    return found


def shrink(source: SampleSocket, octets: int) -> None:
    """Leave room for few messages; the kernel doubles what is asked for."""
    source._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def refusal(*groups: int) -> str:
    with pytest.raises(SourceError) as caught:
        open_nflog(groups, SystemClock(), octets=128)
    return str(caught.value)


@needs_nft
@in_namespace
def test_packets_come_in_order_and_numbered() -> None:
    make_pair()
    log_to(5)
    with joined(5) as source:
        send(LEAVES, [frame(number, 60 + number) for number in range(1000)])
        found = taken(source, 1000)
        assert source.told() == {"samples": 1000, "other": 0, "broken": 0, "incomplete": 0, "overflows": 0}
        assert source.lost() == 0
        assert source.is_current()
        assert source.read() == []
    assert [row[Row.DATA] for row in found] == list(range(1000))
    assert [row[Row.SEQUENCE] for row in found] == list(range(1000))
    index = socket.if_nametoindex(ARRIVES)
    named = {(row[Row.GROUP], row[Row.INPUT], row[Row.RATE], row[Row.PROTOCOL], row[Row.EGRESS]) for row in found}
    assert named == {(5, index, 7, EXPERIMENT, 0)}
    assert max(row[Row.DATA_LENGTH] + row[Row.MAC_LENGTH] for row in found) == 128 + 14


@needs_nft
@in_namespace
def test_each_group_has_numbers_of_its_own() -> None:
    make_pair()
    log_to(5, 65535)
    with joined(5, 65535, 6) as source:
        send(LEAVES, [frame(number, protocol=EXPERIMENT + number % 2) for number in range(200)])
        found = taken(source, 200)
    for place, group in enumerate((5, 65535)):
        ours = [row for row in found if row[Row.GROUP] == group]
        assert [row[Row.DATA] for row in ours] == list(range(place, 200, 2))
        assert [row[Row.SEQUENCE] for row in ours] == list(range(100))


@needs_nft
@in_namespace
def test_many_packets_come_in_a_datagram_and_few_are_not_held_back_for_long() -> None:
    make_pair()
    log_to(5)
    with joined(5) as source:
        send(LEAVES, [frame(number) for number in range(67)])
        counts: list[int] = []
        while sum(counts) < 67:
            select.select([source.fileno()], [], [], 20)
            messages = split_messages(source._socket.recv(1 << 16))
            counts.append(sum(one.type == NFLOG for one in messages))
    assert sum(counts) == 67
    assert all(1 < count <= 32 for count in counts[:-1]), counts  # the kernel's buffer holds fewer of this size


@needs_nft
@in_namespace
def test_of_each_packet_no_more_is_copied_than_was_asked_for() -> None:
    make_pair()
    log_to(5)
    with joined(5, octets=64) as source:
        send(LEAVES, [frame(1, 1000), frame(2, 70), frame(3, 80)])
        found = taken(source, 3)
    assert [row[Row.DATA_LENGTH] for row in found] == [64, 70 - 14, 64]


@needs_nft
@in_namespace
def test_numbers_tell_exactly_what_a_full_buffer_cost() -> None:
    make_pair()
    log_to(5)
    with joined(5) as source:
        shrink(source, 16384)
        for again in (0, 5000):
            send(LEAVES, [frame(again + number) for number in range(5000)])
            first = rows(source.read())  # what did fit is read at once
            assert source.overflows == 1 + again // 5000
            found = first + read_all(source)
            assert len(first) > 0
            assert len(found) < 5000
            assert [row[Row.SEQUENCE] for row in found] == [row[Row.DATA] for row in found]
        send(LEAVES, [frame(10_000)])
        while (row := taken(source, 1)[-1])[Row.DATA] != 10_000:  # what was held back meanwhile comes before
            assert row[Row.SEQUENCE] == row[Row.DATA]
        assert row[Row.SEQUENCE] == 10_000


@needs_nft
@in_namespace
def test_after_a_pause_what_waits_is_read_and_no_more_comes() -> None:
    make_pair()
    log_to(5)
    with joined(5) as source:
        send(LEAVES, [frame(number) for number in range(70)])  # some of them are held back
        source.pause()
        send(LEAVES, [frame(number) for number in range(70, 100)])
        assert [row[Row.DATA] for row in read_all(source)] == list(range(70))
        with joined(5):  # it is free
            source.pause()
        assert source.overflows == 0


@needs_nft
@in_namespace
def test_a_group_is_one_programs_until_it_closes() -> None:
    make_pair()
    log_to(5)
    with joined(4, 5):
        words = "another program has joined it: choose another group, in the rules too"
        assert refusal(3, 5) == f"NFLOG group 5: {words}"
        assert refusal(4) == f"NFLOG group 4: {words}"
    with joined(3, 4, 5) as source:
        send(LEAVES, [frame(1)])
        assert [row[Row.SEQUENCE] for row in taken(source, 1)] == [0]


@in_namespace
def test_a_group_that_is_named_twice_is_joined_once() -> None:
    with joined(5, 5):
        assert refusal(5).startswith("NFLOG group 5: another program")


@in_namespace
def test_without_the_right_to_it_one_line_says_so() -> None:
    with joined(5):
        drop(NET_ADMIN)
        for group in (4, 5):
            assert refusal(group) == (
                f"NFLOG group {group}: joining it needs CAP_NET_ADMIN: run as root, or as the systemd unit does"
            )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EBUSY, "another program has joined it: choose another group, in the rules too"),
        (errno.EINVAL, "the kernel does not have it: load the module with `modprobe nfnetlink_log`"),
        (errno.ENOMEM, "cannot be joined: Cannot allocate memory"),
    ],
)
def test_other_refusals_say_what_to_do(number: int, words: str) -> None:
    assert _nflog_reason(OSError(number, os.strerror(number)), allowed=True) == words


@in_namespace
def test_a_kernel_without_psample_says_what_to_load() -> None:
    with Netlink(GENERIC) as generic:
        if find_family(generic, "psample"):
            pytest.skip("this kernel has psample")
    assert not has_samplers()
    with pytest.raises(SourceError) as caught:
        open_psample(SystemClock())
    assert str(caught.value) == "psample: the kernel does not have it: load the module with `modprobe psample`"


@in_namespace
def test_samples_of_psample_are_read() -> None:
    source = opener(MULTICAST)(SystemClock())
    with kernel(MULTICAST) as emit:
        emit(600)  # more than a batch
        found = read_all(source)
        emit(3)
        source.pause()
        emit(4)
        assert [row[Row.SEQUENCE] for row in read_all(source)] == [600, 601, 602]
    assert [row[Row.SEQUENCE] for row in found] == list(range(600))
    assert {(row[Row.GROUP], row[Row.RATE], row[Row.INPUT]) for row in found} == {(GROUP, RATE, INTERFACE)}
    assert source.told() == {"samples": 603, "other": 0, "broken": 0, "incomplete": 0, "overflows": 0}
    source.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        source.read()
