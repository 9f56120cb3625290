"""Traffic between the hosts and the router of the lab; each function returns when all of it has arrived."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

from guest.lab import H2, LIMIT_S, family_of, run, settle, socket_in


def ping(count: int, to: str, *, size: int = 56, start: str = "h1") -> None:
    """Send echo requests and wait for their replies, from a host or (empty) from the router."""
    where = f"ip netns exec {start} " if start else ""
    run(f"{where}ping -q -c {count} -i 0.02 -s {size} -W 2 {to}")


def send(sizes: Sequence[int], to: str = H2, *, port: int = 5001, tos: int = 0, sink: str = "h2") -> None:
    """Send datagrams from h1, one a payload size; a socket in `sink` takes them, where it is not empty."""
    family = family_of(to)
    with (
        socket_in(sink, family, socket.SOCK_DGRAM) as taker,
        socket_in("h1", family, socket.SOCK_DGRAM) as sender,
    ):
        if sink:
            taker.bind((to, port))
        if tos and family == socket.AF_INET:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
        elif tos:
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tos)
        sender.bind(("", 40000))
        for size in sizes:
            with suppress(OSError):  # an error message that came back for the one before
                sender.sendto(bytes(place & 255 for place in range(size)), (to, port))


def connect(chunks: Sequence[int], to: str = H2) -> None:
    """Have h1 open a TCP connection to h2, send chunks one after the other, and close."""
    family = family_of(to)
    with (
        socket_in("h2", family, socket.SOCK_STREAM) as listener,
        socket_in("h1", family, socket.SOCK_STREAM) as client,
    ):
        for one in (listener, client):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.settimeout(LIMIT_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * sum(chunks))  # one thread sends and receives
        listener.bind((to, 5002))
        listener.listen()
        client.bind(("", 41000))
        client.connect((to, 5002))
        with listener.accept()[0] as server:
            server.settimeout(LIMIT_S)
            for chunk in chunks:
                client.sendall(b"x" * chunk)
                left = chunk
                while left:
                    left -= len(server.recv(left))
            client.close()
            server.recv(1)
    settle()  # the last acknowledgement


def inject(frames: Sequence[bytes], *, start: str = "h1", device: str = "eth0") -> None:
    """Put frames on the wire as they are."""
    with socket_in(start, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((device, 0))
        for frame in frames:
            sender.send(frame)
