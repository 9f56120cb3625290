"""Long-polls: requests that wait for the next event or flow record, each a future on the event loop and no thread.

The instance tells of changes from any thread; one callback a batch of changes reaches the loop and wakes who waits.
A poll ends with what it asked for, at its time, when its client goes away, or when the server stops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar

from litestar.types import Receive

__all__ = ["MAX_TIMEOUT_S", "Polls", "StoppedError"]

MAX_TIMEOUT_S: Final = 3600.0

T = TypeVar("T")


class StoppedError(Exception):
    """The server is about to stop."""


class Polls:
    """Who waits for changes of one instance; `watch` is `Backend.watch`."""

    def __init__(self, watch: Callable[[Callable[[], None]], Callable[[], None]]) -> None:
        self._watch = watch
        self._waiting: set[asyncio.Future[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False  # a callback is on its way: it will see whatever is added until it runs
        self._stopped = False

    @property
    def waiting(self) -> int:
        """How many polls wait."""
        return len(self._waiting)

    @contextlib.asynccontextmanager
    async def running(self, _: object = None) -> AsyncIterator[None]:
        """Wake polls on the loop that this is entered on."""
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        unwatch = self._watch(self._changed)
        try:
            yield
        finally:
            unwatch()
            self.stop()

    def stop(self) -> None:
        """End all polls, and those that come, with what there is; called on the loop."""
        self._stopped = True
        self._wake()

    async def read(self, read: Callable[[], list[T]], receive: Receive, *, timeout_s: float) -> list[T]:
        """Return what `read` returns as soon as that is not empty, else at the end of the poll."""
        found = read()
        limit = max(0.0, min(timeout_s, MAX_TIMEOUT_S))
        if found or limit == 0.0:
            return found
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with asyncio.timeout(limit):
                while not (found or self._stopped or gone.done()):
                    await self._change(gone)
                    found = read()
        except TimeoutError:
            return read()
        finally:
            gone.cancel()
        return found

    async def outcome(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what some work returns; `StoppedError` where polls are ended before it is done."""
        task = asyncio.ensure_future(work)
        try:
            while not (task.done() or self._stopped):
                await self._change(task)
            if not task.done():
                raise StoppedError
            return task.result()
        finally:
            task.cancel()

    async def _change(self, gone: asyncio.Future[Any]) -> None:
        changed = asyncio.get_running_loop().create_future()
        self._waiting.add(changed)
        try:
            await asyncio.wait((changed, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(changed)

    def _changed(self) -> None:
        """Take notice of a change, on any thread."""
        if self._told or self._loop is None:
            return
        self._told = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._told = False
        for future in self._waiting:
            if not future.done():
                future.set_result(None)


async def _disconnected(receive: Receive) -> None:
    message: dict[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = dict(await receive())
