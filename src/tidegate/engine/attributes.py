"""What data sources and hosts tell of themselves, and thresholds that look at it.

A threshold's filter names attributes and the values that each may have. An attribute is looked up at the data source
itself, then at its agent's host (`2.1`), so that `os_name=linux` holds for every interface of a Linux switch. `*` in a
value stands for any characters; numbers are equal whatever their spelling.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

import numpy as np

from tidegate.data.address import Words, format_address
from tidegate.engine.definition import HostAttribute, Threshold
from tidegate.kernel import I64, Flags

__all__ = ["Attributes"]

_REFRESH_NS = 10_000_000_000  # counters samples of one source are read again after so long
_HOST = "2.1"
_HOST_NAMES = {attribute.value: attribute for attribute in HostAttribute}


class Attributes:
    """What is known, by number of the data source; room for `sources` of them."""

    def __init__(self, sources: int) -> None:
        self.version = 0  # grows with each change
        self.hosts: dict[str, dict[HostAttribute, str]] = {}  # by address of the agent and MAC of an adapter
        self._told: dict[int, dict[str, str]] = {}
        self._host_of: dict[Words, int] = {}  # number of an agent's 2.1
        self._agent: dict[int, Words] = {}
        self._read_ns = np.zeros(sources, np.int64)

    def due(self, numbers: I64, times_ns: I64) -> I64:
        """Return the rows of counters samples that are worth reading, and take them as read."""
        known = np.flatnonzero(numbers >= 0)
        due = known[times_ns[known] - self._read_ns[numbers[known]] >= _REFRESH_NS]
        self._read_ns[numbers[due]] = times_ns[due]
        return due

    def note(self, number: int, place: tuple[Words, str], told: Mapping[str, str], macs: Sequence[str]) -> None:
        """Take what a data source tells: `place` is its agent and its text."""
        agent, source = place
        before = self._told.get(number, {})
        after = {**before, **told}
        self._agent[number] = agent
        if source == _HOST:
            self._host_of[agent] = number
            mine = {_HOST_NAMES[name]: text for name, text in after.items() if name in _HOST_NAMES}
            for key in (format_address(*agent), *macs):
                self.hosts[key] = mine
        if after != before:
            self._told[number] = after
            self.version += 1

    def of(self, number: int) -> dict[str, str]:
        """Return the attributes of a data source, those of its agent's host behind its own."""
        host = self._host_of.get(self._agent.get(number, (0, 0)), -1)
        return self._told.get(host, {}) | self._told.get(number, {})

    def allowed(self, threshold: Threshold, sources: int) -> Flags:
        """Return which of so many data sources a threshold looks at."""
        if not threshold.filter:
            return np.ones(sources, np.bool_)
        allowed = np.zeros(sources, np.bool_)
        for number in self._agent:
            mine = self.of(number)
            allowed[number] = all(
                any(_matches(mine.get(name), value) for value in values) for name, values in threshold.filter
            )
        return allowed


def _matches(text: str | None, wanted: str) -> bool:
    if text is None:
        return False
    if "*" in wanted:
        return fnmatch.fnmatchcase(text, wanted.replace("[", "[[]"))
    return text == wanted or _number(text) == _number(wanted) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
