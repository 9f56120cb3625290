"""The numbers of BGP and their names: the only place where a code point is spelled.

Answers for: RFC 4271 sections 4 and 4.5, RFC 4486, RFC 4760, RFC 5492, RFC 6608, RFC 7313, RFC 8538, RFC 8950, RFC
8955 section 4, RFC 9234, RFC 9687, and the IANA registries they opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import Final

__all__ = [
    "AS_TRANS",
    "DEFAULT_LOCAL_PREF",
    "EXTENDED_LIMIT",
    "HEADER_OCTETS",
    "MARKER",
    "NOTIFICATION_TEXTS",
    "STANDARD_LIMIT",
    "WELL_KNOWN_COMMUNITIES",
    "Afi",
    "AttributeCode",
    "AttributeFlag",
    "CapabilityCode",
    "Cease",
    "ErrorCode",
    "Family",
    "HeaderError",
    "MessageType",
    "OpenError",
    "Origin",
    "RefreshError",
    "RefreshSubtype",
    "Safi",
    "SegmentType",
    "StateError",
    "UpdateError",
    "describe",
]

MARKER: Final = b"\xff" * 16
HEADER_OCTETS: Final = 19
STANDARD_LIMIT: Final = 4096  # RFC 4271 section 4.1
EXTENDED_LIMIT: Final = 65535  # RFC 8654
AS_TRANS: Final = 23456  # RFC 6793: stands for an AS that needs four octets
DEFAULT_LOCAL_PREF: Final = 100  # where a route has none (RFC 4271 leaves it to policy; routers agree on this)


class MessageType(IntEnum):
    """RFC 4271 section 4.1, RFC 2918."""

    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


class Afi(IntEnum):
    """Address families."""

    IPV4 = 1
    IPV6 = 2


class Safi(IntEnum):
    """Subsequent address families."""

    UNICAST = 1
    FLOWSPEC = 133


class Family(IntEnum):
    """What a route is of: the AFI in the upper octets, the SAFI in the lowest."""

    IPV4_UNICAST = 0x0101
    IPV6_UNICAST = 0x0201
    IPV4_FLOWSPEC = 0x0185
    IPV6_FLOWSPEC = 0x0285

    @property
    def afi(self) -> Afi:
        """The address family."""
        return Afi(self >> 8)

    @property
    def safi(self) -> Safi:
        """The subsequent address family."""
        return Safi(self & 0xFF)

    @property
    def label(self) -> str:
        """The name people use, such as `ipv4-flowspec`."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def of(cls, afi: int, safi: int) -> Family | None:
        """Return the family of two code points, or None where this speaker does not know it."""
        return _FAMILIES.get((afi, safi))


_FAMILIES: Final[Mapping[tuple[int, int], Family]] = MappingProxyType(
    {(family >> 8, family & 0xFF): family for family in Family}
)


class Origin(IntEnum):
    """RFC 4271 section 5.1.1."""

    IGP = 0
    EGP = 1
    INCOMPLETE = 2


class SegmentType(IntEnum):
    """Kinds of AS_PATH segments, RFC 4271 section 4.3 and RFC 5065."""

    SET = 1
    SEQUENCE = 2
    CONFED_SEQUENCE = 3
    CONFED_SET = 4


class AttributeFlag(IntFlag):
    """The upper bits of the first octet of a path attribute."""

    OPTIONAL = 0x80
    TRANSITIVE = 0x40
    PARTIAL = 0x20
    LONG = 0x10


class AttributeCode(IntEnum):
    """Path attributes that this speaker knows."""

    ORIGIN = 1
    AS_PATH = 2
    NEXT_HOP = 3
    MED = 4
    LOCAL_PREF = 5
    ATOMIC_AGGREGATE = 6
    AGGREGATOR = 7
    COMMUNITIES = 8
    ORIGINATOR_ID = 9
    CLUSTER_LIST = 10
    MP_REACH = 14
    MP_UNREACH = 15
    EXTENDED_COMMUNITIES = 16
    AS4_PATH = 17
    AS4_AGGREGATOR = 18
    IPV6_EXTENDED_COMMUNITIES = 25
    LARGE_COMMUNITIES = 32
    ONLY_TO_CUSTOMER = 35


class CapabilityCode(IntEnum):
    """RFC 5492's registry, as far as it is read or sent here."""

    MULTIPROTOCOL = 1
    ROUTE_REFRESH = 2
    EXTENDED_NEXT_HOP = 5
    EXTENDED_MESSAGE = 6
    GRACEFUL_RESTART = 64
    FOUR_OCTET_AS = 65
    ADD_PATH = 69
    ENHANCED_REFRESH = 70


class RefreshSubtype(IntEnum):
    """RFC 7313 section 3."""

    REQUEST = 0
    BEGIN = 1
    END = 2


