"""A routing table from an MRT file: that of one peer, as a file of a collector has a table for each.

`count_routes` tells whose tables there are, `load_rib` makes one. Both go through the file from its start to its end;
the caller has a thread for it where something else is to go on meanwhile.

Answers for: RFC 6396 sections 4.2 to 4.4, RFC 8050.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tidegate.errors import SessionReset, SourceError
from tidegate.io.mrt import MrtFile, MrtStats
from tidegate.kernel import I64, U8
from tidegate.wire.bgp import mrt_walk as walk
from tidegate.wire.bgp.constants import HEADER_OCTETS, Family, MessageType
from tidegate.wire.bgp.feed import feed, heard
from tidegate.wire.bgp.mrt import MrtPeer, PeerIndex, PeerMessage, Record, StateChange, TableDumpEntry
from tidegate.wire.bgp.mrt_routes import Batch, Form
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import Update
from tidegate.wire.bgp.update_scan import UpdateRun
from tidegate.wire.cursor import Reader

__all__ = ["LoadedRib", "MrtPeers", "Progress", "count_routes", "describe_rib", "load_rib"]

_ROWS: Final = 1 << 17
_UNICAST: Final = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)  # in the order of the kernel's families
_REASONS: Final = 64
_OTHER_MESSAGES: Final = frozenset(bytes((kind,)) for kind in MessageType if kind is not MessageType.UPDATE)

Progress = Callable[[int, int], object]  # octets of the file read so far, and of all


class MrtPeers(msgspec.Struct, frozen=True):
    """The peers of a file: routes of tables by family, and octets of messages; `unnamed` routes are of nobody."""

    routes: Mapping[Family, Mapping[MrtPeer, int]]
    octets: Mapping[MrtPeer, int]
    unnamed: int

    def all(self) -> tuple[MrtPeer, ...]:
        """Return the peers that say something, the one with the most routes first."""
        total = Counter(dict.fromkeys(self.octets, 0))
        for counts in self.routes.values():
            total.update(counts)
        return tuple(peer for peer, _ in total.most_common())


class LoadedRib(msgspec.Struct, frozen=True):
    """A table from a file; `peers` tells whose it is, `problems` what was wrong with routes and left out."""

    rib: RibIn
    peers: Mapping[Family, MrtPeer]
    routes: Mapping[Family, int]
    problems: Mapping[str, int]
    stats: MrtStats


def _plain(peer: MrtPeer) -> MrtPeer:
    """Return a peer as all kinds of records tell it: without its identifier."""
    return MrtPeer(peer.address, peer.asn)


class _Reading:
    """Goes through a file: rows of tables to `on_rows`, what else there is to `on_record`."""

    def __init__(self, source: MrtFile, progress: Progress | None) -> None:
        self.source = source
        self.counts = np.zeros((2, walk.PEERS), np.int64)
        self.wanted = np.zeros((2, walk.PEERS), np.uint8)
        self._rows = np.empty((_ROWS, walk.ROW_COLUMNS), np.int64)
        self._progress = progress
        self._window = b""
        self._data: U8 = np.empty(0, np.uint8)

    def run(self, on_rows: Callable[[bytes, I64], object], on_record: Callable[[Record], object]) -> None:
        """Read to the end."""
        source = self.source
        while True:
            verdict = self._walk(on_rows)
            if verdict == walk.FULL:
                continue
            if verdict == walk.NEED_MORE:
                self._tell()
                if not source.more():
                    return
                continue
            raw = source.next_raw()
            if raw is None:
                return
            record = source.maybe_decoded(raw)
            if record is not None:
                on_record(record)

    def _walk(self, on_rows: Callable[[bytes, I64], object]) -> int:
        state = np.zeros(5, np.int64)
        state[0] = self.source.at
        if self._window is not self.source.window:
            self._window = self.source.window
            self._data = np.frombuffer(bytearray(self._window), np.uint8)  # kernels take what could be written to
        walk.walk_rib(self._data, self.wanted, self.counts, self._rows, state)
        at, found, verdict, good, bad = state.tolist()
        self.source.walked(at, good, bad)
        if found:
            on_rows(self.source.window, self._rows[:found])
        return int(verdict)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.source.position, self.source.size)


def count_routes(path: str | os.PathLike[str], *, progress: Progress | None = None) -> MrtPeers:
    """Return which peers a file tells of, and how much; it is read to its end for that."""
    source = MrtFile(path)
    reading = _Reading(source, progress)
    routes: dict[Family, Counter[MrtPeer]] = {family: Counter() for family in _UNICAST}
    octets: Counter[MrtPeer] = Counter()
    index: tuple[MrtPeer, ...] = ()

    unnamed = 0

    def book() -> None:
        nonlocal unnamed
        unnamed += int(reading.counts[:, len(index) :].sum())
        for family, counts in zip(_UNICAST, reading.counts, strict=True):
            for peer in np.flatnonzero(counts[: len(index)]).tolist():
                routes[family][_plain(index[peer])] += int(counts[peer])
        reading.counts[:] = 0

    def take(record: Record) -> None:
        nonlocal index
        match record:
            case PeerIndex(peers=peers):
                book()
                index = peers
            case TableDumpEntry(family=family, peer=peer):
                routes[family][_plain(peer)] += 1
            case PeerMessage(peer=peer, message=message, local=False):
                octets[_plain(peer)] += len(message)
            case _:
                pass

    try:
        reading.run(lambda *_: None, take)
    finally:
        source.close()
    book()
    return MrtPeers(routes, octets, unnamed)


def load_rib(
    path: str | os.PathLike[str],
    *,
    peer: bytes | int | None = None,
    progress: Progress | None = None,
    lock: AbstractContextManager[Any] | None = None,
) -> LoadedRib:
    """Make a table of a file: that of the peer with this address or AS number, else of the peer with most routes.

    Where several peers are left, the one with the most routes of a family makes the table of that family. `SourceError`
    where the file is no MRT file, or has no such peer; what is damaged is left out and told in the result. `lock` is
    for who looks up from several threads.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise SourceError(str(path), "a table is read twice, which a pipe does not allow: give a file")
    found = count_routes(path, progress=progress)
    chosen = _choose(found, peer)
    if not chosen:
        raise SourceError(str(path), _nobody(found, peer))
    source = MrtFile(path)
    loader = _Loader(source, chosen, RibIn(lock=lock), progress)
    try:
        loader.run()
    finally:
        source.close()
    counts = {family: count for family in Family if (count := loader.rib.count(family))}
    return LoadedRib(loader.rib, chosen, counts, dict(loader.problems), source.statistics())


