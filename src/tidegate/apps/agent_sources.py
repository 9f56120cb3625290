"""The sockets that sampled packets come from, kept in step with the configuration and the interfaces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from tidegate.agent.config import AgentConfig, Direction, Setup, Source
from tidegate.agent.nft_rules import OWN_GROUP
from tidegate.agent.ports import Port
from tidegate.data.sampled import Packets
from tidegate.errors import ConfigError, SourceError
from tidegate.io.clock import Clock
from tidegate.io.mmsg import Receiving
from tidegate.io.packet_socket import PacketSocket, PacketTap
from tidegate.io.sample_socket import SampleSocket, open_nflog, open_psample

__all__ = ["SOURCE_OF_SETUP", "PacketSource", "PacketSources", "Watcher", "chosen_source", "nflog_groups"]

SOURCE_OF_SETUP = {Setup.TC: Source.PSAMPLE, Setup.NFT: Source.NFLOG}  # where what is set up makes packets come from

_LOG = logging.getLogger(__name__)
_BATCH = 256  # packets
_PSAMPLE_CHECK_NS = 2_000_000_000


class PacketSource(Protocol):
    """A socket that sampled packets come from."""

    def fileno(self) -> int:
        """Return what to wait for."""
        ...

    def read(self) -> list[Packets]:
        """Return packets that wait, without waiting."""
        ...

    def lost(self) -> int:
        """Return how many packets were lost since the last time, where their numbers do not show it."""
        ...

    def pause(self) -> None:
        """Let no more packets come; those that wait can be read."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def chosen_source(config: AgentConfig, *, has_samplers: Callable[[], bool]) -> Source:
    """Return where packets come from: what is configured, else what the machine has; `ConfigError`."""
    source = SOURCE_OF_SETUP.get(config.setup)
    if source is not None:
        if config.source not in {Source.AUTO, source}:
            raise ConfigError(
                "agent.setup", f"{config.setup.value} samples for {source.value}: leave out source, or leave out setup"
            )
        return source
    if config.source is not Source.AUTO:
        return config.source
    if config.nflog.groups:
        return Source.NFLOG
    return Source.PSAMPLE if has_samplers() else Source.PACKET


def nflog_groups(config: AgentConfig) -> tuple[int, ...]:
    """Return the groups to join: that of our own rules, else those that are named; `ConfigError`."""
    groups = (OWN_GROUP,) if config.setup is Setup.NFT else config.nflog.groups
    if not groups:
        raise ConfigError("agent.nflog.groups", "name the groups that your rules log to, or use --setup nft")
    return groups


class Watcher(Protocol):
    """Who reads the sockets; a key is the interface's index, 0 for the one socket of all."""

    def watch(self, key: int, source: PacketSource) -> None:
        """Read a socket from now on."""
        ...

    def drain(self, key: int, source: PacketSource) -> None:
        """Take all packets that wait at a socket which gets no more."""
        ...

    def unwatch(self, source: PacketSource) -> None:
        """Leave a socket alone from now on."""
        ...


class _Joined(msgspec.Struct, frozen=True):
    """What one socket of NFLOG is for."""

    groups: tuple[int, ...]
    octets: int


