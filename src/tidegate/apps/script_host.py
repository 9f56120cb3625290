"""All scripts of an instance: loads them, gives them events, flow records, requests and time, says how they are.

Nothing here waits for a script, with two exceptions that have limits: loading, and `in_step` mode. In that mode, meant
for replay, every call returns when the scripts have done all that followed from it, and time goes from one timer to the
next: a recording gives the same calls in the same order each time. Live, the same calls only reach the queues.

No clock is read: time is what `start` and `advance` are told. Live, `tidegate.apps.script_pump` tells it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

import msgspec

from tidegate.apps.script import LogLine, Services
from tidegate.apps.script_desk import Job, Kind
from tidegate.apps.script_http import HttpCall, not_found, unavailable
from tidegate.apps.script_thread import ScriptFile, ScriptThread
from tidegate.engine.events import Event, FlowRecord
from tidegate.errors import ConfigError
from tidegate.web.backend import ScriptStatus

__all__ = ["ScriptFile", "ScriptHost", "ScriptLimits", "log_line"]

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_MAX_STEPS: Final = 100_000  # timers run one by one for each `advance`; a recording may jump by years
_LOG: Final = logging.getLogger("tidegate.script")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class ScriptLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long scripts may take, in seconds."""

    load_s: float = 10.0  # to load a file and run its setup
    stuck_s: float = 5.0  # a call that takes longer is reported
    step_s: float = 30.0  # in step: a script that takes longer is left behind
    stop_s: float = 2.0  # to end


class ScriptHost:
    """The scripts, in the order given. `store` is the folder of what they remember; None remembers nothing."""

    def __init__(
        self,
        files: Sequence[ScriptFile],
        services: Services,
        *,
        store: Path | None = None,
        limits: ScriptLimits = ScriptLimits(),  # noqa: B008 - frozen
        in_step: bool = False,
    ) -> None:
        self._files = tuple(files)
        self._services = services
        self._store = store
        self._limits = limits
        self._in_step = in_step
        self._now_ns = 0
        self._scripts: dict[str, ScriptThread] = {}
        names = [file.name for file in files]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError("scripts", f"two scripts are called {twice}; rename one")

    def start(self, now_ns: int) -> None:
        """Load the scripts one after the other; a script that fails is reported by `status`, the others go on."""
        self._now_ns = now_ns
        self._scripts = {file.name: self._thread_of(file) for file in self._files}
        for script in self._scripts.values():
            script.load(self._limits.load_s)
        self._settle()

    def stop(self) -> None:
        """End all scripts."""
        for script in self._scripts.values():
            script.stop(self._limits.stop_s)

    def advance(self, now_ns: int) -> None:
        """Say that it is `now_ns`: timers run. Live, call it some ten times a second."""
        self._now_ns = max(self._now_ns, now_ns)
        steps = 0
        while self._in_step and steps < _MAX_STEPS:
            deadlines = [
                (due, place) for place, due in enumerate(map(_deadline, self._scripts.values())) if due is not None
            ]
            due_ns, place = min(deadlines, default=(now_ns + 1, 0))
            if due_ns > now_ns:
                break
            script = list(self._scripts.values())[place]
            script.advance(due_ns)
            script.settle(self._limits.step_s)
            steps += 1
        for script in self._scripts.values():
            script.advance(now_ns)
        self._settle()

    def deliver(self, events: Sequence[Event] = (), records: Sequence[FlowRecord] = ()) -> None:
        """Give events and flow records to the scripts that want them, in order of time, each after earlier timers."""
        jobs = [Job(Kind.EVENT, event.time_ns or event.timestamp * 1_000_000, event) for event in events]
        jobs += [Job(Kind.FLOW, record.end * 1_000_000, record) for record in records]
        for job in sorted(jobs, key=lambda job: job.at_ns):
            if self._in_step:
                self.advance(job.at_ns)
            self._give(job)

    def lost(self, *, events: int = 0, records: int = 0) -> None:
        """Count, for each script, what was gone before it could be delivered."""
        for script in self._scripts.values():
            script.count_lost(Kind.EVENT, events)
            script.count_lost(Kind.FLOW, records)

    def bgp_up(self, peer: str) -> None:
        """Say that a BGP session came up; a hook of the speaker."""
        self._give(Job(Kind.BGP_UP, self._now_ns, peer))

    def bgp_down(self, peer: str) -> None:
        """Say that a BGP session went down; a hook of the speaker."""
        self._give(Job(Kind.BGP_DOWN, self._now_ns, peer))

    def ask(self, app: str, file: str, call: HttpCall) -> Future[object]:
        """Put a request to a script, from any thread; the future gets what its handler returns or raises."""
        answer: Future[object] = Future()
        script = self._scripts.get(f"{app}/{file}" if app else file)
        if script is None:
            answer.set_exception(not_found("no such script"))
        elif not script.status().alive:
            answer.set_exception(unavailable("the script has ended"))
        elif not script.wants(Kind.HTTP, call):
            answer.set_exception(not_found("the script answers no requests"))
        elif not script.put(Job(Kind.HTTP, self._now_ns, call, answer=answer)):
            answer.set_exception(unavailable("too many requests wait for the script"))
        return answer

    def status(self) -> dict[str, ScriptStatus]:
        """Return how each script is doing: the object of `/scripts/json`."""
        return {name: script.status() for name, script in self._scripts.items()}

    def _thread_of(self, file: ScriptFile) -> ScriptThread:
        store = None if self._store is None else self._store / f"{file.name.replace('/', '~')}.json"
        return ScriptThread(file, self._services, store=store, now_ns=self._now_ns, stuck_s=self._limits.stuck_s)

    def _give(self, job: Job) -> None:
        for script in self._scripts.values():
            if script.wants(job.kind, job.subject):
                script.put(job)
                if self._in_step:
                    script.settle(self._limits.step_s)

    def _settle(self) -> None:
        for script in self._scripts.values() if self._in_step else ():
            script.settle(self._limits.step_s)


def log_line(line: LogLine) -> None:
    """Write a script's line to the program's log.

    Texts may come from packets: they start no line of their own, and no control character reaches a terminal.
    """
    _LOG.log(_LEVELS[line.level], "%s: %s", line.script, _CONTROL.sub(_shown, line.text))


def _shown(found: re.Match[str]) -> str:
    return "\n    " if found[0] == "\n" else found[0].encode("unicode_escape").decode()


def _deadline(script: ScriptThread) -> int | None:
    return script.deadline()
