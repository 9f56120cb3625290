"""The configuration: one TOML file, read once into frozen types.

Defaults live in the types. Unknown keys are errors that name the nearest known one, wrong values errors that name the
key; definitions, thresholds, groups and maps are parsed here too, so that a wrong one stops the start.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from tidegate.agent.config import AgentConfig
from tidegate.apps.routing import FILE, Source, bmp_parts, make_source, parse_next_hops
from tidegate.engine.engine import EngineConfig
from tidegate.engine.scanner import nearest
from tidegate.engine.syntax import parse_definition, parse_group, parse_map, parse_threshold
from tidegate.errors import ConfigError, SourceError, TextError
from tidegate.io.bgp_range import PeerRange, check_range
from tidegate.io.bgp_socket import canonical, check_transport
from tidegate.io.bgp_store import StateFile
from tidegate.io.bmp import StationConfig
from tidegate.io.udp import UdpSettings
from tidegate.wire.bgp.bmp_session import BmpConfig
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer_config import PeerConfig, check_peer
from tidegate.wire.bgp.profile import PROFILES

__all__ = [
    "FAMILIES",
    "BgpConfig",
    "BmpText",
    "Config",
    "GeoConfig",
    "PeerText",
    "RestText",
    "ScriptText",
    "SflowConfig",
    "SourceText",
    "load_config",
    "peers_of",
    "script_peer",
    "sources_of",
    "state_of",
    "station_of",
]

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class SflowConfig(UdpSettings, frozen=True, forbid_unknown_fields=True):
    """`[sflow]`: receiving."""

    agents: tuple[str, ...] = ()  # agent addresses or prefixes that are let in; empty: all
    queue_octets: Annotated[int, msgspec.Meta(ge=1 << 20, le=1 << 34)] = 256 << 20  # blocks waiting, for each worker


class GeoConfig(_Section, frozen=True):
    """`[geo]`: databases for the functions `country`, `asn` (MaxMind format) and `oui`."""

    country: str = ""  # path of a Country or City database
    asn: str = ""  # path of an ASN database
    vendors: str = ""  # path of IEEE's oui.txt or oui.csv, or of a manuf file


class RestText(_Section, frozen=True):
    """`[rest]`: the REST interface."""

    enabled: bool = True
    host: str = "127.0.0.1"  # address to listen on; others than loopback should have a token
    port: Port = 8008  # 0 takes a free one
    read_only: bool = False  # refuse every change
    token: str = ""  # changes need `Authorization: Bearer TOKEN`
    token_for_reads: bool = False  # reads too
    cors_origins: tuple[str, ...] = ()  # web pages of other origins that may ask
    hosts: tuple[str, ...] = ()  # further names by which it is reached, such as a proxy's


class PeerText(_Section, frozen=True):
    """`[[bgp.peers]]`: one router, or all those of a prefix."""

    address: str  # fe80::1%eth0 for a link-local one; a prefix lets each of its addresses connect
    max_neighbors: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64  # of a prefix, at a time
    peer_as: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] | None = None  # none: any
    local_as: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] | None = None  # else that of [bgp]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 179
    local_address: str | None = None  # to connect from
    passive: bool = False  # wait for the router to connect
    md5_key: str | None = None  # TCP MD5 (RFC 2385)
    ttl: Annotated[int, msgspec.Meta(ge=1, le=255)] | None = None  # for eBGP over several hops
    gtsm_hops: Annotated[int, msgspec.Meta(ge=1, le=254)] | None = None  # RFC 5082, in place of ttl
    hold_time_s: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 90
    connect_retry_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0
    graceful_restart_s: Annotated[int, msgspec.Meta(ge=0, le=4095)] = (
        120  # the router keeps our routes, with `state`; 0: off
    )
    stale_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 300  # at most so long its routes are kept
    families: tuple[str, ...] = ("ipv4", "ipv6", "ipv4-flowspec", "ipv6-flowspec")
    add_path: bool = False  # receive several paths a prefix (RFC 7911)
    extended_next_hop: bool = True  # receive IPv4 routes over IPv6 next hops (RFC 8950)
    enhanced_refresh: bool = True  # RFC 7313
    max_prefixes: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)] = 2_000_000  # received, a unicast family; 0: any
    max_flow_rules: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)] = 20_000  # the same of FlowSpec
    max_attribute_octets: Annotated[int, msgspec.Meta(ge=1 << 16, le=1 << 40)] = 1 << 29  # of its unicast routes
    max_prefixes_warn_percent: Annotated[int, msgspec.Meta(ge=1, le=100)] = 80
    max_prefixes_restart_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0  # 0: down until it is reset by hand
    max_routes: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000  # to announce
    profile: str = "safe"  # dialect: what the router can be told


class SourceText(_Section, frozen=True):
    """`[[bgp.sources]]`: agents whose samples are looked up in the table of a router."""

    router: str  # address of a neighbour; bmp:ADDRESS or bmp:PEER@ADDRESS for what a router tells by BMP
    agents: tuple[str, ...] = ("ALL",)  # addresses; ALL or EDGE: all that no other entry names
    router6: str = ""  # another one for IPv6, where there is one
    t: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0  # seconds over which the rates of prefixes are averaged
    value: str = "bytes"  # bytes or frames: what prefixes are ranked by


class BgpConfig(_Section, frozen=True):
    """`[bgp]`: the speaker; without peers there is none."""

    local_as: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] | None = None
    router_id: str = ""  # an IPv4 address
    port: Port | None = 179  # to listen on; 1179 is taken where 179 is not allowed
    listen: tuple[str, ...] = ()  # addresses; empty: all that there are. Unknown peers are refused
    state: str = ""  # path of a file: what is announced is kept there over a crash; empty: it is not
    keep_on_stop: bool = False  # and over an orderly stop, for an upgrade
    self_test_s: Annotated[float, msgspec.Meta(gt=0, le=600)] = 3.0  # how long a session is watched in a self-test
    peers: tuple[PeerText, ...] = ()
    sources: tuple[SourceText, ...] = ()
    next_hops: dict[str, str] = {}  # MAC addresses of next hops, which tell the route a packet took at an exchange


class BmpText(_Section, frozen=True):
    """`[bmp]`: routers that tell of their peers and routes (RFC 7854); none unless `allow` names some."""

    allow: tuple[str, ...] = ()  # prefixes of routers that may connect
    listen: tuple[str, ...] = ()  # addresses; empty: all that there are
    port: Port = 11019  # 0 takes a free one
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    max_peers: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1024  # of one router
    max_routes: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 20_000_000  # of all peers of one router


class ScriptText(_Section, frozen=True):
    """`[[scripts]]`: one user script."""

    path: str
    app: str = ""  # name of the application it belongs to
    config: dict[str, Any] = {}  # what the script finds in `rt.config`


class Config(_Section, frozen=True):
    """The whole file."""

    sflow: SflowConfig = SflowConfig()
    engine: EngineConfig = EngineConfig()
    geo: GeoConfig = GeoConfig()
    rest: RestText = RestText()
    bgp: BgpConfig = BgpConfig()
    bmp: BmpText = BmpText()
    agent: AgentConfig = AgentConfig()
    scripts: tuple[ScriptText, ...] = ()
    store: str = ""  # folder of what scripts remember; empty: they forget at the end
    events_kept: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 10_000  # and as many flow records
    flows: dict[str, dict[str, Any]] = {}
    thresholds: dict[str, dict[str, Any]] = {}
    groups: dict[str, dict[str, Any]] = {}
    maps: dict[str, dict[str, Any]] = {}


_TABLES_OF_TABLES = ("flows", "thresholds", "groups", "maps")
_TYPES = {
    "object": "a table",
    "array": "a list",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
}
FAMILIES = {
    "ipv4": Family.IPV4_UNICAST,
    "ipv6": Family.IPV6_UNICAST,
    "ipv4-flowspec": Family.IPV4_FLOWSPEC,
    "ipv6-flowspec": Family.IPV6_FLOWSPEC,
}


def load_config(path: Path | None) -> Config:
    """Return the configuration of a file, or the defaults; `SourceError`, `ConfigError`."""
    if path is None:
        return Config()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(str(path), getattr(error, "strerror", None) or str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("", f"{path} is not TOML: {error}") from None
    _check_keys(raw, Config, "")
    _check_tables(raw)
    try:
        config = msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    _check_texts(config)
    geo = GeoConfig(**{name: _path(path, file) for name, file in msgspec.to_builtins(config.geo).items()})
    store = _path(path, config.store)
    bgp = msgspec.structs.replace(config.bgp, state=_path(path, config.bgp.state))
    return msgspec.structs.replace(config, scripts=_beside(path, config.scripts), store=store, geo=geo, bgp=bgp)


def peers_of(config: BgpConfig) -> list[PeerConfig | PeerRange]:
    """Return the peers of the speaker; `ConfigError` where something is missing or wrong."""
    return [_peer_of(config, peer, f"bgp.peers.{place + 1}") for place, peer in enumerate(config.peers)]


def _peer_of(config: BgpConfig, peer: PeerText, key: str) -> PeerConfig | PeerRange:
    local_as = peer.local_as or config.local_as
    if local_as is None or not config.router_id:
        raise ConfigError("bgp", "peers need local_as and router_id")
    if peer.profile not in PROFILES:
        raise ConfigError(f"{key}.profile", f"{peer.profile!r} is none of {', '.join(PROFILES)}")
    unknown = [family for family in peer.families if family not in FAMILIES]
    if unknown:
        raise ConfigError(f"{key}.families", f"{unknown[0]!r} is none of {', '.join(FAMILIES)}")
    told = {field: getattr(peer, field) for field in PeerConfig.__struct_fields__ if field in peer.__struct_fields__}
    told |= {
        "local_as": local_as,
        "router_id": config.router_id,
        "families": tuple(FAMILIES[family] for family in peer.families),
        "profile": PROFILES[peer.profile],
    }
    known = PeerConfig(**told)
    if "/" in peer.address:
        ranged = PeerRange(peer.address, known, peer.max_neighbors)
        check_range(ranged)
        return ranged
    check_peer(known)
    check_transport(known)
    return known


def script_peer(router: str, local_as: int | str, router_id: int | str, told: Mapping[str, object]) -> PeerConfig:
    """Return a neighbour that a script adds, `told` with the keys of `[[bgp.peers]]`; `ConfigError`."""
    if not isinstance(router, str) or "/" in router:
        raise ConfigError("add_neighbor.router", f"an address is expected, not {router!r:.100}")
    key = f"bgp.peers.{canonical(router)}"
    unknown = next((name for name in told if name not in PeerText.__struct_fields__), None)
    if unknown is not None:
        raise ConfigError(f"{key}.{unknown}", f"unknown setting; {nearest(unknown, PeerText.__struct_fields__)}")
    asn = int(local_as) if isinstance(local_as, str) and local_as.isdecimal() else local_as
    try:
        text = msgspec.convert({**told, "address": canonical(router), "local_as": asn}, PeerText)
        name = str(ipaddress.IPv4Address(router_id))
    except msgspec.ValidationError as error:
        wrong = _named(error)
        raise ConfigError(f"{key}.{wrong.key}", wrong.reason) from None
    except ValueError:
        raise ConfigError(f"{key}.router_id", f"an IPv4 address is expected, not {router_id!r:.100}") from None
    known = _peer_of(BgpConfig(router_id=name), text, key)
    if isinstance(known, PeerRange):  # pragma: no cover - its address has no slash
        raise TypeError(known)
    return known


def state_of(config: BgpConfig) -> StateFile | None:
    """Return where the speaker keeps its state, or None; `ConfigError`."""
    if config.state:
        return StateFile(config.state, config.keep_on_stop)
    if config.keep_on_stop:
        raise ConfigError("bgp.keep_on_stop", "there is nothing to keep without bgp.state")
    return None


def sources_of(config: BgpConfig) -> list[Source]:
    """Return which agents are looked up in which tables; `ConfigError` where a router is not among the neighbours."""
    names = [canonical(peer.address) for peer in config.peers]
    found = []
    for place, text in enumerate(config.sources):
        key = f"bgp.sources.{place + 1}"
        source = make_source(text.agents, text.router, text.router6, t=text.t, value=text.value, key=key)
        for name, field in ((source.router, "router"), (source.router6, "router6")):
            if name and name != FILE and bmp_parts(name) is None and not any(_holds(one, name) for one in names):
                known = ", ".join(names) or "none"
                raise ConfigError(f"{key}.{field}", f"{name} is no neighbour (known: {known})")
        found.append(source)
    return found


def _holds(name: str, address: str) -> bool:
    """Tell whether an address is that of a neighbour, or of a prefix of neighbours."""
    if "/" not in name:
        return name == address
    network, found = ipaddress.ip_network(name), ipaddress.ip_address(address)
    return found.version == network.version and found in network


def station_of(config: BmpText) -> StationConfig | None:
    """Return how routers may connect by BMP, or None where none may; `ConfigError`."""
    if not config.allow:
        return None
    for text in config.allow:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise ConfigError("bmp.allow", f"{error}; give prefixes such as 192.0.2.0/24") from None
    return StationConfig(
        allow=config.allow,
        listen=config.listen or None,
        port=config.port,
        max_connections=config.max_connections,
        router=BmpConfig(max_peers=config.max_peers, max_routes=config.max_routes),
    )


def _check_keys(raw: Mapping[str, Any], struct: type[msgspec.Struct], above: str) -> None:
    """Refuse keys that a section does not have, naming the nearest."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in raw.items():
        name = f"{above}{key}"
        if key not in fields:
            raise ConfigError(name, f"unknown key; {nearest(key, fields)}")
        kind = fields[key]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict):
            _check_keys(value, kind, f"{name}.")
        inner = getattr(kind, "__args__", (None,))[0]
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, list):
            for place, row in enumerate(value):
                if isinstance(row, dict):
                    _check_keys(row, inner, f"{name}.{place + 1}.")


