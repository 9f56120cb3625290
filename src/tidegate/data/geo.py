"""Country and autonomous system of addresses, from the records of a MaxMind-format database.

What comes in is an iterable of networks and records (`tidegate.io.mmdb` reads it from a file), what comes out a
`GeoTable`, looked up like a group. Records are those of GeoLite2 and GeoIP2 Country, City and ASN, and of databases
that use the same names. A record without what was asked for counts as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from ipaddress import IPv4Network, IPv6Network

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.data.address import MAPPED
from tidegate.data.prefixes import PrefixTable

__all__ = ["AsnAttribute", "CountryAttribute", "GeoTable", "Network", "asn_table", "country_table"]

Network = IPv4Network | IPv6Network
_LOW = (1 << 64) - 1


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


class GeoTable(msgspec.Struct, frozen=True, eq=False):
    """Labels of prefixes; index i of `prefixes` is `labels[i]`."""

    prefixes: PrefixTable
    labels: tuple[str, ...]

    def lookup(self, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the label index of each of n addresses, -1 where nothing is known."""
        return self.prefixes.lookup(high, low)


def country_table(
    records: Iterable[tuple[Network, object]], attribute: CountryAttribute = CountryAttribute.CODE
) -> GeoTable:
    """Return the table of countries; `ValueError` where one network has two records."""
    return _table(records, lambda record: _joined(*_country(record), attribute.value, ("code", "name")))


def asn_table(records: Iterable[tuple[Network, object]], attribute: AsnAttribute = AsnAttribute.NUMBER) -> GeoTable:
    """Return the table of autonomous systems; `ValueError` where one network has two records."""
    return _table(records, lambda record: _joined(*_asn(record), attribute.value, ("number", "descr")))


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


def _table(records: Iterable[tuple[Network, object]], label_of: Callable[[object], str]) -> GeoTable:
    numbers: dict[str, int] = {}
    rows = []
    for network, record in records:
        label = label_of(record)
        if label:
            value = int(network.network_address)
            ipv4 = isinstance(network, IPv4Network)
            words = (0, MAPPED | value) if ipv4 else (value >> 64, value & _LOW)
            rows.append((words, network.prefixlen + (96 if ipv4 else 0), numbers.setdefault(label, len(numbers))))
    labels = tuple(numbers)
    return GeoTable(PrefixTable.build(rows, labels), labels)
