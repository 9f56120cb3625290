"""Reading the sockets of sampled packets on the event loop.

A socket that becomes readable is read until it is empty, and then left alone for some milliseconds, so that under
load a batch holds many packets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidegate.agent.exporter import Exporter
from tidegate.apps.agent_sources import PacketSource
from tidegate.io.clock import Clock

__all__ = ["Reading", "Try"]

_REST_S = 0.004  # between two looks at a socket
_MOST_BATCHES = 32  # of one look, so that nothing else waits long

Try = Callable[[str, Callable[[], object]], None]


class Reading:
    """Gives what is read to the exporter; `taken` hears of each look, `tried` does what may fail."""

    def __init__(self, exporter: Exporter, clock: Clock, *, tried: Try, taken: Callable[[], object]) -> None:
        self._exporter = exporter
        self._clock = clock
        self._try = tried
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._resting: dict[int, asyncio.TimerHandle] = {}

    def watch(self, key: int, source: PacketSource) -> None:
        """Read a socket from now on; the numbers of its packets have nothing to do with those before."""
        self._exporter.sampler.forget_numbers()
        self._add(key, source)

    def unwatch(self, source: PacketSource) -> None:
        """Leave a socket alone from now on."""
        self._loop.remove_reader(source.fileno())
        handle = self._resting.pop(source.fileno(), None)
        if handle is not None:
            handle.cancel()

    def drain(self, key: int, source: PacketSource) -> None:
        """Take all packets that wait at a socket which gets no more."""
        while self._take(key, source):
            self._taken()
        self._taken()

    def _add(self, key: int, source: PacketSource) -> None:
        self._loop.add_reader(source.fileno(), self._read, key, source)

    def _read(self, key: int, source: PacketSource) -> None:
        self._try("packets", lambda: self._look(key, source))
        descriptor = source.fileno()
        self._loop.remove_reader(descriptor)
        self._resting[descriptor] = self._loop.call_later(_REST_S, self._rested, key, source)
        self._taken()

    def _rested(self, key: int, source: PacketSource) -> None:
        self._resting.pop(source.fileno(), None)
        self._add(key, source)

    def _look(self, key: int, source: PacketSource) -> None:
        for _ in range(_MOST_BATCHES):
            if not self._take(key, source):
                return

    def _take(self, key: int, source: PacketSource) -> bool:
        """Take a batch; return whether there was one."""
        batches = source.read()
        if lost := source.lost():
            self._exporter.sampler.charge(key, lost)
        now_ns = self._clock.monotonic_ns()
        for packets in batches:
            self._exporter.packets(packets, now_ns)
        return bool(batches)
