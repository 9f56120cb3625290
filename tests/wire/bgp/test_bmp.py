from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

import bmp_messages as m
from bgp_cases import opens
from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.bgp.bmp import (
    BmpType,
    Initiation,
    Message,
    PeerDownNotification,
    PeerHeader,
    PeerKey,
    PeerUpNotification,
    Record,
    RouteMirroring,
    RouteMonitoring,
    Statistic,
    StatisticsReport,
    Termination,
    Unknown,
    View,
    decode,
    maybe_message,
    octets_wanted,
)
from tidegate.wire.bgp.constants import Cease
from tidegate.wire.bgp.message import encode_notification, shutdown
from tidegate.wire.bgp.open import Open, decode_open
from tidegate.wire.cursor import Reader

ADDRESSES = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
U32, U64 = st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
HEADERS = st.builds(
    lambda kind, distinguisher, address, flags, rest: PeerHeader(
        PeerKey(kind, distinguisher, address), flags | (0x80 if len(address) == 16 else 0), *rest
    ),
    st.integers(0, 2),
    U64,
    ADDRESSES,
    st.sampled_from([0, 0x10, 0x20, 0x40, 0x70]),
    st.tuples(U32, U32, st.integers(0, (1 << 32) * 1_000_000 - 1)),
)


def read(octets: bytes) -> Record:
    reader = Reader(octets)
    found = maybe_message(reader)
    assert found is not None
    assert not len(reader)
    return decode(found)


