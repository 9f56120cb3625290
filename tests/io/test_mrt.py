from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path

import pytest

import mrt_files as m
from tidegate.errors import SourceError
from tidegate.io.mrt import MrtFile
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.mrt import PeerIndex, RibEntry, RibRecord, Skipped

INDEX = m.index_of(m.ONE, m.TWO)
TEN = m.rib(RibRecord(Family.IPV4_UNICAST, m.nlri("8 0a"), (RibEntry(0, 1, m.PLAIN),)))
GENERIC = m.record(13, 6, b"?")
WHOLE = INDEX + TEN + GENERIC


def written(folder: Path, octets: bytes) -> MrtFile:
    path = folder / "rib.mrt"
    path.write_bytes(octets)
    return MrtFile(path)


def refused(folder: Path, octets: bytes) -> str:
    with pytest.raises(SourceError) as caught:
        written(folder, octets)
    return str(caught.value).removeprefix(f"{folder / 'rib.mrt'}: ")


@pytest.mark.parametrize(("pack", "name"), [(bytes, "none"), (gzip.compress, "gzip"), (bz2.compress, "bzip2")])
def test_records_come_in_order_packed_or_not(tmp_path: Path, pack: type[bytes], name: str) -> None:
    source = written(tmp_path, pack(WHOLE))
    found = list(source)
    assert [type(record) for record in found] == [PeerIndex, RibRecord, Skipped]
    stats = source.statistics()
    assert (stats.compression, stats.octets, stats.records, stats.damage) == (name, len(WHOLE), 3, "")
    assert stats.skipped == {"table_dump_v2 subtype 6": 1}


def test_streams_of_bzip2_one_after_the_other_are_one_file(tmp_path: Path) -> None:
    source = written(tmp_path, bz2.compress(INDEX) + bz2.compress(TEN))
    assert len(list(source)) == 2
    assert source.statistics().damage == ""


def test_a_file_is_longer_than_a_window(tmp_path: Path) -> None:
    source = written(tmp_path, INDEX + TEN * 40_000)
    assert source.size > 1 << 20
    assert sum(1 for _ in source) == 40_001
    assert source.statistics().octets == source.size


def test_a_record_is_longer_than_a_window(tmp_path: Path) -> None:
    source = written(tmp_path, m.record(13, 6, bytes(5 << 20)) + TEN)
    assert [type(record) for record in source] == [Skipped, RibRecord]


@pytest.mark.parametrize("stop", [*range(1, 12), len(INDEX) + 5, len(WHOLE) - 1])
def test_a_file_that_ends_too_early_gives_what_came_before(tmp_path: Path, stop: int) -> None:
    source = written(tmp_path, WHOLE[:stop])
    assert len(list(source)) == (0 if stop < len(INDEX) else 1 if stop < len(INDEX + TEN) else 2)
    place = 0 if stop < len(INDEX) else len(INDEX) if stop < len(INDEX + TEN) else len(INDEX + TEN)
    assert source.statistics().damage == f"octet {place}: the file ends in the middle of a record"


def test_a_record_that_is_damaged_inside_is_counted_and_left_out(tmp_path: Path) -> None:
    source = written(tmp_path, INDEX + m.record(13, 2, bytes(4) + b"\xff") + TEN)
    assert [type(record) for record in source] == [PeerIndex, RibRecord]
    assert source.statistics().bad == {"prefix length out of bounds": 1}
    assert source.statistics().damage == ""


def test_where_records_stop_making_sense_reading_ends(tmp_path: Path) -> None:
    source = written(tmp_path, WHOLE + m.record(77, 1, b"") + TEN)
    assert len(list(source)) == 3
    damage = source.statistics().damage
    assert damage == f"octet {len(WHOLE)}: unknown record type; the file is damaged here, and what follows is not read"


@pytest.mark.parametrize(
    ("pack", "words"),
    [(gzip.compress, "gzip: Compressed file ended"), (bz2.compress, "bzip2: Compressed file ended")],
)
def test_a_packed_file_that_ends_too_early_gives_what_came_before(
    tmp_path: Path, pack: type[bytes], words: str
) -> None:
    octets = pack(INDEX + b"".join(m.record(13, 6, os.urandom(50_000)) for _ in range(60)))
    source = written(tmp_path, octets[: len(octets) // 2])
    assert 1 < sum(1 for _ in source) < 61
    assert words in source.statistics().damage
    assert source.statistics().damage.startswith(f"octet {source.statistics().octets}: ")


def test_a_packed_file_that_is_damaged_gives_what_came_before(tmp_path: Path) -> None:
    octets = gzip.compress(b"".join(m.record(13, 6, os.urandom(25_000).hex().encode()) for _ in range(60)))
    source = written(tmp_path, octets[: len(octets) // 2] + b"\xff" * 1000)
    assert 1 < sum(1 for _ in source) < 60
    assert source.statistics().damage


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "the file is empty"),
        (b"GET / HTTP/1.1\r\n\r\n", "no MRT file: unknown record type (begins with 47455420 2f204854 54502f31)"),
        (m.record(13, 1, b"")[:8] + b"\xff\xff\xff\xff", "no MRT file: record length out of bounds"),
        (b"\xfd7zXZ\0...", "the file is compressed; unpack it with unxz first"),
        (b"\x28\xb5\x2f\xfd...", "the file is compressed; unpack it with unzstd first"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (gzip.compress(WHOLE, mtime=0)[:8], "octet 0: gzip: Compressed file ended"),
    ],
)
def test_what_is_no_mrt_file_is_refused_with_a_reason(tmp_path: Path, octets: bytes, words: str) -> None:
    assert refused(tmp_path, octets).startswith(words)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nothing: No such file or directory"):
        MrtFile(tmp_path / "nothing")


def test_unknown_kinds_are_bounded(tmp_path: Path) -> None:
    source = written(tmp_path, b"".join(m.record(13, 100 + number, b"") for number in range(100)))
    list(source)
    skipped = source.statistics().skipped
    assert (len(skipped), sum(skipped.values()), skipped["other"]) == (65, 100, 36)
