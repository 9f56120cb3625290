"""Neighbours that nobody names one by one: whoever connects from a prefix becomes one, made from a template.

A neighbour stays as long as it has a connection, something timed (a back-off, routes kept over its restart) or rules of
its own, and for a while after that; where the range is full, the one that has been gone longest makes room. One that
was shut out over its number of prefixes stays, so that coming again does not let it in.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Final

import msgspec

from tidegate.errors import ConfigError
from tidegate.io.bgp_link import Link
from tidegate.io.bgp_socket import check_transport
from tidegate.wire.bgp.peer_config import PeerConfig, check_peer

__all__ = ["Members", "PeerRange", "check_range"]

_LINGER_S: Final = 120.0
_MOST_NEIGHBORS: Final = 10_000


class PeerRange(msgspec.Struct, frozen=True):
    """A prefix whose addresses may connect. `template` is what each is told; its address and `passive` do not count."""

    prefix: str
    template: PeerConfig
    max_neighbors: int = 64
    linger_s: float = _LINGER_S  # how long one that is gone is remembered


def check_range(config: PeerRange) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the prefix; `ConfigError` where it is none, or something cannot be used."""
    key = f"bgp.peers.{config.prefix}"
    network = _network(config.prefix, f"{key}.address")
    if not 1 <= config.max_neighbors <= _MOST_NEIGHBORS:
        raise ConfigError(f"{key}.max_neighbors", f"{config.max_neighbors} is not from 1 to {_MOST_NEIGHBORS}")
    check_peer(msgspec.structs.replace(config.template, address=str(network.network_address)))
    check_transport(msgspec.structs.replace(config.template, address=config.prefix), zones=False)
    return network


def _network(prefix: str, key: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(prefix)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(prefix, strict=False)
    except ValueError:
        raise ConfigError(key, f"{prefix!r} is neither an address nor a prefix") from None
    raise ConfigError(key, f"{prefix} has bits beyond its length; is {meant} meant?")


class Members:
    """The neighbours of one range. `forget` is called for each that is to be one no more."""

    def __init__(self, config: PeerRange, *, busy: Callable[[str], bool], forget: Callable[[str], None]) -> None:
        self.network = check_range(config)
        self.config = config
        self._busy = busy
        self._forget = forget
        self._gone: dict[str, asyncio.TimerHandle | None] = {}  # None: here, or held

    def __len__(self) -> int:
        return len(self._gone)

    def __contains__(self, name: str) -> bool:
        """Tell whether an address is of the prefix."""
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False  # a name that no address has
        return address.version == self.network.version and address in self.network

    def has(self, name: str) -> bool:
        """Tell whether an address is remembered as a neighbour."""
        return name in self._gone

    def names(self) -> tuple[str, ...]:
        """Return who is remembered."""
        return tuple(self._gone)

    def maybe_config(self, name: str) -> PeerConfig | None:
        """Return what a new neighbour is told, or None where there is no room."""
        if len(self._gone) >= self.config.max_neighbors and not self._make_room():
            return None
        self._gone[name] = None
        return msgspec.structs.replace(self.config.template, address=name, passive=True)

    def idle(self, link: Link, idle: bool) -> None:  # noqa: FBT001 - a link's callback
        """Hear whether a neighbour has no connection and nothing timed."""
        timer = self._gone.get(link.name)
        if idle and timer is None and link.name in self._gone:
            del self._gone[link.name]  # the longest gone stands first
            leave_at = asyncio.get_running_loop().call_later(self.config.linger_s, self._leave, link.name)
            self._gone[link.name] = leave_at
        elif not idle and timer is not None:
            timer.cancel()
            self._gone[link.name] = None

    def discard(self, name: str) -> None:
        """Remember a neighbour no more, without telling."""
        timer = self._gone.pop(name, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Forget everybody, without telling."""
        for timer in self._gone.values():
            if timer is not None:
                timer.cancel()
        self._gone.clear()

    def _leave(self, name: str) -> None:
        self._gone[name] = None
        if not self._busy(name):
            del self._gone[name]
            self._forget(name)

    def _make_room(self) -> bool:
        for name, timer in self._gone.items():
            if timer is not None and not self._busy(name):
                timer.cancel()
                self._leave(name)
                return True
        return False
