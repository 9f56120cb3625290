"""What RFC 7606 asks for, by the sentences of its sections: of UPDATEs told as lists of attributes and faults.

`Given` says how an attribute of an UPDATE differs from a good one; `octets_of` writes it, `expected` says what must
come of all of them together. Nothing here reads octets, so that nothing of the decoder can be repeated.

Answers for: RFC 7606 sections 2, 3, 5 and 7, RFC 4271 section 6.3 (unknown well-known attributes), RFC 5065 section 5,
RFC 6793 section 6, RFC 7607 section 2, RFC 9234 section 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from types import MappingProxyType

import msgspec

__all__ = [
    "BAD_VALUES",
    "GOOD",
    "MANDATORY",
    "MP",
    "Carrier",
    "Expected",
    "Fault",
    "Given",
    "Outcome",
    "expected",
    "octets_of",
]

OPTIONAL, TRANSITIVE, PARTIAL, LONG = 0x80, 0x40, 0x20, 0x10
MP_REACH, MP_UNREACH = 14, 15
MP = frozenset({MP_REACH, MP_UNREACH})
MANDATORY = (1, 2, 3)  # ORIGIN, AS_PATH, NEXT_HOP


class Outcome(IntEnum):
    """Section 2, weakest first."""

    NOTHING = 0
    DISCARD = 1
    WITHDRAW = 2
    RESET = 3


class Fault(StrEnum):
    """How an attribute differs from a good one."""

    NONE = "good"
    TWICE = "twice"
    OPTIONAL = "optional bit wrong"
    TRANSITIVE = "transitive bit wrong"
    PARTIAL = "partial bit set"
    LONG = "two octets of length"
    OVER = "one octet too many"
    UNDER = "one octet too few"
    EMPTY = "empty"
    VALUE = "bad value"


class Given(msgspec.Struct, frozen=True):
    """One attribute of an UPDATE; `bad` is which of its bad values it has, where that is its fault."""

    code: int
    fault: Fault = Fault.NONE
    bad: int = 0


class Carrier(msgspec.Struct, frozen=True):
    """What an UPDATE is about, beside attributes 14 and 15."""

    withdrawn: bool = False
    nlri: bool = False


class Expected(msgspec.Struct, frozen=True):
    """What must come of an UPDATE: `kept` are the attributes that count; a reset has one of the NOTIFICATIONs."""

    outcome: Outcome
    kept: frozenset[int] = frozenset()
    announced: frozenset[str] = frozenset()
    withdrawn: frozenset[str] = frozenset()
    notifications: frozenset[tuple[int, int]] = frozenset()


PATH = "0202 0000fdf3 0000fdf4"  # ASes 65011 and 65012
# flags and a good value of each attribute, for a session of four-octet AS numbers
GOOD: Mapping[int, tuple[int, str]] = MappingProxyType(
    {
        1: (TRANSITIVE, "00"),
        2: (TRANSITIVE, PATH),
        3: (TRANSITIVE, "c0000201"),
        4: (OPTIONAL, "00000007"),
        5: (TRANSITIVE, "00000064"),
        6: (TRANSITIVE, ""),
        7: (OPTIONAL | TRANSITIVE, "0000fdf3 c0000201"),
        8: (OPTIONAL | TRANSITIVE, "ffff0001 ffff0002"),
        9: (OPTIONAL, "c0000201"),
        10: (OPTIONAL, "c0000201 c0000202"),
        14: (OPTIONAL, "0002 01 10 20010db8000000000000000000000001 00 20 20010db8"),
        15: (OPTIONAL, "0002 01 20 20010db9"),
        16: (OPTIONAL | TRANSITIVE, "8006000000000000"),
        17: (OPTIONAL | TRANSITIVE, PATH),
        18: (OPTIONAL | TRANSITIVE, "0000fdf3 c0000201"),
        25: (OPTIONAL | TRANSITIVE, "000c20010db80000000000000000000000010000"),
        32: (OPTIONAL | TRANSITIVE, "0000fdf3 00000001 00000002"),
        35: (OPTIONAL | TRANSITIVE, "0000fdf3"),
        99: (OPTIONAL | TRANSITIVE, "0102"),  # unknown
        98: (OPTIONAL, "0102"),
    }
)
# values whose length would do, but which must not be
BAD_VALUES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("03", "ff"),
        2: (
            "0502 0000fdf3 0000fdf4",  # unknown kind of segment
            "0002 0000fdf3 0000fdf4",
            "0200",  # no AS
            "0202 0000fdf3 0000fdf4 0100",
            "0203 0000fdf3 0000fdf4",  # goes on past the end
            "0201 0000fdf3 0000fdf4",  # ends before the end
            "0202 0000fdf3 00000000",  # AS 0
            "0101 00000000 0201 0000fdf3",
        ),
        7: ("00000000 c0000201",),
        14: (
            "0002 01 10 20010db8000000000000000000000001 00 81 20010db8000000000000000000000001 00",  # of 129 bits
            "0002 01 10 20010db8000000000000000000000001 00 40 20010db8",  # prefix cut
            "0002 01 11 20010db800000000000000000000000100 00 20 20010db8",  # next hop of 17 octets
            "0002 01 04 c0000201 00 20 20010db8",
            "0002 01 00 00 20 20010db8",
            "0002 01 ff 20010db8",  # next hop past the end
            "0001 01 10 20010db8000000000000000000000001 00 18 cb0071",  # not agreed to
        ),
        15: ("0002 01 81 20010db9000000000000000000000001 00", "0002 01 40 20010db9", "0001 01 21 cb00710100"),
        17: ("0502 0000fdf3 0000fdf4", "0200", "0203 0000fdf3 0000fdf4", "0201 00000000"),
        18: ("00000000 c0000201",),
    }
)
_CONFEDERATION = ("0301 0000fdf3", "0401 0000fdf3", "0201 0000fdf3 0301 0000fdf4")
# the sentence of section 7 on each attribute that is malformed
_MALFORMED: Mapping[int, Outcome] = MappingProxyType(
    {
        1: Outcome.WITHDRAW,  # 7.1
        2: Outcome.WITHDRAW,  # 7.2
        3: Outcome.WITHDRAW,  # 7.3
        4: Outcome.WITHDRAW,  # 7.4
        5: Outcome.WITHDRAW,  # 7.5, of an internal peer
        6: Outcome.DISCARD,  # 7.6
        7: Outcome.DISCARD,  # 7.7
        8: Outcome.WITHDRAW,  # 7.8
        9: Outcome.WITHDRAW,  # 7.9, of an internal peer
        10: Outcome.WITHDRAW,  # 7.10, of an internal peer
        14: Outcome.RESET,  # 7.11
        15: Outcome.RESET,  # 7.12
        16: Outcome.WITHDRAW,  # 7.14
        17: Outcome.DISCARD,  # RFC 6793 section 6
        18: Outcome.DISCARD,
        25: Outcome.WITHDRAW,  # 7.15
        32: Outcome.WITHDRAW,  # RFC 8092 section 6
        35: Outcome.WITHDRAW,  # RFC 9234 section 5
    }
)
_MAY_BE_EMPTY = frozenset({2, 6})  # section 4, and RFC 4271 5.1.2: a route of the peer's own AS
_OF_INTERNAL = frozenset({5, 9, 10})
_OF_OLD = frozenset({17, 18})
_UNKNOWN = frozenset({98, 99})


def octets_of(given: Given) -> bytes:
    """Return the attribute, both of them where it is given twice."""
    flags, text = GOOD[given.code]
    value = bytes.fromhex(text)
    match given.fault:
        case Fault.OPTIONAL:
            flags ^= OPTIONAL
        case Fault.TRANSITIVE:
            flags ^= TRANSITIVE
        case Fault.PARTIAL:
            flags |= PARTIAL
        case Fault.LONG:
            flags |= LONG
        case Fault.OVER:
            value += b"\0"
        case Fault.UNDER:
            value = value[:-1]
        case Fault.EMPTY:
            value = b""
        case Fault.VALUE:
            value = bytes.fromhex(
                (*BAD_VALUES.get(given.code, ()), *(_CONFEDERATION if given.code == 2 else ()))[given.bad]
            )
        case _:
            pass
    length = len(value).to_bytes(2 if flags & LONG else 1, "big")
    octets = bytes((flags, given.code)) + length + value
    return octets + octets if given.fault is Fault.TWICE else octets


def faults_of(code: int) -> list[Given]:
    """Return an attribute in every form."""
    bad = len(BAD_VALUES.get(code, ())) + (len(_CONFEDERATION) if code == 2 else 0)
    plain = [Given(code, fault) for fault in Fault if fault is not Fault.VALUE]
    # of these lengths every one is good
    none: set[Fault] = {Fault.UNDER} if code == 6 else set()
    if code in _UNKNOWN:
        none = {Fault.UNDER, Fault.OVER, Fault.EMPTY}
    if code in MP:
        none = {Fault.OVER}  # which makes one more prefix, of no bit
    return [one for one in plain if one.fault not in none] + [Given(code, Fault.VALUE, place) for place in range(bad)]


def _of_one(given: Given, *, internal: bool) -> tuple[Outcome, tuple[int, int]]:
    """Return what one attribute asks for, and the NOTIFICATION where that is a reset."""
    code, fault = given.code, given.fault
    outcome = Outcome.NOTHING
    if fault is Fault.TWICE:  # section 3 g)
        return (Outcome.RESET if code in MP else Outcome.DISCARD), (3, 1)
    if code in _UNKNOWN:
        well_known = not (GOOD[code][0] ^ (OPTIONAL if fault is Fault.OPTIONAL else 0)) & OPTIONAL
        return (Outcome.RESET if well_known else Outcome.NOTHING), (3, 2)
    if code in _OF_INTERNAL and not internal:
        return Outcome.DISCARD, (0, 0)
    if fault in {Fault.OPTIONAL, Fault.TRANSITIVE}:  # section 3 c)
        outcome = Outcome.WITHDRAW
    elif fault in {Fault.OVER, Fault.UNDER, Fault.VALUE} or (fault is Fault.EMPTY and code not in _MAY_BE_EMPTY):
        outcome = _of_malformed(given, internal=internal)
    elif code in _OF_OLD:  # the session is one of four-octet numbers
        outcome = Outcome.DISCARD
    return outcome, (3, 9)


def _of_malformed(given: Given, *, internal: bool) -> Outcome:
    confederation = given.code == 2 and given.fault is Fault.VALUE and given.bad >= len(BAD_VALUES[2])
    return Outcome.NOTHING if confederation and internal else _MALFORMED[given.code]


def expected(attributes: Sequence[Given], carrier: Carrier, *, internal: bool) -> Expected:
    """Return what must come of an UPDATE."""
    found = {given.code: (given, *_of_one(given, internal=internal)) for given in attributes}
    resets = {notification for _, outcome, notification in found.values() if outcome is Outcome.RESET}
    if resets:
        return Expected(Outcome.RESET, notifications=frozenset(resets))
    kept = frozenset(code for code, (given, outcome, _) in found.items() if _counts(given, outcome, internal=internal))
    announced = {"IPv4"} if carrier.nlri else set()
    announced |= {"IPv6"} if MP_REACH in found else set()
    withdrawn = {"IPv4 gone"} if carrier.withdrawn else set()
    withdrawn |= {"IPv6 gone"} if MP_UNREACH in found else set()
    worst = max((outcome for _, outcome, _ in found.values()), default=Outcome.NOTHING)
    needed = {1, 2} | ({3} if carrier.nlri else set())
    if announced and not needed <= kept:
        worst = max(worst, Outcome.WITHDRAW)  # section 3 d)
    if worst is not Outcome.WITHDRAW:
        return Expected(worst, kept, frozenset(announced), frozenset(withdrawn))
    if not announced:  # section 5.2
        return Expected(Outcome.RESET, notifications=frozenset({(3, 1)}))
    return Expected(worst, kept, frozenset(), frozenset(announced | withdrawn))


def _counts(given: Given, outcome: Outcome, *, internal: bool) -> bool:
    if given.fault is Fault.TWICE and given.code not in _UNKNOWN:  # the first one
        return given.code not in _OF_OLD and (internal or given.code not in _OF_INTERNAL)
    if given.code == 98:
        return given.fault is Fault.TRANSITIVE  # then it is one that is passed on
    if given.code == 99:
        return given.fault is not Fault.TRANSITIVE
    return outcome is Outcome.NOTHING or given.code in MP
