"""Cases of samples on interfaces that are made for them: VLAN, tunnels, large numbers, loopback."""

from __future__ import annotations

from guest.lab import H2, MACS, R2
from guest.recordings.case import Case, then
from guest.recordings.sampling_rules import gone, rules, sample
from guest.traffic import ping

__all__ = ["device_cases"]


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
