"""From sampled packets to flow samples: sequence numbers, pools and drops of every data source, and sub-sampling.

In go batches of packets, as rows (`data/sampled.py`), and the interfaces there are; out come picks
(`wire/sflow/pack.py`). Each interface is a data source of type 0; packets of which no interface is known are those of
source 0:0, all ports as one. Sources keep their numbers as long as their interface is there under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from tidegate.agent.sampling_kernels import NONE, SEVERAL, Book, Group, GroupDirection, Kept, account, place_group
from tidegate.agent.shedding import Shedding
from tidegate.data.sampled import Row
from tidegate.kernel import I64, U8
from tidegate.wire.sflow.pack import Pick

__all__ = ["EXPANDED_FROM", "KnownInterface", "Sampler"]

_GROUPS = 256
EXPANDED_FROM = 1 << 24  # index that a compact data source has no room for
_GREATEST = (1 << 31) - 1  # ifIndex
_MOST_LEARNT = 1 << 16  # interfaces of a recording


class KnownInterface(msgspec.Struct, frozen=True):
    """What the sampler needs to know of an interface."""

    index: int
    name: str
    layer: int = 0  # what its packets begin with: 2 a MAC header, 3 a network header, 0 not known
    least: int = 0  # packets that a sample is to stand for at least; 0: as the kernel has it


class Sampler:
    """The books of all groups and data sources; one thread's."""

    def __init__(self, *, seed: int, most_samples: int, rate_untold: int = 1) -> None:
        self._groups = np.zeros((_GROUPS, len(Group)), np.int64)
        self._counts = np.zeros(2, np.int64)
        self._books = np.zeros((16, len(Book)), np.int64)
        self._slots: dict[tuple[int, str], int] = {}
        self._free = list(range(15, 0, -1))  # the first is for what is not known
        self._random = np.array([seed | 1], np.uint64)
        self._tally = np.zeros(len(Kept), np.int64)
        self._shedding = Shedding(most_samples)
        self._known: dict[int, KnownInterface] = {}
        self._rate_untold = rate_untold
        self._ignored = np.empty(0, np.int64)
        self.set_interfaces(())

    def set_limits(self, *, most_samples: int, rate_untold: int) -> None:
        """Change how many samples a second are sent at most, and the rate of packets that tell none."""
        self._shedding.most = most_samples
        self._rate_untold = rate_untold

    def set_groups(self, directions: Mapping[int, GroupDirection]) -> None:
        """Tell what groups mean; of others each packet tells."""
        self._groups[:, Group.DIRECTION] = GroupDirection.TOLD
        ignored = [number for number, direction in directions.items() if direction is GroupDirection.IGNORED]
        self._ignored = np.array(ignored, np.int64)
        for number, direction in directions.items():
            place = self._place(number)
            if place >= 0:
                self._groups[place, Group.DIRECTION] = direction

    def set_interfaces(self, known: Sequence[KnownInterface]) -> None:
        """Replace the interfaces there are; data sources of those that are gone are forgotten."""
        ordered = sorted(known, key=lambda one: one.index)
        self._known = {one.index: one for one in ordered}
        wanted = {(one.index, one.name) for one in ordered}
        for key in [key for key in self._slots if key not in wanted]:
            self._free.append(self._slots.pop(key))
        self._numbers = np.array([one.index for one in ordered], np.int64)
        self._low_halves = np.full(1 << 16, NONE, np.int32)
        self._about = np.zeros((len(ordered), 2), np.int64)
        for place, one in enumerate(ordered):
            low = one.index & 0xFFFF
            self._low_halves[low] = place if self._low_halves[low] == NONE else SEVERAL
            self._about[place] = one.layer, self._slot(one)

    def learn(self, rows: I64, count: int) -> None:
        """Take every interface that packets name for one that there is: for recordings, which have no list of them."""
        seen = np.unique(rows[:count, [Row.INPUT, Row.OUTPUT]])
        told = set(seen[(seen > 0) & (seen <= _GREATEST)].tolist()) - self._known.keys()
        fresh = [KnownInterface(index, "") for index in sorted(told)[: _MOST_LEARNT - len(self._known)]]
        if fresh:
            self.set_interfaces([*self._known.values(), *fresh])

    def forget_numbers(self) -> None:
        """Take the next number of every group for its first: packets come anew, and what came before says nothing."""
        self._groups[:, Group.LAST] = -1
        self._groups[:, Group.CREDIT] = 0

    def charge(self, group: int, drops: int) -> None:
        """Enter packets of a group that were sampled and lost; the group's next packet tells of them."""
        place = self._place(group)
        if place >= 0:
            self._groups[place, Group.PENDING] += drops
        else:
            self._books[0, Book.DROPS] = (self._books[0, Book.DROPS] + drops) & 0xFFFFFFFF
        self._tally[Kept.LOST] += drops

    def step(self, data: U8, rows: I64, count: int, now_ns: int) -> I64:
        """Book packets that were read up to now (monotonic) and return picks (n, Pick); `rows` may be changed."""
        every = self._shedding.step(count - self._ignored_among(rows, count), now_ns)
        picks = np.empty((count, len(Pick)), np.int64)
        picked = account(
            data, rows, count, self._groups, self._counts, self._numbers, self._low_halves, self._about, self._books,
            self._rate_untold, every, self._random, picks, self._tally,
        )  # fmt: skip
        return picks[:picked]

    @property
    def every(self) -> int:
        """Packets that stand for one that is taken, by load."""
        return self._shedding.every

    @property
    def needs_expanded(self) -> bool:
        """Whether an interface has a number that compact samples cannot hold."""
        return len(self._numbers) > 0 and int(self._numbers[-1]) >= EXPANDED_FROM

    def statistics(self) -> dict[str, int]:
        """Return what became of packets so far."""
        return {kept.name.lower(): int(self._tally[kept]) for kept in Kept}

    def _ignored_among(self, rows: I64, count: int) -> int:
        return int(np.isin(rows[:count, Row.GROUP], self._ignored).sum()) if len(self._ignored) else 0

    def _place(self, number: int) -> int:
        return place_group(self._groups, self._counts, self._books, number)

    def _slot(self, interface: KnownInterface) -> int:
        key = (interface.index, interface.name)
        slot = self._slots.get(key)
        if slot is None:
            if not self._free:
                size = len(self._books)
                self._books = np.concatenate([self._books, np.zeros_like(self._books)])
                self._free = list(range(2 * size - 1, size - 1, -1))
            slot = self._slots[key] = self._free.pop()
            self._books[slot] = 0
            self._books[slot, Book.INDEX] = interface.index
        self._books[slot, Book.LEAST] = interface.least
        return slot