def bad(octets: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        read(octets)
    return str(caught.value)


@given(WORDS, WORDS, st.lists(WORDS, max_size=3))
def test_an_initiation_is_read_back(name: str, descr: str, texts: list[str]) -> None:
    assert read(m.initiation(name, descr, *texts)) == Initiation(name, descr, tuple(texts))


@given(HEADERS, opens(), opens(), WORDS, WORDS)
def test_a_peer_up_is_read_back(header: PeerHeader, sent: Open, received: Open, table: str, label: str) -> None:
    try:
        octets = m.peer_up(header, sent, received, [(3, table.encode()), (4, label.encode()), (77, b"?"), (0, b"hm")])
    except EncodeError:
        return
    found = read(octets)
    assert isinstance(found, PeerUpNotification)
    assert found.header == header
    assert decode_open(found.sent) == sent
    assert decode_open(found.received) == received
    assert (found.local_port, found.remote_port, found.texts) == (179, 40000, ("hm",))
    assert (found.table_name, found.admin_label) == (table, label)
    assert len(found.local_address) == len(header.key.address)


@given(HEADERS, st.binary(max_size=80))
def test_routes_and_downs_keep_their_octets(header: PeerHeader, octets: bytes) -> None:
    assert read(m.monitoring(octets, header)) == RouteMonitoring(header, octets)
    assert read(m.peer_down(header, 9, octets)) == PeerDownNotification(header, 9, octets)


@given(HEADERS, U32, U64, st.integers(0, 65535), st.integers(0, 255))
def test_statistics_are_counters_gauges_and_gauges_of_a_family(
    header: PeerHeader, counter: int, gauge: int, afi: int, safi: int
) -> None:
    family = afi.to_bytes(2, "big") + bytes((safi,))
    octets = m.statistics(
        [(0, counter.to_bytes(4, "big")), (7, gauge.to_bytes(8, "big")), (9, family + gauge.to_bytes(8, "big"))], header
    )
    expected = (Statistic(0, counter), Statistic(7, gauge), Statistic(9, gauge, (afi, safi)))
    assert read(octets) == StatisticsReport(header, expected)


def test_statistics_have_names() -> None:
    assert [Statistic(number, 0).name for number in (0, 13, 17, 500)] == [
        "prefixes-rejected-by-policy",
        "duplicate-updates",
        "adj-rib-out-post-policy-routes-of-family",
        "type-500",
    ]


def test_mirrored_messages_are_counted() -> None:
    octets = m.mirroring([(0, b"one"), (1, b"\0\0"), (0, b"two"), (1, b"\0\1")])
    assert read(octets) == RouteMirroring(m.HEADER, 2, errored=True, lost=True)
    assert read(m.mirroring([(0, b"one")])) == RouteMirroring(m.HEADER, 1, errored=False, lost=False)


@pytest.mark.parametrize(
    ("flags", "kind", "view", "two_octet_as"),
    [
        (0x00, 0, View.PRE_POLICY, False),
        (0x40, 0, View.POST_POLICY, False),
        (0x10, 1, View.OUT_PRE_POLICY, False),
        (0x50, 2, View.OUT_POST_POLICY, False),
        (0x20, 0, View.PRE_POLICY, True),
        (0xF0, 3, View.LOC_RIB, False),  # RFC 9069 4.2: there the first bit says that routes are left out
    ],
)
def test_flags_tell_the_view(flags: int, kind: int, view: View, *, two_octet_as: bool) -> None:
    header = structs.replace(m.HEADER, flags=flags, key=structs.replace(m.KEY, type=kind))
    assert (header.view, header.two_octet_as, header.filtered) == (view, two_octet_as, flags == 0xF0)


def test_a_loc_rib_has_no_address_whatever_its_flags() -> None:
    header = structs.replace(m.LOC_RIB, flags=0x80)
    found = read(m.monitoring(b"", header))
    assert found == RouteMonitoring(header, b"")
    assert str(header.key) == "loc-rib"


def test_keys_are_told_in_words() -> None:
    assert str(m.KEY) == "192.0.2.1"
    assert str(PeerKey(1, 65001 << 32 | 7, bytes(15) + b"\1")) == "::1 of 65001:7"


@pytest.mark.parametrize(
    ("code", "data", "words"),
    [
        (
            1,
            encode_notification(shutdown(Cease.SHUTDOWN, "maintenance")),
            'administrative shutdown (6/2): "maintenance"',
        ),
        (3, encode_notification(shutdown(Cease.RESET)), "the peer closed the session with a NOTIFICATION: admin"),
        (3, b"\xff" * 12, "NOTIFICATION that cannot be read"),
        (3, b"junk", "NOTIFICATION that cannot be read"),
        (2, b"\0\x12", "event of its state machine: 18"),
        (4, b"", "without a NOTIFICATION"),
        (5, b"", "does not tell of this peer any more"),
        (6, m.tlvs([(3, b"blue")]), "closed the table"),
        (99, b"", "reason 99"),
    ],
)
def test_why_a_peer_went_down_is_told_in_words(code: int, data: bytes, words: str) -> None:
    assert words in str(read(m.peer_down(code=code, data=data)))


def test_why_the_stream_ends_is_told_in_words() -> None:
    assert str(read(m.termination(2, "no memory"))) == "the router is out of resources: no memory"
    assert str(read(m.termination(40))) == "reason 40"
    assert read(m.message(BmpType.TERMINATION)) == Termination()
    assert str(Termination()) == "no reason given"


def test_texts_are_made_harmless() -> None:
    found = read(m.initiation("a\x1b[2Jb\xad", "Some OS\r\n  Version 1", "x" * 5000))
    assert found == Initiation(
        "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}", "Some OS Version 1", ("x" * 1024,)
    )
    assert read(m.message(4, m.tlvs([(2, b"\xff")]))) == Initiation("\N{REPLACEMENT CHARACTER}")


def test_a_message_of_unknown_type_is_passed_over() -> None:
    assert read(m.message(77, b"?")) == Unknown("message type")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (m.message(4, version=1), "not BMP version 3 at octet 0"),
        (b"GET /", "not BMP version 3 at octet 0"),
        (b"\3\0\0\0\5\4", "message length out of bounds at octet 1"),
        (b"\3\0\x10\0\1\4", "message length out of bounds at octet 1"),
        (m.message(4, b"\0\2\0\5abc"), "initiation: truncated at octet 4"),
        (m.message(0, bytes(41)), "route monitoring: truncated"),
        (m.message(1, bytes(44)), "statistics: truncated"),
        (m.statistics([(0, b"")] * 257), "statistics: too many values"),
        (m.peer_up()[:-1].replace(b"\xff" * 16, b"\xfe" * 16), "message length"),
        (m.message(3, bytes(62) + b"\xfe" * 29), "peer up: no OPEN at octet 62"),
        (m.message(3, bytes(62) + b"\xff" * 16 + b"\0\x13\4"), "peer up: no OPEN at octet 62"),
        (m.message(3, bytes(62) + b"\xff" * 16), "peer up: truncated at octet 62"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(octets: bytes, reason: str) -> None:
    if reason == "message length":
        assert maybe_message(Reader(octets)) is None
    else:
        assert reason in bad(octets)


MESSAGES = [
    m.initiation(),
    m.termination(1, "bye"),
    m.peer_up(values=[(3, b"blue")]),
    m.peer_down(code=3, data=encode_notification(shutdown(Cease.SHUTDOWN, "x"))),
    m.monitoring(m.update(nlri="08 0a")),
    m.statistics([(0, bytes(4)), (9, bytes(11))]),
    m.mirroring([(0, b"x"), (1, b"\0\1")]),
]


@pytest.mark.parametrize("octets", MESSAGES, ids=lambda octets: BmpType(octets[5]).name)
def test_at_each_octet_a_message_waits_for_the_rest_or_is_refused(octets: bytes) -> None:
    for stop in range(len(octets)):
        reader = Reader(octets[:stop])
        assert maybe_message(reader) is None
        assert reader.offset == 0
        assert stop < octets_wanted(reader) <= len(octets)
    body = octets[6:]
    for stop in range(len(body)):
        try:
            decode(Message(octets[5], body[:stop]))
        except DecodeError as error:
            assert error.offset <= stop  # noqa: PT017 - some beginnings are whole messages, and good


@given(st.integers(0, 8), st.binary(max_size=200))
def test_any_octets_are_read_or_refused(kind: int, body: bytes) -> None:
    try:
        str(decode(Message(kind, body)))
    except DecodeError as error:
        assert error.offset <= len(body)  # noqa: PT017 - either is right


@given(st.sampled_from(MESSAGES), st.data())
def test_any_octet_may_be_wrong(octets: bytes, data: st.DataObject) -> None:
    damaged = bytearray(octets)
    damaged[data.draw(st.integers(6, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        str(read(bytes(damaged)))
    except DecodeError as error:
        assert error.path  # noqa: PT017 - either is right
