"""Groups and maps as users put them: labels, each with a list of prefixes or of values.

A prefix or value may have one label; the same one under two labels is an error that names both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from tidegate.data.address import Words, parse_prefix
from tidegate.engine.coerce import shown, text
from tidegate.engine.definition import GroupTable, MapTable
from tidegate.errors import TextError

__all__ = ["describe_group", "describe_map", "parse_group", "parse_map"]


def _rows(spec: object) -> dict[str, tuple[str, ...]]:
    """Labels and the texts below each."""
    if not isinstance(spec, Mapping):
        raise TextError(shown(spec), 0, "expected an object of labels, each with a list")
    rows: dict[str, tuple[str, ...]] = {}
    for label, items in spec.items():
        listed = items if isinstance(items, list | tuple) else [items]
        rows[str(label)] = tuple(text(f"label {str(label)[:64]}", item).strip() for item in listed)
    return rows


def _prefix(label: str, cidr: str) -> tuple[Words, int]:
    try:
        return parse_prefix(cidr)
    except ValueError:
        raise TextError(cidr[:100], 0, f"label {label[:64]}: this is no prefix and no address", _advice(cidr)) from None


def _advice(cidr: str) -> str:
    try:
        return f"bits are set behind its length; did you mean {ipaddress.ip_network(cidr, strict=False)}?"
    except ValueError:
        return "such as 10.0.0.0/8, FC00::/7 or 192.0.2.1"


def parse_group(name: str, spec: Mapping[str, object]) -> GroupTable:
    """Return the group that `spec`, an object of labels and lists of CIDRs or addresses, describes."""
    rows = _rows(spec)
    labels = tuple(rows)
    owners: dict[tuple[Words, int], int] = {}
    for index, (label, cidrs) in enumerate(rows.items()):
        for cidr in cidrs:
            owner = owners.setdefault(_prefix(label, cidr), index)
            if owner != index:
                raise TextError(cidr, 0, f"labels {labels[owner][:64]} and {label[:64]} both have this prefix")
    prefixes = tuple((words, length, index) for (words, length), index in owners.items())
    return GroupTable(name, labels, prefixes, tuple(rows.values()))


def describe_group(group: GroupTable) -> dict[str, list[str]]:
    """Return labels and prefixes as the user wrote them."""
    return {label: list(cidrs) for label, cidrs in zip(group.labels, group.texts, strict=True)}


def parse_map(name: str, spec: Mapping[str, object]) -> MapTable:
    """Return the map that `spec`, an object of labels and lists of values, describes."""
    rows = _rows(spec)
    owners: dict[str, str] = {}
    for label, values in rows.items():
        for value in values:
            owner = owners.setdefault(value, label)
            if owner != label:
                raise TextError(value[:100], 0, f"labels {owner[:64]} and {label[:64]} both have this value")
    return MapTable(name, tuple(rows), tuple(tuple(dict.fromkeys(values)) for values in rows.values()))


def describe_map(table: MapTable) -> dict[str, list[str]]:
    """Return labels and values."""
    return {label: list(values) for label, values in zip(table.labels, table.values, strict=True)}
