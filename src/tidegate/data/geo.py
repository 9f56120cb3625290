"""Country and autonomous system of addresses, from the records of a MaxMind-format database.

What comes in are networks and records (`tidegate.io.mmdb` reads them from a file), what comes out a `GeoTable`,
looked up like a group. Records are those of GeoLite2 and GeoIP2 Country, City and ASN, and of databases
that use the same names. A record without what was asked for counts as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.data.prefixes import PrefixTable

__all__ = ["AsnAttribute", "CountryAttribute", "GeoTable", "Networks", "asn_table", "country_table"]


class CountryAttribute(Enum):
    """What is told of a country."""

    CODE = "code"  # ISO 3166-1 alpha-2
    NAME = "name"  # in English
    BOTH = "both"  # code, space, name


class AsnAttribute(Enum):
    """What is told of an autonomous system."""

    NUMBER = "number"
    DESCR = "descr"
    BOTH = "both"  # number, space, description


class Networks(msgspec.Struct, frozen=True, eq=False):
    """Networks of n rows, and the records that they point to."""

    high: NDArray[np.uint64]  # first address, see data/address.py
    low: NDArray[np.uint64]
    length: NDArray[np.int64]  # bits, IPv4 plus 96
    record: NDArray[np.int64]  # index into `records`
    records: Iterable[object]  # read once, from the first to the last


class GeoTable(msgspec.Struct, frozen=True, eq=False):
    """Labels of prefixes; index i of `prefixes` is `labels[i]`."""

    prefixes: PrefixTable
    labels: tuple[str, ...]


def country_table(networks: Networks, attribute: CountryAttribute = CountryAttribute.CODE) -> GeoTable:
    """Return the table of countries; `ValueError` where one network has two."""
    return _table(networks, lambda record: _joined(*_country(record), attribute.value, ("code", "name")))


def asn_table(networks: Networks, attribute: AsnAttribute = AsnAttribute.NUMBER) -> GeoTable:
    """Return the table of autonomous systems; `ValueError` where one network has two."""
    return _table(networks, lambda record: _joined(*_asn(record), attribute.value, ("number", "descr")))


def _part(record: object, name: str) -> object:
    return record.get(name) if isinstance(record, Mapping) else None


def _country(record: object) -> tuple[object, object]:
    country = _part(record, "country") or _part(record, "registered_country")
    return _part(country, "iso_code"), _part(_part(country, "names"), "en")


def _asn(record: object) -> tuple[object, object]:
    return _part(record, "autonomous_system_number"), _part(record, "autonomous_system_organization")


def _joined(first: object, second: object, wanted: str, names: tuple[str, str]) -> str:
    """Return one or both parts as text, empty where there is nothing."""
    parts = [part for part, name in zip((first, second), names, strict=True) if wanted in (name, "both")]
    return " ".join(str(part) for part in parts if isinstance(part, str | int) and part != "")


def _table(networks: Networks, label_of: Callable[[object], str]) -> GeoTable:
    numbers: dict[str, int] = {"": -1}
    by_record = [numbers.setdefault(label_of(record), len(numbers) - 1) for record in networks.records]
    label = np.array(by_record, np.int64)[networks.record]
    known = label >= 0
    labels = tuple(numbers)[1:]
    prefixes = PrefixTable.of_arrays(
        networks.high[known],
        networks.low[known],
        length=networks.length[known],
        label=label[known],
        labels=labels,
    )
    return GeoTable(prefixes, labels)
