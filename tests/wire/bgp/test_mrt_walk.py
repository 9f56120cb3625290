from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import mrt_files as m
from tidegate.errors import DecodeError
from tidegate.wire.bgp import mrt_walk as walk
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.mrt import MrtType, RibEntry, RibRecord, decode, maybe_record
from tidegate.wire.bgp.mrt_routes import Batch
from tidegate.wire.cursor import Reader

FAMILIES = {Family.IPV4_UNICAST: 0, Family.IPV6_UNICAST: 1}
PEERS = st.integers(0, 5)
RIB_SUBTYPES = {2, 4, 8, 10}


@st.composite
def rib_records(draw: st.DrawFn) -> bytes:
    family, extra = draw(st.sampled_from(list(FAMILIES))), draw(st.booleans())
    entry = st.builds(RibEntry, PEERS, st.just(1), st.binary(max_size=9), st.integers(0, 9) if extra else st.just(0))
    nlri = draw(st.sampled_from([m.nlri("0"), m.nlri("8 0a"), m.nlri("32 20010db8"), m.nlri("31 20010db8")]))
    return m.rib(RibRecord(family, nlri, tuple(draw(st.lists(entry, max_size=5))), extra))


@st.composite
def damaged(draw: st.DrawFn, whole: SearchStrategy[bytes]) -> bytes:
    octets = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 2))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return bytes(octets)


Rows = list[tuple[int, int, bytes, bytes]]


def slowly(data: bytes, wanted: set[tuple[int, int]]) -> tuple[Rows, dict[tuple[int, int], int], int, int, int, int]:
    """Return what `walk_rib` finds: rows, counts, position, verdict, good and bad records."""
    reader = Reader(data)
    rows: Rows = []
    counts: dict[tuple[int, int], int] = {}
    good = bad = 0
    while True:
        at = reader.offset
        try:
            raw = maybe_record(reader)
        except DecodeError:
            return rows, counts, at, walk.OTHER, good, bad
        if raw is None:
            head = data[at : at + 12]
            other = len(head) == 12 and (head[4:6] != b"\0\x0d" or int.from_bytes(head[6:8], "big") not in RIB_SUBTYPES)
            return rows, counts, at, walk.OTHER if other else walk.NEED_MORE, good, bad
        if raw.type != MrtType.TABLE_DUMP_V2 or raw.subtype not in RIB_SUBTYPES:
            return rows, counts, at, walk.OTHER, good, bad
        try:
            found = decode(raw)
        except DecodeError:
            bad += 1
            continue
        assert isinstance(found, RibRecord)
        good += 1
        for entry in found.entries:
            key = FAMILIES[found.family], entry.peer
            counts[key] = counts.get(key, 0) + 1
            if key in wanted:
                rows.append((raw.subtype, entry.path_id, found.nlri, entry.attributes))


def quickly(data: bytes, wanted: set[tuple[int, int]]) -> tuple[Rows, dict[tuple[int, int], int], int, int, int, int]:
    chosen, counts = np.zeros((2, walk.PEERS), np.uint8), np.zeros((2, walk.PEERS), np.int64)
    for key in wanted:
        chosen[key] = 1
    table, state = np.empty((walk.PEERS, walk.ROW_COLUMNS), np.int64), np.zeros(5, np.int64)
    walk.walk_rib(np.frombuffer(bytearray(data), np.uint8), chosen, counts, table, state)
    at, found, verdict, good, bad = state.tolist()
    rows = [(row[0], row[1], data[row[2] : row[3]], data[row[4] : row[5]]) for row in table[:found].tolist()]
    some = {(int(family), int(peer)): int(counts[family, peer]) for family, peer in zip(*counts.nonzero(), strict=True)}
    return rows, some, at, verdict, good, bad


RECORDS = rib_records() | st.sampled_from([m.index_of(m.ONE), m.record(16, 4, b"x"), m.record(99, 2, b"")])
STREAMS = damaged(st.lists(RECORDS, min_size=1, max_size=5).map(b"".join))


@given(STREAMS, st.sets(st.tuples(st.integers(0, 1), PEERS)), st.integers(0, 20))
def test_the_kernel_finds_what_the_decoder_finds(data: bytes, wanted: set[tuple[int, int]], cut: int) -> None:
    part = data[: len(data) - cut]
    assert quickly(part, wanted) == slowly(part, wanted)


@given(st.binary(max_size=60).map(lambda body: m.record(13, 2, body)))
def test_any_octets_are_walked(data: bytes) -> None:
    assert quickly(data, {(0, 0)}) == slowly(data, {(0, 0)})


def test_rows_that_do_not_fit_wait_for_the_next_walk() -> None:
    entries = tuple(RibEntry(0, 1, b"") for _ in range(40_000))
    record = m.rib(RibRecord(Family.IPV4_UNICAST, m.nlri("8 0a"), entries))
    data = np.frombuffer(bytearray(record * 2), np.uint8)
    chosen, counts = np.ones((2, walk.PEERS), np.uint8), np.zeros((2, walk.PEERS), np.int64)
    table, state = np.empty((walk.PEERS, walk.ROW_COLUMNS), np.int64), np.zeros(5, np.int64)
    walk.walk_rib(data, chosen, counts, table, state)
    assert state.tolist() == [len(record), 40_000, walk.FULL, 1, 0]
    walk.walk_rib(data, chosen, counts, table, state)
    assert state.tolist() == [2 * len(record), 40_000, walk.NEED_MORE, 2, 0]
    assert counts[0, 0] == 80_000


def test_rows_go_into_a_batch() -> None:
    data = m.rib(RibRecord(Family.IPV6_UNICAST, m.nlri("32 20010db8"), (RibEntry(3, 1, m.ABBREVIATED),)))
    chosen, counts = np.ones((2, walk.PEERS), np.uint8), np.zeros((2, walk.PEERS), np.int64)
    table, state = np.empty((walk.PEERS, walk.ROW_COLUMNS), np.int64), np.zeros(5, np.int64)
    walk.walk_rib(np.frombuffer(bytearray(data), np.uint8), chosen, counts, table, state)
    batch = Batch()
    walk.add_rows(data, table[: state[1]], batch)
    assert [each.routes for each in batch.flush()] == [(1,)]
