"""Routes that a peer of AS 65001 announced to daemons whose BMP streams and MRT files are compared with them."""

from __future__ import annotations

from msgspec import structs

from interop.heard import expected, held
from tidegate.wire.bgp.communities import LargeCommunity
from tidegate.wire.bgp.constants import Origin
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.routes import Route, UnicastRoute

_HOPS = {4: parse_address("192.0.2.1"), 6: parse_address("2001:db8::1")}


def _route(text: str, *path: int, **attributes: object) -> UnicastRoute:
    hop = _HOPS[6 if ":" in text else 4]
    return UnicastRoute(parse_prefix(text), hop, as_path=path, **attributes)  # type: ignore[arg-type]


TOLD: tuple[UnicastRoute, ...] = (
    _route("10.1.0.0/16", 65100, 65200),
    _route("10.2.0.0/16", 65100, 65200),
    _route(
        "10.3.3.0/24",
        4200000000,
        65200,
        communities=(65001 << 16 | 7,),
        large=(LargeCommunity(65001, 1, 2),),
        med=50,
    ),
    _route("198.51.100.64/26", origin=Origin.INCOMPLETE),
    _route("2001:db8:1::/48", 65100),
    _route("2001:db8:2::/47", 65100, 4200000000, communities=(65001 << 16 | 8,)),
)
EXPECTED: frozenset[Route] = frozenset(expected(route, peer_as=65001) for route in TOLD)


def learnt(*tables: RibIn) -> frozenset[Route]:
    """Return what tables hold, without the preference that some daemons give to what they have learnt."""
    return frozenset(structs.replace(route, local_pref=None) for table in tables for route in held(table))
