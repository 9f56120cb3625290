"""MaxMind-format databases read from files; what is in them is for `tidegate.data.geo`.

Format: MaxMind DB File Format Specification 2.0. A database is read once, as a whole, and closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import maxminddb

from tidegate.data.geo import (
    AsnAttribute,
    CountryAttribute,
    GeoTable,
    Network,
    asn_table,
    country_table,
)
from tidegate.errors import SourceError

__all__ = ["load_asn", "load_country", "read_mmdb"]


def read_mmdb(path: Path) -> Iterator[tuple[Network, object]]:
    """Yield the networks of the database at `path` with their records; `SourceError` where it cannot be read."""
    try:
        with maxminddb.open_database(path, maxminddb.MODE_AUTO) as reader:
            left = 2 * (reader.metadata().node_count + 1)  # a tree has fewer leaves; a file may lie
            for network, record in reader:
                left -= 1
                if left < 0:
                    raise SourceError(str(path), "not a usable MaxMind database: its search tree has no end")
                yield network, record
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from None
    except (maxminddb.InvalidDatabaseError, ValueError, TypeError, RecursionError, UnicodeError) as error:
        raise SourceError(str(path), f"not a usable MaxMind database: {error}") from None


def load_country(path: Path, attribute: CountryAttribute = CountryAttribute.CODE) -> GeoTable:
    """Return the countries of the database at `path`; `SourceError` where it cannot be read."""
    try:
        return country_table(read_mmdb(path), attribute)
    except ValueError as error:
        raise SourceError(str(path), str(error)) from None


def load_asn(path: Path, attribute: AsnAttribute = AsnAttribute.NUMBER) -> GeoTable:
    """Return the autonomous systems of the database at `path`; `SourceError` where it cannot be read."""
    try:
        return asn_table(read_mmdb(path), attribute)
    except ValueError as error:
        raise SourceError(str(path), str(error)) from None
