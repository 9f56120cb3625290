"""The walk over received datagrams: which messages are read, where reading goes on, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from netlink_recordings import recordings
from netlink_twins import expected, found
from tidegate.data.block import Block, block_of
from tidegate.data.sampled import Row
from tidegate.kernel import compile_kernels
from tidegate.wire.netlink import samples
from tidegate.wire.netlink.genl import genl_body
from tidegate.wire.netlink.message import ORDER, attribute, encode_message
from tidegate.wire.netlink.nflog import NFLOG
from tidegate.wire.netlink.samples import SampleReader
from tidegate.wire.netlink.told import Told

FAMILY = 34


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(samples.KERNELS))


def sample(number: int, kind: int = FAMILY) -> bytes:
    told = {2: 60, 3: 5, 4: number, 5: 1}
    octets = [attribute(one, value.to_bytes(4, ORDER)) for one, value in told.items()]
    return encode_message(kind, 0, 0, genl_body(0, 1, *octets, attribute(6, b"data")))


def sequences(reader: SampleReader, block: Block) -> list[int]:
    return [number for packets in reader.read(block) for number in packets.rows[: packets.count, Row.SEQUENCE]]


def test_a_block_whose_datagrams_stand_anywhere() -> None:
    data = np.frombuffer(b"\xff" * 7 + sample(2) + b"\xff" * 5 + sample(1) + sample(3) + b"\xff", np.uint8)
    size = len(sample(1))
    block = block_of([b""] * 2, [0, 0])
    block = Block(
        data=data, offset=np.array([12 + size, 7], np.int64), length=np.array([2 * size, size], np.int64),
        time_ns=block.time_ns, source_high=block.source_high, source_low=block.source_low,
        source_port=block.source_port,
    )  # fmt: skip
    assert sequences(SampleReader(FAMILY), block) == [1, 3, 2]


def test_a_batch_ends_where_its_rows_do_and_reading_goes_on() -> None:
    datagrams = [b"".join(map(sample, range(900))), b"", b"".join(map(sample, range(900, 3000)))]
    reader = SampleReader(FAMILY)
    counts = [packets.count for packets in reader.read(block_of(datagrams, [0] * 3))]
    assert counts == [1024, 1024, 952]
    assert sequences(SampleReader(FAMILY), block_of(datagrams, [0] * 3)) == list(range(3000))
    assert reader.told() == {"samples": 3000, "other": 0, "broken": 0, "incomplete": 0}


def test_nothing_comes_of_nothing() -> None:
    reader = SampleReader(FAMILY)
    assert list(reader.read(block_of([], []))) == []
    assert list(reader.read(block_of([b"", b""], [0, 0]))) == []
    assert sum(reader.told().values()) == 0


def test_what_does_not_fit_ends_its_datagram_alone() -> None:
    long = (len(sample(1)) + 4).to_bytes(4, ORDER) + sample(1)[4:]
    short = (15).to_bytes(4, ORDER) + sample(1)[4:]
    for broken in (long, short, bytes(16), b"\xff" * 16, sample(1)[:-1], b"\0" * 15):
        datagrams = [sample(0) + broken, sample(2)]
        packets, told = found(datagrams, FAMILY)
        assert (packets, told) == expected(datagrams, FAMILY)
        assert ([packet["sequence"] for packet in packets], told["broken"]) == ([0, 2], 1)


def test_families_are_told_apart() -> None:
    datagram = sample(1) + sample(2, kind=35) + sample(3, kind=NFLOG) + sample(4, kind=3)
    for family, wanted, other in ((FAMILY, [1], 2), (35, [2], 2), (0, [1, 2], 1)):
        packets, told = found([datagram], family)
        assert [packet["sequence"] for packet in packets] == wanted
        assert told["other"] == other


def test_counts_go_on_from_block_to_block() -> None:
    reader = SampleReader(FAMILY)
    for _ in range(3):
        assert sequences(reader, block_of([sample(7), bytes(3)], [0, 0])) == [7]
    assert reader.told() == {Told.SAMPLES.name.lower(): 3, "other": 0, "broken": 3, "incomplete": 0}


@pytest.mark.parametrize("kind", ["psample", "nflog", "dropmon"])
def test_a_recording_of_another_kind_gives_nothing_and_does_no_harm(kind: str) -> None:
    paths = recordings(kind)
    if not paths:
        pytest.skip(f"no recordings of {kind}: neither tests/data nor ../shared/data has them")
    datagrams = [path.read_bytes() for path in paths]
    for family in (0, NFLOG):
        assert found(datagrams, family) == expected(datagrams, family)
