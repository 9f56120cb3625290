"""What one script has asked to be called for, and the time it believes in: no thread, no clock, no I/O.

`Desk` holds the handlers and the timers of a script. Time comes from outside: `advance` moves the horizon, `due` gives
the timers up to it one after the other, each at its own moment. A tick that was missed because the script was busy is
left out, so that ticks never pile up; the next one falls on the grid of the first.
"""

from __future__ import annotations

import heapq
import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from enum import Enum
from typing import Any

import msgspec

from tidegate.engine.events import Event, FlowRecord
from tidegate.errors import ConfigError

__all__ = ["MAX_HANDLERS", "MAX_TIMERS", "Desk", "Handler", "Job", "Kind", "Timer", "finish"]

MAX_TIMERS = 100_000  # of one script; a rule that waits for its withdrawal holds one
MAX_HANDLERS = 1_000
_SHORTEST_TICK_S = 0.01
_LONGEST_S = 10 * 366 * 86400.0

Handler = Callable[..., object]  # may return an awaitable


class Kind(Enum):
    """What a script is called for, the most urgent first."""

    BGP_UP = "on_up"
    BGP_DOWN = "on_down"
    EVENT = "on_event"
    HTTP = "on_http"
    FLOW = "on_flow"
    TIMER = "timer"


class Job(msgspec.Struct, frozen=True):
    """One thing to call a script for, at a moment in nanoseconds since 1970 UTC.

    `subject` is the handlers' argument; timers have none and bring their own handler. `answer` takes what the
    handler of a request returns or raises.
    """

    kind: Kind
    at_ns: int
    subject: object = None
    handler: Handler | None = None
    answer: Future[object] | None = None


class Timer:
    """A call that will be made; `cancel` prevents it."""

    def __init__(self, handler: Handler, due_ns: int, *, every_ns: int = 0) -> None:
        self.handler = handler
        self.due_ns = due_ns
        self.every_ns = every_ns
        self.cancelled = False

    def cancel(self) -> None:
        """Call the handler no more; a call that has begun is not stopped."""
        self.cancelled = True


class Desk:
    """Handlers and timers of one script. The script's thread and its host's may use it at the same time."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns  # what the script takes for now; never goes back
        self.horizon_ns = now_ns  # up to where timers may run
        self._handlers: dict[Kind, list[tuple[Handler, frozenset[str]]]] = {kind: [] for kind in Kind}
        self._timers: list[tuple[int, int, Timer]] = []
        self._order = 0
        self._lock = threading.Lock()

    @property
    def idle(self) -> bool:
        """Whether nothing can call the script any more."""
        with self._lock:
            return not self._timers and not any(self._handlers.values())

    def add(self, kind: Kind, handler: Handler, names: Sequence[str] = ()) -> None:
        """Call `handler` for jobs of a kind, of all names or those given, after the handlers that are there."""
        if not callable(handler):
            raise ConfigError(kind.value, f"a function is expected, not {type(handler).__name__}")
        if isinstance(names, str):
            raise ConfigError(kind.value, f"a list of names is expected, such as [{names!r}]")
        if len(self._handlers[kind]) >= MAX_HANDLERS:
            raise ConfigError(kind.value, f"more than {MAX_HANDLERS} handlers; add them once, in setup")
        self._handlers[kind].append((handler, frozenset(names)))

    def wants(self, kind: Kind, subject: object) -> bool:
        """Tell whether a handler would be called."""
        return bool(self._of(kind, subject))

    def calls(self, job: Job) -> list[tuple[Handler, tuple[object, ...]]]:
        """Move to the job's moment; return what to call, with arguments, in order: for a request the last handler."""
        self.now_ns = max(self.now_ns, job.at_ns)
        if job.handler is not None:
            return [(job.handler, ())]
        calls: list[tuple[Handler, tuple[object, ...]]] = [
            (handler, (job.subject,)) for handler in self._of(job.kind, job.subject)
        ]
        return calls[-1:] if job.kind is Kind.HTTP else calls

    def after(self, seconds: float, handler: Handler) -> Timer:
        """Call `handler` once, `seconds` from now."""
        return self._start(Timer(handler, self.now_ns + _nanoseconds("after", seconds, 0.0)))

    def every(self, seconds: float, handler: Handler) -> Timer:
        """Call `handler` each `seconds`, first in `seconds` from now."""
        period = _nanoseconds("every", seconds, _SHORTEST_TICK_S)
        return self._start(Timer(handler, self.now_ns + period, every_ns=period))

    def advance(self, now_ns: int) -> None:
        """Let timers run that are due up to `now_ns`; time never goes back."""
        self.horizon_ns = max(self.horizon_ns, now_ns)

    def deadline(self) -> int | None:
        """Return when the next timer is due."""
        with self._lock:
            self._drop_cancelled()
            return self._timers[0][0] if self._timers else None

    def due(self) -> Job | None:
        """Return the next timer up to the horizon as a job, or None; a tick is put on the grid behind the horizon."""
        with self._lock:
            self._drop_cancelled()
            if not self._timers or self._timers[0][0] > self.horizon_ns:
                return None
            due_ns, _, timer = heapq.heappop(self._timers)
            if timer.every_ns:
                missed = (self.horizon_ns - due_ns) // timer.every_ns
                due_ns += missed * timer.every_ns
                self._push(timer, due_ns + timer.every_ns)
            return Job(Kind.TIMER, due_ns, handler=timer.handler)

    def _of(self, kind: Kind, subject: object) -> list[Handler]:
        name = _name(subject)
        return [handler for handler, names in self._handlers[kind] if not names or name in names]

    def _start(self, timer: Timer) -> Timer:
        if not callable(timer.handler):
            raise ConfigError("timer", f"a function is expected, not {type(timer.handler).__name__}")
        with self._lock:
            self._drop_cancelled()
            if len(self._timers) >= MAX_TIMERS:
                raise ConfigError("timer", f"more than {MAX_TIMERS} timers of one script")
            self._push(timer, timer.due_ns)
        return timer

    def _push(self, timer: Timer, due_ns: int) -> None:
        self._order += 1
        timer.due_ns = due_ns
        heapq.heappush(self._timers, (due_ns, self._order, timer))

    def _drop_cancelled(self) -> None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)


def finish(result: object, run: Callable[[Coroutine[Any, Any, object]], object]) -> object:
    """Return what a handler returned; an awaitable is run to its end first."""
    return run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[object]) -> object:
    return await result


def _name(subject: object) -> str:
    match subject:
        case Event():
            return subject.threshold_id
        case FlowRecord():
            return subject.name
        case str():
            return subject
        case _:
            return ""


def _nanoseconds(call: str, seconds: float, least: float) -> int:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise ConfigError(call, f"a number of seconds is expected, not {seconds!r}")
    if not least <= seconds <= _LONGEST_S:
        raise ConfigError(call, f"{seconds} seconds are not between {least} and {_LONGEST_S:.0f}")
    return round(seconds * 1e9)
