"""Each packet of several devices sampled, both ways: odd frames beside tcpdump, then more than a stopped agent takes.

* The first `odd` datagrams in `sflow` are of odd frames, and `DEVICE.DIRECTION.pcap` is what tcpdump saw meanwhile.
* For the others the agent samples r1 alone. Packets were sent to it and by it: some, many while it was stopped, some
  more.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from guest import lab
from guest.agents import Agent, collecting, own_folder, running, shown
from guest.lab import H1, H2, H2_6, R1
from guest.listening import watched
from guest.recordings.frames import odd_frames, vlan_frames
from guest.traffic import connect, inject, ping, send

DEVICES = {"r1": 101, "r2": 102, "r2.100": 103, "ipip1": 105, "sit1": 106}
FEW, MANY = 10, 9000  # each way; of those that are sampled with 512 octets, some 13000 fit the agent's socket
PAYLOAD = bytes(600)
COMMON = 'setup = "tc"\ndirection = "both"\nsampling = 1\npolling_s = 0\nmost_samples = 10000000\n'
_NAMES = ", ".join(f'"{name}"' for name in DEVICES)
ALL = f"{COMMON}interfaces = [{_NAMES}]\n"
ONE = f'{COMMON}interfaces = ["r1"]\nheader_octets = 512\ndatagram_octets = 8192\n'


def main() -> None:
    """Print what was sent, and what the agent and `ip` say of it."""
    folder = own_folder("agent_packets")
    with lab.opened(), _devices():
        lab.settle()
        with collecting(folder / "sflow") as collector, running(folder, "agent", collector, ALL) as agent:
            _odd(folder)
            odd = collector.settle()
            agent.reload(ONE)
            counts = _overflow(agent, collector.settle)
            agent.stop()
        told = {"odd": odd, "counts": counts, "status": agent.status, "log": agent.log}
    sys.stdout.write(json.dumps(told))


def _odd(folder: Path) -> None:
    """Make a bit of each kind of traffic while tcpdump watches."""
    with ExitStack() as stack:
        for device in DEVICES:
            for direction in ("in", "out"):
                stack.enter_context(watched(folder / f"{device}.{direction}.pcap", device, direction))
        inject(odd_frames())
        inject(vlan_frames())
        for count, to, start in ((2, H2, "h1"), (2, H2_6, "h1"), (2, R1, "h1"), (2, H2, ""), (2, "10.0.100.2", "h1")):
            ping(count, to, start=start)
        for address in ("10.0.100.1", "10.0.43.1", "2001:db8:44::1"):
            ping(2, address, start="h2")
        send([0, 10, 82, 83, 500, 1472, 8000])
        connect([100, 5000, 20000])
        lab.settle()


def _overflow(agent: Agent, settle: Callable[[], int]) -> dict[str, int]:
    """Send more than an agent can take that does not run for a while; return how much."""
    before = _passed()
    with _sockets() as both_ways:
        both_ways(FEW)
        settle()
        agent.send_signal(signal.SIGSTOP)
        both_ways(MANY)
        agent.send_signal(signal.SIGCONT)
        settle()
        both_ways(FEW)
        settle()
    after = _passed()
    return {"sent each way": 2 * FEW + MANY, "in": after[0] - before[0], "out": after[1] - before[1]}


@contextmanager
def _sockets() -> Iterator[Callable[[int], None]]:
    """Have what sends datagrams from each host to the other, one after the other; nobody reads them."""
    with (
        lab.socket_in("h1", socket.AF_INET, socket.SOCK_DGRAM) as one,
        lab.socket_in("h2", socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        one.bind((H1, 5001))
        other.bind((H2, 5001))

        def both_ways(count: int) -> None:
            for _ in range(count):
                one.sendto(PAYLOAD, (H2, 5001))
                other.sendto(PAYLOAD, (H1, 5001))

        yield both_ways


def _passed() -> tuple[int, int]:
    link = json.loads(shown("ip", "-s", "-j", "link", "show", "r1"))[0]["stats64"]
    return link["rx"]["packets"], link["tx"]["packets"]


@contextmanager
def _devices() -> Iterator[None]:
    """Have a VLAN and two tunnels between the router and h2."""
    lab.run("modprobe -a 8021q ipip sit")
    here, there = "local 198.51.100.1 remote 198.51.100.2", "local 198.51.100.2 remote 198.51.100.1"
    lab.ip(
        "link add link r2 name r2.100 index 103 type vlan id 100",
        f"link add name ipip1 index 105 type ipip {here}",
        f"link add name sit1 index 106 type sit {here}",
        *_addressed("r2.100", 1),
        *_addressed("ipip1", 1),
        *_addressed("sit1", 1),
        f"neigh add 10.0.100.2 lladdr {lab.MACS['h2']} dev r2.100 nud permanent",
    )
    lab.ip(
        "link add link eth0 name r2.100 type vlan id 100",
        f"link add name ipip1 type ipip {there}",
        f"link add name sit1 type sit {there}",
        *_addressed("r2.100", 2),
        *_addressed("ipip1", 2),
        *_addressed("sit1", 2),
        f"neigh add 10.0.100.1 lladdr {lab.MACS['r2']} dev r2.100 nud permanent",
        namespace="h2",
    )
    try:
        yield
    finally:
        lab.ip("link del ipip1", "link del sit1")


def _addressed(device: str, own: int) -> list[str]:
    address = {"r2.100": "10.0.100.{}/24", "ipip1": "10.0.43.{}/24", "sit1": "2001:db8:44::{}/64 nodad"}[device]
    words, _, flag = address.format(own).partition(" ")
    return [
        f"link set {device} addrgenmode none",
        f"link set {device} up",
        f"addr add {words} dev {device} {flag}",
    ]


if __name__ == "__main__":
    main()
