"""What one neighbour is told, checked, and the OPEN that comes of it.

Answers for: which capabilities are offered (RFC 4724, RFC 7313, RFC 7911, RFC 8538, RFC 8654, RFC 8950).
"""

from __future__ import annotations

import ipaddress

import msgspec

from tidegate.errors import ConfigError
from tidegate.units import Asn
from tidegate.wire.bgp.constants import Family, Safi
from tidegate.wire.bgp.open import Capabilities, GracefulRestart, Open
from tidegate.wire.bgp.profile import SAFE, Profile

__all__ = ["PeerConfig", "check_peer", "opening"]


class PeerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One peer. `peer_as` None takes any; `ttl` is for eBGP over hops, `gtsm_hops` turns RFC 5082 on in its place."""

    address: str
    local_as: int
    router_id: str
    peer_as: int | None = None
    port: int = 179
    local_address: str | None = None
    passive: bool = False
    md5_key: str | None = None
    ttl: int | None = None
    gtsm_hops: int | None = None
    hold_time_s: int = 90
    connect_retry_s: float = 5.0
    graceful_restart_s: int = 120  # how long the peer is asked to keep what it was told; 0: graceful restart is off
    stale_s: int = 300  # the longest that what the peer has said is kept over a restart of its
    families: tuple[Family, ...] = tuple(Family)
    add_path: bool = False  # take several paths a prefix, of unicast
    extended_next_hop: bool = True  # take IPv4 routes over IPv6 next hops (RFC 8950)
    enhanced_refresh: bool = True  # RFC 7313
    max_prefixes: int = 2_000_000  # to be received, each unicast family; 0: any number
    max_flow_rules: int = 20_000  # the same of FlowSpec, whose rules take a hundred times the memory of a route
    max_prefixes_warn_percent: int = 80
    max_prefixes_restart_s: float = 0  # 0: stay down until started again by hand
    profile: Profile = SAFE
    max_routes: int = 100_000  # to be sent
    max_attribute_octets: int = 1 << 29  # of unicast routes; those of a full table take a twentieth


def check_peer(config: PeerConfig) -> None:
    """Raise `ConfigError` where a value cannot be used."""
    key = f"bgp.peers.{config.address}"
    for name, text, kind in (
        ("address", config.address, ipaddress.ip_address),
        ("local_address", config.local_address or config.address, ipaddress.ip_address),
        ("router_id", config.router_id, ipaddress.IPv4Address),
    ):
        try:
            kind(text)
        except ValueError:
            raise ConfigError(f"{key}.{name}", f"{text!r} is no address") from None
    for name, number, least, most in (
        ("local_as", config.local_as, 1, (1 << 32) - 1),
        ("peer_as", config.peer_as, 1, (1 << 32) - 1),
        ("port", config.port, 1, 65535),
        ("ttl", config.ttl, 1, 255),
        ("gtsm_hops", config.gtsm_hops, 1, 254),
        ("hold_time_s", config.hold_time_s or None, 3, 65535),
        ("graceful_restart_s", config.graceful_restart_s, 0, 4095),
        ("stale_s", config.stale_s, 1, 86_400),
        ("max_prefixes", config.max_prefixes, 0, (1 << 32) - 1),
        ("max_flow_rules", config.max_flow_rules, 0, (1 << 32) - 1),
        ("max_prefixes_warn_percent", config.max_prefixes_warn_percent, 1, 100),
        ("max_prefixes_restart_s", config.max_prefixes_restart_s, 0, 86_400),
        ("max_attribute_octets", config.max_attribute_octets, 1 << 16, 1 << 40),
        ("max_routes", config.max_routes, 1, 10_000_000),
    ):
        if number is not None and not least <= number <= most:
            raise ConfigError(f"{key}.{name}", f"{number} is not from {least} to {most}")
    if config.local_address is not None:
        here, there = ipaddress.ip_address(config.local_address), ipaddress.ip_address(config.address)
        if here.version != there.version:
            raise ConfigError(f"{key}.local_address", f"{here} is of IPv{here.version}, the peer of IPv{there.version}")
    if config.md5_key is not None and not 1 <= len(config.md5_key.encode()) <= 80:
        raise ConfigError(f"{key}.md5_key", "a key has from 1 to 80 octets")
    if not config.families:
        raise ConfigError(f"{key}.families", "at least one family is needed")
    if int(ipaddress.IPv4Address(config.router_id)) == 0:
        raise ConfigError(f"{key}.router_id", "0.0.0.0 is no identifier")


def opening(config: PeerConfig, *, keeps: bool = True, restarted: bool = False) -> Open:
    """Return the OPEN to send.

    `keeps` tells that this side can say its routes again after a crash: else it helps peers over theirs, and asks
    nobody to keep what it said (RFC 4724 section 3). `restarted` tells that it has just come back, with its routes.
    """
    unicast = tuple(family for family in config.families if family.safi is Safi.UNICAST)
    restart = GracefulRestart(
        config.graceful_restart_s if keeps else 0,
        restarted=restarted,
        notification=True,
        families=config.families if keeps else (),
        kept=config.families if keeps else (),
    )
    capabilities = Capabilities(
        families=config.families,
        route_refresh=True,
        enhanced_refresh=config.enhanced_refresh,
        extended_message=True,
        asn4=Asn(config.local_as),
        graceful_restart=restart if config.graceful_restart_s else None,
        add_path_receive=unicast if config.add_path else (),  # never for FlowSpec: rules have no paths
        extended_next_hop=tuple(family for family in unicast if family is Family.IPV4_UNICAST)
        if config.extended_next_hop
        else (),
    )
    return Open(Asn(config.local_as), config.hold_time_s, int(ipaddress.IPv4Address(config.router_id)), capabilities)
