"""The examples as they run live: loaded from their files, each on a thread."""

from __future__ import annotations

import msgspec

from script_files import ROOT, START_NS, Stage, event
from tidegate.apps.script_host import ScriptFile


def test_every_example_loads_and_handles_an_event() -> None:
    files = [ScriptFile(path) for path in sorted((ROOT / "examples").glob("*.py"))]
    stage = Stage(files)
    stage.host.start(START_NS)
    events = [
        ("reflection", "192.0.2.1,53"),
        ("flood", "192.0.2.1"),
        ("elephant", "192.0.2.1,192.0.2.2,50112,443"),
        ("marked", "198.51.100.1"),
    ]
    stage.host.deliver([event(number, threshold=name, key=key) for number, (name, key) in enumerate(events)])
    statuses = stage.host.status()
    stage.host.stop()
    assert [msgspec.structs.asdict(status)["error"] for status in statuses.values()] == [""] * len(files)
    assert all(status.eventsReceived == 1 and status.alive for status in statuses.values())
    assert any(line.startswith("large flow") for line in stage.lines())
    assert sum(line.startswith("observe only, would announce") for line in stage.lines()) == 3
    assert stage.routes.changes == []
