"""Which interfaces are sampled, and at what rate.

In go the interfaces there are and the configuration; out come rates, 1 in N packets. Unless the user names
interfaces, ports are sampled: those at which packets enter or leave the machine, and not what is made of them (bonds,
bridges, VLANs, tunnels), where each packet would be seen again.

Answers for: sFlow version 5 section 3.1 (a packet is sampled once on a data source), Host sFlow's rates by link speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec

from tidegate.agent.config import AgentConfig
from tidegate.agent.interface_kinds import kind_of
from tidegate.agent.sampler import KnownInterface
from tidegate.errors import ConfigError
from tidegate.wire.netlink.link import Link, LinkFlags

__all__ = ["Port", "check_rates", "known_interfaces", "layer_of", "ports_of", "sampling_rate", "unmatched"]

_LEAST_BY_SPEED = 100
_GREATEST_RATE = 0xFFFFFFFF
_SPEED = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)([KMGT]?)", re.ASCII | re.IGNORECASE)
_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
# Hardware types (linux/if_arp.h) of interfaces whose packets begin with the network header.
_NO_MAC_HEADER = {512, 513, 519, 768, 769, 776, 777, 778, 823, 65534}


class Port(msgspec.Struct, frozen=True):
    """An interface that is to be sampled."""

    index: int
    name: str
    rate: int
    layer: int


def layer_of(link: Link) -> int:
    """Return what packets of an interface begin with: 2 a MAC header, 3 a network header."""
    return 3 if link.type in _NO_MAC_HEADER else 2


def ports_of(links: Iterable[Link], speeds: Mapping[int, int], config: AgentConfig) -> tuple[Port, ...]:
    """Return the interfaces to be sampled that are up; `speeds` in bit/s by ifIndex."""
    found = []
    for link in sorted(links, key=lambda link: link.index):
        if link.up and _is_wanted(link, config):
            rate = sampling_rate(link.name, speeds.get(link.index, 0), config)
            if rate:
                found.append(Port(link.index, link.name, rate, layer_of(link)))
    return tuple(found)


def unmatched(links: Iterable[Link], config: AgentConfig) -> tuple[str, ...]:
    """Return the names and patterns of interfaces that no interface fits which is up."""
    up = [link.name for link in links if link.up]
    return tuple(one for one in config.interfaces if not any(fnmatchcase(name, one) for name in up))


def sampling_rate(name: str, speed: int, config: AgentConfig) -> int:
    """Return N of 1 in N packets of an interface, 0 for none; `speed` in bit/s, 0 where it is not known."""
    stated = _stated_rate(name, speed, config)
    if stated is not None:
        return stated
    if not speed or not config.speed_ratio:
        return config.sampling_unknown_speed
    return min(max(speed // config.speed_ratio, _LEAST_BY_SPEED), _GREATEST_RATE)


def known_interfaces(
    links: Iterable[Link], speeds: Mapping[int, int], config: AgentConfig, *, rates_are_ours: bool
) -> list[KnownInterface]:
    """Return the interfaces as the sampler needs them.

    Where the kernel samples by somebody else's rule (not `rates_are_ours`), a rate that the user states is the least.
    """
    known = []
    for link in links:
        stated = None if rates_are_ours else _stated_rate(link.name, speeds.get(link.index, 0), config)
        known.append(KnownInterface(link.index, link.name, layer_of(link), stated or 0))
    return known


def check_rates(config: AgentConfig) -> None:
    """Refuse speeds that are none; `ConfigError`."""
    for text in config.sampling_by_speed:
        _speed(text)


def _is_wanted(link: Link, config: AgentConfig) -> bool:
    if config.interfaces:
        return any(fnmatchcase(link.name, pattern) for pattern in config.interfaces)
    return not link.flags & LinkFlags.LOOPBACK and kind_of(link.kind).is_end


def _stated_rate(name: str, speed: int, config: AgentConfig) -> int | None:
    for pattern, rate in config.sampling_by_interface.items():
        if fnmatchcase(name, pattern):
            return rate
    for text, rate in config.sampling_by_speed.items():
        if speed and _speed(text) == speed:
            return rate
    return config.sampling


def _speed(text: str) -> int:
    found = _SPEED.fullmatch(text)
    if found is None:
        raise ConfigError(f"agent.sampling_by_speed.{text}", "is no speed; write it as 10G or 100M")
    return round(float(found[1]) * _FACTORS[found[2].upper()])
