"""The OPEN message, its capabilities, and what two OPENs agree on.

`negotiate` turns the two OPENs into one frozen `Negotiated`, which every UPDATE codec takes as an argument: the same
octets have the same meaning wherever they are decoded.

Answers for: RFC 4271 sections 4.2 and 6.2, RFC 5492, RFC 4760 section 8, RFC 2918, RFC 4724 section 3, RFC 6286, RFC
6793, RFC 7313, RFC 7607, RFC 7911 section 4, RFC 8538 section 2, RFC 8654, RFC 8950 section 4, RFC 9072.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tidegate.errors import DecodeError, EncodeError, SessionReset
from tidegate.units import Asn
from tidegate.wire.bgp.constants import (
    AS_TRANS,
    EXTENDED_LIMIT,
    STANDARD_LIMIT,
    Afi,
    CapabilityCode,
    ErrorCode,
    Family,
    MessageType,
    OpenError,
)
from tidegate.wire.bgp.flowspec import OffsetForm
from tidegate.wire.bgp.message import frame
from tidegate.wire.cursor import Reader, Writer

__all__ = [
    "Capabilities",
    "GracefulRestart",
    "Negotiated",
    "Open",
    "check_open",
    "decode_open",
    "encode_open",
    "negotiate",
]

_VERSION: Final = 4
_CAPABILITIES: Final = 2  # optional parameter type, RFC 5492
_EXTENDED: Final = 255  # RFC 9072: in the length octet and as first parameter type
_ADD_PATH_RECEIVE, _ADD_PATH_SEND = 1, 2
_ADD_PATH_MODES: Final = frozenset({1, 2, 3})


class GracefulRestart(msgspec.Struct, frozen=True):
    """RFC 4724: it is done for `families`; `kept` are those of them whose state was kept over the restart."""

    restart_time_s: int
    restarted: bool = False
    notification: bool = False  # RFC 8538
    families: tuple[Family, ...] = ()
    kept: tuple[Family, ...] = ()


class Capabilities(msgspec.Struct, frozen=True):
    """What one side can do. `families` empty means that capability 1 was not sent: IPv4 unicast then (RFC 4760 8)."""

    families: tuple[Family, ...] = ()
    route_refresh: bool = False
    enhanced_refresh: bool = False
    extended_message: bool = False
    asn4: Asn | None = None
    graceful_restart: GracefulRestart | None = None
    add_path_receive: tuple[Family, ...] = ()
    add_path_send: tuple[Family, ...] = ()
    unknown: tuple[int, ...] = ()
    extended_next_hop: tuple[Family, ...] = ()  # routes of these may have a next hop of IPv6


class Open(msgspec.Struct, frozen=True):
    """One OPEN. `asn` is the true AS; the two-octet field holds 23456 where it does not fit."""

    asn: Asn
    hold_time_s: int
    router_id: int
    capabilities: Capabilities = Capabilities()


class Negotiated(msgspec.Struct, frozen=True):
    """What both sides agreed on. `families` may be sent and received; `hold_time_s` 0 means no timers."""

    local_as: Asn
    peer_as: Asn
    router_id: int
    hold_time_s: int
    families: frozenset[Family]
    four_octet_as: bool = True
    extended_message: bool = False
    route_refresh: bool = False
    add_path_receive: frozenset[Family] = frozenset()
    extended_next_hop: frozenset[Family] = frozenset()  # RFC 8950: families whose next hop may be of IPv6
    own_as: int = 0  # routes with this AS in their path have been here already (RFC 4271 9.1.2); 0: none is looked for
    enhanced_refresh: bool = False
    graceful_restart: GracefulRestart | None = None  # what the peer said of its own, where both sides do it
    notification_restart: bool = False  # RFC 8538: routes are kept over a NOTIFICATION that is no hard reset
    confederation: bool = False  # whether the peer may be one of another member AS, with segments of RFC 5065
    flow_offsets: OffsetForm = OffsetForm.RFC8956  # what the peer is known to write; nothing in an OPEN tells

    @property
    def internal(self) -> bool:
        """Whether this is iBGP."""
        return self.local_as == self.peer_as

    @property
    def limit(self) -> int:
        """The most octets of one message."""
        return EXTENDED_LIMIT if self.extended_message else STANDARD_LIMIT


def encode_open(message: Open) -> bytes:
    """Return the whole message, with RFC 9072's long parameters where the short ones do not hold."""
    capabilities = b"".join(_encode_capabilities(message.capabilities))
    out = Writer()
    out.u8(_VERSION)
    out.u16(message.asn if message.asn < 1 << 16 else AS_TRANS)
    out.u16(message.hold_time_s)
    out.u32(message.router_id)
    if not capabilities:
        out.u8(0)
    elif len(capabilities) + 2 <= 254:
        out.put(bytes((len(capabilities) + 2, _CAPABILITIES, len(capabilities))))
    else:
        out.put(bytes((_EXTENDED, _EXTENDED)))
        out.u16(len(capabilities) + 3)
        out.u8(_CAPABILITIES)
        out.u16(len(capabilities))
    out.put(capabilities)
    return frame(MessageType.OPEN, out.bytes())


