"""Fuzz routing tables: `.venv/bin/python fuzz/bgp_table.py fuzz/corpus/bgp_table -max_total_time=600`.

The first octet of an input says how wide addresses are, whether routes have path identifiers and how small pieces of
work are; the rest is a history, five octets a step: routes announced and withdrawn, all marked, what is still marked
swept, work done or left. A table is what a dict is, its longest matches are those of a list, and nothing it forgot is
kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
KERNELS = [
    "tidegate.octets",
    "tidegate.data.route_kernels",
    "tidegate.data.address",
]  # instrumented, kernels would not compile

with atheris.instrument_imports(include=["tidegate"], exclude=KERNELS):
    from route_changes import Change, Key, is_mapped, longest, naive_longest, take, tired_after
    from tidegate.data import route_kernels
    from tidegate.data.route_table import RouteTable
    from tidegate.kernel import compile_kernels
    from tidegate.wire.cursor import Reader

PIECES = (1, 5, 40, 20_000)
STEP_OCTETS = 5


def check(condition: object, what: object = "") -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError(what)


class Twin:
    """A table and the dict that says what must be in it; a route marked is one whose value is negative."""

    def __init__(self, width: int, *, with_path_id: bool) -> None:
        self.table = RouteTable(width)
        self.known: dict[Key, int] = {}
        self.stale: set[Key] = set()
        self._width = width
        self._with_path_id = with_path_id

    def step(self, octets: bytes) -> None:
        """Do one step of a history."""
        what, high, low, length, rank = octets
        if what >= 250:
            self.table.mark_stale()
            self.stale = set(self.known)
        elif what >= 245:
            self.table.sweep()
            for key in self.stale:
                self.known.pop(key, None)
            self.stale.clear()
        elif what >= 240:
            self.table.work()
        else:
            self._change(what, high << 8 | low, length, rank)

    def _change(self, what: int, ends: int, length: int, rank: int) -> None:
        bits = 8 * self._width
        address = ends >> 8 << bits - 8 | (ends & 0xFF if what & 8 else (ends & 0xFF) << bits - 16)
        length %= bits + 1
        address = address >> bits - length << bits - length
        change: Change = (address, length, what & 3, None if what & 4 else rank % 4)
        take(self.table, [change], with_path_id=self._with_path_id)
        key = (address, length, what & 3 if self._with_path_id else 0)
        self.stale.discard(key)
        if change[3] is None:
            self.known.pop(key, None)
        else:
            self.known[key] = change[3]

    def compare(self) -> None:
        """See that table and dict say the same."""
        self.table.finish()
        held = [((one.prefix, one.length, one.path_id), one.attributes[0]) for one in self.table.held()]
        check(dict(held) == self.known, (held, self.known))
        check(len(held) == len(self.table) == len(self.known))
        check(self.table.stale == len(self.stale), (self.table.stale, self.stale))
        check(held == sorted(held, key=lambda one: (one[0][:2], one[1], one[0][2])), held)
        check(self.table.prefixes == len({key[:2] for key in self.known}))
        check(len(self.table.sets) == len(set(self.known.values())))
        asked = [near for address, _, _ in self.known for near in (address, address ^ 1, address ^ 255)]
        asked = [address for address in asked if not is_mapped(address, self._width)]
        found = longest(self.table, asked)
        check(found == [naive_longest(self.known, address, self._width) for address in asked], (asked, found))


def one_input(data: bytes) -> None:
    """Let a history happen."""
    if len(data) < 1 + STEP_OCTETS:
        return
    reader = Reader(data)
    choice = reader.u8()
    twin = Twin(16 if choice & 1 else 4, with_path_id=bool(choice & 2))
    with tired_after(PIECES[choice >> 2 & 3]):
        steps = 0
        while len(reader) >= STEP_OCTETS:
            twin.step(reader.take(STEP_OCTETS))
            steps += 1
            if steps % 16 == 0:
                twin.compare()
        twin.compare()


if __name__ == "__main__":
    list(compile_kernels(route_kernels.KERNELS))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
