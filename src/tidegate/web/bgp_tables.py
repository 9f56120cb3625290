"""What BGP neighbours have told, and what can be done to their sessions: tables, rankings, log, BMP: `/bgp`.

Handlers run on the event loop; what goes through a table does so on a thread, a piece at a time.
"""

from __future__ import annotations

from typing import Annotated, Final

from litestar import get, post
from litestar.params import FromQuery, QueryParameter

from tidegate.web.backend import (
    Announcer,
    BgpNoticeInfo,
    BmpRouterInfo,
    ReceivedRequest,
    SelfTestInfo,
    TopPrefixesRequest,
)
from tidegate.web.inject import Bgp, Segment
from tidegate.web.replies import not_found

__all__ = ["HANDLERS", "speaker_of"]

_MOST_PREFIXES: Final = 10_000
_MOST_ROUTES: Final = 10_000
_MOST_NOTICES: Final = 1000

_MaxPrefixes = Annotated[int, QueryParameter(name="maxPrefixes", ge=0, le=_MOST_PREFIXES)]
_MinValue = Annotated[float, QueryParameter(name="minValue")]
_IncludeCovered = Annotated[bool, QueryParameter(name="includeCovered")]
_MinPrefix = Annotated[int, QueryParameter(name="minPrefix", ge=0, le=128)]
_PruneCovered = Annotated[bool, QueryParameter(name="pruneCovered")]


def speaker_of(bgp: Announcer | None) -> Announcer:
    """Return what there is of BGP, or raise 404."""
    if bgp is None:
        raise not_found("BGP neighbour: BGP is not configured")
    return bgp


@get("/bgp/topprefixes/{router:str}/json", tags=["bgp"], summary="IPv4 prefixes with most traffic")
async def read_top_prefixes(  # noqa: PLR0913 - the parameters of the interface
    router: Segment,
    bgp: Bgp,
    *,
    max_prefixes: _MaxPrefixes = 100,
    min_value: _MinValue = 0.0,
    direction: FromQuery[str] = "destination",
    include_covered: _IncludeCovered = True,
    min_prefix: _MinPrefix = 0,
    prune_covered: _PruneCovered = False,
) -> dict[str, object]:
    """Return the IPv4 prefixes of a neighbour's table that carry most traffic, largest first.

    `direction` is `destination` or `source`; `maxPrefixes` 0 gives the summary alone.
    """
    request = TopPrefixesRequest(
        max_prefixes, min_value, direction, include_covered, min_prefix, prune_covered, ipv6=False
    )
    return await speaker_of(bgp).top_prefixes(router, request)


@get("/bgp/topprefixes6/{router:str}/json", tags=["bgp"], summary="IPv6 prefixes with most traffic")
async def read_top_prefixes6(  # noqa: PLR0913 - the parameters of the interface
    router: Segment,
    bgp: Bgp,
    *,
    max_prefixes: _MaxPrefixes = 100,
    min_value: _MinValue = 0.0,
    direction: FromQuery[str] = "destination",
    include_covered: _IncludeCovered = True,
    min_prefix: _MinPrefix = 0,
    prune_covered: _PruneCovered = False,
) -> dict[str, object]:
    """Return the IPv6 prefixes of a neighbour's table that carry most traffic, largest first."""
    request = TopPrefixesRequest(
        max_prefixes, min_value, direction, include_covered, min_prefix, prune_covered, ipv6=True
    )
    return await speaker_of(bgp).top_prefixes(router, request)


@get("/bgp/prefix/{router:str}/json", tags=["bgp"], summary="Longest match of an address")
async def read_best_route(router: Segment, bgp: Bgp, address: FromQuery[str]) -> dict[str, object]:
    """Return the route of a neighbour's table that an address matches, with its attributes."""
    found = await speaker_of(bgp).best_route(router, address)
    if found is None:
        raise not_found(f"route to {address} in the table of {router}")
    return found


@get("/bgp/routes/{router:str}/json", tags=["bgp"], summary="Routes of a neighbour")
async def read_routes(
    router: Segment,
    bgp: Bgp,
    *,
    received: FromQuery[bool] = False,
    prefix: FromQuery[str] = "",
    after: FromQuery[str] = "",
    max_routes: Annotated[int, QueryParameter(name="maxRoutes", ge=1, le=_MOST_ROUTES)] = 1000,
) -> list[dict[str, object]]:
    """Return the unicast routes wanted at a neighbour or, with `received`, those that it has announced, in order.

    Of those received at most `maxRoutes` prefixes come: `after` takes the last one of the reply before. `prefix` keeps
    the routes inside a prefix.
    """
    speaker = speaker_of(bgp)
    if not received:
        return speaker.routes(router)
    return await speaker.received_routes(router, ReceivedRequest(max_routes, prefix, after))


@post("/bgp/reset/{router:str}/json", tags=["bgp"], summary="Reset a session", status_code=204, sync_to_thread=False)
def reset(router: Segment, bgp: Bgp) -> None:
    """End the session with a neighbour; it comes back. A neighbour that was shut out is let in again."""
    speaker_of(bgp).reset(router)


@post(
    "/bgp/refresh/{router:str}/json",
    tags=["bgp"],
    summary="Ask for routes again",
    status_code=200,
    sync_to_thread=False,
)
def refresh(router: Segment, bgp: Bgp, family: FromQuery[str] = "") -> list[str]:
    """Ask a neighbour for its routes again, of all families or one, such as `ipv4`; return the families asked for."""
    return speaker_of(bgp).refresh(router, family or None)


@post("/bgp/selftest/{router:str}/json", tags=["bgp"], summary="Try a harmless rule", status_code=200)
async def self_test(router: Segment, bgp: Bgp) -> SelfTestInfo:
    """Send a neighbour a rule for addresses that nobody has, watch the session for a while and withdraw the rule."""
    return await speaker_of(bgp).self_test(router)


@get("/bgp/bmp/json", tags=["bgp"], summary="Routers that tell by BMP", sync_to_thread=False)
def read_routers(bgp: Bgp) -> list[BmpRouterInfo]:
    """Return the routers that tell of their peers by BMP, and how things stand with each."""
    return [] if bgp is None else bgp.routers()


@get("/bgp/log/json", tags=["bgp"], summary="What happened lately", sync_to_thread=False)
def read_log(
    bgp: Bgp,
    router: FromQuery[str] = "",
    max_entries: Annotated[int, QueryParameter(name="maxEntries", ge=1, le=_MOST_NOTICES)] = 100,
) -> list[BgpNoticeInfo]:
    """Return what happened to neighbours and BMP routers in words, of all or one, newest first."""
    return [] if bgp is None else bgp.log(router or None, max_entries)


HANDLERS: Final = (
    read_top_prefixes,
    read_top_prefixes6,
    read_best_route,
    read_routes,
    reset,
    refresh,
    self_test,
    read_routers,
    read_log,
)