def _choose(found: MrtPeers, peer: bytes | int | None) -> dict[Family, MrtPeer]:
    def suits(candidate: MrtPeer) -> bool:
        return peer is None or peer in (candidate.address, candidate.asn)

    chosen = {}
    for family, counts in found.routes.items():
        candidates = [each for each in {**counts, **found.octets} if suits(each)]
        if candidates:
            chosen[family] = max(candidates, key=lambda each: (counts.get(each, 0), found.octets.get(each, 0)))
    return chosen


def _nobody(found: MrtPeers, peer: bytes | int | None) -> str:
    peers = found.all()
    if not peers and found.unnamed:
        return "its routes are of peers that no index of peers in it names"
    if not peers:
        return "there are no routes in it"
    named = ", ".join(map(str, peers[:10]))
    wanted = f"AS {peer}" if isinstance(peer, int) else str(MrtPeer(peer or bytes(4), 0)).removesuffix(" AS 0")
    return f"there is no peer {wanted} in it; there are {named}{' and others' if len(peers) > 10 else ''}"


class _Loader:
    """Puts the routes of chosen peers into a table. `RibIn` is called here and nowhere else."""

    def __init__(
        self, source: MrtFile, chosen: Mapping[Family, MrtPeer], rib: RibIn, progress: Progress | None
    ) -> None:
        self.rib = rib
        self.problems: Counter[str] = Counter()
        self._chosen = chosen
        self._reading = _Reading(source, progress)
        self._batch = Batch()

    def run(self) -> None:
        """Read to the end."""
        self._reading.run(self._rows, self._record)
        self._flush()

    def _rows(self, data: bytes, rows: I64) -> None:
        walk.add_rows(data, rows, self._batch)
        if self._batch.full:
            self._flush()

    def _record(self, record: Record) -> None:
        match record:
            case PeerIndex(peers=peers):
                for wanted, family in zip(self._reading.wanted, _UNICAST, strict=True):
                    wanted[:] = 0
                    wanted[: len(peers)] = [_plain(peer) == self._chosen.get(family) for peer in peers]
            case TableDumpEntry(family=family, peer=peer) if self._chosen.get(family) == _plain(peer):
                self._batch.add(Form(family, four_octet_as=False), record.attributes, record.nlri)
                if self._batch.full:
                    self._flush()
            case PeerMessage(peer=peer, local=False) if self._families(peer) and _is_update(record.message):
                self._flush()
                self._message(record)
            case StateChange(peer=peer, local=local, down=True):
                self._flush()
                self.rib.clear({*self._families(peer), *self._families(local)})
            case _:
                pass

    def _families(self, peer: MrtPeer) -> tuple[Family, ...]:
        plain = _plain(peer)
        afis = {family.afi for family, chosen in self._chosen.items() if chosen == plain}
        return tuple(family for family in Family if family.afi in afis)

    def _flush(self) -> None:
        for batched in self._batch.flush():
            self._feed(batched.messages, batched.negotiated, batched.routes)
        if self._batch.bad:
            self.problems["attributes cannot be read"] = self._batch.bad

    def _message(self, record: PeerMessage) -> None:
        add_path = frozenset(_UNICAST) if record.with_path_id else frozenset[Family]()
        negotiated = heard(four_octet_as=record.four_octet_as, add_path=add_path)
        self._feed((record.message,), negotiated, (1,), self._families(record.peer))

    def _feed(
        self,
        messages: Sequence[bytes],
        negotiated: Negotiated,
        routes: Sequence[int],
        families: tuple[Family, ...] = tuple(Family),
    ) -> None:
        at = 0
        for found in feed(self.rib, messages, negotiated, families=families):
            match found:
                case UpdateRun():
                    at += len(found)
                    continue
                case SessionReset(reason=reason):
                    self._problem(reason, routes[at])
                case Update(problems=problems):
                    for problem in problems:
                        self._problem(f"{problem.part}: {problem.reason}", routes[at])
            at += 1
        self.rib.finish()

    def _problem(self, reason: str, routes: int) -> None:
        self.problems[reason if reason in self.problems or len(self.problems) < _REASONS else "other"] += routes


