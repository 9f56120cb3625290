"""Receive buffers of this machine's sockets, and what found no room in them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from net_namespace import drop_net_admin, in_namespace
from tidegate.io.receive_buffer import grow_buffer, kernel_drops

_SIZE = 1000
_WRAP = 1 << 32


@contextmanager
def bound() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def send(sock: socket.socket, count: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(bytes(_SIZE), sock.getsockname())


def read(sock: socket.socket) -> int:
    count = 0
    while True:
        try:
            sock.recv(_SIZE)
        except BlockingIOError:
            return count
        count += 1


def test_what_found_no_room_is_counted() -> None:
    with bound() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        assert kernel_drops(sock, None) == 0
        send(sock, 200)
        received = read(sock)
        assert 0 < received < 200
        drops = kernel_drops(sock, 0)
        assert drops == 200 - received
        send(sock, 3)
        assert kernel_drops(sock, drops) == drops


@pytest.mark.parametrize("before", [_WRAP - 1, 2 * _WRAP - 2])
def test_counts_go_on_over_the_wrap_at_32_bits(before: int) -> None:
    with bound() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        send(sock, 200)
        drops = 200 - read(sock)
        told = kernel_drops(sock, before)
        assert told == -(-before // _WRAP) * _WRAP + drops  # the kernel's own count wrapped, and is so much again
        assert kernel_drops(sock, told) == told


class _Old(socket.socket):
    """A socket of a kernel that does not know the option, or tells less of it."""

    answer: bytes | None = None

    def getsockopt(self, *_: int) -> bytes:  # type: ignore[override] # one of its forms is enough here
        if self.answer is None:
            raise OSError("no such option")
        return self.answer


@pytest.mark.parametrize("answer", [None, b"", bytes(32)])
def test_where_the_kernel_does_not_tell_there_is_no_count(answer: bytes | None) -> None:
    with _Old(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.answer = answer
        assert kernel_drops(sock, None) is None
        assert kernel_drops(sock, 7) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="more than is granted to all needs root")
def test_a_buffer_may_be_larger_than_is_granted_to_all() -> None:
    wanted = 2 * _granted()
    with bound() as sock:
        grow_buffer(sock, wanted)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * wanted  # with the kernel's own share


@in_namespace
def test_without_the_right_to_it_a_buffer_is_as_large_as_is_granted_to_all() -> None:
    drop_net_admin()
    granted = _granted()
    with bound() as sock:
        grow_buffer(sock, 2 * granted)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 2 * granted


def _granted() -> int:
    return int(Path("/proc/sys/net/core/rmem_max").read_text())
