"""Samples of known traffic, as the kernel's family psample sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

from guest import lab
from guest.lab import H2, H2_6, MACS, R1, R2, connect, inject, ping, send
from guest.recordings.case import Case, Told, bursts, keep, play, then
from guest.recordings.frames import ODD_FRAMES, VLAN_FRAMES, numbered, odd_frames, tagged, vlan_frames
from guest.recordings.openvswitch import record_switch
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink.genl import Family, genl_body

MODULES = ("act_sample", "cls_matchall", "sch_ingress", "8021q", "vxlan", "ipip")
FAMILY = "psample"
INTERFACES = {"r1": 101, "r2": 102, "r2.100": 103, "vx0": 104, "ipip1": 105, "big1": 65535, "big2": 70000, "lo": 1}
SIZES = (0, 1, 18, 64, 86, 87, 500, 1472, 8952)
_GET_GROUP = 1


def sample(device: str, direction: str, group: int, *, rate: int = 1, trunc: int = 128) -> str:
    """Return the command of a rule; 0 cuts nothing."""
    cut = f" trunc {trunc}" if trunc else ""
    return f"tc filter add dev {device} {direction} matchall action sample rate {rate} group {group}{cut}"


def _devices(filters: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(line.split()[4] for line in filters))


def rules(*filters: str) -> tuple[str, ...]:
    """Return the commands that put filters in place."""
    return (*(f"tc qdisc add dev {device} clsact" for device in _devices(filters)), *filters)


def gone(*filters: str) -> tuple[str, ...]:
    """Return the commands that take filters away."""
    return tuple(f"tc qdisc del dev {device} clsact" for device in _devices(filters))


def case(name: str, told: str, traffic: Callable[[], object], *filters: str, see: str = "") -> Case:
    """Return a case of some filters."""
    return Case(name, told, traffic, rules(*filters), gone(*filters), see)


ARRIVING = sample("r1", "ingress", 5)
ALL_FOUR = [
    sample(device, direction, group) for direction, group in (("ingress", 5), ("egress", 6)) for device in ("r1", "r2")
]


def plain_cases() -> list[Case]:
    """Return what arrives at r1, all of it."""
    traffic: list[tuple[str, str, Callable[[], object]]] = [
        ("icmp4", "5 echo requests h1 > h2, 56 data octets", lambda: ping(5, H2)),
        ("icmp6", "the same over IPv6", lambda: ping(5, H2_6)),
        ("udp4", f"UDP h1:40000 > h2:5001, ToS 0xb8, payloads of {SIZES}", lambda: send(SIZES, tos=0xB8)),
        ("udp6", "the same over IPv6, traffic class 0x28", lambda: send(SIZES, H2_6, tos=0x28)),
        ("tcp4", "a TCP connection h1:41000 > h2:5002, 3 x 100 octets; h1's side", lambda: connect([100] * 3)),
        ("tcp6", "the same over IPv6", lambda: connect([100] * 3, H2_6)),
        ("tcp4-gso", "300000 octets by TCP: samples of more than the MTU", lambda: connect([300000])),
        ("fragments4", "2 echo requests of 20000 data octets, 3 fragments each", lambda: ping(2, H2, size=20000)),
        ("frames", ODD_FRAMES, lambda: inject(odd_frames())),
        ("vlan-ingress", VLAN_FRAMES, lambda: inject(vlan_frames())),
    ]
    return [case(name, told, make, ARRIVING, see="r1 in") for name, told, make in traffic]


def cut_cases() -> list[Case]:
    """Return what arrives at r1, cut to several lengths."""
    sizes = (10, 22, 23, 100, 1000, 8000)
    cuts = [
        case(
            f"trunc-{trunc or 'none'}",
            f"UDP payloads of {sizes}, " + (f"cut to {trunc}" if trunc else "not cut"),
            lambda: send(sizes),
            sample("r1", "ingress", 5, trunc=trunc),
            see="r1 in",
        )
        for trunc in (16, 64, 256, 0)
    ]
    bulk = case(
        "trunc-none-gso",
        "50000 octets by TCP, not cut: messages of some ten thousand octets",
        lambda: connect([50000]),
        sample("r1", "ingress", 5, trunc=0),
        see="r1 in",
    )
    return [*cuts, bulk]


def direction_cases() -> list[Case]:
    """Return samples of several interfaces, directions, groups and rates."""
    leaving = sample("r2", "egress", 6)
    return [
        case(
            "egress-forwarded",
            "3 echo requests and 2 datagrams h1 > h2 as they leave r2: both interfaces known",
            then(lambda: ping(3, H2), lambda: send([100, 200])),
            leaving,
            see="r2 out",
        ),
        case(
            "egress-local",
            "3 echo requests of the router's own as they leave r2: no input interface",
            lambda: ping(3, H2, start=""),
            leaving,
            see="r2 out",
        ),
        case(
            "to-router",
            "3 echo requests h1 > router (group 5) and the replies (group 6)",
            lambda: ping(3, R1),
            ARRIVING,
            sample("r1", "egress", 6),
            see="r1 inout",
        ),
        case(
            "two-groups",
            "5 + 5 echoes h1 <> h2 (IPv4, IPv6), 5 datagrams: each on arrival (group 5) and on leaving (group 6)",
            then(lambda: ping(5, H2), lambda: ping(5, H2_6), lambda: send([50] * 5)),
            *ALL_FOUR,
        ),
        case(
            "two-rates",
            "400 datagrams h1 > h2 of 242 octets, 1 in 4 on r1 ingress, 1 in 16 on r2 egress",
            lambda: send([200] * 400),
            sample("r1", "ingress", 5, rate=4, trunc=64),
            sample("r2", "egress", 6, rate=16),
        ),
        case(
            "rate-10",
            "3000 datagrams h1 > h2 of 142 octets, 1 in 10",
            lambda: send([100] * 3000),
            sample("r1", "ingress", 5, rate=10, trunc=64),
        ),
        case(
            "cookie",
            "2 echo requests; the rule carries a cookie, which kernels from 6.11 on send along",
            lambda: ping(2, H2),
            f"{ARRIVING} cookie 0102030405060708",
        ),
        case("mixed", "a bit of everything above", everything, *ALL_FOUR),
    ]


def everything() -> None:
    """Make a bit of each kind of traffic."""
    ping(4, H2)
    ping(4, H2_6)
    send([10, 500, 1472, 8000])
    send([10, 500, 1400], H2_6)
    connect([100, 5000, 20000])
    inject([tagged(numbered(), (0x8100, 0, 100))])
    ping(2, R1)
    ping(2, R2, start="h2")


def device_cases() -> list[Case]:
    """Return samples of interfaces that are made for them."""
    vlan = (sample("r2.100", "egress", 6), sample("r2", "egress", 7))
    numbers = (sample("big1", "ingress", 5), sample("big2", "ingress", 5))
    tunnel = (sample("vx0", "ingress", 5), sample("vx0", "egress", 6))
    plain = (sample("ipip1", "ingress", 5), sample("ipip1", "egress", 6))
    loop = (sample("lo", "egress", 6), sample("lo", "ingress", 5))
    return [
        Case(
            "vlan-device",
            "3 echo requests h1 > h2 leave through VLAN device r2.100 on r2: sampled there (group 6), then on r2 (7)",
            lambda: ping(3, "10.0.100.2"),
            (
                *_pair("link r2 name r2.100 index 103", "link eth0 name eth0.100", "type vlan id 100", 100),
                *rules(*vlan),
            ),
            (*gone(*vlan), "ip link del r2.100", "ip -n h2 link del eth0.100"),
            "r2 out",
        ),
        Case(
            "interface-numbers",
            "2 echo requests into an interface of index 65535, then 2 into one of 70000 (16 bits arrive: 4464)",
            then(lambda: ping(2, "10.0.7.1"), lambda: ping(2, "10.0.8.1")),
            (*_big("big1", 65535, 7), *_big("big2", 70000, 8), *rules(*numbers)),
            (*gone(*numbers), "ip link del big1", "ip link del big2"),
        ),
        Case(
            "vxlan-metadata",
            "3 echo requests h2 > router and the replies in VXLAN 42; vx0 is a metadata device: TUNNEL with both ends",
            lambda: ping(3, "10.0.42.1", start="h2"),
            (*_vxlan(), *rules(*tunnel)),
            (*gone(*tunnel), "ip link del vx0", "ip -n h2 link del vx0"),
        ),
        Case(
            "no-ethernet",
            "3 echo requests h2 > router and the replies through an IP-in-IP device: DATA begins with the IPv4 header",
            lambda: ping(3, "10.0.43.1", start="h2"),
            (
                *_pair(
                    "name ipip1 index 105 type ipip local 198.51.100.1 remote 198.51.100.2",
                    "name ipip1 type ipip local 198.51.100.2 remote 198.51.100.1",
                    "",
                    43,
                ),
                *rules(*plain),
            ),
            (*gone(*plain), "ip link del ipip1", "ip -n h2 link del ipip1"),
        ),
        Case(
            "loopback",
            "2 echoes on lo: each packet on leaving (group 6), then on arrival (group 5)",
            lambda: ping(2, "127.0.0.1", start=""),
            rules(*loop),
            gone(*loop),
        ),
    ]


def _pair(ours: str, theirs: str, both: str, net: int) -> tuple[str, ...]:
    """Return the commands that make a device of the router and one of h2 in a network of their own."""
    lines: list[str] = []
    for words, where, own in ((ours, "ip", 1), (theirs, "ip -n h2", 2)):
        name = words.partition("name ")[2].split()[0]
        lines += [
            f"{where} link add {words} {both}",
            *_up(name, where),
            f"{where} addr add 10.0.{net}.{own}/24 dev {name}",
        ]
        if "ipip" not in words:  # which knows no neighbours
            other = MACS["h2"] if own == 1 else MACS["r2"]
            lines.append(f"{where} neigh add 10.0.{net}.{3 - own} lladdr {other} dev {name} nud permanent")
    return tuple(lines)


def _up(name: str, where: str = "ip") -> tuple[str, str]:
    """Return the commands that start a device which then sends nothing by itself."""
    return f"{where} link set {name} addrgenmode none", f"{where} link set {name} up"


def _big(name: str, index: int, net: int) -> tuple[str, ...]:
    """Return the commands that connect h1 to an interface with a large number."""
    ours, theirs = f"02:00:00:00:{net:02}:01", f"02:00:00:00:{net:02}:02"
    return (
        f"ip link add {name} index {index} address {ours} type veth peer name {name} address {theirs} netns h1",
        *_up(name),
        *_up(name, "ip -n h1"),
        f"ip addr add 10.0.{net}.1/24 dev {name}",
        f"ip -n h1 addr add 10.0.{net}.2/24 dev {name}",
        f"ip neigh add 10.0.{net}.2 lladdr {theirs} dev {name} nud permanent",
        f"ip -n h1 neigh add 10.0.{net}.1 lladdr {ours} dev {name} nud permanent",
    )


def _vxlan() -> tuple[str, ...]:
    """Return the commands that connect h2 to a VXLAN device of the router that takes its metadata from a route."""
    near, far = "02:00:00:00:42:01", "02:00:00:00:42:02"
    return (
        f"ip link add vx0 index 104 address {near} type vxlan external dstport 4789",
        *_up("vx0"),
        "ip addr add 10.0.42.1/24 dev vx0",
        f"ip route replace 10.0.42.2/32 encap ip id 42 dst {H2} src {R2} dev vx0",
        f"ip neigh add 10.0.42.2 lladdr {far} dev vx0 nud permanent",
        f"ip -n h2 link add vx0 address {far} type vxlan id 42 local {H2} remote {R2} dstport 4789 dev eth0",
        *_up("vx0", "ip -n h2"),
        "ip -n h2 addr add 10.0.42.2/24 dev vx0",
        f"ip -n h2 neigh add 10.0.42.1 lladdr {near} dev vx0 nud permanent",
    )


def cases() -> list[Case]:
    """Return all cases of one kind: rules, traffic, samples."""
    return [*plain_cases(), *cut_cases(), *direction_cases(), *device_cases()]


def record(out: Path, names: list[str]) -> dict[str, Told]:
    """Record cases (all where none is named) and return what the manifest says of each."""
    with Netlink(GENERIC) as generic:
        family = find_family(generic, FAMILY)
    assert family is not None

    @contextmanager
    def listening() -> Iterator[socket]:
        with lab.listen(GENERIC, [family.groups["packets"]]) as listener:
            yield listener

    told = {one.name: play(one, out, listening)[0] for one in cases() if not names or one.name in names}
    others = {"sequence-gap": record_gaps, "groups": record_groups}
    for name, record_other in others.items():
        if not names or name in names:
            told |= record_other(out, family)
    if "openvswitch" in names:  # no kernel of Debian 12 itself has it
        told |= record_switch(out, family)
    return told


def record_gaps(out: Path, family: Family) -> dict[str, Told]:
    """Record bursts that overflow a small buffer: the sequence of each group jumps."""
    filters = (ARRIVING, sample("r2", "egress", 6))
    lab.run(*rules(*filters))
    with lab.listen(GENERIC, [family.groups["packets"]], room=16384) as listener:
        of_each, messages = bursts((5, 200, 5, 300, 5), listener)
    lab.run(*gone(*filters))
    keep(out, "sequence-gap", messages)
    traffic = (
        "bursts of datagrams h1 > h2, each in groups 5 (r1 ingress) and 6 (r2 egress); 16 KiB to receive, read between"
    )
    return {"sequence-gap": {"traffic": traffic, "commands": filters, "messages": len(messages), "bursts": of_each}}


def record_groups(out: Path, family: Family) -> dict[str, Told]:
    """Record what the multicast group `config` says of two groups, and the list of them."""
    filters = (ARRIVING, sample("r1", "egress", 6))
    with lab.listen(GENERIC, [family.groups["config"]]) as listener, lab.listen(GENERIC) as asking:
        lab.drain(listener)  # groups of the case before, which end a little later than their rules
        lab.run(*rules(*filters))
        listed = lab.ask(asking, family.id, genl_body(_GET_GROUP, family.version), flags=0x301)
        lab.run(*gone(*filters))
        messages, _ = lab.drain(listener)
    keep(out, "groups", messages)
    keep(out, "groups-dump", listed)
    return {
        "groups": {"traffic": "groups 5 and 6 are made, then removed", "commands": filters, "messages": len(messages)},
        "groups-dump": {"traffic": "the list of groups while both are there", "messages": len(listed)},
    }
