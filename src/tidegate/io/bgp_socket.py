"""TCP sockets for BGP: addresses with their interface, MD5 keys and the time-to-live rules, on Linux.

Answers for: RFC 2385 (TCP MD5), RFC 4007 section 11 (zones of link-local addresses), RFC 5082 (GTSM).
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import struct
from typing import Final

from tidegate.errors import ConfigError, NotPermitted, SourceError
from tidegate.wire.bgp.peer_config import PeerConfig

__all__ = [
    "any_addresses",
    "apply_ttl",
    "canonical",
    "check_transport",
    "dial_socket",
    "family_of",
    "listen_socket",
    "name_of",
    "set_md5",
    "socket_address",
]

# Linux numbers that the standard library does not name
_TCP_MD5SIG: Final = 14
_TCP_MD5SIG_EXT: Final = 32
_MD5_PREFIX: Final = 1
_IP_MINTTL: Final = 21
_IPV6_MINHOPCOUNT: Final = 73
_BACKLOG: Final = 64
_ADDRESS_OCTETS: Final = 128  # struct sockaddr_storage
_KEY_OCTETS: Final = 80


def any_addresses() -> tuple[str, ...]:
    """Return the addresses that stand for all of this machine's, those of IPv6 only where the kernel has it."""
    every = "0.0.0.0"  # noqa: S104 - a router must reach it; unknown peers are refused
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return (every,)
    return (every, "::")


def family_of(address: str) -> socket.AddressFamily:
    """Return the socket family of the text of an address or prefix."""
    return socket.AF_INET if ipaddress.ip_address(address.partition("/")[0]).version == 4 else socket.AF_INET6


def canonical(address: str) -> str:
    """Return the one spelling of an address or prefix; what is neither stays as it is.

    A link-local address keeps its interface, by name where there is one.
    """
    with contextlib.suppress(ValueError):
        if "/" in address:
            return str(ipaddress.ip_network(address, strict=False))
        found = ipaddress.ip_address(address)
        if isinstance(found, ipaddress.IPv4Address) or found.scope_id is None:
            return str(found)
        plain = str(found).partition("%")[0]
        return f"{plain}%{_interface_name(found.scope_id)}" if found.is_link_local else plain
    return address


def _interface_name(zone: str) -> str:
    with contextlib.suppress(OSError, OverflowError, ValueError):
        return socket.if_indextoname(int(zone))
    return zone


def socket_address(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return what `connect` and `bind` take; `OSError` where a link-local address names no interface that is here."""
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv4Address):
        return str(found), port
    zone = found.scope_id
    number = 0 if zone is None else int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    return str(found).partition("%")[0], port, 0, number


def name_of(sockaddr: tuple[str, int] | tuple[str, int, int, int]) -> str:
    """Return the address of a socket's end in its one spelling."""
    if len(sockaddr) == 4 and sockaddr[3]:
        return canonical(f"{sockaddr[0].partition('%')[0]}%{sockaddr[3]}")
    return canonical(sockaddr[0])


def check_transport(config: PeerConfig, *, zones: bool = True) -> None:
    """Raise `ConfigError` where the socket options of a peer contradict each other or, with `zones`, lack something."""
    key = f"bgp.peers.{config.address}"
    if config.ttl is not None and config.gtsm_hops is not None:
        reason = "GTSM sends with a time-to-live of 255: leave out either ttl or gtsm_hops"
        raise ConfigError(f"{key}.ttl", reason)
    for name, text in (("address", config.address), ("local_address", config.local_address)) if zones else ():
        found = None if text is None else ipaddress.ip_address(text)
        if isinstance(found, ipaddress.IPv6Address) and found.is_link_local and found.scope_id is None:
            raise ConfigError(f"{key}.{name}", f"a link-local address needs its interface, such as {found}%eth0")


def dial_socket(config: PeerConfig) -> socket.socket:
    """Return an unconnected socket for this peer; `OSError` where an option or the local address cannot be had."""
    sock = socket.socket(family_of(config.address), socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        apply_ttl(sock, config)
        if config.md5_key is not None:
            set_md5(sock, config.address, config.md5_key)
        if config.local_address is not None:
            sock.bind(socket_address(config.local_address, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def listen_socket(address: str, port: int, *, name: str = "BGP listener") -> socket.socket:
    """Return a listening socket; `SourceError` says what to do where the port cannot be had."""
    try:
        family = family_of(address)
    except ValueError:
        raise SourceError(f"{name} {address}", "this is no address; give an IPv4 or IPv6 address") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)  # noqa: FBT003 - the standard library takes it so
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(socket_address(address, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        kind = NotPermitted if error.errno == errno.EACCES else SourceError
        raise kind(f"{name} {address} port {port}", _advice(error)) from None
    return sock


def _advice(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE; 1179 does not"
    if error.errno == errno.EADDRINUSE:
        return "another program has the port: choose another one, or stop it"
    return os.strerror(error.errno or 0)


def apply_ttl(sock: socket.socket, config: PeerConfig) -> None:
    """Set what this peer's packets carry and, for GTSM, what they must carry."""
    ttl = 255 if config.gtsm_hops is not None else config.ttl
    if ttl is None:
        return
    least = 0 if config.gtsm_hops is None else 256 - config.gtsm_hops  # RFC 5082 section 3
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        sock.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, least)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MINHOPCOUNT, least)


def set_md5(sock: socket.socket, address: str, key: str) -> None:
    """Sign and check segments of an address or prefix with `key`, an empty one no more; on a listener, before the SYN.

    `SourceError` where the kernel cannot.
    """
    octets = key.encode()
    host, _, length = address.partition("/")
    packed = ipaddress.ip_address(host).packed
    family = struct.pack("=H", sock.family)
    where = family + (bytes(2) if len(packed) == 4 else bytes(6)) + packed  # port, and flow information for IPv6
    flags, bits = (_MD5_PREFIX, int(length)) if length else (0, 0)
    option = struct.pack(f"={_ADDRESS_OCTETS}sBBHi{_KEY_OCTETS}s", where, flags, bits, len(octets), 0, octets)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG_EXT if length else _TCP_MD5SIG, option)
    except OSError as error:
        raise SourceError(f"TCP MD5 key of {address}", os.strerror(error.errno or 0)) from None
