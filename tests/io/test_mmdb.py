from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdb import MARKER, encode, metadata, mmdb_bytes
from tidegate.data.address import format_address, is_mapped, parse_address
from tidegate.data.geo import AsnAttribute, CountryAttribute, GeoTable
from tidegate.errors import SourceError
from tidegate.io.mmdb import load_asn, load_country, read_mmdb

COUNTRIES: dict[str, object] = {
    "192.0.2.0/24": {"country": {"iso_code": "DE", "names": {"en": "Germany", "de": "Deutschland"}}},
    "198.51.100.0/25": {"registered_country": {"iso_code": "FR", "names": {"en": "France"}}},
    "2001:db8::/32": {"country": {"iso_code": "JP", "names": {"en": "Japan"}}},
    "203.0.113.7/32": {"continent": {"code": "EU"}},
}
SYSTEMS: dict[str, object] = {
    "192.0.2.0/24": {"autonomous_system_number": 64500, "autonomous_system_organization": "Example Net"},
    "2001:db8::/32": {"autonomous_system_number": 4_200_000_000},
}


def labels(table: GeoTable, *addresses: str) -> list[str | None]:
    words = [parse_address(address) for address in addresses]
    high, low = (np.array([pair[side] for pair in words], np.uint64) for side in (0, 1))
    return [table.labels[index] if index >= 0 else None for index in table.prefixes.lookup(high, low)]


def write(folder: Path, content: bytes) -> Path:
    path = folder / "test.mmdb"
    path.write_bytes(content)
    return path


def networks_of(path: Path) -> dict[str, object]:
    """Return the records by CIDR, IPv4 dotted."""
    networks = read_mmdb(path)
    records = list(networks.records)
    columns = (column.tolist() for column in (networks.high, networks.low, networks.length, networks.record))
    found = {}
    for high, low, length, record in zip(*columns, strict=True):
        ipv4 = is_mapped(high, low) and length >= 96
        found[f"{format_address(high, low)}/{length - 96 if ipv4 else length}".lower()] = records[record]
    return found


@pytest.mark.parametrize("record_size", [24, 28, 32])
def test_networks_come_back_with_their_records(tmp_path: Path, record_size: int) -> None:
    path = write(tmp_path, mmdb_bytes(COUNTRIES, record_size=record_size))

    assert networks_of(path) == COUNTRIES


cidrs = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda value: f"{ipaddress.IPv4Address(value)}/32"),
    st.builds(
        lambda value, length: str(ipaddress.ip_network((0x2001 << 112 | value, length), strict=False)),
        st.integers(0, 2**112 - 1),
        st.integers(120, 128),
    ),
)


@settings(deadline=None)  # files
@given(st.dictionaries(cidrs, st.sampled_from([1, "a", {"b": [True, {}]}]), min_size=1, max_size=12))
def test_any_networks_come_back(tmp_path_factory: pytest.TempPathFactory, records: dict[str, object]) -> None:
    path = write(tmp_path_factory.mktemp("any"), mmdb_bytes(records))
    outer = [
        cidr
        for cidr in records
        if not any(
            other != cidr
            and ipaddress.ip_network(other).version == ipaddress.ip_network(cidr).version
            and ipaddress.ip_network(other).overlaps(ipaddress.ip_network(cidr))
            for other in records
        )
    ]

    found = networks_of(path)

    assert {cidr: found[cidr] for cidr in outer} == {cidr: records[cidr] for cidr in outer}


def test_a_damaged_record_is_told_when_it_is_read(tmp_path: Path) -> None:
    content = mmdb_bytes({"192.0.2.0/24": {"country": "DE"}}, ip_version=4)
    path = write(tmp_path, content.replace(bytes(16) + encode({"country": "DE"})[:1], bytes(16) + b"\x00"))

    with pytest.raises(SourceError):
        list(read_mmdb(path).records)


def test_a_tree_that_is_deeper_than_an_address_is_refused(tmp_path: Path) -> None:
    tree = b"".join((place + 1).to_bytes(3, "big") + (40).to_bytes(3, "big") for place in range(40))

    with pytest.raises(SourceError, match="deeper than an address"):
        read_mmdb(write(tmp_path, tree + bytes(16) + MARKER + encode(metadata(40, 4, 24))))


