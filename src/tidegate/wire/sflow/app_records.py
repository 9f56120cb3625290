"""Records of flow samples: hosts and applications.

Fields stand in the specification's order and under its names; `tidegate.wire.sflow.xdr` tells what their types mean.
Answers for: sFlow Host, HTTP, Application and Memcache Structures.
"""

# ruff: noqa: N815 - the specification's names
from __future__ import annotations

from typing import Annotated

import msgspec

from tidegate.wire.sflow.xdr import I32, IP4, IP6, OPAQUE, STRING, U32, U64, nested

__all__ = [
    "AppInitiator",
    "AppOperation",
    "AppParentContext",
    "AppTarget",
    "ExtendedEntities",
    "ExtendedNavTiming",
    "ExtendedProxyRequest",
    "ExtendedProxySocketIpv4",
    "ExtendedProxySocketIpv6",
    "ExtendedSocketIpv4",
    "ExtendedSocketIpv6",
    "ExtendedTcpInfo",
    "HttpRequest",
    "HttpRequestOld",
    "HttpTransaction",
    "MemcacheOperation",
    "NfsTransaction",
    "ScsiTransaction",
    "Transaction",
]  # fmt: skip


class Transaction(msgspec.Struct, frozen=True):
    """A transaction (old)."""

    direction: U32 = None
    wait: U32 = None
    duration: U32 = None
    status: U32 = None
    bytes_received: U64 = None
    bytes_sent: U64 = None


class NfsTransaction(msgspec.Struct, frozen=True):
    """An NFS transaction (old)."""

    path: OPAQUE = None
    operation: U32 = None
    status: U32 = None


class ScsiTransaction(msgspec.Struct, frozen=True):
    """A SCSI transaction (old)."""

    lun: U32 = None
    operation: U32 = None
    status: U32 = None


class HttpTransaction(msgspec.Struct, frozen=True):
    """An HTTP transaction (old)."""

    url: STRING = None
    host: STRING = None
    referer: STRING = None
    useragent: STRING = None
    user: STRING = None
    status: U32 = None


class ExtendedSocketIpv4(msgspec.Struct, frozen=True):
    """The socket of an operation; `local` is the side that reports."""

    protocol: U32 = None
    local_ip: IP4 = None
    remote_ip: IP4 = None
    local_port: U32 = None
    remote_port: U32 = None


class ExtendedSocketIpv6(msgspec.Struct, frozen=True):
    """The socket of an operation; `local` is the side that reports."""

    protocol: U32 = None
    local_ip: IP6 = None
    remote_ip: IP6 = None
    local_port: U32 = None
    remote_port: U32 = None


class ExtendedProxySocketIpv4(msgspec.Struct, frozen=True):
    """The socket on the other side of a proxy."""

    socket: Annotated[ExtendedSocketIpv4 | None, nested(ExtendedSocketIpv4)] = None


class ExtendedProxySocketIpv6(msgspec.Struct, frozen=True):
    """The socket on the other side of a proxy."""

    socket: Annotated[ExtendedSocketIpv6 | None, nested(ExtendedSocketIpv6)] = None


class MemcacheOperation(msgspec.Struct, frozen=True):
    """A memcache operation; duration in microseconds."""

    protocol: U32 = None
    cmd: U32 = None
    key: STRING = None
    nkeys: U32 = None
    value_bytes: U32 = None
    duration_us: U32 = None
    status: U32 = None


class HttpRequestOld(msgspec.Struct, frozen=True):
    """An HTTP request as first published; duration in microseconds."""

    method: U32 = None
    uri: STRING = None
    host: STRING = None
    referer: STRING = None
    useragent: STRING = None
    xff: STRING = None
    authuser: STRING = None
    mime_type: STRING = None
    req_bytes: U64 = None
    resp_bytes: U64 = None
    duration_us: U32 = None
    status: I32 = None


class AppOperation(msgspec.Struct, frozen=True):
    """An operation of an application; duration in microseconds."""

    application: STRING = None
    operation: STRING = None
    attributes: STRING = None
    status_descr: STRING = None
    req_bytes: U64 = None
    resp_bytes: U64 = None
    duration_us: U32 = None
    status: U32 = None


class AppParentContext(msgspec.Struct, frozen=True):
    """The operation that an operation is part of."""

    application: STRING = None
    operation: STRING = None
    attributes: STRING = None


class AppInitiator(msgspec.Struct, frozen=True):
    """Who asked for the operation."""

    actor: STRING = None


class AppTarget(msgspec.Struct, frozen=True):
    """Whom the operation was for."""

    actor: STRING = None


class HttpRequest(msgspec.Struct, frozen=True):
    """An HTTP request; `protocol` is 1000 * major + minor, duration in microseconds."""

    method: U32 = None
    protocol: U32 = None
    uri: STRING = None
    host: STRING = None
    referer: STRING = None
    useragent: STRING = None
    xff: STRING = None
    authuser: STRING = None
    mime_type: STRING = None
    req_bytes: U64 = None
    resp_bytes: U64 = None
    duration_us: U32 = None
    status: I32 = None


class ExtendedProxyRequest(msgspec.Struct, frozen=True):
    """The request that a proxy made."""

    uri: STRING = None
    host: STRING = None


class ExtendedNavTiming(msgspec.Struct, frozen=True):
    """Navigation timing of a browser."""

    type: U32 = None
    redirectCount: U32 = None
    navigationStart: U32 = None
    unloadEventStart: U32 = None
    unloadEventEnd: U32 = None
    redirectStart: U32 = None
    redirectEnd: U32 = None
    fetchStart: U32 = None
    domainLookupStart: U32 = None
    domainLookupEnd: U32 = None
    connectStart: U32 = None
    connectEnd: U32 = None
    secureConnectionStart: U32 = None
    requestStart: U32 = None
    responseStart: U32 = None
    responseEnd: U32 = None
    domLoading: U32 = None
    domInteractive: U32 = None
    domContentLoadedEventStart: U32 = None
    domContentLoadedEventEnd: U32 = None
    domComplete: U32 = None
    loadEventStart: U32 = None
    loadEventEnd: U32 = None


class ExtendedTcpInfo(msgspec.Struct, frozen=True):
    """State of the connection; times in microseconds, `dir` 1 received, 2 sent."""

    dir: U32 = None
    snd_mss: U32 = None
    rcv_mss: U32 = None
    unacked: U32 = None
    lost: U32 = None
    retrans: U32 = None
    pmtu: U32 = None
    rtt: U32 = None
    rttvar: U32 = None
    snd_cwnd: U32 = None
    reordering: U32 = None
    min_rtt: U32 = None


class ExtendedEntities(msgspec.Struct, frozen=True):
    """Data sources of the two ends."""

    src_ds_class: U32 = None
    src_ds_index: U32 = None
    dst_ds_class: U32 = None
    dst_ds_index: U32 = None
