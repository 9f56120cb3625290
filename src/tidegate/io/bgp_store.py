"""The state file: what is wanted of the peers, kept over a crash or an upgrade, in an SQLite file.

Changes go in on the event loop and are written by a thread of the store's own: all those of one turn of the loop in
one transaction, so that a crash leaves all of them or none. What waits for the thread is bounded; where it cannot
write, one warning says so, announcing goes on, and once it can again the whole list is written anew. Nothing here holds
up the event loop, and a file that is not this program's, or is damaged, is never altered.

Answers for: RFC 4724 section 4.1 (what a restarting speaker has kept), in this program's own format.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from tidegate.errors import DecodeError, EncodeError, SourceError
from tidegate.io.bgp_wanted import Entry, Rows
from tidegate.wire.bgp.communities import LargeCommunity, decode_action, encode_action
from tidegate.wire.bgp.constants import Family, Origin, Safi
from tidegate.wire.bgp.flowspec import decode_rule
from tidegate.wire.bgp.prefix import decode_prefix
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key
from tidegate.wire.cursor import Reader

__all__ = ["Kept", "RouteStore", "StateFile", "StoreStatus", "decode_route", "encode_route"]

_LOG: Final = logging.getLogger("tidegate.bgp")
_APPLICATION: Final = 0x74646774  # "tdgt"
_VERSION: Final = 1
_PAGE_OCTETS: Final = 4096
_MAGIC: Final = b"SQLite format 3\0"
_MOST_OCTETS: Final = 1 << 30  # of the file: some three million routes
_MOST_WAITING: Final = 200_000  # changes that wait for the thread; beyond, the whole list is written once it is free
_RETRY_S: Final = 5.0
_PATIENCE_S: Final = 1.0  # for a predecessor that is about to end
_TABLES: Final = """
CREATE TABLE routes (
    place TEXT NOT NULL, family INTEGER NOT NULL, nlri BLOB NOT NULL, route BLOB, expires REAL,
    PRIMARY KEY (place, family, nlri)
) WITHOUT ROWID;
CREATE TABLE ended (orderly INTEGER NOT NULL);
INSERT INTO ended VALUES (1);
"""
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: "another process has it: each needs a state file of its own",
    sqlite3.SQLITE_NOTADB: "this is no state file, and is left as it is: name another one, or move it away",
    sqlite3.SQLITE_CORRUPT: "the file is damaged, and is left as it is: move it away to start without it",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is there such a folder, and may this program write there?",
    sqlite3.SQLITE_READONLY: "cannot be written: may this program write there?",
    sqlite3.SQLITE_FULL: "the disk is full, or the file has reached its greatest size",
}


class StateFile(msgspec.Struct, frozen=True):
    """Where state is kept; with `keep_on_stop` also over an orderly stop, for an upgrade."""

    path: str
    keep_on_stop: bool = False


class Kept(msgspec.Struct, frozen=True):
    """What a file held: `rows` that have not expired, and whether the last owner has ended without clearing it."""

    rows: tuple[tuple[str, RouteKey, Entry], ...]
    restarted: bool
    expired: int


class StoreStatus(msgspec.Struct, frozen=True):
    """How the file does. `failures` are writes that failed; `behind` tells that the file is not up to date."""

    written: int
    failures: int
    behind: bool


class _Unicast(msgspec.Struct, frozen=True, array_like=True):
    next_hop: bytes
    origin: Origin
    as_path: tuple[int, ...]
    med: int | None
    local_pref: int | None
    communities: tuple[int, ...]
    large: tuple[tuple[int, int, int], ...]


class _Flow(msgspec.Struct, frozen=True, array_like=True):
    actions: tuple[bytes, ...]  # as on the wire, so that what a later version knows better is still the same
    next_hop: bytes
    local_pref: int | None
    communities: tuple[int, ...]
    large: tuple[tuple[int, int, int], ...]


def encode_route(route: Route) -> bytes:
    """Return a route without its destination, which its key has."""
    large = tuple((one.administrator, one.data1, one.data2) for one in route.large)
    if isinstance(route, FlowRoute):
        actions = tuple(encode_action(action) for action in route.actions)
        return msgspec.msgpack.encode(_Flow(actions, route.next_hop, route.local_pref, route.communities, large))
    return msgspec.msgpack.encode(
        _Unicast(route.next_hop, route.origin, route.as_path, route.med, route.local_pref, route.communities, large)
    )


def decode_route(key: RouteKey, octets: bytes) -> Route:
    """Return the route of a key; `DecodeError` where either is none."""
    try:
        route = _decode(key, octets)
        same = route_key(route) == key
    except (msgspec.DecodeError, EncodeError, ValueError) as error:
        raise DecodeError(f"a kept route: {error}", 0) from None
    if not same:
        raise DecodeError("a kept route: its destination is written in another way", 0)
    return route


def _decode(key: RouteKey, octets: bytes) -> Route:
    reader = Reader(key.nlri)
    if key.family.safi is Safi.FLOWSPEC:
        flow = msgspec.msgpack.decode(octets, type=_Flow)
        rule = decode_rule(reader, key.family.afi)
        actions = tuple(decode_action(action) for action in flow.actions)
        large = tuple(LargeCommunity(*numbers) for numbers in flow.large)
        return FlowRoute(rule, actions, flow.next_hop, flow.local_pref, flow.communities, large)
    known = msgspec.msgpack.decode(octets, type=_Unicast)
    large = tuple(LargeCommunity(*numbers) for numbers in known.large)
    return UnicastRoute(
        decode_prefix(reader, key.family.afi), known.next_hop, known.origin, known.as_path, known.med,
        known.local_pref, known.communities, large,
    )  # fmt: skip


class RouteStore:
    """One state file. `everything` returns the whole list and is called on the event loop.

    `open` may take a while and belongs on a thread; all else is for the event loop.
    """

    def __init__(
        self,
        path: str,
        everything: Callable[[], Iterable[tuple[str, RouteKey, Entry]]],
        *,
        most_octets: int = _MOST_OCTETS,
        retry_s: float = _RETRY_S,
    ) -> None:
        self._path = path
        self._everything = everything
        self._most_octets = most_octets
        self._retry_s = retry_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._database: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._work, name="bgp state", daemon=True)
        self._changed = threading.Condition()
        self._turn: Rows = {}  # of this turn of the loop
        self._waiting: Rows = {}  # for the thread, as the next two
        self._whole: list[tuple[str, RouteKey, Entry]] | None = None
        self._ending = False
        self._behind = False  # changes are not noted: the whole list is to be written
        self._warned = False
        self._written = 0
        self._failures = 0

    def open(self, wall: float) -> Kept:
        """Open or make the file and return what it keeps; `SourceError` where it cannot be used."""
        try:
            with contextlib.ExitStack() as stack:
                database = stack.enter_context(contextlib.closing(self._connect()))
                kept = _take_over(database, self._path, wall)
                database.execute(f"PRAGMA max_page_count={max(self._most_octets // _PAGE_OCTETS, 1)}")
                stack.pop_all()
        except sqlite3.Error as error:
            raise SourceError(self._path, _reason(error)) from None
        self._database = database
        return kept

    def start(self) -> None:
        """Begin to write what is put, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def put(self, place: str, key: RouteKey, entry: Entry | None) -> None:
        """Note a change; it is written with the others of this turn of the loop."""
        if self._loop is None:
            return
        if not self._turn:
            self._loop.call_soon(self._hand_over)
        self._turn[place, key] = entry

    def status(self) -> StoreStatus:
        """Return how the file does."""
        return StoreStatus(self._written, self._failures, self._warned)

    async def close(self, *, clear: bool) -> None:
        """Write what waits and let go of the file; with `clear` nothing is kept in it. `SourceError`."""
        if self._database is None:
            return
        self._hand_over()
        with self._changed:
            self._ending = True
            if self._behind and not clear:
                self._whole = list(self._everything())
            self._changed.notify()
        await asyncio.to_thread(self._end, clear=clear)

    def _end(self, *, clear: bool) -> None:
        if self._loop is not None:
            self._thread.join()
        database, self._database = self._database, None
        if database is None:  # pragma: no cover - `close` has looked
            return
        try:
            with contextlib.closing(database):
                if clear:
                    _run(database, lambda: _clear(database))
        except sqlite3.Error as error:
            reason = f"could not be cleared ({_reason(error)}): a start with it announces again what it holds"
            raise SourceError(self._path, reason) from None

    def _connect(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):  # what stands in the way is told better below
            with os.fdopen(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), "rb") as file:
                octets = file.read(len(_MAGIC))
            if octets and octets != _MAGIC:  # SQLite takes a file that is shorter than its header for an empty one
                raise SourceError(self._path, _REASONS[sqlite3.SQLITE_NOTADB])
        where = f"{Path(self._path).absolute().as_uri()}?mode=rw"
        return sqlite3.connect(where, uri=True, timeout=_PATIENCE_S, isolation_level=None, check_same_thread=False)

    def _hand_over(self) -> None:
        """Give the turn's changes to the thread, or have the whole list written where that is shorter."""
        turn, self._turn = self._turn, {}
        with self._changed:
            if not turn or self._behind:
                return
            self._waiting.update(turn)
            if len(self._waiting) > _MOST_WAITING:
                self._waiting = {}
                self._whole = list(self._everything())
            self._changed.notify()

    def _work(self) -> None:
        while self._wait():
            with self._changed:
                rows, whole = self._waiting, self._whole
                self._waiting, self._whole = {}, None
            try:
                self._write(rows, whole)
            except (sqlite3.Error, EncodeError) as error:
                self._failed(error)

    def _wait(self) -> bool:
        """Wait for something to write; False at the end."""
        with self._changed:
            while not self._waiting and self._whole is None:
                if self._ending:
                    return False
                if not self._changed.wait(self._retry_s if self._behind else None):
                    self._ask_for_all()
            return True

    def _ask_for_all(self) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that has ended has nothing to offer
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._offer)

    def _offer(self) -> None:
        """Give the thread the whole list, because what was to be written before is lost."""
        with self._changed:
            self._whole = list(self._everything())
            self._waiting = {}
            self._behind = False  # from here on changes are noted again
            self._changed.notify()

    def _write(self, rows: Rows, whole: list[tuple[str, RouteKey, Entry]] | None) -> None:
        database = self._database
        if database is None:  # pragma: no cover - the thread runs while the file is open
            raise AssertionError

        def change() -> None:
            if whole is not None:
                database.execute("DELETE FROM routes")
                _put(database, whole)
            _put(database, ((place, key, entry) for (place, key), entry in rows.items() if entry is not None))
            _remove(database, (place_and_key for place_and_key, entry in rows.items() if entry is None))

        _run(database, change)
        self._written += len(rows) + len(whole or ())
        if self._warned:
            self._warned = False
            _LOG.warning("%s: is written again, and up to date", self._path)

    def _failed(self, error: Exception) -> None:
        with self._changed:
            self._failures += 1
            self._behind = True
            self._waiting, self._whole = {}, None
        if not self._warned:
            self._warned = True
            _LOG.warning(
                "%s: cannot be written: %s. Routes are announced all the same; after a crash they would be missing",
                self._path,
                _reason(error),
            )