def test_ipv4_shown_once_more_is_left_out(tmp_path: Path) -> None:
    """Nodes 0 to 95 lead to ::/96, where IPv4 lies (node 96: 128.0.0.0/1); the right side of node 0 shows it again."""
    count, record = 97, 97 + 16
    sides = [(place + 1, count) for place in range(96)] + [(count, record)]
    sides[0] = (1, 96)
    tree = b"".join(left.to_bytes(3, "big") + right.to_bytes(3, "big") for left, right in sides)
    path = write(tmp_path, tree + bytes(16) + encode("x") + MARKER + encode(metadata(count, 6, 24)))

    assert networks_of(path) == {"128.0.0.0/1": "x"}


@pytest.mark.parametrize(
    ("load", "records"),
    [
        (load_country, [{"country": {"iso_code": "DE"}}, {"country": {"iso_code": "FR"}}]),
        (load_asn, [{"autonomous_system_number": 1}, {"autonomous_system_number": 2}]),
    ],
)
def test_a_network_with_two_records_is_refused(
    tmp_path: Path, load: Callable[[Path], GeoTable], records: list[object]
) -> None:
    path = write(tmp_path, mmdb_bytes({"192.0.2.0/24": records[0], "::ffff:192.0.2.0/120": records[1]}))

    with pytest.raises(SourceError, match=r"192\.0\.2\.0/24 has two labels"):
        load(path)


def test_another_ip_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="IP version 5"):
        read_mmdb(write(tmp_path, bytes(22) + MARKER + encode(metadata(1, 5, 24))))


def test_countries_of_both_families(tmp_path: Path) -> None:
    table = load_country(write(tmp_path, mmdb_bytes(COUNTRIES)))

    found = labels(table, "192.0.2.9", "198.51.100.127", "198.51.100.128", "2001:db8::1", "203.0.113.7", "::192.0.2.9")

    assert found == ["DE", "FR", None, "JP", None, None]


@pytest.mark.parametrize(
    ("attribute", "label"),
    [(CountryAttribute.CODE, "DE"), (CountryAttribute.NAME, "Germany"), (CountryAttribute.BOTH, "DE Germany")],
)
def test_attributes_of_countries(tmp_path: Path, attribute: CountryAttribute, label: str) -> None:
    assert labels(load_country(write(tmp_path, mmdb_bytes(COUNTRIES)), attribute), "192.0.2.1") == [label]


@pytest.mark.parametrize(
    ("attribute", "first", "second"),
    [
        (AsnAttribute.NUMBER, "64500", "4200000000"),
        (AsnAttribute.DESCR, "Example Net", None),
        (AsnAttribute.BOTH, "64500 Example Net", "4200000000"),
    ],
)
def test_attributes_of_systems(tmp_path: Path, attribute: AsnAttribute, first: str, second: str | None) -> None:
    table = load_asn(write(tmp_path, mmdb_bytes(SYSTEMS)), attribute)

    assert labels(table, "192.0.2.1", "2001:db8::1") == [first, second]


def test_a_database_of_ipv4_alone(tmp_path: Path) -> None:
    table = load_country(write(tmp_path, mmdb_bytes({"192.0.2.0/24": COUNTRIES["192.0.2.0/24"]}, ip_version=4)))

    assert labels(table, "192.0.2.1", "::1") == ["DE", None]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        load_country(tmp_path / "absent.mmdb")

    assert caught.value.name.endswith("absent.mmdb")


@pytest.mark.parametrize("content", [b"", b"nothing", MARKER, MARKER + encode({"node_count": 1}), MARKER + encode([])])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceError):
        load_asn(write(tmp_path, content))


def test_a_tree_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    tree = bytes(6)  # one node, both sides itself
    path = write(tmp_path, tree + bytes(16) + MARKER + encode(metadata(1, 6, 24)))

    with pytest.raises(SourceError):
        load_country(path)


@settings(max_examples=60, deadline=None)  # the first call compiles the kernels
@given(st.data())
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(mmdb_bytes(COUNTRIES))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = write(tmp_path_factory.mktemp("damaged"), bytes(content[: data.draw(st.integers(0, len(content)))]))

    with contextlib.suppress(SourceError):
        load_country(path)
