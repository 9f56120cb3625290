"""Unicast routes for daemons to announce: with every attribute they can be told, or many."""

from __future__ import annotations

from interop.daemons import Daemon
from interop.frr import Frr
from interop.openbgpd import OpenBgpd
from tidegate.wire.bgp.communities import LargeCommunity
from tidegate.wire.bgp.constants import Origin
from tidegate.wire.bgp.prefix import Prefix, parse_address, parse_prefix
from tidegate.wire.bgp.routes import UnicastRoute

COMMUNITIES = (65010 << 16 | 1, 65535 << 16 | 666)
LARGE = (LargeCommunity(65010, 1, 2), LargeCommunity(4200000000, 3, 4))


def unicast(prefix: str, next_hop: str, **attributes: object) -> UnicastRoute:
    return UnicastRoute(parse_prefix(prefix), parse_address(next_hop), **attributes)  # type: ignore[arg-type]


def routes_of(kind: type[Daemon]) -> list[UnicastRoute]:
    """Return routes with all the attributes that a daemon can be told to send."""
    path: tuple[int, ...] = () if kind is OpenBgpd else (64999, 4200000001, 64998)
    med = 0 if kind is Frr else None  # FRR always sends one
    return [
        unicast("10.1.0.0/24", "192.0.2.1", med=med),
        unicast("10.2.0.0/15", "192.0.2.2", as_path=path, communities=COMMUNITIES, large=LARGE, med=50),
        unicast("10.4.0.1/32", "192.0.2.1", as_path=path, origin=Origin.INCOMPLETE, local_pref=250, med=med),
        unicast("2001:db8:1::/48", "2001:db8::1", med=med),
        unicast("2001:db8:2::/47", "2001:db8::2", as_path=path, communities=COMMUNITIES, large=LARGE, med=50),
        unicast("2001:db8:4::1/128", "2001:db8::1", as_path=path, origin=Origin.EGP, local_pref=250, med=med),
    ]


def table(size: int) -> list[UnicastRoute]:
    """Return many routes, three of four IPv4, of different lengths and with the attributes of a few groups."""
    routes = []
    for number in range(size):
        path = tuple(64000 + number % 97 + hop for hop in range(number % 5))
        communities = tuple(sorted((65010 << 16 | number % 61, 65010 << 16 | 1000 + number % 7)))
        if number % 4:
            address, hop = (10 << 24 | number << 8).to_bytes(4, "big"), bytes((192, 0, 2, 1 + number % 3))
            prefix = Prefix(address, 24 + number % 9)
        else:
            address = (0x20010DB8 << 96 | number << 64).to_bytes(16, "big")
            prefix, hop = Prefix(address, 64 + number % 65), parse_address(f"2001:db8::{1 + number % 3}")
        routes.append(UnicastRoute(prefix, hop, as_path=path, communities=communities))
    return routes
