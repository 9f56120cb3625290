"""The index of a block: rows of datagrams, and what is counted."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tidegate.data.block import block_of
from tidegate.kernel import compile_kernels
from tidegate.wire.sflow import columns, index
from tidegate.wire.sflow.columns import Decoder
from tidegate.wire.sflow.formats import FLOW_RECORDS
from tidegate.wire.sflow.index import record_table
from tidegate.wire.sflow.origins import RECORD_MARKS
from tidegate.wire.sflow.rows import Counters, Gram


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(columns.KERNELS))


def words(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


def test_the_table_of_records() -> None:
    table = record_table()
    assert {(0, int(number)) for number in np.flatnonzero(table[:, 0])} == {tag for tag in FLOW_RECORDS if tag[0] == 0}
    for number, record in RECORD_MARKS.items():
        assert table[number, 0] == record
    assert table[1002, 2:6].tolist() == [4, 1, 1, 0]  # address, word, word


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        (b"", "bad_truncated"),
        (words(5), "bad_truncated"),
        (words(4, 1, 0, 0, 0, 0, 0), "bad_version"),
        (words(5, 3, 0, 0, 0, 0, 0), "bad_address"),
        (words(5, 2, 0, 0, 0, 0, 0, 0), "bad_truncated"),
        (words(5, 0, 0, 0, 0, 0), "datagrams"),
        (words(5, 1, 0, 0, 0, 0, 0), "datagrams"),
        (words(5, 2, 0, 0, 0, 0, 0, 0, 0, 0), "datagrams"),
        (words(5, 0, 0, 0, 0, 1), "missing_samples"),
        (words(5, 0, 0, 0, 0, 0, 9), "trailing"),
        (words(5, 0, 0, 0, 0, 1, 1, 28) + bytes(28), "short_sample"),
        (words(5, 0, 0, 0, 0, 1, 1, 32) + bytes(32), "rate_zero"),
        (words(5, 0, 0, 0, 0, 1, 9, 0), "unknown_sample"),
        (words(5, 0, 0, 0, 0, 1, 2, 99) + bytes(12), "truncated_sample"),
        (words(5, 0, 0, 0, 0, 1, 1, 40, 1, 1, 1, 1, 0, 0, 0, 1, 2, 1), "overrun_record"),
        (words(5, 0, 0, 0, 0, 1, 1, 40, 1, 1, 1, 1, 0, 0, 0, 1, 9, 0), "unknown_record"),
        (words(5, 0, 0, 0, 0, 1, 1, 56, 1, 1, 1, 1, 0, 0, 0, 1, 1, 16, 1, (1 << 20) + 1, 0, 0), "frame_too_long"),
    ],
)
def test_what_is_counted(payload: bytes, count: str) -> None:
    decoder = Decoder()
    decoder.decode(block_of([payload], [0]), ())
    counts = decoder.statistics().counts
    assert counts[count] == 1
    dropped = {"short_sample", "rate_zero", "frame_too_long"}
    assert decoder._grams[0, int(Gram.DROPPED)] == (1 if count in dropped else 0)
    assert sum(counts[name] for name in ("datagrams", "bad_truncated", "bad_version", "bad_address")) == 1


def test_counters_samples_know_where_their_records_are() -> None:
    plain, expanded = words(2, 16, 7, 0x03000009, 1, 99), words(4, 20, 8, 3, 9, 1, 98)
    payload = words(5, 0, 0, 0, 0, 2) + plain + expanded
    found = Decoder().decode(block_of([payload], [0]), ()).counters
    assert found.source.tolist() == [3 << 32 | 9] * 2
    assert found.sequence.tolist() == [7, 8]
    starts = [bytes(found.data[start:stop]) for start, stop in zip(found.start, found.stop, strict=True)]
    assert starts == [words(1, 99), words(1, 98)]
    assert len(Counters) == 5
    assert index.MAX_FRAME == 1 << 20
