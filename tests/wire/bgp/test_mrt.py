from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from msgspec import structs

import mrt_files as m
from bgp_cases import prefixes
from tidegate.errors import DecodeError
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.mrt import (
    HEADER_OCTETS,
    RECORD_OCTETS,
    MrtPeer,
    PeerIndex,
    PeerMessage,
    RawRecord,
    Record,
    RibEntry,
    RibRecord,
    Skipped,
    StateChange,
    TableDumpEntry,
    decode,
    is_known_type,
    maybe_record,
)
from tidegate.wire.bgp.prefix import encode_prefix
from tidegate.wire.cursor import Reader

U8, U16, U32 = (st.integers(0, (1 << width) - 1) for width in (8, 16, 32))
UNICAST = st.sampled_from([Family.IPV4_UNICAST, Family.IPV6_UNICAST])
ATTRIBUTES = st.binary(max_size=30)


def addresses(octets: SearchStrategy[int]) -> SearchStrategy[bytes]:
    return octets.flatmap(lambda count: st.binary(min_size=count, max_size=count))


ADDRESSES = addresses(st.sampled_from([4, 16]))
PEERS = st.builds(MrtPeer, ADDRESSES, U32, U32)
SESSIONS = st.builds(MrtPeer, ADDRESSES, U32)
NARROW = st.builds(MrtPeer, ADDRESSES, U16)


@st.composite
def ribs(draw: st.DrawFn) -> RibRecord:
    family, extra = draw(UNICAST), draw(st.booleans())
    entry = st.builds(RibEntry, U16, U32, ATTRIBUTES, U32 if extra else st.just(0))
    entries = tuple(draw(st.lists(entry, max_size=4)))
    return RibRecord(family, encode_prefix(draw(prefixes(family.afi))), entries, extra)


@st.composite
def dumps(draw: st.DrawFn) -> TableDumpEntry:
    family = draw(UNICAST)
    peer = MrtPeer(draw(addresses(st.just(4 if family.afi is Afi.IPV4 else 16))), draw(U16))
    return TableDumpEntry(family, encode_prefix(draw(prefixes(family.afi))), peer, draw(U32), draw(ATTRIBUTES))


MESSAGES = st.builds(PeerMessage, SESSIONS, st.binary(max_size=40), st.just(True), st.booleans(), st.booleans())  # noqa: FBT003
OLD_MESSAGES = st.builds(PeerMessage, NARROW, st.binary(max_size=40), st.just(False), st.booleans(), st.booleans())  # noqa: FBT003


def read(octets: bytes) -> Record:
    reader = Reader(octets)
    raw = maybe_record(reader)
    assert raw is not None
    assert not len(reader)
    return decode(raw)


