"""Routes and FlowSpec rules that are announced: `/bgp`.

Handlers run on the event loop, which is the speaker's. What a speaker refuses is a 400 that says which part and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from litestar import delete, get, put
from litestar.params import FromQuery, RawBody

from tidegate.errors import TextError
from tidegate.web.backend import NeighborInfo
from tidegate.web.bgp_tables import speaker_of
from tidegate.web.inject import Bgp, Segment
from tidegate.web.replies import bad_text, not_found, parse_object
from tidegate.wire.bgp.prefix import Prefix, parse_prefix

__all__ = ["HANDLERS"]


@get("/bgp/neighbors/json", tags=["bgp"], summary="BGP neighbours", sync_to_thread=False)
def read_neighbors(bgp: Bgp) -> list[NeighborInfo]:
    """Return the BGP neighbours and how things stand with each."""
    return [] if bgp is None else bgp.neighbors()


@get("/bgp/flowspec/{router:str}/json", tags=["bgp"], summary="FlowSpec rules")
async def read_rules(router: Segment, bgp: Bgp, *, received: FromQuery[bool] = False) -> list[dict[str, object]]:
    """Return the FlowSpec rules wanted at a neighbour or, with `received`, those that it has announced.

    Rules that were received come in the order in which they are tried, the first 2000, each also in words.
    """
    speaker = speaker_of(bgp)
    return await speaker.received_flows(router) if received else speaker.flows(router)


@put("/bgp/flowspec/{router:str}/json", tags=["bgp"], summary="Announce a rule", status_code=204, sync_to_thread=False)
def put_rule(router: Segment, body: RawBody, bgp: Bgp) -> None:
    """Announce a FlowSpec rule; it replaces the one with the same match."""
    speaker_of(bgp).announce_flow(router, parse_object(body))


@delete("/bgp/flowspec/{router:str}/json", tags=["bgp"], summary="Withdraw a rule", sync_to_thread=False)
def delete_rule(router: Segment, body: RawBody, bgp: Bgp) -> None:
    """Withdraw the FlowSpec rule with the match of the body, if there is one."""
    speaker_of(bgp).withdraw_flow(router, parse_object(body))


@get("/bgp/routepusher/{router:str}/json", tags=["bgp"], summary="Prefixes announced", sync_to_thread=False)
def read_prefixes(router: Segment, bgp: Bgp) -> list[str]:
    """Return the prefixes of the unicast routes wanted at a neighbour."""
    return [str(route["prefix"]) for route in speaker_of(bgp).routes(router)]


@get(
    "/bgp/routepusher/{router:str}/{address:str}/{bits:str}/json",
    tags=["bgp"],
    summary="A route announced",
    sync_to_thread=False,
)
def read_route(router: Segment, address: Segment, bits: Segment, bgp: Bgp) -> Mapping[str, object]:
    """Return the unicast route of a prefix."""
    prefix = _prefix(address, bits)
    for route in speaker_of(bgp).routes(router):
        if route["prefix"] == str(prefix):
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
    prefix = _prefix(address, bits)
    speaker_of(bgp).announce_route(router, {**parse_object(body), "prefix": str(prefix)})


@delete(
    "/bgp/routepusher/{router:str}/{address:str}/{bits:str}/json",
    tags=["bgp"],
    summary="Withdraw a route",
    sync_to_thread=False,
)
def delete_route(router: Segment, address: Segment, bits: Segment, bgp: Bgp) -> None:
    """Withdraw the unicast route of a prefix, if there is one."""
    prefix = _prefix(address, bits)
    speaker_of(bgp).withdraw_route(router, str(prefix))


def _prefix(address: str, bits: str) -> Prefix:
    text = f"{address}/{bits}"
    try:
        return parse_prefix(text)
    except TextError as error:
        raise bad_text(text, "this is no prefix", error.hint or "such as 192.0.2.1/32") from None


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
