"""What is looked up besides the sample: groups, maps, countries, autonomous systems, vendors, hosts, routing tables.

Tables are frozen; replacing one replaces it for every definition from the next batch on. Labels are texts that stand in
no sample: `Texts.words_of` sees to their octets.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from tidegate.data.forms import Form
from tidegate.data.geo import AsnAttribute, CountryAttribute, GeoTable
from tidegate.data.prefixes import PrefixTable
from tidegate.engine.definition import GroupTable, HostAttribute, MapTable
from tidegate.engine.routing import Routing, Ties, tie
from tidegate.engine.texts import Labels, Texts
from tidegate.engine.values import Memo, Value, by_text, exact_words, missing, text_value
from tidegate.kernel import I64, U64

__all__ = ["Lookups", "PrefixLabels", "ValueLabels", "by_address", "by_word"]


class PrefixLabels(msgspec.Struct, frozen=True, eq=False):
    """Labels of addresses: a group, or a table of countries or systems."""

    prefixes: PrefixTable
    labels: Labels


class ValueLabels:
    """Labels of values: a map."""

    def __init__(self, table: MapTable) -> None:
        self.labels = Labels(table.labels)
        self.by_value = {text: label for label, row in zip(table.labels, table.values, strict=True) for text in row}
        self._rows = [(text, number) for number, row in enumerate(table.values) for text in row]
        self._sorted: dict[tuple[Form, int], tuple[U64, I64]] = {}  # by form and seed

    def sorted_words(self, form: Form, texts: Texts) -> tuple[U64, I64]:
        """Return the words of the values in a form of one word, in order, and the numbers of their labels."""
        wanted = form, texts.seed
        if wanted not in self._sorted:
            found = [(exact_words(form, text, texts), number) for text, number in self._rows]
            pairs = sorted((words[0], number) for words, number in found if words is not None)
            self._sorted[wanted] = (
                np.array([word for word, _ in pairs], np.uint64),
                np.array([number for _, number in pairs], np.int64),
            )
        return self._sorted[wanted]


class Lookups(msgspec.Struct, frozen=True, eq=False):
    """All tables; names that are not there find nothing."""

    groups: Mapping[str, PrefixLabels] = {}
    maps: Mapping[str, ValueLabels] = {}
    countries: Mapping[CountryAttribute, PrefixLabels] = {}
    systems: Mapping[AsnAttribute, PrefixLabels] = {}
    vendors: Mapping[str, str] = {}  # six hexadecimal digits to name
    hosts: Mapping[str, Mapping[HostAttribute, str]] = {}  # address to what its host told
    routing: Ties | None = None  # agents and routers

    def with_group(self, name: str, group: GroupTable | None) -> Lookups:
        """Return the tables with a group put, or removed."""
        rest = {key: table for key, table in self.groups.items() if key != name}
        if group is not None:
            rest[name] = PrefixLabels(PrefixTable.build(group.prefixes, group.labels), Labels(group.labels))
        return msgspec.structs.replace(self, groups=rest)

    def with_map(self, name: str, table: MapTable | None) -> Lookups:
        """Return the tables with a map put, or removed."""
        rest = {key: old for key, old in self.maps.items() if key != name}
        if table is not None:
            rest[name] = ValueLabels(table)
        return msgspec.structs.replace(self, maps=rest)

    def with_countries(self, attribute: CountryAttribute, table: GeoTable) -> Lookups:
        """Return the tables with one of countries."""
        labels = PrefixLabels(table.prefixes, Labels(table.labels))
        return msgspec.structs.replace(self, countries={**self.countries, attribute: labels})

    def with_systems(self, attribute: AsnAttribute, table: GeoTable) -> Lookups:
        """Return the tables with one of autonomous systems."""
        labels = PrefixLabels(table.prefixes, Labels(table.labels))
        return msgspec.structs.replace(self, systems={**self.systems, attribute: labels})

    def with_routing(self, routing: Routing | None) -> Lookups:
        """Return the tables with agents tied to routers, or to none."""
        return msgspec.structs.replace(self, routing=None if routing is None else tie(routing))


def _pick(labels: Labels, numbers: I64, texts: Texts) -> Value:
    """Return the labels of rows, missing where the number is -1."""
    present = numbers >= 0
    if not present.any():
        return missing(len(numbers))
    words = np.zeros(len(numbers), np.uint64)
    words[present] = texts.words_of(labels, numbers[present])
    return text_value(words, present)


def by_address(value: Value, table: PrefixLabels, texts: Texts) -> Value:
    """Return the label of each address; missing where the value is no address."""
    if value.form is not Form.ADDRESS:
        return missing(len(value.present))
    found = table.prefixes.lookup(value.words[0], value.words[1])
    return _pick(table.labels, np.where(value.present, found, -1), texts)


def by_word(value: Value, table: ValueLabels, memo: Memo, texts: Texts) -> Value:
    """Return the label of each value in a map, compared as printed text."""
    if len(value.words) > 1 or value.absent is not None:
        return by_text([value], lambda parts: table.by_value.get(parts[0]), memo, texts)
    words, numbers = table.sorted_words(value.form, texts)
    if not len(words):
        return missing(len(value.present))
    place = np.minimum(np.searchsorted(words, value.words[0]), len(words) - 1)
    found = value.present & (words[place] == value.words[0])
    return _pick(table.labels, np.where(found, numbers[place], -1), texts)
