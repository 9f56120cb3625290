from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given

from bgp_cases import unicast_routes
from tidegate.control.unicast import format_unicast, parse_unicast, unicast_key
from tidegate.errors import Inexpressible, TextError
from tidegate.wire.bgp.constants import Origin
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import UnicastRoute, route_key


def test_all_fields() -> None:
    value = {
        "prefix": "192.0.2.66",
        "nexthop": "192.0.2.1",
        "communities": "65535:666-65000:1",
        "localpref": "200",
        "med": 7,
        "origin": "incomplete",
        "aspath": "64500-64501",
        "parentprefix": "ignored",
        "value": 4.5e7,
    }
    assert parse_unicast(value) == UnicastRoute(
        parse_prefix("192.0.2.66/32"),
        parse_address("192.0.2.1"),
        Origin.INCOMPLETE,
        (64500, 64501),
        med=7,
        local_pref=200,
        communities=(0xFFFF029A, 0xFDE80001),
    )


def test_only_prefix_and_next_hop_are_needed() -> None:
    route = parse_unicast({"prefix": "2001:db8::66", "nexthop": "100::1", "med": None})
    assert route == UnicastRoute(parse_prefix("2001:db8::66/128"), parse_address("100::1"))


def test_a_link_local_next_hop_follows_the_global_one() -> None:
    route = parse_unicast({"prefix": "2001:db8::66", "nexthop": "100::1", "nexthoplinklocal": "fe80::1"})
    assert route.next_hop == parse_address("100::1") + parse_address("fe80::1")


@given(unicast_routes())
def test_routes_come_back_from_their_object(route: UnicastRoute) -> None:
    assume(route.prefix.length)
    plain = msgspec.structs.replace(route, large=(), next_hop=b"\x20" + route.next_hop[1:])
    assert parse_unicast(format_unicast(plain)) == plain
    assert unicast_key(str(route.prefix)) == route_key(plain)


GOOD = {"prefix": "192.0.2.66", "nexthop": "192.0.2.1"}


@pytest.mark.parametrize(
    ("changes", "field", "column"),
    [
        ({"prefix": None}, "prefix", 0),
        ({"prefix": "192.0.2.1/33"}, "prefix", 10),
        ({"prefix": "192.0.2.1/24"}, r"prefix: address bits .*did you mean 192\.0\.2\.0/24", 0),
        ({"prefix": "192.0.2.x/24"}, "prefix: not an IPv4 or IPv6 address at column 1: ⟶192.0.2.x/24", 0),
        ({"prefix": ["192.0.2.1"]}, "prefix", 0),
        ({"prefix": True}, "prefix", 0),
        ({"nexthop": ""}, "nexthop: not an IPv4 or IPv6 address", 0),
        ({"nexthop": "100::1"}, "nexthop", 0),
        *(({"nexthop": hop}, "nexthop", 0) for hop in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "240.0.0.1")),  # noqa: S104 - none is bound
        *(({"prefix": "100::2", "nexthop": hop}, "nexthop", 0) for hop in ("::", "::1", "ff02::1", "::ffff:1.2.3.4")),
        ({"nexthoplinklocal": "fe80::1"}, "nexthoplinklocal", 0),
        ({"prefix": "2001:db8::1", "nexthop": "100::1", "nexthoplinklocal": "192.0.2.1"}, "nexthoplinklocal", 0),
        ({"communities": "1:2-x"}, "communities", 4),
        ({"localpref": "high"}, "localpref", 0),
        ({"localpref": 1 << 32}, "localpref", 0),
        ({"med": -1}, "med", 0),
        ({"origin": "there"}, "origin", 0),
        ({"aspath": "1-x"}, "aspath", 2),
        ({"aspath": "-".join(["1"] * 255)}, "aspath", 0),
    ],
)
def test_wrong_fields_are_named_and_pointed_at(changes: dict[str, Any], field: str, column: int) -> None:
    with pytest.raises(TextError, match=field) as caught:
        parse_unicast(GOOD | changes)
    assert caught.value.column == column


def test_an_extended_community_has_no_place() -> None:
    with pytest.raises(Inexpressible, match="extended"):
        parse_unicast(GOOD | {"communities": "128:6:0"})


@pytest.mark.parametrize("prefix", ["0.0.0.0/0", "::/0"])
def test_a_route_to_everything_is_refused_and_can_be_withdrawn(prefix: str) -> None:
    with pytest.raises(Inexpressible, match="a safe announcement cannot express a destination of all addresses"):
        parse_unicast({"prefix": prefix, "nexthop": "100::1" if ":" in prefix else "192.0.2.1"})
    assert unicast_key(prefix).family.label in {"ipv4-unicast", "ipv6-unicast"}


@pytest.mark.parametrize("field", ["comunities", "community", "localPref", "as-path", "next_hop"])
def test_a_misspelled_field_is_refused_with_a_hint(field: str) -> None:
    with pytest.raises(TextError, match="unknown field of a route") as caught:
        parse_unicast({"prefix": "192.0.2.66", "nexthop": "192.0.2.1", field: "65535:666"})
    assert caught.value.hint.startswith("did you mean ")
