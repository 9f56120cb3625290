"""Against this machine's own kernel, in a network namespace: what tcpdump sees is what is read."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from frame_lab import ARRIVES, EXPERIMENT, LEAVES, MACS, dumped, frame, make_pair, send
from net_namespace import NET_ADMIN, NET_RAW, drop, in_namespace, shell
from running import until
from tidegate.data.sampled import Packets, Row
from tidegate.errors import SourceError
from tidegate.io.clock import SystemClock
from tidegate.io.mmsg import Receiving
from tidegate.io.packet_socket import PacketSocket, PacketTap, sampling_filter

TAP = PacketTap(index=3, name="eth0", rate=400, layer=2)
LOAD, MODULO, JUMP_EQUAL, RETURN = 0x20, 0x94, 0x15, 0x06
RANDOM, PACKET_TYPE = 0xFFFFF038, 0xFFFFF004
_SOL_PACKET, _VNET_HDR = 263, 15
_TUNSETIFF, _TUN, _NO_INFORMATION = 0x400454CA, 0x1, 0x1000
TAG = 0x8100, 0x2005


class Taken(msgspec.Struct, frozen=True):
    """A packet that was read."""

    row: dict[Row, int]
    octets: bytes

    @property
    def number(self) -> int:
        return int(struct.unpack_from(">I", self.octets, 14)[0])

    def frame(self) -> bytes:
        """Return the frame with the tag that the kernel took off."""
        tag = self.row[Row.TAG]
        return self.octets if tag < 0 else self.octets[:12] + struct.pack(">I", tag) + self.octets[12:]


def split(batches: list[Packets]) -> list[Taken]:
    found = []
    for one in batches:
        for values in one.rows[: one.count].tolist():
            row = dict(zip(Row, values, strict=True))
            start = row[Row.DATA]
            found.append(Taken(row, one.data[start : start + row[Row.DATA_LENGTH]].tobytes()))
    return found


def take(source: PacketSocket, count: int) -> list[Taken]:
    """Wait until so many packets were read."""
    found: list[Taken] = []

    def look() -> bool:
        found.extend(split(source.read()))
        return len(found) >= count

    until(look, f"{count} packets")
    return found


def take_all(source: PacketSocket) -> list[Taken]:
    """Read until nothing waits."""
    found: list[Taken] = []
    while batches := source.read():
        found += split(batches)
    return found


BATCH = 256


def is_ready(source: PacketSocket) -> bool:
    return bool(select.select([source.fileno()], [], [], 0)[0])


def tap(**changes: object) -> PacketTap:
    there = {"name": ARRIVES, "rate": 1, "layer": 2, **changes}
    return msgspec.convert({"index": socket.if_nametoindex(str(there["name"])), **there}, PacketTap)


@contextmanager
def opened(**changes: object) -> Iterator[PacketSocket]:
    """Give a socket on the interface that frames arrive at."""
    source = PacketSocket(tap(**changes), SystemClock(), Receiving(BATCH))
    try:
        yield source
    finally:
        source.close()


def shrink(source: PacketSocket) -> None:
    """Leave room for few packets; the kernel doubles what is asked for."""
    source._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)


@in_namespace
def _frames_are_those_of_tcpdump(folder: Path, *, ingress: bool, egress: bool) -> None:
    make_pair()
    ways = {(True, False): "in", (False, True): "out", (True, True): "inout"}
    sizes = [60, 64, 127, 128, 129, 512, 513, 1514, 2048, 2049, 9014]
    tags = [[TAG], [(0x88A8, 7), (0x8100, 0x2005)], [(0x8100, 0)], [(0x8100, 0xE123)], [(0x9100, 3), TAG]]
    sent = [frame(number, size) for number, size in enumerate(sizes)]
    sent += [frame(100 + number, 90, tags=one) for number, one in enumerate(tags)]
    sent += [frame(200 + number) for number in range(1000)]
    expected = len(sent) * (ingress + egress)
    with dumped(ARRIVES, ways[ingress, egress], folder) as dump, opened(ingress=ingress, egress=egress) as source:
        before = time.time_ns()
        send(LEAVES, sent)
        send(ARRIVES, sent)
        frames = dump.frames(expected)
        found = take(source, expected)
        after = time.time_ns()
        assert source.lost() == source.errors == 0
        assert not is_ready(source)
    assert len(frames) == len(found) == expected
    index = tap().index
    for seen, one in zip(frames, found, strict=True):
        row = one.row
        tag = 4 if row[Row.TAG] >= 0 else 0
        assert one.frame() == seen[: 128 + tag]
        assert row[Row.LENGTH] == len(seen) - tag
        assert row[Row.PROTOCOL] == int.from_bytes(one.octets[12:14], "big")
        assert (row[Row.GROUP], row[Row.RATE], row[Row.LAYER]) == (index, 1, 2)
        ways_of_it = (row[Row.EGRESS], row[Row.INPUT], row[Row.OUTPUT])
        assert ways_of_it in {(0, index, -1)} | ({(1, -1, index)} if egress else set())
    assert [one.row[Row.EGRESS] for one in found] == [0] * len(sent) * ingress + [1] * len(sent) * egress
    times = sorted(one.row[Row.TIME] for one in found)  # the first that a machine stamps have the time of reading
    assert before <= times[0]
    assert times[-1] <= after
    assert len(set(times)) > expected // 2


@pytest.mark.netns
@pytest.mark.parametrize(("ingress", "egress"), [(True, False), (False, True), (True, True)])
def test_every_frame_that_tcpdump_sees_is_read_once(tmp_path: Path, ingress: bool, egress: bool) -> None:  # noqa: FBT001 - pytest passes parameters by name
    _frames_are_those_of_tcpdump(tmp_path, ingress=ingress, egress=egress)


@in_namespace
def test_the_tag_that_the_kernel_took_off_is_told() -> None:
    make_pair()
    tags: list[list[tuple[int, int]]] = [[TAG], [(0x88A8, 7), TAG], [(0x8100, 0)], [(0x9100, 3)], []]
    with opened() as source:
        send(LEAVES, [frame(1, tags=one) for one in tags])
        found = take(source, len(tags))
    assert [one.row[Row.TAG] for one in found] == [0x8100_2005, 0x88A8_0007, 0x8100_0000, -1, -1]
    assert [one.row[Row.PROTOCOL] for one in found] == [EXPERIMENT, 0x8100, EXPERIMENT, 0x9100, EXPERIMENT]


@in_namespace
def test_a_segment_that_is_yet_to_be_cut_is_as_long_as_it_is() -> None:
    make_pair()
    tcp = struct.pack(">HHIIBBHHH", 1000, 2000, 1, 1, 0x50, 0x10, 1000, 0, 0) + bytes(40_000)
    head = struct.pack(">BBHHHBBH8s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, bytes([192, 0, 2, 1, 192, 0, 2, 2]))
    octets = MACS[ARRIVES] + MACS[LEAVES] + b"\x08\x00" + head + tcp
    offload = struct.pack("=BBHHHH", 1, 1, 54, 1400, 34, 16)  # struct virtio_net_hdr: TCPv4 in segments of 1400
    with opened() as source, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
        sock.bind((LEAVES, 0))
        sock.send(offload + octets)
        (found,) = take(source, 1)
    assert found.row[Row.LENGTH] == len(octets)
    assert found.octets == octets[:38] + found.octets[38:]


@in_namespace
def test_packets_without_a_mac_header_are_told_as_such() -> None:
    if not Path("/dev/net/tun").exists():
        pytest.skip("there is no /dev/net/tun")
    packet = struct.pack(">BBHHHBBH8s", 0x45, 0, 28, 1, 0, 64, 17, 0, bytes([192, 0, 2, 2, 192, 0, 2, 1])) + bytes(8)
    with Path("/dev/net/tun").open("r+b", buffering=0) as tun:
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"t0", _TUN | _NO_INFORMATION))
        shell("ip link set t0 addrgenmode none up; ip addr add 192.0.2.1/24 dev t0")
        with opened(name="t0", layer=3, egress=True) as source:
            tun.write(packet)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"hello", ("192.0.2.2", 9))
            found = take(source, 2)
    assert found[0].octets == packet
    assert found[1].octets[0] == 0x45
    assert [one.row[Row.EGRESS] for one in found] == [0, 1]
    assert [one.row[Row.LENGTH] for one in found] == [28, 33]
    assert {(one.row[Row.LAYER], one.row[Row.PROTOCOL]) for one in found} == {(3, 0x0800)}


@in_namespace
def test_one_in_ten_is_taken() -> None:
    make_pair()
    with opened(rate=10) as source:
        send(LEAVES, [frame(number) for number in range(3000)])
        found = take_all(source)
        assert source.lost() == 0
    assert 246 <= len(found) <= 354  # 99.9 % of all runs
    numbers = [one.number for one in found]
    assert numbers == sorted(set(numbers))
    assert {one.row[Row.RATE] for one in found} == {10}


@pytest.mark.parametrize("rate", [1, 400, 0xFFFFFFFF])
def test_the_filter_draws_and_keeps_a_part(rate: int) -> None:
    assert sampling_filter(rate, 96) == [
        (LOAD, 0, 0, RANDOM),
        (MODULO, 0, 0, rate),
        (JUMP_EQUAL, 0, 1, 0),
        (RETURN, 0, 0, 96),
        (RETURN, 0, 0, 0),
    ]


def test_the_filter_of_leaving_packets_asks_first_which_way_they_go() -> None:
    program = sampling_filter(400, 96, egress_only=True)
    assert program == [(LOAD, 0, 0, PACKET_TYPE), (JUMP_EQUAL, 0, 4, 4), *sampling_filter(400, 96)]
    for at, (code, if_true, if_false, _) in enumerate(program):  # what is no return goes on to one
        assert code == RETURN or at + 1 + max(if_true, if_false) < len(program)
    assert program[1 + 1 + 4] == (RETURN, 0, 0, 0)


@in_namespace
def test_all_is_read_or_counted_as_lost() -> None:
    make_pair()
    with opened() as source:
        shrink(source)
        send(LEAVES, [frame(number) for number in range(5000)])
        numbers = [one.number for one in take_all(source)]
        assert 0 < len(numbers) < 5000
        assert numbers == list(range(len(numbers)))  # the first that came
        assert len(numbers) + source.lost() == 5000
        assert source.lost() == 0
        send(LEAVES, [frame(number) for number in range(5000)])
        assert len(take_all(source)) + source.lost() == 5000
        send(LEAVES, [frame(7)])
        assert [one.number for one in take(source, 1)] == [7]


@in_namespace
def test_a_change_keeps_the_socket_and_what_waits() -> None:
    make_pair()
    with opened(octets=64) as source:
        descriptor = source.fileno()
        send(LEAVES, [frame(1, 100)])
        source.change(tap(rate=0xFFFFFFFF, octets=96))
        send(LEAVES, [frame(number, 100) for number in range(50)])
        assert [(one.number, len(one.octets)) for one in take_all(source)] == [(1, 64)]
        source.change(tap(octets=96))
        send(LEAVES, [frame(2, 100)])
        (found,) = take(source, 1)
        assert (found.number, len(found.octets), found.row[Row.RATE]) == (2, 96, 1)
        assert (source.fileno(), source.lost(), source.tap) == (descriptor, 0, tap(octets=96))


@in_namespace
def test_after_a_pause_what_waits_is_read_and_no_more_comes() -> None:
    make_pair()
    with opened() as source:
        send(LEAVES, [frame(number) for number in range(5)])
        source.pause()
        send(LEAVES, [frame(number) for number in range(5, 10)])
        assert [one.number for one in take_all(source)] == list(range(5))
        assert source.lost() == 0


@in_namespace
def test_a_change_of_leaving_packets_leaves_arriving_ones_out() -> None:
    make_pair()
    with opened(ingress=False, egress=True) as source:
        source.change(tap(ingress=False, egress=True, octets=20))
        send(LEAVES, [frame(1)])
        send(ARRIVES, [frame(2)])
        assert [(one.number, one.row[Row.EGRESS]) for one in take(source, 1)] == [(2, 1)]
        assert not is_ready(source)


@in_namespace
def test_what_cannot_be_changed_needs_another_socket() -> None:
    make_pair()
    with opened() as source:
        assert source.can_become(tap(rate=7, octets=16))
        for change in ({"index": 99}, {"name": "v9"}, {"layer": 3}, {"ingress": False}, {"egress": True}):
            assert not source.can_become(msgspec.structs.replace(source.tap, **change))


@in_namespace
def test_an_interface_may_go_down_and_up_again() -> None:
    make_pair()
    with opened() as source:
        shell(f"ip link set {ARRIVES} down")
        until(lambda: is_ready(source), "the end of the interface")
        assert source.read() == []
        assert source.errors == 1
        assert not is_ready(source)  # nobody is woken again and again
        shell(f"ip link set {ARRIVES} up")

        def comes() -> bool:
            send(LEAVES, [frame(1)])
            return bool(source.read())

        until(comes, "a frame")
        assert source.errors == 1


@pytest.mark.netns
@pytest.mark.parametrize("how", ["ip link set v0 down", "ip link del v0", "ip link set v0 name v2 down"])
def test_what_came_before_an_interface_went_is_read_at_once(how: str) -> None:
    @in_namespace
    def check() -> None:
        make_pair()
        with opened() as source:
            send(LEAVES, [frame(number) for number in range(20)])
            shell(how)
            assert [one.number for one in split(source.read())] == list(range(20))
            assert source.errors == 1
            assert source.read() == []
            assert not is_ready(source)
            assert source.lost() == 0

    check()


@in_namespace
def test_a_socket_of_an_interface_that_is_gone_stays_quiet() -> None:
    make_pair()
    with opened() as source:
        shell("ip link del v0")
        until(lambda: is_ready(source), "the end of the interface")
        assert source.read() == []
        make_pair()
        send(LEAVES, [frame(1)])
        assert not is_ready(source)
        assert source.read() == []
        source.change(tap(rate=2))


def refusal(wanted: PacketTap) -> str:
    with pytest.raises(SourceError) as caught:
        PacketSocket(wanted, SystemClock(), Receiving(BATCH))
    return str(caught.value)


@in_namespace
def test_without_net_admin_packets_are_taken_all_the_same() -> None:
    make_pair()
    drop(NET_ADMIN)
    with opened(egress=True) as source:
        send(LEAVES, [frame(1)])
        assert [one.number for one in take(source, 1)] == [1]


@in_namespace
def test_without_the_right_to_it_one_line_says_so() -> None:
    make_pair()
    wanted = tap()
    drop(NET_RAW)
    assert refusal(wanted) == "interface v0: packet sockets need CAP_NET_RAW: run as root, or as the systemd unit does"


@in_namespace
def test_an_interface_that_there_is_not_is_named() -> None:
    wanted = msgspec.structs.replace(TAP, name="none", index=99)
    assert refusal(wanted) == "interface none: there is no such interface"


@in_namespace
def test_what_the_kernel_refuses_otherwise_is_told_in_its_words() -> None:
    make_pair()
    never = tap(rate=0)  # interfaces that are not sampled have no socket
    assert refusal(never) == "interface v0: packets cannot be taken: Invalid argument"
