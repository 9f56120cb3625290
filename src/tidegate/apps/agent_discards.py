"""Listening to the drop monitor on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from tidegate.agent.config import AgentConfig
from tidegate.agent.discards import Station
from tidegate.agent.exporter import Exporter
from tidegate.apps.agent_reading import Try
from tidegate.io.clock import Clock
from tidegate.io.drop_monitor import DropMonitor
from tidegate.wire.netlink.dropmon import Which

__all__ = ["DiscardReading"]

_LOG = logging.getLogger(__name__)
_MOST = 2000  # alerts of one look
_Wanted = tuple[int, tuple[Which, ...]]


class DiscardReading:
    """Gives alerts to the exporter; `taken` hears of each look, `tried` does what may fail."""

    def __init__(
        self,
        exporter: Exporter,
        clock: Clock,
        *,
        stations: Callable[[], Mapping[int, Station]],
        tried: Try,
        taken: Callable[[], object],
    ) -> None:
        self._exporter = exporter
        self._clock = clock
        self._stations = stations
        self._try = tried
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._monitor: DropMonitor | None = None
        self._wanted: _Wanted | None = None
        self._told: dict[str, object] = {}

    def update(self, config: AgentConfig) -> None:
        """Listen as it is configured, or no longer; `SourceError` where that cannot be."""
        wanted = _wanted(config)
        if wanted == self._wanted:
            return
        self.close()
        if wanted is None:
            return
        octets, which = wanted
        self._monitor = DropMonitor(octets=octets, which=which)
        self._wanted = wanted
        if self._monitor.passive:
            _LOG.info("the drop monitor runs already, as another program has set it up")
        self._loop.add_reader(self._monitor.fileno(), self._read)

    def check(self) -> None:
        """Start the monitor again where its owner has stopped it, and charge what was lost; `SourceError`."""
        if self._monitor is not None:
            self._exporter.discards.charge(self._monitor.lost())
            self._monitor.start()

    def close(self) -> None:
        """Read what waits, and end."""
        monitor, self._monitor, self._wanted = self._monitor, None, None
        if monitor is None:
            return
        self._loop.remove_reader(monitor.fileno())
        self._take(monitor)
        self._told = _counts(monitor)
        monitor.close()

    def statistics(self) -> dict[str, object]:
        """Return the counters of the monitor, also of one that has ended; none where there was none."""
        return self._told if self._monitor is None else _counts(self._monitor)

    def _read(self) -> None:
        monitor = self._monitor
        if monitor is not None:
            self._try("drop monitor", lambda: self._take(monitor))
            self._taken()

    def _take(self, monitor: DropMonitor) -> None:
        self._exporter.alerts(monitor.read(_MOST), self._clock.monotonic_ns(), stations=self._stations())


def _counts(monitor: DropMonitor) -> dict[str, object]:
    return {"drop_monitor": {"overflows": monitor.overflows, "passive": monitor.passive}}


def _wanted(config: AgentConfig) -> _Wanted | None:
    discards = config.discards
    chosen = ((Which.SOFTWARE, discards.software), (Which.HARDWARE, discards.hardware))
    return (config.header_octets, tuple(one for one, wanted in chosen if wanted)) if discards.enabled else None
