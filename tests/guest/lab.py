"""Two hosts and a router between them in network namespaces, traffic of theirs, and what is seen of it.

    h1 (eth0: 192.0.2.2, 2001:db8:1::2) - r1 [router] r2 - (eth0: 198.51.100.2, 2001:db8:2::2) h2

The router is the namespace that the caller is in: r1 has ifIndex 101, 192.0.2.1 and 2001:db8:1::1, r2 has 102,
198.51.100.1 and 2001:db8:2::1. Neighbours are static and MTUs 9000, so that no frame passes but those that are asked
for. Everything here needs root, and little else: it also runs in the guest, where imports are slow.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shlex
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

R1_INDEX, R2_INDEX = 101, 102
MACS = {
    "r1": "02:00:00:00:01:01",
    "h1": "02:00:00:00:01:02",
    "r2": "02:00:00:00:02:01",
    "h2": "02:00:00:00:02:02",
}
SIDES = {"1": ("192.0.2.{}", "2001:db8:1::{}"), "2": ("198.51.100.{}", "2001:db8:2::{}")}
H1, H2 = "192.0.2.2", "198.51.100.2"
H1_6, H2_6 = "2001:db8:1::2", "2001:db8:2::2"
R1, R2, R1_6 = "192.0.2.1", "198.51.100.1", "2001:db8:1::1"
_CLONE_NEWNET = 0x40000000
_RCVBUFFORCE, _ADD_MEMBERSHIP, _SOL_NETLINK = 33, 1, 270  # linux/socket.h, linux/netlink.h
_ROOM = 1 << 17
_LIMIT_S = 20.0


def run(*commands: str, text: str | None = None) -> None:
    """Run commands, each in a line without a shell's meaning; a failure is an error that says what was printed."""
    for command in commands:
        done = subprocess.run(shlex.split(command), input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")


def ip(*lines: str, namespace: str = "") -> None:
    """Give `ip` several lines at once, in a namespace."""
    run(f"ip {f'-n {namespace}' if namespace else ''} -batch -", text="\n".join(lines))


@contextmanager
def opened() -> Iterator[None]:
    """Have the hosts and the router's interfaces for a while."""
    for host in ("h1", "h2"):
        with suppress(RuntimeError):
            run(f"ip netns del {host}")  # left by one that was killed
        run(f"ip netns add {host}")
        with inside(host):
            _settings()
    _settings()
    try:
        for side in SIDES:
            _connect(side)
        settle()
        yield
    finally:
        run("ip netns del h1", "ip netns del h2")


def _settings() -> None:
    """Make the namespace one that forwards, answers always, and is done with multicast reports at once."""
    values = {
        "ipv4/ip_forward": 1,
        "ipv6/conf/all/forwarding": 1,
        "ipv4/conf/all/rp_filter": 0,
        "ipv4/conf/default/rp_filter": 0,
        "ipv4/icmp_ratelimit": 0,
        "ipv6/conf/default/mldv2_unsolicited_report_interval": 1,
    }
    for name, value in values.items():
        Path("/proc/sys/net", name).write_text(str(value))


def _connect(side: str) -> None:
    """Connect a host to the router and give both ends their addresses."""
    router, host = f"r{side}", f"h{side}"
    ip(
        f"link add {router} index 10{side} address {MACS[router]} mtu 9000 type veth "
        f"peer name eth0 address {MACS[host]} mtu 9000 netns {host}",
        *_addressing(side, router, 1, MACS[host]),
    )
    four, six = (form.format(1) for form in SIDES[side])
    routes = (f"route add default via {four}", f"route add default via {six}")
    ip("link set lo up", *_addressing(side, "eth0", 2, MACS[router]), *routes, namespace=host)


def _addressing(side: str, device: str, own: int, other_mac: str) -> list[str]:
    four, six = SIDES[side]
    return [
        f"link set {device} addrgenmode none",  # in one command with `up` it would come too late
        f"link set {device} up",
        f"addr add {four.format(own)}/24 dev {device}",
        f"addr add {six.format(own)}/64 dev {device} nodad",
        *(f"neigh add {form.format(3 - own)} lladdr {other_mac} dev {device} nud permanent" for form in (four, six)),
    ]


def quiet(measure: Callable[[], object], *, for_s: float = 0.3) -> None:
    """Wait until what is measured has stayed the same for a while."""
    deadline = time.monotonic() + _LIMIT_S
    last, since = measure(), time.monotonic()
    while time.monotonic() - since < for_s:
        if time.monotonic() > deadline:
            raise TimeoutError("it does not become quiet")
        time.sleep(0.02)
        if (now := measure()) != last:
            last, since = now, time.monotonic()


def settle() -> None:
    """Wait until no interface of this namespace sees a frame."""
    quiet(Path("/proc/net/dev").read_text)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Be in a namespace for a while: sockets made meanwhile belong to it for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as here, Path(f"/run/netns/{namespace}").open("rb") as there:
        if libc.setns(there.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        try:
            yield
        finally:
            libc.setns(here.fileno(), _CLONE_NEWNET)


def socket_in(namespace: str, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """Return a socket of a namespace; of the router's where the name is empty."""
    if not namespace:
        return socket.socket(family, kind, protocol)
    with inside(namespace):
        return socket.socket(family, kind, protocol)


# Traffic


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
            one.settimeout(_LIMIT_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * sum(chunks))  # one thread sends and receives
        listener.bind((to, 5002))
        listener.listen()
        client.bind(("", 41000))
        client.connect((to, 5002))
        with listener.accept()[0] as server:
            server.settimeout(_LIMIT_S)
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


def mac(name: str) -> bytes:
    """Return the octets of a station's address."""
    return bytes.fromhex(MACS[name].replace(":", ""))


def checksum(header: bytes) -> bytes:
    """Return the sum that an IPv4 header carries, over one that has zeros there."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", 0xFFFF - total)


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# What is seen


def listen(protocol: int, groups: Sequence[int] = (), *, room: int = 32 << 20) -> socket.socket:
    """Return a netlink socket that has joined multicast groups, with room for all that a test makes."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    listener.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, room // 2)  # the kernel doubles it
    listener.bind((0, 0))
    for group in groups:
        listener.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return listener


def drain(listener: socket.socket, *, for_s: float = 0.3) -> tuple[list[bytes], int]:
    """Return the messages that came and how often the socket said that it lost some, once nothing more comes."""
    listener.settimeout(for_s)
    messages: list[bytes] = []
    overflows = 0
    while True:
        try:
            messages += split(listener.recv(_ROOM))
        except TimeoutError:
            return messages, overflows
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            overflows += 1


def ask(asking: socket.socket, kind: int, body: bytes, *, flags: int = 0x5) -> list[bytes]:
    """Send a request and return what is answered before its acknowledgement or the end of a list."""
    asking.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
    answers: list[bytes] = []
    while True:
        for message in split(asking.recv(_ROOM)):
            answer = struct.unpack_from("=H", message, 4)[0]
            if answer == 2 and (number := -struct.unpack_from("=i", message, 16)[0]):  # NLMSG_ERROR
                raise OSError(number, os.strerror(number))
            if answer in {2, 3}:
                return answers
            answers.append(message)


def split(data: bytes) -> list[bytes]:
    """Return the messages of a datagram, without what pads them."""
    messages = []
    while data:
        length = struct.unpack_from("=I", data)[0]
        messages.append(data[:length])
        data = data[(length + 3) & ~3 :]
    return messages


@contextmanager
def watched(path: Path, device: str, direction: str) -> Iterator[None]:
    """Have tcpdump write the frames of an interface and a direction (in, out, inout), each cut to 256 octets."""
    words = f"tcpdump -U -n -i {device} -Q {direction} -s 256 -w {path} --immediate-mode -Z root"
    process = subprocess.Popen(
        [*words.split(), "--time-stamp-precision=nano"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while b"listening on" not in (line := process.stderr.readline()):
            if not line:
                raise RuntimeError(f"tcpdump on {device} ended")
        yield
        quiet(lambda: path.stat().st_size)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
