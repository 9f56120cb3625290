"""Kinds of interfaces, and what follows from what they are."""

from __future__ import annotations

from collections import Counter

import pytest

from tidegate.agent.config import AgentConfig
from tidegate.agent.host_counters import host_ports
from tidegate.agent.interface_counters import if_type, is_ethernet_port
from tidegate.agent.interface_kinds import ROWS, InterfaceKind, Nature, kind_of
from tidegate.agent.ports import ports_of
from tidegate.wire.netlink.link import AGGREGATES, Link, LinkFlags

# What there is at each kind of interface that is up, of Ethernet: sampled, its driver's counters, the host's traffic
# (beside no other, alone), its ifType.
_UNLISTED = "none-such"
_ALL = {
    "": ("sampled", "ethernet", "host", 6),
    "dsa": ("sampled", "ethernet", "host", 6),
    "wlan": ("sampled", "", "host", 71),
    **dict.fromkeys(("wwan", "ipoib"), ("sampled", "", "host", 6)),
    "veth": ("sampled", "", "container", 6),
    **dict.fromkeys(("tun", _UNLISTED), ("sampled", "", "", 6)),
    "netdevsim": ("sampled", "", "", 53),
    **dict.fromkeys(("macvlan", "macvtap", "ipvlan", "ipvtap", "netkit"), ("", "", "container", 6)),
    **dict.fromkeys(("hsr", "batadv"), ("", "", "", 6)),
    **dict.fromkeys(("bond", "team"), ("", "", "", 161)),
    "bridge": ("", "", "", 209),
    "vlan": ("", "", "", 135),
    "macsec": ("", "", "", 231),
    **dict.fromkeys(("vrf", "openvswitch", "dummy", "ifb", "nlmon"), ("", "", "", 53)),
    **dict.fromkeys(("vxlan", "geneve", "gretap", "ip6gretap", "erspan", "ip6erspan", "bareudp"), ("", "", "", 131)),
    **dict.fromkeys(("gre", "ip6gre", "ipip", "sit", "ip6tnl", "vti", "vti6", "xfrm"), ("", "", "", 131)),
    **dict.fromkeys(("wireguard", "gtp", "amt", "l2tp_eth"), ("", "", "", 131)),
}


def test_each_kind_has_one_row() -> None:
    counts = Counter(kind for row in ROWS for kind in row.kinds)
    assert set(counts.values()) == {1}
    assert counts.keys() == _ALL.keys() - {_UNLISTED}
    assert counts.keys() >= AGGREGATES
    assert len({row.what for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("kind", list(_ALL))
def test_what_is_done_with_an_interface(kind: str) -> None:
    link = Link(2, "x0", flags=int(LinkFlags.UP), kind=kind)
    beside = Link(3, "eth0", flags=int(LinkFlags.UP))
    counted = "host" if link in host_ports([link, beside]) else "container" if host_ports([link]) else ""
    assert _ALL[kind] == (
        "sampled" if ports_of([link], {}, AgentConfig()) else "",
        "ethernet" if is_ethernet_port(link) else "",
        counted,
        if_type(link),
    )


def test_a_kind_that_is_not_known_is_sampled_and_counts_for_nothing_else() -> None:
    assert kind_of(_UNLISTED) == InterfaceKind(Nature.PROGRAM)
