"""One script on a thread of its own: it loads the file, then does one job after the other until nothing is left to do.

Whoever calls `put` and `advance` never waits for the script. What a handler raises is logged with its line, counted,
and ends nothing. A script that does not come back is seen from outside: it is reported, and its daemon thread is left
behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import InvalidStateError
from pathlib import Path
from typing import Any, Final

import msgspec

from tidegate.apps.script import LogLine, Runtime, Services
from tidegate.apps.script_desk import Desk, Handler, Job, Kind, finish
from tidegate.apps.script_http import HttpError, as_http_error, unavailable
from tidegate.apps.script_inbox import Inbox
from tidegate.apps.script_load import ScriptStopped, UserCode, describe_error, line_of, load_setup, place_of
from tidegate.apps.store import Store
from tidegate.errors import ConfigError
from tidegate.io.fetch import HttpResponse
from tidegate.web.backend import ScriptStatus

__all__ = ["ScriptFile", "ScriptThread"]


_SAME_FAILURE_NS: Final = 10_000_000_000
_MOST_PLACES: Final = 64


class ScriptFile(msgspec.Struct, frozen=True):
    """A script to run: its file, the application it belongs to ("" for none) and its settings."""

    path: Path
    app: str = ""
    config: Mapping[str, Any] = {}

    @property
    def name(self) -> str:
        """How it is called in statuses, logs and paths: `file.py`, or `app/file.py`."""
        return f"{self.app}/{self.path.name}" if self.app else self.path.name


class ScriptThread:
    """A script with its thread. `stuck_s`: how long one call may take before it is reported."""

    def __init__(
        self, file: ScriptFile, services: Services, *, store: Path | None, now_ns: int, stuck_s: float
    ) -> None:
        self.file = file
        self.desk = Desk(now_ns)
        self._log = services.log
        self._services = services
        self._store = Store(store)
        self._stuck_ns = round(stuck_s * 1e9)
        self._inbox = Inbox()
        self._changed = threading.Condition()
        self._loaded = False
        self._resting = False  # the thread waits for work
        self._ended = False
        self._stopping = False
        self._since_ns: int | None = None  # when the job in hand was begun
        self._reported = False
        self._error = ""
        self._failures = 0
        # place and type of exceptions that were logged: until when not again, how many were not since
        self._said: dict[str, tuple[int, int]] = {}
        self._graceful = False
        self._cpu_ms = 0
        self._user_code = UserCode()
        self._thread = threading.Thread(target=self._main, name=f"script {file.name}", daemon=True)

    def load(self, limit_s: float) -> None:
        """Start the thread; return when `setup` has ended, or leave the script behind after `limit_s`."""
        self._thread.start()
        with self._changed:
            done = self._changed.wait_for(lambda: self._loaded or self._ended, limit_s)
        if not done:
            self._abandon(f"setup did not end within {limit_s:g} s")

    def wants(self, kind: Kind, subject: object) -> bool:
        """Tell whether the script would be called."""
        return not self._ended and self.desk.wants(kind, subject)

    def put(self, job: Job) -> bool:
        """Give the script a job; False where it has ended or too much waits already."""
        with self._changed:
            if self._ended or not self._inbox.put(job):
                return False
            self._resting = False
            self._changed.notify_all()
            return True

    def deadline(self) -> int | None:
        """Return when the next timer is due."""
        return None if self._ended else self.desk.deadline()

    def advance(self, now_ns: int) -> None:
        """Let time go on; timers run and a call that takes too long is reported."""
        with self._changed:
            self.desk.advance(now_ns)
            deadline = self.desk.deadline()
            if not self._ended and deadline is not None and deadline <= self.desk.horizon_ns:
                self._resting = False
                self._changed.notify_all()
            late = self._stuck() and not self._reported
            self._reported = self._reported or late
        if late:
            self._say("error", self._stuck_text())

    def settle(self, limit_s: float) -> None:
        """Wait until the script has nothing to do; leave it behind where that takes longer than `limit_s`."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._resting or self._ended, limit_s)
        if not done:
            self._abandon(f"a handler did not end within {limit_s:g} s")

    def stop(self, limit_s: float) -> None:
        """End the thread after the job in hand; one that does not end is interrupted."""
        if self._thread.ident is None:  # it was never started
            return
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: self._ended, limit_s)
        if not done:
            self._abandon(f"did not stop within {limit_s:g} s")
        else:
            self._thread.join(limit_s)

    def status(self) -> ScriptStatus:
        """Return how the script is doing."""
        with self._changed:
            received, lost = self._inbox.received, self._inbox.lost
            stuck = self._stuck()
            return ScriptStatus(
                flowsReceived=received[Kind.FLOW],
                flowsLost=lost[Kind.FLOW],
                eventsReceived=received[Kind.EVENT],
                eventsLost=lost[Kind.EVENT],
                requestsReceived=received[Kind.HTTP],
                requestsLost=lost[Kind.HTTP],
                alive=not self._ended,
                gracefulExit=self._graceful,
                cpuMs=self._cpu_ms,
                error=self._stuck_text() if stuck else self._error,
                handlerErrors=self._failures,
                stuck=stuck,
            )

    def count_lost(self, kind: Kind, count: int) -> None:
        """Count what was lost before it came here."""
        with self._changed:
            self._inbox.lost[kind] += count

    def _main(self) -> None:
        error = ""
        try:
            with asyncio.Runner() as runner:
                self._setup(runner)
                while (job := self._next()) is not None:
                    self._do(job, runner)
        except ScriptStopped:
            error = self._error or f"{self.file.name}: interrupted"
        except BaseException as problem:  # noqa: BLE001 - whatever ends a script ends only that script
            error = describe_error(problem, self.file.path)
            self._say("error", f"ended: {error}")
        self._end(error)

    def _setup(self, runner: asyncio.Runner) -> None:
        run = self._user_code.call(lambda: load_setup(self.file.path, f"tidegate_script.{self.file.name}"))
        runtime = Runtime(
            self.file.name,
            self.desk,
            self._services,
            store=self._store,
            config=self.file.config,
            run=lambda request: _run_now(request, runner),
        )
        self._user_code.call(lambda: finish(run(runtime), runner.run))
        with self._changed:
            if self._ended:  # the time to load was over, the host has gone on
                raise ScriptStopped
            self._loaded = not self.desk.idle  # else it ends at once, and that is waited for
            self._note_cpu()
            self._changed.notify_all()

    def _next(self) -> Job | None:
        """Wait for a job; None when there will be none."""
        with self._changed:
            while not self._stopping and not self._ended:
                job = self.desk.due() or self._inbox.take()
                if job is not None:
                    self._resting = False
                    self._since_ns = self.desk.horizon_ns
                    return job
                if self.desk.idle:
                    return None
                self._resting = True
                self._changed.notify_all()
                self._changed.wait()
        return None

    def _do(self, job: Job, runner: asyncio.Runner) -> None:
        for handler, arguments in self.desk.calls(job):
            try:
                _answer(job, self._call(handler, arguments, runner))
            except ScriptStopped:
                raise
            except BaseException as error:  # noqa: BLE001 - the user's code may raise anything, SystemExit included
                self._failed(job, error)
        with self._changed:
            self._since_ns, self._reported = None, False
            self._note_cpu()

    def _call(self, handler: Handler, arguments: tuple[object, ...], runner: asyncio.Runner) -> object:
        return self._user_code.call(lambda: finish(handler(*arguments), runner.run))

    def _failed(self, job: Job, error: BaseException) -> None:
        _refuse(job, as_http_error(error))
        if isinstance(error, HttpError) and job.kind is Kind.HTTP:
            return
        text = f"{describe_error(error, self.file.path)} (in {job.kind.value})"
        with self._changed:
            self._error = text
            self._failures += 1
        self._say_failure(text)

    def _say_failure(self, text: str) -> None:
        """Log an exception; of those from one place and of one type, under attack perhaps thousands, a few a minute."""
        place = ": ".join(text.split(": ", 2)[:2])
        if place not in self._said and len(self._said) >= _MOST_PLACES:
            place = ""  # one for all others
        now_ns = self.desk.horizon_ns
        until_ns, unsaid = self._said.get(place, (0, 0))
        if now_ns < until_ns:
            self._said[place] = until_ns, unsaid + 1
            return
        more = f" ({unsaid} more were not logged before)" if unsaid else ""
        self._said[place] = now_ns + _SAME_FAILURE_NS, 0
        self._say("error", f"{text}{more}")

    def _end(self, error: str) -> None:
        with self._changed:
            self._note_cpu()
            already = self._ended
            self._ended = True
            self._graceful = not error and not already
            self._error = error or self._error
            self._since_ns = None
            self._drain()
            self._changed.notify_all()

    def _abandon(self, reason: str) -> None:
        where = self._place()
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._error = f"{where}: {reason}; the script is left behind"
            self._since_ns = None
            self._drain()
        self._say("error", self._error)
        self._user_code.interrupt()  # so that a loop does not take processor time for ever

    def _drain(self) -> None:
        while (job := self._inbox.take()) is not None:
            self._inbox.lost[job.kind] += 1
            _refuse(job, unavailable("the script has ended"))

    def _stuck(self) -> bool:
        since = self._since_ns
        return since is not None and self.desk.horizon_ns - since >= self._stuck_ns

    def _stuck_text(self) -> str:
        seconds = (self.desk.horizon_ns - (self._since_ns or self.desk.horizon_ns)) / 1e9
        return f"{self._place()}: a handler has not returned for {seconds:.0f} s"

    def _place(self) -> str:
        """Return where the script is just now."""
        return place_of(self.file.path, line_of(self._thread.ident or 0, self.file.path))

    def _say(self, level: str, text: str) -> None:
        self._log(LogLine(level, self.file.name, text, self.desk.now_ns / 1e9))

    def _note_cpu(self) -> None:
        if threading.current_thread() is self._thread:
            usage = resource.getrusage(resource.RUSAGE_THREAD)
            self._cpu_ms = round((usage.ru_utime + usage.ru_stime) * 1000)


def _run_now(request: Coroutine[Any, Any, HttpResponse], runner: asyncio.Runner) -> HttpResponse:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return runner.run(request)
    request.close()
    raise ConfigError("http", "inside `async def` use `await rt.http_async(…)`")


def _answer(job: Job, result: object) -> None:
    if job.answer is not None:
        with contextlib.suppress(InvalidStateError):  # who asked may have given up
            job.answer.set_result(result)


def _refuse(job: Job, error: BaseException) -> None:
    if job.answer is not None:
        with contextlib.suppress(InvalidStateError):
            job.answer.set_exception(error)