def _take_over(database: sqlite3.Connection, path: str, wall: float) -> Kept:
    database.execute("PRAGMA locking_mode=EXCLUSIVE")  # no second process may have it, not even to read
    application, version = _number(database, "application_id"), _number(database, "user_version")
    empty = not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not empty and application != _APPLICATION:
        raise SourceError(path, "this is another program's database, and is left as it is: name another file")
    if version > _VERSION:
        raise SourceError(path, f"a later version has written it (format {version}): use that one, or another file")
    verdict = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise SourceError(path, f"the file is damaged ({verdict}), and is left as it is: move it away")
    rows = [] if empty else _rows(database, path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    orderly = True

    def begin() -> None:
        nonlocal orderly
        if empty:
            _make(database)
        orderly = bool(database.execute("SELECT orderly FROM ended").fetchone()[0])
        database.execute("UPDATE ended SET orderly = 0")
        database.execute("DELETE FROM routes WHERE expires <= ?", (wall,))

    _run(database, begin)
    good = tuple(row for row in rows if row[2].expires is None or row[2].expires > wall)
    return Kept(good, not orderly, len(rows) - len(good))


def _make(database: sqlite3.Connection) -> None:
    for statement in _TABLES.split(";"):
        database.execute(statement)
    database.execute(f"PRAGMA application_id={_APPLICATION}")
    database.execute(f"PRAGMA user_version={_VERSION}")


def _rows(database: sqlite3.Connection, path: str) -> list[tuple[str, RouteKey, Entry]]:
    rows = []
    for place, family, nlri, octets, expires in database.execute("SELECT * FROM routes"):
        try:
            key = RouteKey(Family(family), nlri)
            route = None if octets is None else decode_route(key, octets)
        except (DecodeError, EncodeError, ValueError) as error:
            reason = f"a route of {place or 'all peers'} cannot be read ({error}); move the file away"
            raise SourceError(path, reason) from None
        rows.append((place, key, Entry(route, expires, restored=True)))
    return rows


def _put(database: sqlite3.Connection, rows: Iterable[tuple[str, RouteKey, Entry]]) -> None:
    database.executemany(
        "INSERT OR REPLACE INTO routes VALUES (?, ?, ?, ?, ?)",
        (
            (
                place,
                int(key.family),
                key.nlri,
                None if entry.route is None else encode_route(entry.route),
                entry.expires,
            )
            for place, key, entry in rows
        ),
    )


def _remove(database: sqlite3.Connection, places: Iterable[tuple[str, RouteKey]]) -> None:
    database.executemany(
        "DELETE FROM routes WHERE place = ? AND family = ? AND nlri = ?",
        ((place, int(key.family), key.nlri) for place, key in places),
    )


def _clear(database: sqlite3.Connection) -> None:
    database.execute("DELETE FROM routes")
    database.execute("UPDATE ended SET orderly = 1")


def _run(database: sqlite3.Connection, change: Callable[[], None]) -> None:
    """Make a change as one transaction."""
    database.execute("BEGIN IMMEDIATE")
    try:
        change()
        database.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself
            database.execute("ROLLBACK")
        raise


def _number(database: sqlite3.Connection, pragma: str) -> int:
    return int(database.execute(f"PRAGMA {pragma}").fetchone()[0])


def _reason(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    return _REASONS.get(code & 0xFF, str(error)) if code is not None else str(error)
