"""Counters of two bonds and their members, one with LACP and one without, while `ip` tells the same numbers twice.

Then a member of the first loses its carrier, and they are compared again. What is told has for each time how many
datagrams had come before and after.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guest import lab
from guest.agents import Collector, collecting, own_folder, running, shown, until

CONFIG = 'source = "none"\npolling_s = 1\n'
BONDS = {"lacp": ("a1", "a2"), "spare": ("b1", "b2")}
MODES = {"lacp": "802.3ad miimon 100", "spare": "active-backup miimon 100"}
FAR = "bonded"
NETS = {"lacp": "192.0.2", "spare": "198.51.100"}
POLLS = 8  # datagrams: of three groups that are polled each second at least two
Told = dict[str, object]


def main() -> None:
    """Print what `ip` said, and when."""
    folder = own_folder("agent_bonds")
    with _bonds(), collecting(folder / "sflow") as collector:
        with running(folder, "agent", collector, CONFIG) as agent:
            until(_agreed, "both ends agree on LACP")
            lab.run("ping -q -c 5 -i 0.02 -W 2 192.0.2.2", "ping -q -c 5 -i 0.02 -s 5000 -W 2 198.51.100.2")
            told: Told = {"whole": _compared(collector)}
            lab.ip("link set a2 down", namespace=FAR)
            until(lambda: "NO-CARRIER" in shown("ip", "link", "show", "a2"), "a2 loses its carrier")
            told |= {"halved": _compared(collector)}
            agent.stop()
        told |= {"status": agent.status, "log": agent.log}
    sys.stdout.write(json.dumps(told))


def _compared(collector: Collector) -> Told:
    """Wait until all is polled while the numbers stay; return them."""
    while True:
        before, begins = _numbers(), collector.count
        _polled(collector)
        if _numbers() == before:
            return {"begins": begins, "ends": collector.count, **before}


def _polled(collector: Collector) -> None:
    enough = collector.count + POLLS
    until(lambda: collector.count >= enough, "all is polled")


def _numbers() -> Told:
    told: Told = {"links": _links("-s", "-s"), "lacp": Path("/proc/net/bonding/lacp").read_text()}
    for device, group in (("lacp", "xstats"), *((member, "xstats_slave") for member in BONDS["lacp"])):
        words = ("ip", "-j", "stats", "show", "dev", device, "group", group, "subgroup", "bond")
        told[f"{device} pdus"] = json.loads(shown(*words))[0]["802.3ad"]
    return told


def _agreed() -> bool:
    links = {one["ifname"]: one for one in _links()}
    states = [links[member]["linkinfo"]["info_slave_data"]["ad_actor_oper_port_state"] for member in BONDS["lacp"]]
    return all(state & 0x30 == 0x30 for state in states)  # collecting, distributing


def _links(*flags: str) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = json.loads(shown("ip", *flags, "-d", "-j", "link", "show"))
    return [one for one in links if one["ifname"] != "lo"]  # which carries what the agent sends


@contextmanager
def _bonds() -> Iterator[None]:
    """Have two bonds that are connected with two of another namespace."""
    without_ipv6 = "sysctl -qw net.ipv6.conf.default.disable_ipv6={}"  # which has solicitations to send
    lab.run("modprobe bonding max_bonds=0", f"ip netns add {FAR}")
    lab.run(without_ipv6.format(1), f"ip netns exec {FAR} {without_ipv6.format(1)}")
    try:
        for bond, members in BONDS.items():
            pairs = [f"link add {member} type veth peer name {member} netns {FAR}" for member in members]
            lab.ip(*pairs, *_made(bond, own=1))
            lab.ip(*_made(bond, own=2), namespace=FAR)
        yield
    finally:
        lab.run(without_ipv6.format(0), f"ip netns del {FAR}")  # and with it the members
        lab.ip(*(f"link del {bond}" for bond in BONDS))


def _made(bond: str, *, own: int) -> list[str]:
    return [
        f"link add {bond} type bond mode {MODES[bond]}",
        *(f"link set {member} master {bond}" for member in BONDS[bond]),
        f"link set {bond} up",
        f"addr add {NETS[bond]}.{own}/24 dev {bond}",
    ]


if __name__ == "__main__":
    main()
