"""BGP on asyncio: the speaker with its peers and what they are to be told. All of the protocol is in `wire.bgp`.

One `Speaker` on one event loop; what is announced is kept for each peer and said whenever its session comes up, and
with a state file also after a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from tidegate.errors import ConfigError, EncodeError, Inexpressible
from tidegate.io.bgp_link import Hooks, Link
from tidegate.io.bgp_listeners import Listeners, Refused
from tidegate.io.bgp_range import Members, PeerRange
from tidegate.io.bgp_self_test import SelfTest, self_test
from tidegate.io.bgp_socket import any_addresses, canonical, check_transport
from tidegate.io.bgp_status import NeighborStatus, status_of
from tidegate.io.bgp_store import Kept, RouteStore, StateFile, StoreStatus
from tidegate.io.bgp_wanted import EVERYONE, Entry, Wanted
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer import Peer
from tidegate.wire.bgp.peer_config import PeerConfig
from tidegate.wire.bgp.profile import adapt
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key

__all__ = ["Hooks", "NeighborStatus", "PeerConfig", "PeerRange", "Restored", "SelfTest", "Speaker", "StateFile"]

_LOG: Final = logging.getLogger("tidegate.bgp")
_LINGER_S: Final = 2.0  # how long peers may take to read their Cease
_LOOK_S: Final = 60.0  # the clock on the wall may be set: what expires is looked at so often
_RESTART_S: Final = 120.0
_CHUNK: Final = 500  # routes handled in one turn of the loop, some 15 ms


class Restored(msgspec.Struct, frozen=True):
    """A route of the state file that nobody has announced again; `peer` None is every peer."""

    peer: str | None
    route: Route
    expires: float | None


class Speaker:
    """Speaks BGP with a set of peers from `async with` to its end, which is a Cease 6/2 to each of them.

    `port` None listens nowhere; 0 takes a free port, see `ports`; `listen` None means every address of this machine
    (unknown peers are refused). `ConfigError` where a peer cannot be used or its address has one already. Routes may be
    announced and withdrawn at any time; what is wanted is sent when, and each time, a session comes up.

    With `state`, what is wanted is kept in a file and restored by the next speaker that has it, unless this one comes
    to an orderly end: then the file is emptied. Where an exception ends the block, and always with `keep_on_stop`,
    sessions are closed without a word, so that peers may keep the routes. `SourceError` where the file cannot be used.
    """

    def __init__(
        self,
        peers: Sequence[PeerConfig | PeerRange] = (),
        *,
        port: int | None = 179,
        listen: Sequence[str] | None = None,
        hooks: Hooks | None = None,
        state: StateFile | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._listeners = Listeners(any_addresses() if listen is None else listen, port, find=self._find)
        self._listens = port is not None
        self._hooks = hooks or Hooks()
        self._jitter = jitter
        self._links: dict[str, Link] = {}
        self._ranges: dict[str, Members] = {}
        self._leaving: set[Link] = set()
        self._wanted = Wanted()
        self._state = state
        self._store = None if state is None else RouteStore(state.path, self._wanted.rows)
        self._expiry: asyncio.TimerHandle | None = None
        self._expiry_at = 0.0
        self._restarted_until = 0.0  # until then peers are told that this side is back with what it announced
        self._tasks: asyncio.TaskGroup | None = None
        for config in peers:
            self._add(config)

    async def __aenter__(self) -> Self:
        self._listeners.open()
        try:
            for name, config in self._configs():
                self._listeners.guard(name, config)
            await self._restore()
            for link in list(self._links.values()):
                await self._feed(link)
            await self._listeners.serve()
        except BaseException:
            self._listeners.abandon()
            if self._store is not None:
                await self._store.close(clear=False)
            raise
        self._tasks = await asyncio.TaskGroup().__aenter__()
        for link in self._links.values():
            link.start()
        self._plan_expiry()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keep = self._keeps(kind)
        self._listeners.close()
        for link in self._links.values():
            link.leave() if keep else link.stop()
        links = [*self._links.values(), *self._leaving]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                for link in links:
                    await link.drained()
        for link in links:
            link.abort()
        self._stop_timers()
        try:
            if self._tasks is not None:
                tasks, self._tasks = self._tasks, None
                await _end(tasks, kind, error, trace)
        finally:
            if self._store is not None:
                await self._store.close(clear=not keep)

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that are listened on, in the order of the addresses."""
        return self._listeners.ports

    @property
    def refused(self) -> int:
        """How many connections of unknown peers were closed, those over a range's number among them."""
        return self._listeners.refused

    def state(self) -> StoreStatus | None:
        """Return how the state file does, or None where there is none."""
        return None if self._store is None else self._store.status()

    def add_peer(self, config: PeerConfig | PeerRange) -> None:
        """Speak with one more peer, or let those of one more prefix connect. It is told what is wanted at every peer.

        `ConfigError` where the peer cannot be used or its address has one already, `SourceError` where the kernel
        cannot have its key.
        """
        name = self._add(config)
        template = config.template if isinstance(config, PeerRange) else config
        try:
            self._listeners.guard(name, template)
        except BaseException:
            self._remove(name)
            raise
        if self._tasks is not None and name in self._links:
            self._spawn(self._introduce(self._links[name]))

    def remove_peer(self, address: str) -> None:
        """Part with a peer, or all of a prefix, with Cease 6/3, and forget what was wanted there; `ConfigError`.

        One of a prefix may come again.
        """
        name = canonical(address) if isinstance(address, str) else ""
        ranged = self._ranges.get(name)
        if ranged is not None:
            self._listeners.unguard(name, ranged.config.template)
            links = [self._links[each] for each in ranged.names()]
        else:
            links = [self._link(address)]
            members = self._members(name)
            if members is None:
                self._listeners.unguard(name, links[0].peer.config)
            else:
                members.discard(name)
        for link in links:
            self._part(link)
            self._wanted.forget(link.name)
        self._remove(name)

    def announce(self, peer: str | None, route: Route, *, expires: float | None = None) -> None:
        """Want a route at one peer, or at every peer of its family; it replaces the route with the same key.

        It is withdrawn at `expires`, wall-clock seconds. `Inexpressible` where a peer cannot be told of it (with `peer`
        None the others are), `EncodeError` where the route is none, `ConfigError` where there is no such peer. A peer
        that is not up is told when it is, one that comes later as well where `peer` is None.
        """
        key = route_key(route)
        if expires is not None and not expires > time.time():
            self.withdraw(peer, key)
            return
        told, refusal = False, None
        for link in self._addressed(peer, key.family):
            try:
                link.peer.rib.announce(route)
            except Inexpressible as error:
                refusal = refusal or error
            else:
                told = True
                link.pump_soon()
        for members in self._ranges.values() if peer is None else ():
            try:
                self._check_range(members, route, key)
            except Inexpressible as error:
                refusal = refusal or error
            else:
                told = True
        if told:
            self._wanted.put(EVERYONE if peer is None else canonical(peer), key, Entry(route, expires))
            self._plan_expiry()
        if refusal is not None:
            raise refusal

    def withdraw(self, peer: str | None, key: RouteKey) -> bool:
        """Want a route no more; tell whether any of the peers had it."""
        if peer is None:
            links = list(self._links.values())
        elif peer not in self._links and isinstance(peer, str) and canonical(peer) in self._wanted.places():
            links = [link for link in (self._links.get(canonical(peer)),) if link is not None]  # None: yet to come
        else:
            links = [self._link(peer)]
        dropped = self._wanted.drop(EVERYONE if peer is None else canonical(peer), key)
        found = [link.peer.rib.withdraw(key) for link in links]
        for link in links if self._tasks is not None else ():
            link.pump_soon()
            link.settle()
        return any(found) if links else dropped

    def restored(self) -> tuple[Restored, ...]:
        """Return what came from the state file and nobody has announced since; `withdraw` ends it."""
        return tuple(
            Restored(place or None, entry.route, entry.expires)
            for place, _, entry in self._wanted.rows()
            if entry.restored and entry.route is not None
        )

    def routes(self, peer: str | None) -> tuple[UnicastRoute, ...]:
        """Return the unicast routes that are wanted at a peer, or at any where `peer` is None, each once."""
        return tuple(route for route in self._told(peer) if isinstance(route, UnicastRoute))

    def flows(self, peer: str | None) -> tuple[FlowRoute, ...]:
        """Return the FlowSpec rules that are wanted at a peer, or at any where `peer` is None, each once."""
        return tuple(route for route in self._told(peer) if isinstance(route, FlowRoute))

    def neighbors(self) -> list[NeighborStatus]:
        """Return how things stand with each peer."""
        return [status_of(link, dynamic=self._members(name) is not None) for name, link in self._links.items()]

    def reset_peer(self, peer: str, text: str = "") -> None:
        """End the session of a peer with Cease 6/4; it comes back. One that was shut out is let in again.

        `text` is for the log of the other side (RFC 9003); `EncodeError` where it is over 255 octets.
        """
        self._link(peer).reset(text)

    def release(self, peer: str) -> int:
        """Send again what is held back from a peer because its session fell over it; return how many routes."""
        link = self._link(peer)
        released = link.peer.rib.release()
        link.pump_soon()
        return len(released)

    def peer(self, peer: str) -> Peer:
        """Return the core of a peer, to read what it has announced; `ConfigError` where there is no such peer."""
        return self._link(peer).peer

    def request_refresh(self, peer: str, family: Family | None = None) -> tuple[Family, ...]:
        """Ask a peer for its routes again, of all families or one; return the families it was asked for."""
        link = self._link(peer)
        asked = link.peer.config.families if family is None else (family,)
        return tuple(family for family in asked if link.refresh(family))

    async def self_test(self, peer: str, *, wait_s: float = 3.0) -> SelfTest:
        """Send a peer a rule that can hit nothing, for each family of rules, watch the session and withdraw it.

        `ConfigError` where there is no such peer, or a test of it is running.
        """
        return await self_test(self, self._link(peer), wait_s=wait_s)

    def _add(self, config: PeerConfig | PeerRange) -> str:
        """Take a peer or range in and return its name."""
        ranged = isinstance(config, PeerRange)
        name = canonical(config.prefix if isinstance(config, PeerRange) else config.address)
        if name in self._links or name in self._ranges:
            raise ConfigError(f"bgp.peers.{name}", f"this {'prefix' if ranged else 'address'} has a peer already")
        if isinstance(config, PeerRange):
            self._ranges[name] = self._new_range(config)
        else:
            check_transport(config)
            self._links[name] = self._new_link(config)
        try:
            self._check_keys()
        except ConfigError:
            self._remove(name)
            raise
        return name

    def _new_range(self, config: PeerRange) -> Members:
        if not self._listens:
            raise ConfigError(f"bgp.peers.{config.prefix}", "a prefix of peers needs a port to listen on")
        return Members(config, busy=self._is_busy, forget=self._forget)

    def _new_link(self, config: PeerConfig, members: Members | None = None) -> Link:
        restarted = time.monotonic() < self._restarted_until
        keeps = self._state is not None
        peer = Peer(config, jitter=self._jitter, keeps=keeps, restarted=restarted, lock=threading.Lock())
        if members is None:
            return Link(peer, self._hooks, spawn=self._spawn)
        return Link(peer, self._hooks, spawn=self._spawn, idle=members.idle)

    def _remove(self, name: str) -> None:
        self._links.pop(name, None)
        members = self._ranges.pop(name, None)
        if members is not None:
            for each in members.names():
                self._links.pop(each, None)
            members.close()

    def _configs(self) -> Iterable[tuple[str, PeerConfig]]:
        """Yield each address and prefix with what it asks of the listeners."""
        for name, members in self._ranges.items():
            yield name, members.config.template
        for name, link in self._links.items():
            if self._members(name) is None:
                yield name, link.peer.config

    def _check_keys(self) -> None:
        """Refuse a peer without a key within a range that has one: the kernel would ask it for that of the range."""
        for prefix, members in self._ranges.items():
            for name, link in self._links.items() if members.config.template.md5_key is not None else ():
                if link.peer.config.md5_key is None and name in members:
                    raise ConfigError(f"bgp.peers.{name}.md5_key", f"needed, since {prefix} around it has one")

    def _members(self, name: str) -> Members | None:
        """Return the range that a link was made for, or None."""
        return next((members for members in self._ranges.values() if members.has(name)), None)

    def _is_busy(self, name: str) -> bool:
        return self._wanted.own(name) > 0 or bool(self._links[name].peer.status().shut)

    def _forget(self, name: str) -> None:
        del self._links[name]

    def _find(self, name: str) -> Link | Refused:
        """Return the link of an address that has connected, made for it where it is of a range."""
        return self._links.get(name) or self._join(name)

    def _join(self, name: str) -> Link | Refused:
        """Make the link of an address in a range."""
        members = next((members for members in self._ranges.values() if name in members), None)
        if members is None:
            return Refused("no such peer is configured")
        config = members.maybe_config(name)
        if config is None:
            return Refused(f"{members.config.prefix} has its {members.config.max_neighbors} neighbours already")
        link = self._links[name] = self._new_link(config, members)
        if self._tasks is not None:
            link.start()
            self._spawn(self._feed(link))
        return link

    def _part(self, link: Link) -> None:
        """Take leave of one peer."""
        link.remove()
        if self._tasks is not None:
            self._leaving.add(link)
            self._spawn(self._see_off(link))

    async def _see_off(self, link: Link) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                await link.drained()
        link.abort()
        self._leaving.discard(link)

    async def _introduce(self, link: Link) -> None:
        await self._feed(link)
        if not link.teller.ending:
            link.start()

    async def _feed(self, link: Link) -> None:
        """Tell one peer, little by little, what is wanted there."""
        refused = 0
        for place, (key, _) in enumerate(list(self._wanted.routes(link.name))):
            entry = self._wanted.at(link.name, key)  # it may have changed meanwhile
            if entry is None or entry.route is None or key.family not in link.peer.config.families:
                continue
            try:
                link.peer.rib.announce(entry.route)
            except (Inexpressible, EncodeError) as error:
                refused += 1
                if refused == 1:
                    _LOG.warning("%s: is not told all that is wanted: %s", link.name, error)
            if place % _CHUNK == _CHUNK - 1:
                link.pump_soon()
                await asyncio.sleep(0)
        link.peer.rib.complete()
        link.pump_soon()

    async def _restore(self) -> None:
        """Take over what the state file keeps; what was announced before the start stands above it."""
        if self._store is None:
            return
        kept = await asyncio.to_thread(self._store.open, time.time())
        before = self._wanted.rows()
        for place, row in enumerate(kept.rows):
            self._wanted.put(*row)
            if place % _CHUNK == _CHUNK - 1:
                await asyncio.sleep(0)
        self._store.start()
        self._wanted.note = self._store.put
        for row in before:
            self._wanted.put(*row)
        if kept.restarted:
            self._restarted_until = time.monotonic() + _RESTART_S
            self._links.update({name: self._new_link(link.peer.config) for name, link in self._links.items()})
        self._report(kept)

    def _report(self, kept: Kept) -> None:
        """Say what the state file held, and make the neighbours of prefixes that have rules of their own in it."""
        if kept.rows or kept.expired:
            _LOG.info("%d routes restored from the state file, %d had expired", len(kept.rows), kept.expired)
        for name in self._wanted.places():
            if name not in self._links and isinstance(self._join(name), Refused):
                _LOG.info("%d routes of %s are kept until there is such a peer", self._wanted.own(name), name)

    def _keeps(self, kind: type[BaseException] | None) -> bool:
        """Tell whether the state stays at the end: for an upgrade, or because an error is the reason."""
        if self._state is None:
            return False
        return self._state.keep_on_stop or (kind is not None and issubclass(kind, Exception))

    def _told(self, peer: str | None) -> Iterable[Route]:
        if peer is not None:
            return self._link(peer).peer.rib.wanted.values()
        here = (route for link in self._links.values() for route in link.peer.rib.wanted.values())
        return dict.fromkeys(itertools.chain(here, (route for _, route in self._wanted.routes(EVERYONE))))

    def _link(self, peer: str) -> Link:
        link = self._links.get(canonical(peer)) if isinstance(peer, str) else None  # a script may say anything
        if link is None:
            known = ", ".join((*self._ranges, *self._links)) or "none"
            raise ConfigError(f"bgp.peers.{peer}", f"no such peer (known: {known})")
        return link

    def _addressed(self, peer: str | None, family: Family) -> list[Link]:
        if peer is not None:
            name = canonical(peer) if isinstance(peer, str) else ""
            if name not in self._links and any(name in members for members in self._ranges.values()):
                joined = self._join(name)  # a neighbour that is yet to come
                if isinstance(joined, Refused):
                    raise ConfigError(f"bgp.peers.{peer}", joined.reason)
            return [self._link(peer)]
        links = [link for link in self._links.values() if family in link.peer.config.families]
        if not links and not any(family in members.config.template.families for members in self._ranges.values()):
            raise Inexpressible("the route", f"the family {family.label}", "any peer")
        return links

    def _check_range(self, members: Members, route: Route, key: RouteKey) -> None:
        """Raise `Inexpressible` where the neighbours of a range could not be told of a route for everyone."""
        name, template = members.config.prefix, members.config.template
        if key.family not in template.families:
            raise Inexpressible("the route", f"the family {key.family.label}", f"peers of {name}")
        adapt(route, template.profile, key=key)
        if self._wanted.own(EVERYONE) >= template.max_routes and self._wanted.at(EVERYONE, key) is None:
            raise Inexpressible("the route", f"more than {template.max_routes} routes", f"peers of {name}")

    def _plan_expiry(self) -> None:
        """See to it that the next route that expires is withdrawn in time."""
        at = self._wanted.next_expiry()
        if at is None or self._tasks is None or (self._expiry is not None and self._expiry_at <= at):
            return
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry_at = at
        delay = min(max(at - time.time(), 0.0), _LOOK_S)
        self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for place, key in self._wanted.due(time.time(), most=_CHUNK):
            self.withdraw(place or None, key)
            _LOG.info("a route of %s has expired and is withdrawn", place or "all peers")
        self._plan_expiry()

    def _stop_timers(self) -> None:
        for members in self._ranges.values():
            members.close()
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if self._tasks is None:  # pragma: no cover - links are started inside `async with`
            work.close()
            raise RuntimeError("the speaker is not running")
        return self._tasks.create_task(work)


async def _end(
    tasks: asyncio.TaskGroup,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """End a group; what the block raised is raised by itself, not as a group."""
    try:
        await tasks.__aexit__(kind, error, trace)
    except BaseExceptionGroup as group:
        if group.exceptions != (error,):
            raise