class PacketSources:
    """All sockets there are; what waits at one that is changed or closed is read first."""

    def __init__(
        self,
        source: Source,
        clock: Clock,
        watcher: Watcher,
        *,
        open_psample: Callable[[Clock], SampleSocket] = open_psample,
    ) -> None:
        self.source = source
        self._clock = clock
        self._watcher = watcher
        self._open_psample = open_psample
        self._receiving = Receiving(_BATCH)  # of all packet sockets: half a megabyte each would be much for a switch
        self._open: dict[int, PacketSource] = {}
        self._joined: _Joined | None = None
        self._works = False
        self._checked_ns = 0
        self._closed: dict[str, dict[str, int]] = {}
        self.problems: dict[str, str] = {}

    def update(self, config: AgentConfig, ports: Iterable[Port]) -> None:
        """Open and close sockets as it is wanted now; `SourceError` where the one socket of all cannot be had."""
        if self.source is Source.PACKET:
            self._update_taps(config, {port.index: port for port in ports})
        elif self.source is Source.PSAMPLE and not self._works:
            self._add(0, self._open_psample(self._clock))
            self._works = True
        elif self.source is Source.PSAMPLE and not self._open:
            self._join_again()
        elif self.source is Source.NFLOG:
            self._update_nflog(_Joined(nflog_groups(config), config.header_octets))

    def check(self, now_ns: int) -> None:
        """See now and then whether psample is still the one that was joined: its module may have been loaded anew."""
        if self.source is not Source.PSAMPLE or now_ns - self._checked_ns < _PSAMPLE_CHECK_NS:
            return
        self._checked_ns = now_ns
        current = self._open.get(0)
        if isinstance(current, SampleSocket) and current.is_current():
            return
        self.close()
        self._join_again()

    def close(self) -> None:
        """Close all; what they counted is told further on."""
        for key, one in list(self._open.items()):
            self._remove(key)
            self._closed |= self._counts(one)

    def statistics(self) -> dict[str, object]:
        """Return the counters of all sockets."""
        told: dict[str, object] = dict(self._closed)
        for one in self._open.values():
            told |= self._counts(one)
        return told

    def _counts(self, one: PacketSource) -> dict[str, dict[str, int]]:
        """Return what a socket counted, with what was counted before at one in its place."""
        if isinstance(one, SampleSocket):
            before = self._closed.get(self.source.value, {})
            return {self.source.value: {name: count + before.get(name, 0) for name, count in one.told().items()}}
        if isinstance(one, PacketSocket):
            return {one.tap.name: {"rate": one.tap.rate, "errors": one.errors}}
        return {}

    def _join_again(self) -> None:
        try:
            self._add(0, self._open_psample(self._clock))
        except SourceError as error:
            self._tell(error)
        else:
            self.problems.pop("psample", None)
            _LOG.warning("psample was loaded anew, and joined again")

    def _update_nflog(self, wanted: _Joined) -> None:
        """Join other groups, or the same for more octets; where that cannot be those before are joined again."""
        if wanted == self._joined:
            return
        before, self._joined = self._joined, None
        self.close()  # first: a group is one socket's
        try:
            self._join(wanted)
        except SourceError:
            if before is not None:
                self._join(before)
            raise

    def _join(self, wanted: _Joined) -> None:
        self._add(0, open_nflog(wanted.groups, self._clock, octets=wanted.octets))
        self._joined = wanted

    def _update_taps(self, config: AgentConfig, ports: dict[int, Port]) -> None:
        wanted = {index: _tap(port, config) for index, port in ports.items()}
        for key in [key for key in self._open if key not in wanted]:
            self._remove(key)
        refused = [refusal for index, tap in wanted.items() if (refusal := self._update_tap(index, tap)) is not None]
        if refused and not self._open and not self._works:
            raise refused[0]
        self._works = True
        still = {one.name for one in refused}
        self.problems = {name: text for name, text in self.problems.items() if name in still}
        for one in refused:
            self._tell(one)

    def _update_tap(self, index: int, tap: PacketTap) -> SourceError | None:
        """Open a socket, change it or leave it; return why that cannot be."""
        current = self._open.get(index)
        if isinstance(current, PacketSocket) and current.can_become(tap):
            if current.tap != tap:
                current.pause()
                self._watcher.drain(index, current)
                current.change(tap)
            return None
        if current is not None:
            self._remove(index)
        try:
            self._add(index, PacketSocket(tap, self._clock, self._receiving))
        except SourceError as error:
            return error
        return None

    def _tell(self, problem: SourceError) -> None:
        """Log what is wrong now and was not before."""
        if self.problems.get(problem.name) != str(problem):
            self.problems[problem.name] = str(problem)
            _LOG.error("%s", problem)

    def _add(self, key: int, source: PacketSource) -> None:
        self._open[key] = source
        self._watcher.watch(key, source)

    def _remove(self, key: int) -> None:
        source = self._open.pop(key)
        try:
            source.pause()
            self._watcher.drain(key, source)
        except OSError as error:  # such as of an interface that is gone
            _LOG.debug("%s", error)
        finally:
            self._watcher.unwatch(source)
            source.close()


def _tap(port: Port, config: AgentConfig) -> PacketTap:
    return PacketTap(
        index=port.index,
        name=port.name,
        rate=port.rate,
        layer=port.layer,
        octets=config.header_octets,
        ingress=config.direction is not Direction.EGRESS,
        egress=config.direction is not Direction.INGRESS,
    )
