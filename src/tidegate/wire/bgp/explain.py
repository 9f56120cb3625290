"""NOTIFICATIONs in words: what happened, what the data says, and what to do about it.

`explain` takes a NOTIFICATION and who sent it, and returns one line without line breaks, for any octets.

Answers for: the data of RFC 4271 section 6, RFC 4486 section 4, RFC 5492 section 5, RFC 6608, RFC 8538, RFC 9003.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tidegate.errors import DecodeError
from tidegate.wire.bgp.constants import (
    AttributeCode,
    CapabilityCode,
    Cease,
    ErrorCode,
    Family,
    HeaderError,
    MessageType,
    OpenError,
    describe,
)
from tidegate.wire.bgp.message import Notification
from tidegate.wire.cursor import Reader

__all__ = ["ADVICE", "explain"]

_SHOWN_OCTETS: Final = 24  # of data that has no words
_SHOWN_CAPABILITIES: Final = 8

# (code, subcode): what to do where it came from the peer, and where this side sent it; subcode 0 is for all others
ADVICE: Final[Mapping[tuple[int, int], tuple[str, str]]] = MappingProxyType(
    {
        (1, 0): (
            "the peer could not read the header of a message: capture the connection and report it",
            "what came is no BGP message: check that a BGP speaker is at that address and port",
        ),
        (2, 0): (
            "the peer does not take our OPEN: compare the settings of both sides",
            "the peer's OPEN cannot be used: compare the settings of both sides",
        ),
        (2, 1): ("the peer does not speak BGP version 4", "the peer does not speak BGP version 4"),
        (2, 2): (
            "the peer expects another AS: check local_as here and the remote AS it has for us",
            "the peer is in another AS than expected: check peer_as here and the peer's own AS",
        ),
        (2, 3): (
            "the peer refuses our router_id: it must differ from the peer's and be unique in the AS",
            "the peer's router identifier is zero or ours: give each side its own",
        ),
        (2, 4): (
            "the peer refuses a parameter of our OPEN: switch off what it does not know",
            "the peer's OPEN has a parameter that nobody uses any more: check its authentication settings",
        ),
        (2, 5): ("the peer wants authentication inside of BGP: use TCP MD5 at both sides", ""),
        (2, 6): (
            "the peer refuses our hold time: set hold_time_s to one that it takes",
            "the peer wants a hold time of 1 or 2 seconds: it must be 0, or 3 and more",
        ),
        (2, 7): (
            "the peer insists on a capability that we do not offer: compare the families of both sides",
            "the two sides share no family: compare the families of both sides",
        ),
        (2, 11): ("the roles of the two sides do not fit (RFC 9234): check the peer's role for us", ""),
        (3, 0): (
            "the peer could not read an UPDATE of ours: choose the profile that suits it; suspect the routes sent last",
            "an UPDATE of the peer cannot be read: capture the connection and report it to who runs the peer",
        ),
        (4, 0): (
            "the peer heard nothing from us for its hold time: look for lost packets or an overloaded machine",
            "nothing came from the peer for the hold time: look at the path and at the peer's load",
        ),
        (5, 0): (
            "the peer did not expect this message of ours: capture the connection and report it",
            "the peer sent a message that does not belong there: capture the connection and report it to who runs it",
        ),
        (6, 1): (
            "the peer takes fewer routes than it was sent: raise its limit for us, or announce fewer",
            "the peer announced more than max_prefixes or max_flow_rules: see what it announces, or raise the limit",
        ),
        (6, 2): ("the session was shut down at the peer: ask there", "this side was stopped"),
        (6, 3): (
            "the peer has removed us from its configuration: ask there",
            "this peer was removed from the configuration",
        ),
        (6, 4): ("the session was reset at the peer: it comes back by itself", "the session was reset here"),
        (6, 5): (
            "the peer does not want this session: check that our address and AS are configured and enabled there",
            "the connection is not wanted: check the address of the peer in the configuration",
        ),
        (6, 6): ("the peer's configuration has changed: it comes back by itself", "the configuration has changed"),
        (6, 7): (
            "there were two connections, and the peer has kept the other one: nothing to do",
            "there were two connections, and this is the one too many: nothing to do",
        ),
        (6, 8): ("the peer is out of memory or other resources: look there", "this side is out of resources"),
        (6, 9): ("the peer wants what it announced to be forgotten", "what we announced is to be forgotten"),
        (6, 10): ("BFD saw the path to the peer fail: look at the path", ""),
        (7, 0): (
            "the peer refuses a ROUTE-REFRESH of ours: switch enhanced_refresh off for it",
            "a ROUTE-REFRESH of the peer has a bad length: report it to who runs the peer",
        ),
        (8, 0): (
            "the peer could not write to us for its send hold time: look for an overloaded machine or lost packets",
            "the peer has stopped reading: look at the peer's load and at the path",
        ),
    }
)


def explain(notification: Notification, *, sent: bool) -> str:
    """Return what a NOTIFICATION means, in one line: words, numbers, what its data says, and what to do."""
    parts = [describe(notification.code, notification.subcode)]
    inner = notification.inner
    if inner is not notification:
        parts.append(describe(inner.code, inner.subcode))
    data = _data(inner)
    if data:
        parts.append(data)
    received, ours = ADVICE.get((inner.code, inner.subcode)) or ADVICE.get((inner.code, 0)) or ("", "")
    advice = ours if sent else received
    return ": ".join(parts) + (f" - {advice}" if advice else "")


def _data(notification: Notification) -> str:
    if not notification.data:
        return ""
    if notification.text:
        return f'"{notification.text}"'
    teller = _TELLERS.get((notification.code, notification.subcode)) or _TELLERS.get((notification.code, 0))
    try:
        words = "" if teller is None else teller(Reader(notification.data))
    except DecodeError:
        words = ""  # data that is not what its code promises is shown as it is
    return words or _octets(notification.data)


def _octets(data: bytes) -> str:
    shown = bytes(Reader(data).peek(_SHOWN_OCTETS)).hex()
    more = len(data) - _SHOWN_OCTETS
    return f"data {shown}" + (f" and {more} octets more" if more > 0 else "")


def _family(afi: int, safi: int) -> str:
    family = Family.of(afi, safi)
    return f"AFI {afi} SAFI {safi}" if family is None else family.label


def _limit(data: Reader) -> str:
    family = _family(data.u16(), data.u8())
    return f"{family}, at most {data.u32()}"


def _capabilities(data: Reader) -> str:
    found: list[str] = []
    while len(data) and len(found) < _SHOWN_CAPABILITIES:
        code, value = data.u8(), data.window(data.u8())
        name = CapabilityCode(code).name.lower().replace("_", " ") if code in set(CapabilityCode) else f"code {code}"
        if code == CapabilityCode.MULTIPROTOCOL:
            afi = value.u16()
            value.skip(1)
            name = f"{name} {_family(afi, value.u8())}"
        found.append(name)
    return f"{', '.join(found)}{', ...' if len(data) else ''}"


def _message_type(data: Reader) -> str:
    kind = data.u8()
    return f"a message of type {MessageType(kind).name}" if kind in set(MessageType) else f"a message of type {kind}"


def _attribute(data: Reader) -> str:
    whole = bytes(data.peek(len(data)))
    data.skip(1)
    code = data.u8()
    name = AttributeCode(code).name if code in set(AttributeCode) else f"of code {code}"
    return f"attribute {name}, {_octets(whole)}"


_TELLERS: Final[Mapping[tuple[int, int], Callable[[Reader], str]]] = MappingProxyType(
    {
        (ErrorCode.HEADER, HeaderError.LENGTH): lambda data: f"a length of {data.u16()}",
        (ErrorCode.HEADER, HeaderError.TYPE): _message_type,
        (ErrorCode.OPEN, OpenError.VERSION): lambda data: f"version {data.u16()} is spoken there",
        (ErrorCode.OPEN, OpenError.CAPABILITY): _capabilities,
        (ErrorCode.UPDATE, 0): _attribute,
        (ErrorCode.STATE_MACHINE, 0): _message_type,
        (ErrorCode.CEASE, Cease.MAX_PREFIXES): _limit,
    }
)
