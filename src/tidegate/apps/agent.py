"""`tidegate agent`: sources, counters, the exporter and the collectors, joined on one event loop.

Packets and alerts are read as they come; the exporter turns them into datagrams, and what is due is sent to every
collector. Counters are read when `Polling` says so, interfaces are followed as the kernel tells of them. The loop waits
for no network and no name server: for the kernel's answers, for files of /proc, and for `nft` where rules change.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from tidegate.agent.address import choose_address, is_local, keep, parse_preferences
from tidegate.agent.config import AgentConfig, Setup, Source
from tidegate.agent.exporter import Exporter
from tidegate.agent.polling import Polled, Polling
from tidegate.agent.ports import Port, check_rates, known_interfaces, ports_of, unmatched
from tidegate.agent.sampling_plan import wanted_filters
from tidegate.apps.agent_discards import DiscardReading
from tidegate.apps.agent_interfaces import Interfaces
from tidegate.apps.agent_reading import Reading
from tidegate.apps.agent_setup import KernelSetup
from tidegate.apps.agent_sources import PacketSources, chosen_source, nflog_groups
from tidegate.data.block import Block
from tidegate.errors import SourceError, TidegateError
from tidegate.io.clock import Clock
from tidegate.io.collectors import Collectors, CollectorStatistics, Target
from tidegate.io.notify import notify
from tidegate.io.sample_socket import SampleSocket, has_samplers, open_psample

__all__ = ["Agent", "AgentStatus", "run_agent"]

_LOG = logging.getLogger(__name__)
_SECOND_NS = 1_000_000_000
_TICK_S = 1.0
_STATUS_S = 10
_SETUP_S = 15


class AgentStatus(msgspec.Struct, frozen=True):
    """Own counters, as the status file has them."""

    agent_address: str
    uptime_s: float
    source: str
    interfaces: dict[str, int]  # sampled, and 1 in how many
    counts: dict[str, int]
    sources: dict[str, object]
    collectors: list[CollectorStatistics]
    problems: dict[str, str]


class Agent:
    """One running agent. `sent` hears of every block of datagrams; `open_psample` joins the kernel's psample."""

    def __init__(
        self,
        config: AgentConfig,
        clock: Clock,
        *,
        sent: Callable[[Sequence[Block]], object] = lambda _: None,
        open_psample: Callable[[Clock], SampleSocket] = open_psample,
    ) -> None:
        self._open_psample = open_psample
        self._config = config
        self._clock = clock
        self._sent = sent
        self._seed = int.from_bytes(os.urandom(8), "big") >> 1
        self._started_ns = clock.monotonic_ns()
        self._stack = contextlib.ExitStack()
        self._collectors = Collectors(clock)
        self._address = b""
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._ticks = 0
        self._ports: tuple[Port, ...] = ()
        self._every = 1
        self._unmatched: tuple[str, ...] = ()
        self._problems: dict[str, str] = {}

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Sample and send until the block ends; `SourceError` and `ConfigError` where something cannot start."""
        with self._stack:
            self._start()
            try:
                yield
            finally:
                self._stop()

    def names(self) -> dict[int, str]:
        """Return the interfaces there are, by ifIndex."""
        return {index: link.name for index, link in self._interfaces.now.items()}

    def describe(self) -> list[str]:
        """Return what a user wants to know at the start."""
        lines = [f"agent {_text(self._address)}, packets from {self._sources.source.value}"]
        if self._sources.source is Source.PACKET or self._config.setup is not Setup.NONE:
            lines.append(
                "sampling " + (", ".join(f"{port.name} 1 in {port.rate}" for port in self._ports) or "nothing")
            )
        return lines + [f"sFlow to {one.target}" for one in self._collectors.statistics()]

    def status(self) -> AgentStatus:
        """Return the counters."""
        now_ns = self._clock.monotonic_ns()
        return AgentStatus(
            agent_address=_text(self._address),
            uptime_s=(now_ns - self._started_ns) / _SECOND_NS,
            source=self._sources.source.value,
            interfaces={port.name: port.rate for port in self._ports},
            counts=self._exporter.statistics(),
            sources={**self._sources.statistics(), **self._discards.statistics()},
            collectors=self._collectors.statistics(),
            problems={**self._sources.problems, **self._problems},
        )

    def reload(self, config: AgentConfig) -> None:
        """Take another configuration; sockets, numbers and counts that it leaves alone go on as they are.

        `ConfigError` where it is wrong: then nothing changes. What the machine refuses is told, and the rest done.
        """
        if (config.source, config.setup) != (self._config.source, self._config.setup):
            _LOG.warning("where packets come from changes at the next start only")
            config = msgspec.structs.replace(config, source=self._config.source, setup=self._config.setup)
        _check(config, self._sources.source)
        self._config = config
        now_ns = self._clock.monotonic_ns()
        self._try("agent address", self._choose_address)
        self._send(self._exporter.configure(config, agent_address=self._address, now_ns=now_ns))
        self._update_collectors()
        self._polling.set_interval(config.polling_s * _SECOND_NS, now_ns)
        self._try("drop monitor", lambda: self._discards.update(config))
        self._try("interfaces", lambda: self._interfaces.read_all(now_ns))
        self._try("sampling", self._follow_interfaces)
        self._try("sampling set up", lambda: self._setup.check(config, self._ports))
        self._arm()

    def _start(self) -> None:
        config = self._config
        _check(config, chosen_source(config, has_samplers=lambda: False))
        self._loop = asyncio.get_running_loop()
        self._interfaces = Interfaces()
        self._stack.callback(self._interfaces.close)
        self._setup = KernelSetup(config.setup)
        self._setup.warn_of_leftovers()
        self._stack.callback(self._setup.close)
        source = chosen_source(config, has_samplers=has_samplers)
        self._choose_address()
        if not self._address:
            raise SourceError("agent.address", "this machine has no usable address: set one, or name an interface")
        self._exporter = Exporter(
            config, source=source, agent_address=self._address, seed=self._seed, started_ns=self._started_ns
        )
        reading = Reading(self._exporter, self._clock, tried=self._try, taken=self._taken)
        self._sources = PacketSources(source, self._clock, reading, open_psample=self._open_psample)
        self._stack.callback(self._sources.close)
        self._discards = DiscardReading(
            self._exporter, self._clock, stations=self._interfaces.stations, tried=self._try, taken=self._taken
        )
        self._stack.callback(self._discards.close)
        self._polling = Polling(config.polling_s * _SECOND_NS, seed=self._seed)
        self._update_collectors()
        self._stack.callback(self._collectors.close)
        self._follow_interfaces()
        self._loop.add_reader(self._interfaces.changes.fileno(), self._try, "interfaces", self._changed)
        self._stack.callback(self._loop.remove_reader, self._interfaces.changes.fileno())
        self._discards.update(config)
        self._tick()

    def _stop(self) -> None:
        """End sampling, read what waits and send it; all else is closed by the stack."""
        for handle in (self._timer, self._tick_handle):
            if handle is not None:
                handle.cancel()
        for what, close in (
            ("sampling set up", self._setup.close), ("packets", self._sources.close), ("discards", self._discards.close)
        ):  # fmt: skip
            self._try(what, close)
        self._send(self._exporter.take(self._clock.monotonic_ns(), all_of_them=True))
        self._write_status()

    def _choose_address(self) -> None:
        """Choose the agent address, or stay with the one there is; one that is local gives way to any that is not."""
        addresses = self._interfaces.addresses()
        configured = self._config.address
        if not configured and self._address and not is_local(self._address) and keep(self._address, addresses):
            return
        preferences = parse_preferences(self._config.address_prefixes)
        chosen = choose_address(configured, addresses, self._interfaces.now.values(), preferences=preferences)
        if not chosen or chosen == self._address:
            return
        if self._address and is_local(chosen) and not configured:
            return  # the better one may come back; it is the agent's name meanwhile
        if self._address:
            _LOG.warning("the agent address changes from %s to %s", _text(self._address), _text(chosen))
        self._address = chosen

    def _update_collectors(self) -> None:
        self._collectors.update(
            Target(one.address, one.port, one.local_address, one.interface) for one in self._config.collectors
        )

    def _try(self, what: str, action: Callable[[], object]) -> None:
        """Do what the loop asks for; what goes wrong is told once, and tried again when it asks again."""
        try:
            action()
        except (TidegateError, OSError) as error:
            text = str(error) if isinstance(error, TidegateError) else f"{what}: {error.strerror}"
            if self._problems.get(what) != text:
                self._problems[what] = text
                _LOG.error("%s", text)
        else:
            self._problems.pop(what, None)

    def _changed(self) -> None:
        """Interfaces came, went or changed."""
        before = self._address
        if not self._interfaces.follow(self._clock.monotonic_ns()):
            return
        self._choose_address()
        if self._address != before:
            now_ns = self._clock.monotonic_ns()
            self._send(self._exporter.configure(self._config, agent_address=self._address, now_ns=now_ns))
        self._follow_interfaces()
        self._arm()

    def _follow_interfaces(self) -> None:
        now_ns = self._clock.monotonic_ns()
        config, speeds = self._config, self._interfaces.speeds
        ours = self._sources.source is Source.PACKET or config.setup is not Setup.NONE
        known = known_interfaces(self._interfaces.known(), speeds, config, rates_are_ours=ours)
        self._send(self._exporter.set_interfaces(known, now_ns))
        self._ports = ports_of(self._interfaces.now.values(), speeds, config) if ours else ()
        self._polling.update(self._interfaces.polled(), now_ns)
        self._tell_unmatched()
        # Filters of tc come before their reader: with the first of them the kernel loads psample. Rules of nft come
        # behind it: who cannot have the group, for another agent has it, leaves that agent's rules alone.
        steps = [self._setup.update, self._sources.update]
        for step in reversed(steps) if config.setup is Setup.NFT else steps:
            step(config, self._ports)

    def _tell_unmatched(self) -> None:
        """Say which names of interfaces fit none that is up; they may come."""
        names = unmatched(self._interfaces.now.values(), self._config)
        for name in names:
            if name not in self._unmatched:
                _LOG.warning("no interface is up that %s names; it is sampled as soon as there is one", name)
        self._unmatched = names

    def _taken(self) -> None:
        """Send what is due, after something was read."""
        self._send(self._exporter.take(self._clock.monotonic_ns()))
        self._arm()

    def _poll(self, polled: Polled) -> None:
        reading = self._interfaces.read(polled)
        if reading is not None:
            source, records = reading
            self._exporter.counters(source, polled.name, records, self._clock.monotonic_ns())

    def _tick(self) -> None:
        """Once a second: what no event brings about."""
        self._tick_handle = self._loop.call_later(_TICK_S, self._tick)
        now_ns = self._clock.monotonic_ns()
        self._try("psample", lambda: self._sources.check(now_ns))
        self._try("start of the drop monitor", self._discards.check)
        if self._interfaces.forget(now_ns):
            self._try("sampling", self._follow_interfaces)
        if self._ticks % _SETUP_S == _SETUP_S - 1:
            self._try("sampling set up", lambda: self._setup.check(self._config, self._ports))
        if self._ticks % _STATUS_S == 0:
            self._write_status()
        self._tell_load()
        self._ticks += 1
        self._arm()

    def _tell_load(self) -> None:
        every = self._exporter.sampler.every
        if (every > 1) is not (self._every > 1):
            if every > 1:
                most = self._config.most_samples
                _LOG.warning("more than %d samples a second: 1 in %d is sent, and stands for the others", most, every)
            else:
                _LOG.info("all samples are sent again")
        self._every = every

    def _arm(self) -> None:
        """Wake when the next thing is due."""
        deadlines = [one for one in (self._exporter.deadline(), self._polling.deadline()) if one is not None]
        if not deadlines:
            return
        at = self._loop.time() + max(min(deadlines) - self._clock.monotonic_ns(), 0) / _SECOND_NS
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._due)

    def _due(self) -> None:
        self._timer = None
        now_ns = self._clock.monotonic_ns()
        for polled in self._polling.step(now_ns):
            self._try("counters", partial(self._poll, polled))
        self._send(self._exporter.take(now_ns))
        self._arm()

    def _send(self, blocks: Sequence[Block]) -> None:
        if not blocks:
            return
        self._collectors.send(blocks)
        self._sent(blocks)

    def _write_status(self) -> None:
        if not self._config.status_file:
            return
        path = Path(self._config.status_file)
        try:
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_bytes(msgspec.json.format(msgspec.json.encode(self.status()), indent=2) + b"\n")
            fresh.replace(path)
        except OSError as error:
            _LOG.warning("%s cannot be written: %s", path, error.strerror)


async def run_agent(
    config: AgentConfig,
    *,
    clock: Clock,
    load: Callable[[], AgentConfig],
    ready: Callable[[Agent], object],
    sent: Callable[[Sequence[Block]], object] = lambda _: None,
) -> None:
    """Run until SIGINT or SIGTERM; SIGHUP loads the configuration again. What `sent` fails with ends it, too."""
    loop = asyncio.get_running_loop()
    stopping, wanted = asyncio.Event(), asyncio.Event()
    failed: list[OSError] = []

    def tell(blocks: Sequence[Block]) -> None:
        if failed:
            return
        try:
            sent(blocks)
        except OSError as error:  # whoever reads has enough, or a disk is full
            failed.append(error)
            stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, wanted.set)
    agent = Agent(config, clock, sent=tell)
    with agent.run():
        ready(agent)
        notify("READY=1")
        async with asyncio.TaskGroup() as tasks:
            reloading = tasks.create_task(_reload(agent, load, wanted))
            await stopping.wait()
            reloading.cancel()
        notify("STOPPING=1")
    if failed:
        raise failed[0]


async def _reload(agent: Agent, load: Callable[[], AgentConfig], wanted: asyncio.Event) -> None:
    """Load the configuration again whenever it is wanted; a file may be slow, so it is read on a thread."""
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            agent.reload(await asyncio.to_thread(load))
        except (TidegateError, OSError) as error:
            _LOG.error("the configuration was not loaded again, the former goes on: %s", error)
        else:
            _LOG.info("the configuration was loaded again: %s", "; ".join(agent.describe()))


def _check(config: AgentConfig, source: Source) -> None:
    """Refuse what cannot be meant where packets come from this source; `ConfigError`."""
    check_rates(config)
    parse_preferences(config.address_prefixes)
    if config.setup is Setup.TC:
        wanted_filters(0, "", rate=1, config=config)
    choose_address(config.address, (), ())
    if source is Source.NFLOG:
        nflog_groups(config)


def _text(address: bytes) -> str:
    return str(ipaddress.ip_address(address)) if address else ""
