"""User scripts for tests: files from texts, and a host for them."""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tidegate.apps.fake_backend import FakeBackend
from tidegate.apps.route_log import RouteLog
from tidegate.apps.script import LogLine, Services, Shared
from tidegate.apps.script_host import ScriptFile, ScriptHost, ScriptLimits
from tidegate.apps.script_http import HttpCall, as_http_error
from tidegate.engine.events import Event, FlowRecord
from tidegate.io.fetch import HttpRequest, HttpResponse
from tidegate.web.answers import Reply, answer_of, refusal

ROOT = Path(__file__).resolve().parents[1]
START_NS = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
LIMITS = ScriptLimits(load_s=60, step_s=60, stop_s=60)


def example(name: str) -> ModuleType:
    """Return a program of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


class Stage:
    """A host, and everything its scripts can reach."""

    def __init__(
        self, files: list[ScriptFile], *, limits: ScriptLimits = LIMITS, in_step: bool = True, store: Path | None = None
    ) -> None:
        self.backend = FakeBackend()
        self.log: list[LogLine] = []
        self.routes = RouteLog(lambda: 0.0)
        self.shared = Shared()
        self.requests: list[HttpRequest] = []
        services = Services(
            backend=self.backend, bgp=self.routes, fetch=self._fetch, log=self.log.append, shared=self.shared
        )
        self.host = ScriptHost(files, services, store=store, limits=limits, in_step=in_step)

    def lines(self, level: str = "info") -> list[str]:
        return [line.text for line in self.log if line.level == level]

    def well(self) -> bool:
        return all(status.well for status in self.host.status().values())

    def ask(self, app: str, file: str, call: HttpCall) -> Reply:
        """Return a script's answer as REST would give it."""
        try:
            return answer_of(self.host.ask(app, file, call).result(60), call.format)
        except Exception as error:  # noqa: BLE001 - whatever the script raised
            known = as_http_error(error)
            return refusal(known.status, known.reason)

    async def _fetch(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return HttpResponse(200, b"{}", url=request.url)


def script_of(folder: Path, text: str, *, config: Mapping[str, Any] | None = None) -> list[ScriptFile]:
    """Return one script, `s.py`."""
    return [ScriptFile(write(folder, "s.py", text), config=config or {})]


def event(number: int = 1, *, threshold: str = "t", at_ns: int = START_NS, key: str | None = None) -> Event:
    return Event(
        event_id=number,
        timestamp=at_ns // 1_000_000,
        threshold_id=threshold,
        metric="m",
        threshold=1.0,
        value=2.0,
        agent="192.0.2.254",
        data_source="1",
        flow_key=key,
        time_ns=at_ns,
    )


def record(number: int = 1, *, name: str = "f", at_ns: int = START_NS) -> FlowRecord:
    end = at_ns // 1_000_000
    return FlowRecord(number, name, "k", 1.0, end - 1000, end, "192.0.2.254", "1")