def _is_update(message: bytes) -> bool:
    """Tell UPDATEs from other messages; what cannot be told is taken for one, and counted where it is read."""
    return Reader(message).peek(HEADER_OCTETS)[-1:] not in _OTHER_MESSAGES


def describe_rib(loaded: LoadedRib) -> str:
    """Return one sentence for the user: whose table it is, how large, and what was left out."""
    counts = [f"{count} {family.label} routes" for family, count in loaded.routes.items()]
    owners: dict[MrtPeer, list[str]] = {}
    for family, peer in loaded.peers.items():
        if loaded.routes.get(family):
            owners.setdefault(peer, []).append(family.label)
    whose = " and ".join(f"{peer} ({', '.join(labels)})" for peer, labels in owners.items())
    parts = [f"{loaded.stats.name}: {', '.join(counts) or 'no routes'}" + (f" of {whose}" if whose else "")]
    parts += [f"{count} with problems: {reason}" for reason, count in loaded.problems.items()]
    parts += [f"{count} records damaged: {reason}" for reason, count in loaded.stats.bad.items()]
    parts += [f"{count} records skipped: {kind}" for kind, count in loaded.stats.skipped.items()]
    if loaded.stats.damage:
        parts.append(loaded.stats.damage)
    return "; ".join(parts)
