"""The routing table of an MRT file, as `--rib` names it."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from tidegate.apps.received import MOST_ROUTES, all_routes, best_route, received_routes
from tidegate.apps.routing import FILE, RouterTable
from tidegate.errors import ConfigError, TextError
from tidegate.io.mrt_rib import Progress, describe_rib, load_rib
from tidegate.wire.bgp.prefix import parse_address, parse_prefix

__all__ = ["RibFile", "load_table", "routes_of_table"]

_MOST_AS = (1 << 32) - 1


class RibFile(msgspec.Struct, frozen=True):
    """A file, and the peer whose table is taken: its address or AS number, empty for the one with most routes."""

    path: Path
    peer: str = ""


def load_table(file: RibFile, *, progress: Progress | None = None) -> tuple[RouterTable, str]:
    """Return the table of a file as that of a router, and a sentence on it; its AS is that of the peer it came from.

    `SourceError` where the file has no such table, `ConfigError` where the peer is none.
    """
    loaded = load_rib(file.path, peer=_peer(file.peer), progress=progress, lock=threading.Lock())
    asn = next((peer.asn for family, peer in loaded.peers.items() if loaded.routes.get(family)), 0)
    return RouterTable(FILE, asn, "file", (loaded.rib,)), describe_rib(loaded)


def routes_of_table(
    table: RouterTable, *, address: str | None = None, prefix: str | None = None, most: int = MOST_ROUTES
) -> list[dict[str, object]]:
    """Return the route that an address matches, else the routes inside a prefix or all, to at most `most` prefixes."""
    if address is not None:
        found = best_route(table, parse_address(address))
        return [] if found is None else [found]
    inside = None if prefix is None else parse_prefix(prefix)
    return list(all_routes(lambda page: received_routes(table, page), inside=inside, most=most))


def _peer(text: str) -> bytes | int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and int(text) <= _MOST_AS:
        return int(text)
    try:
        return parse_address(text)
    except TextError:
        raise ConfigError("--rib-peer", f"{text!r:.100} is neither an address nor an AS number") from None
