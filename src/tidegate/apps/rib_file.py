"""The routing table of an MRT file, as `--rib` names it."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec

from tidegate.apps.routing import FILE, RouterTable
from tidegate.errors import ConfigError, TextError
from tidegate.io.mrt_rib import LoadedRib, Progress, load_rib
from tidegate.wire.bgp.prefix import parse_address

__all__ = ["RibFile", "load_table", "table_of_file"]

_MOST_AS = (1 << 32) - 1


class RibFile(msgspec.Struct, frozen=True):
    """A file, and the peer whose table is taken: its address or AS number, empty for the one with most routes."""

    path: Path
    peer: str = ""


def load_table(file: RibFile, *, progress: Progress | None = None) -> LoadedRib:
    """Return the table; `SourceError` where the file has none, `ConfigError` where the peer is none."""
    return load_rib(file.path, peer=_peer(file.peer), progress=progress, lock=threading.Lock())


def table_of_file(file: RibFile) -> RouterTable:
    """Return the table of a file as that of a router; its AS is that of the peer it came from."""
    loaded = load_table(file)
    asn = next((peer.asn for peer in loaded.peers.values()), 0)
    return RouterTable(FILE, asn, "file", (loaded.rib,))


def _peer(text: str) -> bytes | int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and int(text) <= _MOST_AS:
        return int(text)
    try:
        return parse_address(text)
    except TextError:
        raise ConfigError("--rib-peer", f"{text!r:.100} is neither an address nor an AS number") from None
