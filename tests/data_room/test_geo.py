from __future__ import annotations

import numpy as np
import pytest

from tidegate.data.address import parse_address, parse_prefix
from tidegate.data.geo import AsnAttribute, GeoTable, Networks, asn_table, country_table


def networks(*rows: tuple[str, object]) -> Networks:
    parsed = [parse_prefix(cidr) for cidr, _ in rows]
    return Networks(
        np.array([words[0] for words, _ in parsed], np.uint64),
        np.array([words[1] for words, _ in parsed], np.uint64),
        np.array([length for _, length in parsed], np.int64),
        np.arange(len(rows)),
        [record for _, record in rows],
    )


def label(table: GeoTable, address: str) -> str | None:
    high, low = parse_address(address)
    (index,) = table.prefixes.lookup(np.array([high], np.uint64), np.array([low], np.uint64))
    return table.labels[index] if index >= 0 else None


def test_no_records_no_labels() -> None:
    table = country_table(networks())

    assert table.labels == ()
    assert label(table, "192.0.2.1") is None


@pytest.mark.parametrize(
    "record",
    [None, "DE", 7, [], {}, {"country": None}, {"country": "DE"}, {"country": {"iso_code": None}}, {"country": {}}],
)
def test_records_of_another_shape_count_as_unknown(record: object) -> None:
    assert country_table(networks(("192.0.2.0/24", record))).labels == ()


def test_equal_labels_are_held_once() -> None:
    record = {"autonomous_system_number": 64500, "autonomous_system_organization": ""}

    table = asn_table(networks(("192.0.2.0/24", record), ("2001:db8::/32", record)), AsnAttribute.BOTH)

    assert table.labels == ("64500",)
    assert [label(table, address) for address in ("192.0.2.1", "2001:db8::", "::")] == ["64500", "64500", None]


def test_two_records_of_one_network_are_refused() -> None:
    rows = [("192.0.2.0/24", {"autonomous_system_number": number}) for number in (1, 2)]

    with pytest.raises(ValueError, match="two labels"):
        asn_table(networks(*rows))
