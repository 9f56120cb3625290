"""Requests to the kernel of this machine."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct

import pytest

from tidegate.io.netlink import GENERIC, ROUTE, Netlink, find_family, join_group, leave_group, open_listener
from tidegate.wire.netlink.genl import CONTROL

GETLINK = 18
USERSOCK = 2


def test_a_family_is_found_by_its_name() -> None:
    with Netlink(GENERIC) as generic:
        family = find_family(generic, "nlctrl")
    assert family is not None
    assert family.id == CONTROL
    assert "notify" in family.groups


def test_a_family_that_is_not_there_is_none() -> None:
    with Netlink(GENERIC) as generic:
        assert find_family(generic, "tidegate-none") is None


def test_a_dump_gives_the_loopback_interface() -> None:
    with Netlink(ROUTE) as route:
        indexes = [struct.unpack_from("=i", one.body, 4)[0] for one in route.dump(GETLINK, bytes(16))]
    assert 1 in indexes


def test_what_the_kernel_refuses_has_its_number_and_words() -> None:
    with Netlink(ROUTE) as route, pytest.raises(OSError, match="No such device") as raised:
        route.do(GETLINK, struct.pack("=BxHiII", 0, 0, 0x7FFFFFFF, 0, 0))
    assert raised.value.errno == errno.ENODEV


def test_requests_follow_each_other_on_one_socket() -> None:
    with Netlink(ROUTE) as route:
        for _ in range(3):
            assert route.do(GETLINK, struct.pack("=BxHiII", 0, 0, 1, 0, 0))
            assert route.dump(GETLINK, bytes(16))


def test_a_listener_does_not_wait_and_is_not_inherited() -> None:
    with open_listener(ROUTE, buffer=100_000) as sock:
        assert not sock.getblocking()
        assert not os.get_inheritable(sock.fileno())
        assert sock.getsockname()[0] > 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 200_000  # with the kernel's own share
        with pytest.raises(BlockingIOError):
            sock.recv(100)


def test_a_listener_of_no_protocol_cannot_be_had() -> None:
    with pytest.raises(OSError, match="not supported"):
        open_listener(31, buffer=100_000)


@pytest.mark.skipif(os.geteuid() != 0, reason="netlink multicast needs root")
def test_what_is_sent_to_a_group_comes_while_it_is_joined() -> None:
    group = 19  # of those that programs may send to; other tests have others
    with open_listener(USERSOCK, buffer=100_000) as sock, open_listener(USERSOCK, buffer=100_000) as sender:

        def came() -> list[bytes]:
            found = []
            with contextlib.suppress(ConnectionRefusedError):  # of the kernel's own end, which there is none of
                sender.sendto(mark, (0, 1 << (group - 1)))
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(sock.recv(100))
            return [one for one in found if one == mark]  # other processes may send, too

        mark = struct.pack("=IHHII", 20, 99, 0, os.getpid(), 0) + b"mark"
        assert came() == []
        join_group(sock, group)
        assert came() == [mark]
        leave_group(sock, group)
        assert came() == []


def test_a_group_that_there_is_not_cannot_be_joined() -> None:
    with open_listener(ROUTE, buffer=100_000) as sock, pytest.raises(OSError, match="Invalid argument"):
        join_group(sock, 100_000)
