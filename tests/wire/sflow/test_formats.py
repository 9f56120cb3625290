"""The registry against itself and, where it is beside the checkout, against the reference's tables."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from tidegate.wire.sflow import xdr
from tidegate.wire.sflow.flow_records import Extended80211Aggregation, SampledEthernet, SampledIpv4, SampledIpv6
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES, Format

REFERENCE = Path(__file__).resolve().parents[3] / "../shared/reference/sflow-v5.md"
TABLES = {"flow": FLOW_RECORDS, "counter": COUNTER_RECORDS}
ROWS = [row for table in TABLES.values() for row in table.values()]

SIZES = {
    xdr.kind_of(alias): size
    for alias, size in (
        (xdr.U32, 4), (xdr.I32, 4), (xdr.U64, 8), (xdr.FLOAT, 4), (xdr.MAC, 8), (xdr.IP4, 4), (xdr.IP6, 16),
        (xdr.BYTES4, 4), (xdr.BYTES16, 16),
    )
}  # fmt: skip


def size_of(record: type[msgspec.Struct]) -> int | None:
    """Return the octets of a record of fixed size."""
    sizes = [SIZES.get(kind) for _, _, kind in xdr.layout(record)]
    return None if None in sizes else sum(size for size in sizes if size is not None)


def test_rows_stand_under_their_own_numbers() -> None:
    for table in (SAMPLES, FLOW_RECORDS, COUNTER_RECORDS):
        assert all(tag == (row.enterprise, row.format) for tag, row in table.items())


def test_no_two_rows_share_a_record_or_a_name() -> None:
    for table in (FLOW_RECORDS, COUNTER_RECORDS):
        assert len({row.record for row in table.values()}) == len(table)
        assert len({row.name for row in table.values()}) == len(table)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_field_has_a_type_and_every_record_is_frozen(row: Format) -> None:
    fields = row.record.__struct_fields__
    if row.record is not Extended80211Aggregation:
        assert [attribute for attribute, _, _ in xdr.layout(row.record)] == list(fields)
    assert row.record.__struct_config__.frozen
    assert row.record() == row.record(*[None] * len(fields))


def sections() -> dict[str, dict[tuple[int, int], tuple[str, str]]]:
    """Return the reference's rows: fields and size by kind and number."""
    if not REFERENCE.exists():
        return {"flow": {}, "counter": {}}
    text = REFERENCE.read_text().replace("**", "")
    found: dict[str, dict[tuple[int, int], tuple[str, str]]] = {"flow": {}, "counter": {}}
    for kind, start, end in (("flow", "## 5.", "## 6."), ("counter", "## 6.", "## 7.")):
        part = text[text.index(start) : text.index(end)]
        for line in part.splitlines():
            row = re.match(r"\| (\d+):(\d+) \|[^|]*\|([^|]*)\|([^|]*)\|?$", line)
            if row:
                enterprise, number, fields, size = row.groups()
                found[kind][int(enterprise), int(number)] = (fields.strip(), size.strip())
    return found


REFERENCE_ROWS = [(kind, tag, *row) for kind, rows in sections().items() for tag, row in rows.items()]
# Rows that describe their fields in words.
PROSE = {
    ("flow", 0, 4): "as 0:3", ("flow", 0, 1012): "outermost first", ("flow", 0, 1016): "nested",
    ("flow", 0, 1017): "match and actions are not spelled out", ("flow", 0, 1040): "found on enqueue",
    ("flow", 0, 1043): "no name", ("flow", 0, 2101): "same with ip6", ("flow", 0, 2208): "first and last name",
    ("counter", 0, 7): "state by its octets", ("counter", 0, 10): "lanes", ("counter", 0, 2001): "adapters",
    ("counter", 0, 2106): "heap and non-heap",
}  # fmt: skip


def names(fields: str) -> list[str]:
    """Return the field names of a reference row, without types, units and remarks in brackets."""
    plain = re.sub(r"\([^)]*\)", "", fields).removeprefix("u32 each: ")
    parts = plain.replace("; later added: ", ", ").split(",")
    return [part.split()[0].split("<")[0].split("[")[0].strip("`") for part in parts if part.strip()]


def squeeze(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_shortened(short: str, long: str) -> bool:
    """Tell whether the letters of one name stand in the other in the same order."""
    letters = iter(squeeze(long))
    return all(letter in letters for letter in squeeze(short))


# Names that the reference and the specification spell apart.
RENAMED = {
    "packet_duration_us": "packet_duration", "description": "mplsFTNDescr", "mask": "mplsFTNMask",
    "load_1": "load_one", "load_5": "load_five", "load_15": "load_fifteen", "len0": "queueLength0",
    "pkts_out": "packets_out",
}  # fmt: skip


@pytest.mark.skipif(not REFERENCE.exists(), reason="../shared/reference is not beside this checkout")
def test_the_registry_holds_every_record_of_the_reference() -> None:
    text = REFERENCE.read_text().replace("**", "")
    for kind, start, end in (("flow", "## 5.", "## 6."), ("counter", "## 6.", "## 7.")):
        part = text[text.index(start) : text.index(end)]
        tags = {
            (0, int(number))
            for row in re.findall(r"^\|? ?0:(\d+(?: / \d+)?)", part, re.MULTILINE)
            for number in row.split(" / ")
        }
        assert tags - set(TABLES[kind]) == set()
        assert {tag for tag in TABLES[kind] if tag[0] == 0} == tags


@pytest.mark.parametrize(("kind", "tag", "fields", "size"), REFERENCE_ROWS)
def test_fields_are_those_of_the_reference_in_its_order(
    kind: str, tag: tuple[int, int], fields: str, size: str
) -> None:
    record = TABLES[kind][tag].record
    sizes = [int(number) for number in re.findall(r"\d+", size)]
    if size_of(record) is not None and sizes:
        assert size_of(record) in sizes
    if (kind, *tag) in PROSE:
        return
    theirs = names(fields)
    ours = [name for _, name, _ in xdr.layout(record)]
    assert len(theirs) == len(ours)
    for their, our in zip(theirs, ours, strict=True):
        assert is_shortened(RENAMED.get(their, their), our), (their, our)


@pytest.mark.parametrize(("record", "size"), [(SampledEthernet, 24), (SampledIpv4, 32), (SampledIpv6, 56)])
def test_packet_contents_have_the_size_of_the_specification(record: type[msgspec.Struct], size: int) -> None:
    assert size_of(record) == size
