"""`tidegate agent --replay`: recorded netlink messages to the datagrams that the agent would send, as a capture file.

Time is that of the recording: each message goes through the same core as a live one, at the moment it tells of;
messages that tell none come at the moment of the one before. Interfaces are those that the messages name. Packets are
not left out for load: what is recorded is wanted.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from tidegate.agent.config import AgentConfig, Source
from tidegate.agent.exporter import Exporter
from tidegate.data.block import Block, block_of
from tidegate.data.sampled import Packets, Row
from tidegate.errors import ConfigError, DecodeError, SourceError
from tidegate.wire.capture.write import Endpoint, pcap_header, pcap_record
from tidegate.wire.netlink.dropmon import is_packet_alert, read_alert
from tidegate.wire.netlink.message import Message, split_messages
from tidegate.wire.netlink.nflog import NFLOG
from tidegate.wire.netlink.samples import SampleReader

__all__ = ["Recorded", "ReplayedAgent", "describe_replayed", "replay_recording"]

T = TypeVar("T")

_MOST_OCTETS = 1 << 31
_PORT = 6343
_ALL = 10_000_000  # a second
_ADDRESS = "127.0.0.1"  # the agent's, where none is configured: the recording may be of another machine
_LATEST_NS = (1 << 32) * 1_000_000_000 - 1  # a pcap file has 32 bits for seconds


class Recorded(Enum):
    """Whose messages a recording holds."""

    PSAMPLE = "psample"
    NFLOG = "nflog"
    DROPMON = "dropmon"


class ReplayedAgent(msgspec.Struct, frozen=True):
    """What a recording came to."""

    messages: dict[str, int]  # by what became of them
    statistics: dict[str, int]
    datagrams: int
    damage: str  # why reading ended before the end of the file, else empty


def replay_recording(
    recording: Path,
    kind: Recorded,
    config: AgentConfig,
    *,
    output: Path | None,
    sent: Callable[[Sequence[Block]], object] = lambda _: None,
) -> ReplayedAgent:
    """Read a recording and write the capture, if one is wanted; `sent` hears of all blocks of datagrams.

    `SourceError` where a file cannot be read or written, `ConfigError` where the agent address is an interface's.
    """
    octets = _read(recording)
    try:
        address = ipaddress.ip_address(config.address or _ADDRESS).packed
    except ValueError:
        raise ConfigError("agent.address", f"{config.address!r} is no address; a replay needs one, or none") from None
    config = msgspec.structs.replace(config, most_samples=_ALL)
    exporter = Exporter(config, source=_SOURCES[kind], agent_address=address, seed=1, started_ns=0)
    with _opened(output) as out:
        writing = _Writing(out, config, address, sent)
        if kind is Recorded.DROPMON:
            told, damage = _replay_alerts(octets, exporter, writing)
        else:
            family = NFLOG if kind is Recorded.NFLOG else 0
            told, damage = _replay_packets(octets, family, exporter, writing)
    return ReplayedAgent(told, exporter.statistics(), writing.datagrams, damage)


@contextlib.contextmanager
def _opened(output: Path | None) -> Iterator[Callable[[bytes], object]]:
    """Give what writes to a file, or nowhere; `SourceError` where the file cannot be written."""
    if output is None:
        yield lambda _: None
        return

    def tried(action: Callable[[], T]) -> T:
        try:
            return action()
        except OSError as error:
            raise SourceError(str(output), f"cannot be written: {error.strerror}") from None

    out = tried(lambda: output.open("wb"))
    try:
        yield lambda octets: tried(lambda: out.write(octets))
    finally:
        tried(out.close)


_SOURCES = {Recorded.PSAMPLE: Source.PSAMPLE, Recorded.NFLOG: Source.NFLOG, Recorded.DROPMON: Source.NONE}


class _Writing:
    """The capture, and the clock of the recording."""

    def __init__(
        self,
        out: Callable[[bytes], object],
        config: AgentConfig,
        agent_address: bytes,
        sent: Callable[[Sequence[Block]], object],
    ) -> None:
        self._out = out
        self._sent = sent
        self._source, self._target = _endpoints(config, agent_address)
        self._first_ns: int | None = None
        self.now_ns = 0
        self.datagrams = 0
        out(pcap_header())

    def arrive(self, time_ns: int) -> int:
        """Enter the moment that a message tells (wall clock) and return it on a clock that never goes back."""
        if time_ns > 0:
            if self._first_ns is None:
                self._first_ns = min(time_ns, _LATEST_NS)
            self.now_ns = max(self.now_ns, min(time_ns, _LATEST_NS) - self._first_ns)
        return self.now_ns

    def write(self, blocks: Sequence[Block], now_ns: int) -> None:
        self._sent(blocks)
        for block in blocks:
            for row in range(len(block)):
                start = int(block.offset[row])
                payload = block.data[start : start + int(block.length[row])].tobytes()
                wall_ns = (self._first_ns or 0) + now_ns
                self._out(pcap_record(payload, wall_ns, source=self._source, target=self._target))
                self.datagrams += 1

    def write_due(self, exporter: Exporter, now_ns: int) -> None:
        """Write what was due before a moment, at the time it was due."""
        deadline = exporter.deadline()
        if deadline is not None and deadline <= now_ns:
            self.write(exporter.take(deadline), deadline)


def describe_replayed(result: ReplayedAgent) -> str:
    """Return one line for the user."""
    messages = ", ".join(f"{count} {name}" for name, count in result.messages.items() if count) or "nothing"
    lost = result.statistics["packets_lost"] + result.statistics["discards_suppressed_or_lost"]
    line = f"{messages}; {result.statistics['samples']} samples in {result.datagrams} datagrams, {lost} drops"
    if result.damage:
        return f"{line}; {result.damage}"
    if not (result.messages.get("samples") or result.messages.get("alerts")):
        return f"{line}; no message is about a packet: is it a recording of another --source?"
    return line


def _endpoints(config: AgentConfig, agent_address: bytes) -> tuple[Endpoint, Endpoint]:
    """Return from where to where the datagrams go: to the first collector, else to this machine."""
    source = ipaddress.ip_address(agent_address)
    target = ipaddress.ip_address("127.0.0.1" if source.version == 4 else "::1")
    port = _PORT
    if config.collectors:
        port = config.collectors[0].port
        with contextlib.suppress(ValueError):  # a name
            target = ipaddress.ip_address(config.collectors[0].address)
    if target.version != source.version:
        source = ipaddress.ip_address("::" if target.version == 6 else "0.0.0.0")  # noqa: S104 - written, not listened on
    return Endpoint(source.packed, _PORT), Endpoint(target.packed, port)


def _read(recording: Path) -> bytes:
    try:
        if recording.stat().st_size > _MOST_OCTETS:
            raise SourceError(str(recording), "larger than 2 GiB: split it")
        octets = recording.read_bytes()
    except OSError as error:
        raise SourceError(str(recording), error.strerror or str(error)) from None
    if not octets:
        raise SourceError(str(recording), "the file is empty")
    return octets


def _replay_packets(octets: bytes, family: int, exporter: Exporter, writing: _Writing) -> tuple[dict[str, int], str]:
    reader = SampleReader(family)
    for packets in reader.read(block_of([octets], [0])):
        exporter.learn(packets)
        for first, last in _moments(packets):
            now_ns = writing.arrive(int(packets.rows[first, Row.TIME]))
            writing.write_due(exporter, now_ns)
            exporter.packets(Packets(packets.data, packets.rows[first:last], last - first), now_ns)
    writing.write(exporter.take(writing.now_ns, all_of_them=True), writing.now_ns)
    told = reader.told()
    return told, "a message or attribute does not fit what holds it" if told["broken"] else ""


def _moments(packets: Packets) -> Iterator[tuple[int, int]]:
    """Yield the bounds of runs of rows that tell the same moment to the millisecond, or none."""
    millisecond = packets.rows[: packets.count, Row.TIME] // 1_000_000
    edges = np.flatnonzero(np.diff(millisecond)) + 1
    bounds = [0, *edges.tolist(), packets.count]
    yield from ((first, last) for first, last in itertools.pairwise(bounds) if first < last)


def _replay_alerts(octets: bytes, exporter: Exporter, writing: _Writing) -> tuple[dict[str, int], str]:
    told = {"alerts": 0, "other": 0, "broken": 0}
    damage = ""
    messages = split_messages(octets)
    while True:
        try:
            message = next(messages, None)
        except DecodeError as error:
            damage = str(error)
            break
        if message is None:
            break
        told["alerts" if is_packet_alert(message) else "other"] += 1
        now_ns = writing.arrive(_time_of(message))
        writing.write_due(exporter, now_ns)
        exporter.alerts([message], now_ns)
    writing.write(exporter.take(writing.now_ns, all_of_them=True), writing.now_ns)
    told["broken"] = exporter.discards.broken
    return told, damage


def _time_of(message: Message) -> int:
    if not is_packet_alert(message):
        return 0
    try:
        return read_alert(message).time_ns
    except DecodeError:
        return 0
