"""Two hosts and a router between them, in network namespaces.

    h1 (eth0: 192.0.2.2, 2001:db8:1::2) - r1 [router] r2 - (eth0: 198.51.100.2, 2001:db8:2::2) h2

The router is the namespace that the caller is in: r1 has ifIndex 101, 192.0.2.1 and 2001:db8:1::1, r2 has 102,
198.51.100.1 and 2001:db8:2::1. Neighbours are static and MTUs 9000, so that no frame passes but those that are asked
for. Everything here needs root, and little else: it also runs in the guest, where imports are slow.
"""

from __future__ import annotations

import ctypes
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
LIMIT_S = 20.0


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
    deadline = time.monotonic() + LIMIT_S
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


def mac(name: str) -> bytes:
    """Return the octets of a station's address."""
    return bytes.fromhex(MACS[name].replace(":", ""))


def family_of(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
