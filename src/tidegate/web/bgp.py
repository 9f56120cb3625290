"""Routes and FlowSpec rules that are announced: `/bgp`.

Handlers run on the event loop, which is the speaker's. What a speaker refuses is a 400 that says which part and why.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Final

from litestar import delete, get, put
from litestar.params import RawBody

from tidegate.web.backend import Announcer, NeighborInfo
from tidegate.web.inject import Bgp, Segment
from tidegate.web.replies import bad_text, not_found, parse_object

__all__ = ["HANDLERS"]


def _peer(bgp: Announcer | None, router: str) -> tuple[Announcer, str]:
    """Return the speaker and the neighbour's own address, however `router` is written."""
    for neighbor in () if bgp is None else bgp.neighbors():
        if bgp is not None and _canonical(neighbor.address) == _canonical(router):
            return bgp, neighbor.address
    raise not_found(f"BGP neighbour {router!r}" if bgp else "BGP neighbour: BGP is not configured")


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


@get("/bgp/neighbors/json", tags=["bgp"], summary="BGP neighbours", sync_to_thread=False)
def read_neighbors(bgp: Bgp) -> list[NeighborInfo]:
    """Return the BGP neighbours and how things stand with each."""
    return [] if bgp is None else bgp.neighbors()


@get("/bgp/flowspec/{router:str}/json", tags=["bgp"], summary="FlowSpec rules", sync_to_thread=False)
def read_rules(router: Segment, bgp: Bgp) -> list[dict[str, object]]:
    """Return the FlowSpec rules wanted at a neighbour."""
    speaker, peer = _peer(bgp, router)
    return speaker.flows(peer)


@put("/bgp/flowspec/{router:str}/json", tags=["bgp"], summary="Announce a rule", status_code=204, sync_to_thread=False)
def put_rule(router: Segment, body: RawBody, bgp: Bgp) -> None:
    """Announce a FlowSpec rule; it replaces the one with the same match."""
    speaker, peer = _peer(bgp, router)
    speaker.announce_flow(peer, parse_object(body))


@delete("/bgp/flowspec/{router:str}/json", tags=["bgp"], summary="Withdraw a rule", sync_to_thread=False)
def delete_rule(router: Segment, body: RawBody, bgp: Bgp) -> None:
    """Withdraw the FlowSpec rule with the match of the body, if there is one."""
    speaker, peer = _peer(bgp, router)
    speaker.withdraw_flow(peer, parse_object(body))


@get("/bgp/routepusher/{router:str}/json", tags=["bgp"], summary="Prefixes announced", sync_to_thread=False)
def read_prefixes(router: Segment, bgp: Bgp) -> list[str]:
    """Return the prefixes of the unicast routes wanted at a neighbour."""
    speaker, peer = _peer(bgp, router)
    return [str(route["prefix"]) for route in speaker.routes(peer)]


@get(
    "/bgp/routepusher/{router:str}/{address:str}/{bits:str}/json",
    tags=["bgp"],
    summary="A route announced",
    sync_to_thread=False,
)
def read_route(router: Segment, address: Segment, bits: Segment, bgp: Bgp) -> Mapping[str, object]:
    """Return the unicast route of a prefix."""
    (speaker, peer), prefix = _peer(bgp, router), _prefix(address, bits)
    for route in speaker.routes(peer):
        if ipaddress.ip_network(str(route["prefix"])) == prefix:
            return route
    raise not_found(f"route {prefix} at {router}")


@put(
    "/bgp/routepusher/{router:str}/{address:str}/{bits:str}/json",
    tags=["bgp"],
    summary="Announce a route",
    status_code=204,
    sync_to_thread=False,
)
def put_route(router: Segment, address: Segment, bits: Segment, body: RawBody, bgp: Bgp) -> None:
    """Announce a unicast route, such as a blackhole; it replaces the one with the same prefix."""
    (speaker, peer), prefix = _peer(bgp, router), _prefix(address, bits)
    speaker.announce_route(peer, {**parse_object(body), "prefix": str(prefix)})


@delete(
    "/bgp/routepusher/{router:str}/{address:str}/{bits:str}/json",
    tags=["bgp"],
    summary="Withdraw a route",
    sync_to_thread=False,
)
def delete_route(router: Segment, address: Segment, bits: Segment, bgp: Bgp) -> None:
    """Withdraw the unicast route of a prefix, if there is one."""
    (speaker, peer), prefix = _peer(bgp, router), _prefix(address, bits)
    speaker.withdraw_route(peer, str(prefix))


def _prefix(address: str, bits: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    text = f"{address}/{bits}"
    try:
        if not (bits.isascii() and bits.isdigit()):
            raise ValueError(bits)  # noqa: TRY301 - the same reply
        return ipaddress.ip_network(text)
    except ValueError:
        raise bad_text(text, "this is no prefix", _advice(text)) from None


def _advice(text: str) -> str:
    try:
        return f"bits are set behind its length; did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        return "such as 192.0.2.1/32"


HANDLERS: Final = (
    read_neighbors,
    read_rules,
    put_rule,
    delete_rule,
    read_prefixes,
    read_route,
    put_route,
    delete_route,
)