def bad(kind: int, subtype: int, body: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(RawRecord(kind, subtype, 0, body))
    return str(caught.value)


@given(st.builds(PeerIndex, U32, st.text(max_size=10), st.lists(PEERS, max_size=4).map(tuple)))
def test_an_index_is_read_back(index: PeerIndex) -> None:
    assert read(m.peer_index(index)) == index


@given(ribs())
def test_routes_of_tables_are_read_back(found: RibRecord) -> None:
    assert read(m.rib(found)) == found


@given(dumps())
def test_routes_of_old_tables_are_read_back(found: TableDumpEntry) -> None:
    assume(any(found.peer.address[4:]) or len(found.peer.address) == 4)
    assert read(m.table_dump(found)) == found


@given(dumps(), st.binary(max_size=40))
def test_entries_of_openbgpd_are_read_with_their_next_hop(found: TableDumpEntry, next_hop: bytes) -> None:
    read_back = read(m.entry(found, next_hop))
    assert isinstance(read_back, TableDumpEntry)
    assert read_back.attributes.endswith(next_hop)
    assert structs.replace(read_back, attributes=found.attributes) == found
    assert read_back.attributes.startswith(found.attributes)


def test_an_ipv4_peer_in_the_room_of_an_ipv6_one_is_told() -> None:
    padded = MrtPeer(m.ONE.address + bytes(12), 65002)
    found = read(m.table_dump(TableDumpEntry(Family.IPV6_UNICAST, m.nlri("32 20010db8"), padded, 1, b"")))
    assert isinstance(found, TableDumpEntry)
    assert found.peer == MrtPeer(m.ONE.address, 65002)


@given(MESSAGES | OLD_MESSAGES, st.none() | st.integers(0, 999_999))
def test_messages_are_read_back(found: PeerMessage, micros: int | None) -> None:
    assert read(m.peer_message(found, micros=micros)) == found


@st.composite
def changes(draw: st.DrawFn) -> StateChange:
    peer = draw(SESSIONS)
    return StateChange(peer, MrtPeer(draw(addresses(st.just(len(peer.address)))), draw(U16)), draw(U16), draw(U16))


@given(changes(), st.booleans())
def test_changes_of_state_are_read_back(change: StateChange, wide: bool) -> None:  # noqa: FBT001
    if wide or change.peer.asn < 1 << 16:
        assert read(m.state_change(change, wide=wide)) == change
    assert change.down == (change.old == 6 and change.new != 6)


def test_the_header_tells_the_time() -> None:
    raw = maybe_record(Reader(m.record(13, 2, b"x", time_s=7)))
    assert raw == RawRecord(13, 2, 7, b"x")


def test_peers_are_told_in_words() -> None:
    assert str(m.TWO) == "192.0.2.2 AS 4200000000"


@pytest.mark.parametrize(
    ("kind", "subtype", "words"),
    [
        (13, 6, "table_dump_v2 subtype 6"),  # RIB_GENERIC
        (13, 3, "table_dump_v2 subtype 3"),  # multicast
        (16, 3, "bgp4mp subtype 3"),
        (12, 3, "table_dump subtype 3"),
        (11, 0, "type 11 subtype 0"),  # OSPF
    ],
)
def test_other_kinds_of_records_are_named(kind: int, subtype: int, words: str) -> None:
    assert read(m.record(kind, subtype, b"?" * 9)) == Skipped(words)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (m.record(99, 1, b""), "unknown record type at octet 4"),
        (bytes(4) + b"\0\x0d\0\2" + (RECORD_OCTETS + 1).to_bytes(4, "big"), "record length out of bounds at octet 8"),
    ],
)
def test_what_is_no_record_is_told_with_its_place(octets: bytes, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        maybe_record(Reader(octets))
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("kind", "subtype", "body", "reason"),
    [
        (13, 2, bytes(4) + b"\x21" + bytes(9), "prefix length out of bounds at octet 4"),
        (13, 4, bytes(4) + b"\x81" + bytes(30), "prefix length out of bounds at octet 4"),
        (12, 1, bytes(8) + b"\x21" + bytes(30), "prefix length out of bounds at octet 8"),
        (16, 4, bytes(10) + b"\0\3" + bytes(30), "unknown address family at octet 10"),
        (13, 2, bytes(4) + b"\0\0\1" + bytes(6) + b"\0\5abc", "truncated at octet 15"),
        (13, 1, bytes(6) + b"\0\2" + bytes(11), "truncated at octet 19"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(kind: int, subtype: int, body: bytes, reason: str) -> None:
    assert bad(kind, subtype, body) == reason


RECORDS = [
    m.index_of(m.ONE, m.TWO, m.SIX),
    m.rib(RibRecord(Family.IPV4_UNICAST, m.nlri("8 0a"), (RibEntry(0, 1, m.PLAIN),))),
    m.rib(
        RibRecord(Family.IPV6_UNICAST, m.nlri("32 20010db8"), (RibEntry(2, 1, m.ABBREVIATED, 7),), with_path_id=True)
    ),
    m.table_dump(TableDumpEntry(Family.IPV4_UNICAST, m.nlri("8 0a"), MrtPeer(bytes(4), 1), 1, m.PLAIN)),
    m.state_change(StateChange(m.ONE, m.LOCAL, 6, 1)),
    m.entry(TableDumpEntry(Family.IPV4_UNICAST, m.nlri("8 0a"), MrtPeer(bytes(4), 1), 1, m.ORIGIN), bytes(4)),
]


@pytest.mark.parametrize("octets", RECORDS, ids=range(len(RECORDS)))
def test_at_each_octet_a_record_waits_for_the_rest_or_is_refused(octets: bytes) -> None:
    whole = maybe_record(Reader(octets))
    assert whole is not None
    for stop in range(len(octets)):
        reader = Reader(octets[:stop])
        assert maybe_record(reader) is None
        assert reader.offset == 0
    for stop in range(len(whole.body)):
        reason = bad(whole.type, whole.subtype, whole.body[:stop])
        assert reason.startswith("truncated at octet ")


@given(st.sampled_from([12, 13, 16, 17]) | U8, st.integers(0, 12), st.binary(max_size=120))
def test_any_octets_are_read_or_refused(kind: int, subtype: int, body: bytes) -> None:
    try:
        decode(RawRecord(kind, subtype, 0, body))
    except DecodeError as error:
        assert error.offset <= len(body)  # noqa: PT017 - either is right


@given(st.binary(min_size=HEADER_OCTETS, max_size=40))
def test_any_header_is_read_or_refused(octets: bytes) -> None:
    try:
        maybe_record(Reader(octets))
    except DecodeError as error:
        assert error.offset in {4, 8}  # noqa: PT017 - either is right
        assert error.offset == 8 or not is_known_type(int.from_bytes(octets[4:6], "big"))  # noqa: PT017
