"""Which of a machine's addresses the agent calls its own.

In go what is configured, the addresses there are, and the interfaces that have them; out come the 4 or 16 octets of the
best. The choice is made once: as long as that address exists on an interface it stays, whatever better ones come, for
it is the agent's name.

Answers for: sFlow version 5 section 5.1 (agent address), and the order of Host sFlow.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

import msgspec

from tidegate.errors import ConfigError
from tidegate.wire.netlink.ifaddr import InterfaceAddress
from tidegate.wire.netlink.link import Link

__all__ = ["Preference", "choose_address", "is_local", "keep", "parse_preferences"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NEVER = 0
# The first that has an address tells its rank; higher is better.
_PREFIXES = tuple(
    (ipaddress.ip_network(prefix), rank)
    for prefix, rank in (
        ("0.0.0.0/8", _NEVER),
        ("::/128", _NEVER),
        ("240.0.0.0/4", 1),
        ("224.0.0.0/4", 2),
        ("ff00::/8", 2),
        ("::1/128", 3),
        ("127.0.0.0/8", 4),
        ("169.254.0.0/16", 5),
        ("fe80::/10", 6),
        ("fc00::/7", 9),
        ("10.0.0.0/8", 11),
        ("172.16.0.0/12", 11),
        ("192.168.0.0/16", 11),
        ("100.64.0.0/10", 11),  # RFC 6598: as little reachable from elsewhere as RFC 1918's
        ("::/0", 10),
        ("0.0.0.0/0", 12),
    )
)
_ON_VLAN = {6: 7, 4: 8}  # the rank on a VLAN interface of an address that would have a higher one
_LONGEST_NAME = 15  # IFNAMSIZ, less the zero


class Preference(msgspec.Struct, frozen=True):
    """A prefix whose addresses go before all others, or (`avoided`) behind them."""

    network: _Network
    avoided: bool = False


def parse_preferences(texts: Sequence[str], *, key: str = "agent.address_prefixes") -> tuple[Preference, ...]:
    """Return prefixes to prefer, `!` in front for those to avoid; `ConfigError` where one is none."""
    found = []
    for text in texts:
        try:
            network = ipaddress.ip_network(text.strip().removeprefix("!").strip())
        except ValueError as error:
            raise ConfigError(key, f"{error}; expected a prefix such as 192.0.2.0/24, or !192.0.2.0/24") from None
        found.append(Preference(network, avoided=text.strip().startswith("!")))
    return tuple(found)


def choose_address(
    configured: str,
    addresses: Iterable[InterfaceAddress],
    links: Iterable[Link],
    *,
    preferences: Sequence[Preference] = (),
    key: str = "agent.address",
) -> bytes:
    """Return the octets of the agent address, none where there is no usable one (yet).

    `configured` is an address, taken as it is; an interface, whose best address is taken; or empty for the best of all.
    `ConfigError` where it can be neither.
    """
    try:
        return ipaddress.ip_address(configured).packed
    except ValueError:
        _check_name(configured, key)
    by_index = {link.index: link for link in links}
    ranked: list[tuple[tuple[int, ...], bytes]] = []
    for one in addresses:
        link = by_index.get(one.index)
        rank = _rank(one, on_vlan=link is not None and link.kind == "vlan")
        if one.usable and rank and (not configured or (link is not None and link.name == configured)):
            ranked.append(((_preferred(one, preferences), rank, _steadiness(one), -one.index), one.address))
    return max(ranked, key=lambda pair: pair[0], default=((), b""))[1]


def is_local(address: bytes) -> bool:
    """Tell whether an address means nothing to other networks: link-local, or loopback."""
    one = ipaddress.ip_address(address)
    return one.is_link_local or one.is_loopback


def keep(current: bytes, addresses: Iterable[InterfaceAddress]) -> bool:
    """Tell whether the address that was chosen is still one of this machine's."""
    return any(one.address == current for one in addresses)


def _check_name(text: str, key: str) -> None:
    if len(text.encode()) > _LONGEST_NAME or any(letter in "/:" or letter.isspace() for letter in text):
        raise ConfigError(key, f"{text!r} is neither an IP address nor the name of an interface")


def _preferred(one: InterfaceAddress, preferences: Sequence[Preference]) -> int:
    """Return how much a user wants an address: by the first prefix that has it, 0 where none has."""
    address = ipaddress.ip_address(one.address)
    for place, preference in enumerate(preferences):
        if address in preference.network:
            return -1 if preference.avoided else len(preferences) - place
    return 0


def _rank(one: InterfaceAddress, *, on_vlan: bool) -> int:
    address = ipaddress.ip_address(one.address)
    rank = next(rank for network, rank in _PREFIXES if address in network)
    return min(rank, _ON_VLAN[one.family]) if on_vlan else rank


def _steadiness(one: InterfaceAddress) -> int:
    if one.temporary or one.deprecated:
        return 0
    return 1 if one.autoconfigured else 2
