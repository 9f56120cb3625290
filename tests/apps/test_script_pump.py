from __future__ import annotations

import os
import threading
from pathlib import Path

from script_files import SECOND, START_NS, Stage, event, record, script_of
from tidegate.apps.script_pump import Feed, pump_scripts

TELL = """
def setup(rt):
    rt.on_event(lambda event: rt.log.info(f"event {event.event_id}"))
    rt.on_flow(lambda record: rt.log.info(f"flow {record.flow_id}"))
    rt.after(2, lambda: rt.log.info("later"))
"""


def test_each_event_and_record_is_delivered_once_and_time_goes_on(tmp_path: Path) -> None:
    stage = Stage(script_of(tmp_path, TELL))
    stage.host.start(START_NS)
    feed = Feed(stage.host, stage.backend)
    feed.step(START_NS)
    stage.backend.event_log += [event(0), event(1)]
    stage.backend.record_log.append(record(0, at_ns=START_NS + SECOND))
    feed.step(START_NS + SECOND)
    feed.step(START_NS + SECOND)
    stage.backend.event_log.append(event(2, at_ns=START_NS + SECOND))
    feed.step(START_NS + 2 * SECOND)
    stage.host.stop()
    assert stage.lines() == ["event 0", "event 1", "flow 0", "event 2", "later"]


def test_what_the_backend_has_forgotten_is_counted_as_lost(tmp_path: Path) -> None:
    stage = Stage(script_of(tmp_path, TELL))
    stage.host.start(START_NS)
    feed = Feed(stage.host, stage.backend)
    stage.backend.event_log = [event(1)]
    stage.backend.record_log = [record(1)]
    feed.step(START_NS)
    stage.backend.event_log = [event(5)]
    stage.backend.record_log = [record(3)]
    feed.step(START_NS)
    status = stage.host.status()["s.py"]
    stage.host.stop()
    assert (status.eventsReceived, status.eventsLost) == (2, 3)
    assert (status.flowsReceived, status.flowsLost) == (2, 1)


class StillClock:
    """A clock that shows one moment."""

    def monotonic_ns(self) -> int:
        return 0

    def time_ns(self) -> int:
        return START_NS

    def sleep(self, seconds: float) -> None:
        del seconds


def test_the_pump_runs_until_it_is_stopped(tmp_path: Path) -> None:
    text = """
    import os
    def setup(rt):
        rt.on_event(lambda event: os.write(rt.config["seen"], b"."))
    """
    seen, write = os.pipe()
    stage = Stage(script_of(tmp_path, text, config={"seen": write}), in_step=False)
    stopping = threading.Event()
    stage.host.start(START_NS)
    thread = threading.Thread(target=pump_scripts, args=(stage.host, stage.backend, StillClock(), stopping))
    thread.start()
    stage.backend.event_log.append(event())
    os.read(seen, 1)
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()
    stage.host.stop()
