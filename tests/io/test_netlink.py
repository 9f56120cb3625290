"""Requests to the kernel of this machine."""

from __future__ import annotations

import errno
import struct

import pytest

from tidegate.io.netlink import GENERIC, ROUTE, Netlink, find_family
from tidegate.wire.netlink.genl import CONTROL

GETLINK = 18


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