class ErrorCode(IntEnum):
    """First octet of a NOTIFICATION."""

    HEADER = 1
    OPEN = 2
    UPDATE = 3
    HOLD_TIMER = 4
    STATE_MACHINE = 5
    CEASE = 6
    ROUTE_REFRESH = 7
    SEND_HOLD_TIMER = 8


class HeaderError(IntEnum):
    """Second octet under `ErrorCode.HEADER`."""

    NOT_SYNCHRONISED = 1
    LENGTH = 2
    TYPE = 3


class OpenError(IntEnum):
    """Second octet under `ErrorCode.OPEN`."""

    UNSPECIFIC = 0
    VERSION = 1
    PEER_AS = 2
    IDENTIFIER = 3
    PARAMETER = 4
    HOLD_TIME = 6
    CAPABILITY = 7


class StateError(IntEnum):
    """Second octet under `ErrorCode.STATE_MACHINE`, RFC 6608."""

    OPEN_SENT = 1
    OPEN_CONFIRM = 2
    ESTABLISHED = 3


class UpdateError(IntEnum):
    """Second octet under `ErrorCode.UPDATE`."""

    ATTRIBUTE_LIST = 1
    UNKNOWN_WELL_KNOWN = 2
    ATTRIBUTE_FLAGS = 4
    ATTRIBUTE_LENGTH = 5
    OPTIONAL_ATTRIBUTE = 9
    NETWORK_FIELD = 10


class Cease(IntEnum):
    """Second octet under `ErrorCode.CEASE`, RFC 4486 and RFC 8538."""

    MAX_PREFIXES = 1
    SHUTDOWN = 2
    DECONFIGURED = 3
    RESET = 4
    REJECTED = 5
    CONFIGURATION = 6
    COLLISION = 7
    RESOURCES = 8
    HARD_RESET = 9


class RefreshError(IntEnum):
    """Second octet under `ErrorCode.ROUTE_REFRESH`, RFC 7313 section 5."""

    LENGTH = 1


NOTIFICATION_TEXTS: Final[Mapping[tuple[int, int], str]] = MappingProxyType(
    {
        (1, 0): "message header error",
        (1, 1): "connection not synchronised",
        (1, 2): "bad message length",
        (1, 3): "bad message type",
        (2, 0): "OPEN message error",
        (2, 1): "unsupported version number",
        (2, 2): "bad peer AS",
        (2, 3): "bad BGP identifier",
        (2, 4): "unsupported optional parameter",
        (2, 5): "authentication failure",
        (2, 6): "unacceptable hold time",
        (2, 7): "unsupported capability",
        (2, 11): "role mismatch",
        (3, 0): "UPDATE message error",
        (3, 1): "malformed attribute list",
        (3, 2): "unrecognised well-known attribute",
        (3, 3): "missing well-known attribute",
        (3, 4): "attribute flags error",
        (3, 5): "attribute length error",
        (3, 6): "invalid ORIGIN attribute",
        (3, 7): "AS routing loop",
        (3, 8): "invalid NEXT_HOP attribute",
        (3, 9): "optional attribute error",
        (3, 10): "invalid network field",
        (3, 11): "malformed AS_PATH",
        (4, 0): "hold timer expired",
        (5, 0): "state machine error",
        (5, 1): "unexpected message in OpenSent",
        (5, 2): "unexpected message in OpenConfirm",
        (5, 3): "unexpected message in Established",
        (6, 0): "cease",
        (6, 1): "maximum number of prefixes reached",
        (6, 2): "administrative shutdown",
        (6, 3): "peer de-configured",
        (6, 4): "administrative reset",
        (6, 5): "connection rejected",
        (6, 6): "other configuration change",
        (6, 7): "connection collision resolution",
        (6, 8): "out of resources",
        (6, 9): "hard reset",
        (6, 10): "BFD down",
        (7, 0): "ROUTE-REFRESH message error",
        (7, 1): "invalid ROUTE-REFRESH length",
        (8, 0): "send hold timer expired",
    }
)

WELL_KNOWN_COMMUNITIES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "graceful-shutdown": 0xFFFF0000,  # RFC 8326
        "blackhole": 0xFFFF029A,  # RFC 7999
        "no-export": 0xFFFFFF01,  # RFC 1997
        "no-advertise": 0xFFFFFF02,
        "no-export-subconfed": 0xFFFFFF03,
        "no-peer": 0xFFFFFF04,  # RFC 3765
    }
)


def describe(code: int, subcode: int) -> str:
    """Return the words for a NOTIFICATION's two octets, with the numbers, for any numbers."""
    text = NOTIFICATION_TEXTS.get((code, subcode)) or NOTIFICATION_TEXTS.get((code, 0)) or "unknown error"
    return f"{text} ({code}/{subcode})"
