"""What the guest's kernel has of all that the agent can use."""

from __future__ import annotations

import json
import os

from guest import lab
from tidegate.io.netlink import GENERIC, Netlink, find_family

FAMILIES = ("NET_DM", "psample")
DEVICES = {
    "bond": "name probe type bond",
    "veth": "name probe type veth peer name other",
    "vlan": "link base name probe type vlan id 7",
    "vxlan": "name probe type vxlan id 7 dstport 4789",
}


def main() -> None:
    """Print it."""
    told: dict[str, object] = {"release": os.uname().release}
    lab.run("modprobe -r -a act_sample psample drop_monitor")  # which scenarios before may have loaded
    with Netlink(GENERIC) as generic:
        told["by_asking"] = [name for name in FAMILIES if find_family(generic, name)]
        lab.run("modprobe -a psample drop_monitor")
        found = [find_family(generic, name) for name in FAMILIES]
        told["groups"] = {family.name: sorted(family.groups) for family in found if family}
    lab.run("ip link add base type dummy")
    told["devices"] = [kind for kind, words in DEVICES.items() if _can_make(words)]
    lab.run("ip link del base")
    print(json.dumps(told))  # noqa: T201 - that is how it tells


def _can_make(words: str) -> bool:
    try:
        lab.run(f"ip link add {words}", "ip link del probe")
    except RuntimeError:
        return False
    return True


main()
