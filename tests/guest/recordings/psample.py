"""Samples of known traffic, as the kernel's family psample sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket

from guest import lab
from guest.lab import H2, H2_6, R1, R2
from guest.listening import ask, drain, listen
from guest.recordings.case import Case, Told, bursts, keep, play, then
from guest.recordings.frames import ODD_FRAMES, VLAN_FRAMES, numbered, odd_frames, tagged, vlan_frames
from guest.recordings.openvswitch import record_switch
from guest.recordings.psample_devices import device_cases
from guest.recordings.sampling_rules import gone, rules, sample
from guest.traffic import connect, inject, ping, send
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink.genl import Family, genl_body

MODULES = ("act_sample", "cls_matchall", "sch_ingress", "8021q", "vxlan", "ipip")
FAMILY = "psample"
INTERFACES = {"r1": 101, "r2": 102, "r2.100": 103, "vx0": 104, "ipip1": 105, "big1": 65535, "big2": 70000, "lo": 1}
SIZES = (0, 1, 18, 64, 86, 87, 500, 1472, 8952)
_GET_GROUP = 1


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
        with listen(GENERIC, [family.groups["packets"]]) as listener:
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
    with listen(GENERIC, [family.groups["packets"]], room=16384) as listener:
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
    with listen(GENERIC, [family.groups["config"]]) as listener, listen(GENERIC) as asking:
        drain(listener)  # groups of the case before, which end a little later than their rules
        lab.run(*rules(*filters))
        listed = ask(asking, family.id, genl_body(_GET_GROUP, family.version), flags=0x301)
        lab.run(*gone(*filters))
        messages, _ = drain(listener)
    keep(out, "groups", messages)
    keep(out, "groups-dump", listed)
    return {
        "groups": {"traffic": "groups 5 and 6 are made, then removed", "commands": filters, "messages": len(messages)},
        "groups-dump": {"traffic": "the list of groups while both are there", "messages": len(listed)},
    }