def _encode_capabilities(offered: Capabilities) -> Iterator[bytes]:
    for family in offered.families:
        yield _capability(CapabilityCode.MULTIPROTOCOL, bytes((0, family.afi, 0, family.safi)))
    if offered.route_refresh:
        yield _capability(CapabilityCode.ROUTE_REFRESH)
    if offered.extended_next_hop:
        octets = b"".join(bytes((0, family.afi, 0, family.safi, 0, Afi.IPV6)) for family in offered.extended_next_hop)
        yield _capability(CapabilityCode.EXTENDED_NEXT_HOP, octets)
    if offered.extended_message:
        yield _capability(CapabilityCode.EXTENDED_MESSAGE)
    if offered.graceful_restart is not None:
        yield _capability(CapabilityCode.GRACEFUL_RESTART, _encode_restart(offered.graceful_restart))
    if offered.asn4 is not None:
        yield _capability(CapabilityCode.FOUR_OCTET_AS, offered.asn4.to_bytes(4, "big"))
    modes = dict.fromkeys(offered.add_path_receive, _ADD_PATH_RECEIVE)
    for family in offered.add_path_send:
        modes[family] = modes.get(family, 0) | _ADD_PATH_SEND
    if modes:
        octets = b"".join(bytes((0, family.afi, family.safi, mode)) for family, mode in sorted(modes.items()))
        yield _capability(CapabilityCode.ADD_PATH, octets)
    if offered.enhanced_refresh:
        yield _capability(CapabilityCode.ENHANCED_REFRESH)


def _capability(code: CapabilityCode, value: bytes = b"") -> bytes:
    return bytes((code, len(value))) + value


def _encode_restart(restart: GracefulRestart) -> bytes:
    if not 0 <= restart.restart_time_s < 1 << 12:
        raise EncodeError(f"a restart time of {restart.restart_time_s} s does not fit 12 bits")
    head = restart.restarted << 15 | restart.notification << 14 | restart.restart_time_s
    kept = frozenset(restart.kept)
    families = (bytes((0, family.afi, family.safi, 0x80 * (family in kept))) for family in restart.families)
    return head.to_bytes(2, "big") + b"".join(families)


def decode_open(body: bytes) -> Open:
    """Read an OPEN's body of at least 10 octets; `SessionReset` 2/x as RFC 4271 6.2 asks."""
    reader = Reader(body)
    version = reader.u8()
    if version != _VERSION:
        data = _VERSION.to_bytes(2, "big")  # the version that this side speaks
        raise SessionReset(ErrorCode.OPEN, OpenError.VERSION, data, f"version {version} instead of {_VERSION}")
    asn, hold_time_s, router_id = reader.u16(), reader.u16(), reader.u32()
    try:
        capabilities = _decode_parameters(reader)
    except DecodeError as error:
        raise SessionReset(ErrorCode.OPEN, OpenError.UNSPECIFIC, reason=f"optional parameters: {error}") from None
    if hold_time_s in {1, 2}:
        reason = f"a hold time of {hold_time_s} s"
        raise SessionReset(ErrorCode.OPEN, OpenError.HOLD_TIME, hold_time_s.to_bytes(2, "big"), reason)
    if not asn or capabilities.asn4 == 0:
        raise SessionReset(ErrorCode.OPEN, OpenError.PEER_AS, reason="the peer says AS 0")  # RFC 7607 section 2
    if not router_id:
        raise SessionReset(ErrorCode.OPEN, OpenError.IDENTIFIER, bytes(4), "the identifier is zero")
    return Open(Asn(asn) if capabilities.asn4 is None else capabilities.asn4, hold_time_s, router_id, capabilities)


def _decode_parameters(reader: Reader) -> Capabilities:
    length, width = reader.u8(), 1
    if length and reader.peek(1) == bytes((_EXTENDED,)):  # the type tells; the length is not looked at (RFC 9072 2)
        reader.skip(1)
        length, width = reader.u16(), 2
    parameters = reader.window(length)
    if len(reader):
        raise DecodeError("octets after the optional parameters", reader.offset)
    found: list[tuple[int, Reader]] = []
    while len(parameters):
        kind = parameters.u8()
        value = parameters.window(parameters.uint(width))
        if kind != _CAPABILITIES:
            raise SessionReset(ErrorCode.OPEN, OpenError.PARAMETER, reason=f"optional parameter {kind}")
        while len(value):
            code = value.u8()
            found.append((code, value.window(value.u8())))
    return _collect(found)