def _check_tables(raw: Mapping[str, Any]) -> None:
    """Refuse entries that are no tables where each must be one; msgspec would not say which entry."""
    for section in _TABLES_OF_TABLES:
        entries = raw.get(section, {})
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            if not isinstance(entry, dict):
                raise ConfigError(f"{section}.{name}", f"expected a table, [{section}.{name}]")


def _named(error: msgspec.ValidationError) -> ConfigError:
    """Return an error of msgspec's as one of ours, its path as a dotted key and its types as TOML calls them."""
    reason, _, path = str(error).partition(" - at `$")
    reason = reason.replace(" | null`", "`")  # what may be left out
    for theirs, ours in _TYPES.items():
        reason = reason.replace(f"`{theirs}`", ours)
    key = re.sub(r"\[(\d+)\]", lambda found: f".{int(found[1]) + 1}", path.rstrip("`")).lstrip(".")
    wrong = re.fullmatch(r"Invalid enum value (.*)", reason)
    if wrong is not None:
        return ConfigError(key, f"{wrong[1]} is none of {', '.join(_choices(key))}")
    return ConfigError(key, reason[:1].lower() + reason[1:])


def _choices(key: str) -> list[str]:
    """Return what may stand at a key whose values are an enumeration."""
    kind: Any = Config
    for name in key.split("."):
        kind = next(field.type for field in msgspec.structs.fields(kind) if field.encode_name == name)
    return [str(member.value) or "nothing" for member in kind]


def _check_texts(config: Config) -> None:
    kinds: tuple[tuple[str, Mapping[str, Mapping[str, Any]], Any], ...] = (
        ("flows", config.flows, parse_definition),
        ("thresholds", config.thresholds, parse_threshold),
        ("groups", config.groups, parse_group),
        ("maps", config.maps, parse_map),
    )
    for section, specs, parse in kinds:
        for name, spec in specs.items():
            try:
                parse(name, spec)
            except TextError as error:
                raise ConfigError(f"{section}.{name}", str(error)) from None
    peers_of(config.bgp)
    state_of(config.bgp)
    sources_of(config.bgp)
    parse_next_hops(config.bgp.next_hops)
    station_of(config.bmp)


def _beside(path: Path, scripts: tuple[ScriptText, ...]) -> tuple[ScriptText, ...]:
    """Return scripts whose relative paths are relative to the file."""
    return tuple(msgspec.structs.replace(script, path=_path(path, script.path)) for script in scripts)


def _path(path: Path, name: str) -> str:
    return str(path.parent / name) if name else ""