def _collect(found: Iterable[tuple[int, Reader]]) -> Capabilities:
    families: dict[Family, None] = {}  # an ordered set
    receive: dict[Family, None] = {}
    send: dict[Family, None] = {}
    next_hop: dict[Family, None] = {}
    asn4, restart = None, None
    codes = set()
    for code, value in found:
        codes.add(code)
        match code:
            case CapabilityCode.MULTIPROTOCOL:
                _add_family(families, value)
            case CapabilityCode.EXTENDED_NEXT_HOP:
                _add_next_hops(next_hop, value)
            case CapabilityCode.FOUR_OCTET_AS:
                asn4 = Asn(value.u32())
            case CapabilityCode.GRACEFUL_RESTART:
                restart = _decode_restart(value)
            case CapabilityCode.ADD_PATH:
                _add_paths(receive, send, value)
            case _:
                pass  # its presence says all, or it is unknown and ignored (RFC 5492 section 3)
    return Capabilities(
        families=tuple(families),
        route_refresh=CapabilityCode.ROUTE_REFRESH in codes,
        enhanced_refresh=CapabilityCode.ENHANCED_REFRESH in codes,
        extended_message=CapabilityCode.EXTENDED_MESSAGE in codes,
        asn4=asn4,
        graceful_restart=restart,
        add_path_receive=tuple(receive),
        add_path_send=tuple(send),
        unknown=tuple(sorted(codes - set(CapabilityCode))),
        extended_next_hop=tuple(next_hop),
    )


def _add_family(families: dict[Family, None], value: Reader) -> None:
    afi = value.u16()
    value.skip(1)
    family = Family.of(afi, value.u8())
    if family is not None:
        families[family] = None


def _decode_restart(value: Reader) -> GracefulRestart:
    head = value.u16()
    found: dict[Family, bool] = {}
    while len(value):
        family, flags = Family.of(value.u16(), value.u8()), value.u8()
        if family is not None:
            found[family] = bool(flags & 0x80)
    kept = tuple(family for family, flag in found.items() if flag)
    return GracefulRestart(head & 0xFFF, bool(head & 0x8000), bool(head & 0x4000), tuple(found), kept)


def _add_next_hops(found: dict[Family, None], value: Reader) -> None:
    while len(value):
        family, afi = Family.of(value.u16(), value.u16()), value.u16()
        if family is not None and afi == Afi.IPV6:
            found[family] = None


def _add_paths(receive: dict[Family, None], send: dict[Family, None], value: Reader) -> None:
    while len(value):
        family, mode = Family.of(value.u16(), value.u8()), value.u8()
        if family is None or mode not in _ADD_PATH_MODES:  # RFC 7911 section 4
            continue
        if mode & _ADD_PATH_RECEIVE:
            receive[family] = None
        if mode & _ADD_PATH_SEND:
            send[family] = None


def check_open(remote: Open, *, local: Open, peer_as: Asn | None) -> None:
    """Raise `SessionReset` where a good OPEN is not from the peer that was configured (RFC 4271 6.2, RFC 6286)."""
    if remote.asn == 0 or (peer_as is not None and remote.asn != peer_as):
        reason = f"the peer says AS {remote.asn}, configured is AS {peer_as or 'other than 0'}"
        raise SessionReset(ErrorCode.OPEN, OpenError.PEER_AS, reason=reason)
    if remote.asn == local.asn and remote.router_id == local.router_id:
        raise SessionReset(
            ErrorCode.OPEN, OpenError.IDENTIFIER, remote.router_id.to_bytes(4, "big"), "both sides have one identifier"
        )


def negotiate(local: Open, remote: Open) -> Negotiated:
    """Return what both OPENs agree on; `SessionReset` 2/7 where they share no family."""
    ours, theirs = local.capabilities, remote.capabilities
    families = frozenset(_families(ours)) & frozenset(_families(theirs))
    if not families:
        wanted = b"".join(_encode_capabilities(Capabilities(families=ours.families)))
        labels = ", ".join(family.label for family in ours.families)
        raise SessionReset(ErrorCode.OPEN, OpenError.CAPABILITY, wanted, f"the peer offers none of {labels}")
    restart = theirs.graceful_restart if ours.graceful_restart is not None else None
    return Negotiated(
        local_as=local.asn,
        peer_as=remote.asn,
        own_as=local.asn,
        router_id=remote.router_id,
        hold_time_s=min(local.hold_time_s, remote.hold_time_s),
        families=families,
        four_octet_as=ours.asn4 is not None and theirs.asn4 is not None,
        extended_message=ours.extended_message and theirs.extended_message,
        route_refresh=ours.route_refresh and theirs.route_refresh,
        enhanced_refresh=ours.enhanced_refresh and theirs.enhanced_refresh,
        add_path_receive=families & frozenset(ours.add_path_receive) & frozenset(theirs.add_path_send),
        extended_next_hop=families & frozenset(ours.extended_next_hop) & frozenset(theirs.extended_next_hop),
        graceful_restart=restart,
        notification_restart=bool(
            restart and restart.notification and ours.graceful_restart and ours.graceful_restart.notification
        ),
    )


def _families(capabilities: Capabilities) -> tuple[Family, ...]:
    return capabilities.families or (Family.IPV4_UNICAST,)
