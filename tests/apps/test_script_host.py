"""Scripts on their threads. Nothing sleeps: in step, calls return when scripts are done; live, tests wait for them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from script_files import SECOND, START_NS, Stage, event, record, script_of, write
from tidegate.apps.script import HttpCall, HttpError, LogLine
from tidegate.apps.script_host import ScriptFile, ScriptLimits, log_line
from tidegate.errors import ConfigError

ECHO = """
def setup(rt):
    rt.on_event(lambda event: rt.log.info(f"event {event.event_id} at {rt.now():.3f}"), thresholds=["t"])
    rt.on_flow(lambda record: rt.log.info(f"flow {record.flow_id}"), names=["f"])
    rt.on_http(lambda call: {"path": call.path, "query": call.query, "body": call.body, "method": call.method})
"""

GET = HttpCall("GET")


class Gate:
    """What a script says when it arrives at it, and waits for without using the processor: two pipes."""

    def __init__(self) -> None:
        self._arrived, arrive = os.pipe()
        wait, self._open = os.pipe()
        self.config = {"arrive": arrive, "wait": wait}

    def arrived(self) -> None:
        os.read(self._arrived, 1)

    def open(self) -> None:
        os.write(self._open, b".")

    def open_for_ever(self) -> None:
        if self._open >= 0:
            os.close(self._open)
        self._open = -1


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open_for_ever()


def test_events_and_records_reach_who_wants_them(tmp_path: Path) -> None:
    stage = Stage(script_of(tmp_path, ECHO))
    stage.host.start(START_NS)
    stage.host.deliver([event(1), event(2, threshold="other")], [record(1), record(2, name="other")])
    stage.host.deliver([event(3, at_ns=START_NS + SECOND)])
    assert stage.lines() == ["event 1 at 1700000000.000", "flow 1", "event 3 at 1700000001.000"]
    status = stage.host.status()["s.py"]
    assert (status.eventsReceived, status.flowsReceived, status.alive, status.error) == (2, 1, True, "")
    stage.host.stop()
    assert not stage.host.status()["s.py"].alive
    assert stage.host.status()["s.py"].gracefulExit


def test_time_goes_from_timer_to_timer_and_events_come_between(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        rt.every(1, lambda: rt.log.info(f"tick {rt.now() - 1_700_000_000:g}"))
        rt.after(2.5, lambda: rt.log.info(f"once {rt.now() - 1_700_000_000:g}"))
        rt.on_event(lambda event: rt.after(0.25, lambda: rt.log.info(f"later {rt.now() - 1_700_000_000:g}")))
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.deliver([event(1, at_ns=START_NS + SECOND + SECOND // 2)])
    stage.host.advance(START_NS + 3 * SECOND)
    stage.host.stop()
    assert stage.lines() == ["tick 1", "later 1.75", "tick 2", "once 2.5", "tick 3"]


def test_two_runs_of_the_same_events_make_the_same_calls(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        def tick():
            seen = rt.shared.get("seen", [])
            rt.shared.set("seen", [*seen, rt.name, rt.now()])
            rt.log.info(f"{rt.name} {rt.now()} {len(seen)}")
        rt.every(0.3, tick)
        rt.on_event(lambda event: tick())
    """
    runs = []
    for _ in range(2):
        files = [ScriptFile(write(tmp_path, name, text)) for name in ("a.py", "b.py", "c.py")]
        stage = Stage(files)
        stage.host.start(START_NS)
        for number in range(5):
            stage.host.deliver([event(number, at_ns=START_NS + number * 700_000_000)])
        stage.host.advance(START_NS + 5 * SECOND)
        stage.host.stop()
        runs.append(stage.lines())
    assert runs[0] == runs[1]
    assert len(runs[0]) == 3 * (5 + 16)


def test_async_handlers_run_to_their_end(tmp_path: Path) -> None:
    text = """
    import asyncio
    async def setup(rt):
        async def on_event(event):
            reply = await rt.http_async("http://192.0.2.1/", method="post", body={"key": event.flow_key})
            await asyncio.sleep(0)
            rt.log.info(f"status {reply.status}")
        rt.on_event(on_event)
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.deliver([event(key="k")])
    stage.host.stop()
    assert stage.lines() == ["status 200"]
    (request,) = stage.requests
    assert (request.method, request.body) == ("POST", b'{"key":"k"}')


def test_an_exception_is_logged_with_its_line_and_ends_nothing(tmp_path: Path) -> None:
    text = """
    def fail(event):
        if event.event_id == 1:
            raise SystemExit(3)
        return 1 / 0
    def setup(rt):
        rt.on_event(fail)
        rt.on_event(lambda event: rt.log.info("second handler"))
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.deliver([event(1), event(2)])
    status = stage.host.status()["s.py"]
    stage.host.stop()
    assert stage.lines("error") == [
        "s.py, line 4: SystemExit: 3 (in on_event)",
        "s.py, line 5: ZeroDivisionError: division by zero (in on_event)",
    ]
    assert stage.lines() == ["second handler"] * 2
    assert status.alive
    assert status.handlerErrors == 2
    assert status.error == stage.lines("error")[-1]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = 1 / 0\n", "bad.py, line 1: ZeroDivisionError: division by zero"),
        ("def setup(rt):\n    rt.nothing()\n", "bad.py, line 2: AttributeError: 'Runtime' object has no attribute"),
        ("\ndef setup(rt:\n", "bad.py, line 2: SyntaxError: '(' was never closed"),
        ("a\0b", "SyntaxError: source code string cannot contain null bytes"),
        ("\xff\xfe", "bad.py, line 1: SyntaxError"),
        ("", "has no function `setup(rt)`"),
        ("import sys; sys.exit()", "bad.py, line 1: SystemExit"),
        ("raise KeyboardInterrupt", "bad.py, line 1: KeyboardInterrupt"),
        (
            'def setup(rt):\n    rt.set_flow("f", {"keys": "ipsource", "value": "bytes", "filter": "a="})\n',
            "bad.py, line 2: TextError: filter",
        ),
        ("class E(Exception):\n  def __str__(self): raise E\nraise E", "bad.py, line 3: E: (its text cannot be made)"),
    ],
)
def test_a_script_that_fails_at_its_start_is_reported_and_the_others_run(tmp_path: Path, text: str, error: str) -> None:
    bad = tmp_path / "bad.py"
    bad.write_bytes(text.encode("latin-1"))
    stage = Stage([ScriptFile(bad), ScriptFile(write(tmp_path, "good.py", ECHO))])
    stage.host.start(START_NS)
    stage.host.deliver([event()])
    status = stage.host.status()
    healthy = stage.well()
    stage.host.stop()
    assert error in status["bad.py"].error
    assert (status["bad.py"].alive, status["bad.py"].gracefulExit) == (False, False)
    assert stage.lines() == ["event 1 at 1700000000.000"]
    assert any(error in line for line in stage.lines("error"))
    assert not healthy


def test_a_missing_file_and_a_name_used_twice_are_clear(tmp_path: Path) -> None:
    stage = Stage([ScriptFile(tmp_path / "none.py")])
    stage.host.start(START_NS)
    assert "none.py: the script cannot be read: No such file" in stage.host.status()["none.py"].error
    with pytest.raises(ConfigError, match=r"two scripts are called s\.py"):
        Stage([ScriptFile(tmp_path / "s.py"), ScriptFile(tmp_path / "x" / "s.py")])


def test_a_script_without_handlers_ends_gracefully(tmp_path: Path) -> None:
    stage = Stage(script_of(tmp_path, "def setup(rt):\n    rt.set_group('g', {'a': ['10.0.0.0/8']})\n"))
    stage.host.start(START_NS)
    status = stage.host.status()["s.py"]
    assert (status.alive, status.gracefulExit) == (False, True)
    assert stage.well()
    stage.host.deliver([event()])
    stage.host.stop()


@pytest.mark.parametrize("place", ["", "def setup(rt):\n    "])
def test_a_script_that_loops_at_its_start_is_left_behind_and_interrupted(tmp_path: Path, place: str) -> None:
    looping = write(tmp_path, "loop.py", f"{place}while True: pass\n")
    files = [ScriptFile(looping), ScriptFile(write(tmp_path, "good.py", ECHO))]
    stage = Stage(files, limits=ScriptLimits(load_s=0.05, stop_s=60))
    before = set(threading.enumerate())
    stage.host.start(START_NS)
    for thread in set(threading.enumerate()) - before:
        if thread.name == "script loop.py":
            thread.join(60)
            assert not thread.is_alive()
    status = stage.host.status()
    stage.host.deliver([event()])
    stage.host.stop()
    line = 2 if place else 1
    assert status["loop.py"].error.startswith(f"loop.py, line {line}: setup did not end within 0.05 s")
    assert not status["loop.py"].alive
    assert stage.lines() == ["event 1 at 1700000000.000"]


BLOCK = """
import os
def setup(rt):
    def on_event(event):
        os.write(rt.config["arrive"], b"."), os.read(rt.config["wait"], 1)  # on one line, which errors name
    rt.on_event(on_event)
    rt.every(1, lambda: rt.log.info("tick"))
    rt.on_http(lambda call: "here")
"""


def test_a_blocked_script_holds_up_nobody_and_is_reported_with_its_line(tmp_path: Path, gate: Gate) -> None:
    files = [
        ScriptFile(write(tmp_path, "blocked.py", BLOCK), config=gate.config),
        ScriptFile(write(tmp_path, "good.py", ECHO)),
    ]
    stage = Stage(files, in_step=False)
    host = stage.host
    host.start(START_NS)
    host.deliver([event(1)])
    assert stage.ask("", "good.py", GET).status == 200  # its event was done before that
    gate.arrived()
    host.advance(START_NS + 4 * SECOND)
    assert not host.status()["blocked.py"].stuck
    host.advance(START_NS + 6 * SECOND)
    host.advance(START_NS + 7 * SECOND)
    status = host.status()["blocked.py"]
    assert status.stuck
    assert status.alive
    assert status.error == "blocked.py, line 5: a handler has not returned for 7 s"
    assert not stage.well()
    assert stage.lines("error") == ["blocked.py, line 5: a handler has not returned for 6 s"]
    gate.open()
    assert stage.ask("", "blocked.py", GET).body == b'"here"'
    assert not host.status()["blocked.py"].stuck
    host.stop()
    assert [line for line in stage.lines() if line == "tick"] == ["tick"]  # seven were due, they do not pile up


def test_in_step_a_blocked_script_is_left_behind(tmp_path: Path, gate: Gate) -> None:
    files = [
        ScriptFile(write(tmp_path, "blocked.py", BLOCK), config=gate.config),
        ScriptFile(write(tmp_path, "good.py", ECHO)),
    ]
    stage = Stage(files, limits=ScriptLimits(load_s=60, step_s=0.05, stop_s=60))
    stage.host.start(START_NS)
    stage.host.deliver([event(1), event(2)])
    assert "blocked.py, line 5: a handler did not end within 0.05 s" in stage.host.status()["blocked.py"].error
    assert [line for line in stage.lines() if line.startswith("event")] == [
        "event 1 at 1700000000.000",
        "event 2 at 1700000000.000",
    ]
    gate.open()
    stage.host.stop()


def test_what_a_full_queue_loses_is_counted(tmp_path: Path, gate: Gate) -> None:
    text = """
    import os
    def setup(rt):
        rt.on_event(lambda event: os.read(rt.config["wait"], 1))
        rt.on_flow(lambda record: None)
        rt.on_http(lambda call: None)
    """
    stage = Stage(script_of(tmp_path, text, config=gate.config), in_step=False)
    host = stage.host
    host.start(START_NS)
    host.deliver([event(number) for number in range(12_000)], [record(number) for number in range(10_500)])
    answers = [host.ask("", "s.py", HttpCall("GET")) for _ in range(105)]
    status = host.status()["s.py"]
    assert status.eventsReceived + status.eventsLost == 12_000
    assert 10_000 <= status.eventsReceived <= 10_001
    assert (status.flowsReceived, status.flowsLost) == (10_000, 500)
    assert (status.requestsReceived, status.requestsLost) == (100, 5)
    assert sum("too many" in str(answer.exception(0)) for answer in answers if answer.done()) == 5
    gate.open_for_ever()
    host.stop()


def test_requests_get_the_scripts_answer_or_an_error(tmp_path: Path) -> None:
    text = """
    from tidegate.apps.script import HttpError, bad_request, not_found
    from tidegate.errors import ConfigError
    def on_http(call):
        match call.path:
            case ("echo",): return {"method": call.method, "query": call.query, "body": call.body}
            case ("nothing",): return None
            case ("text",): return "automatic"
            case ("bad",): raise bad_request("no")
            case ("fail",): return 1 / 0
            case ("exit",): raise SystemExit(3)
            case ("own",): raise ConfigError("key", "no such peer")
            case ("odd",): raise HttpError("404", "half \\ud800")
            case ("far",): raise HttpError(99_999, "no such status")
            case ("set",): return object()
        raise not_found()
    def setup(rt):
        rt.on_http(lambda call: "an older handler")
        rt.on_http(on_http)
    """
    files = [
        ScriptFile(write(tmp_path, "s.py", text), app="app"),
        ScriptFile(write(tmp_path, "done.py", "setup=print")),
    ]
    stage = Stage(files, in_step=False)
    host = stage.host
    host.start(START_NS)

    def ask(path: str, wanted: str = "json") -> tuple[int, bytes]:
        reply = stage.ask("app", "s.py", HttpCall("PUT", (path,), {"a": ("1", "2")}, {"b": [1]}, wanted))
        return reply.status, reply.body

    assert ask("echo") == (200, b'{"method":"PUT","query":{"a":["1","2"]},"body":{"b":[1]}}')
    assert ask("nothing") == (204, b"")
    assert ask("text") == (200, b'"automatic"')
    assert ask("text", "txt") == (200, b"automatic")
    assert ask("bad") == (400, b'{"error":"no"}')
    assert ask("other") == (404, b'{"error":"not found"}')
    for failure in ("fail", "exit", "own"):
        assert ask(failure) == (500, b'{"error":"the script failed"}')
    assert ask("odd") == (500, b'{"error":"half ?"}')
    assert ask("far") == (500, b'{"error":"no such status"}')
    exit_call = HttpCall("GET", ("exit",))
    assert isinstance(host.ask("app", "s.py", exit_call).exception(60), HttpError)  # no exit on the asker's loop
    assert ask("set")[0] == 500
    assert stage.ask("", "s.py", GET).status == 404
    assert stage.ask("", "done.py", GET).status == 503
    assert host.status()["app/s.py"].handlerErrors == 4  # an HttpError is an answer, no failure
    host.stop()
    assert stage.ask("app", "s.py", GET).status == 503


def test_a_request_to_a_blocked_script_holds_up_nobody(tmp_path: Path, gate: Gate) -> None:
    stage = Stage(script_of(tmp_path, BLOCK, config=gate.config), in_step=False)
    stage.host.start(START_NS)
    stage.host.deliver([event()])
    gate.arrived()
    answer = stage.host.ask("", "s.py", GET)
    with pytest.raises(TimeoutError):
        answer.result(0.05)
    gate.open_for_ever()
    stage.host.stop()


def test_requests_that_wait_when_a_script_ends_are_answered(tmp_path: Path, gate: Gate) -> None:
    stage = Stage(script_of(tmp_path, BLOCK, config=gate.config), in_step=False, limits=ScriptLimits(stop_s=0.05))
    stage.host.start(START_NS)
    stage.host.deliver([event()])
    gate.arrived()
    answer = stage.host.ask("", "s.py", HttpCall("GET"))
    stage.host.stop()
    assert "the script has ended" in str(answer.exception(60))
    assert "line 5: did not stop within 0.05 s" in stage.host.status()["s.py"].error


def test_bgp_sessions_are_told(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        rt.bgp.on_up(lambda peer: rt.log.info(f"up {peer}"))
        rt.bgp.on_down(lambda peer: rt.log.info(f"down {peer}"))
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.bgp_up("192.0.2.1")
    stage.host.bgp_down("192.0.2.1")
    stage.host.stop()
    assert stage.lines() == ["up 192.0.2.1", "down 192.0.2.1"]


def test_the_store_outlives_the_host(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        count = rt.store.get("count", 0) + 1
        rt.store.set("count", count)
        rt.log.info(f"run {count}")
    """
    lines = []
    for _ in range(2):
        stage = Stage(script_of(tmp_path, text), store=tmp_path / "store")
        stage.host.start(START_NS)
        stage.host.stop()
        lines += stage.lines()
    assert lines == ["run 1", "run 2"]


def test_a_jump_of_years_in_a_recording_does_not_hang(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        rt.every(1000, lambda: None)
        rt.after(7 * 86400, lambda: rt.log.info("withdrawn"))
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.advance(START_NS + 100 * 366 * 86400 * SECOND)
    stage.host.advance(START_NS)  # time that goes back is no time
    stage.host.stop()
    assert stage.lines() == ["withdrawn"]


def test_processor_time_is_told(tmp_path: Path) -> None:
    text = """
    import time
    def busy(event):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
    def setup(rt):
        rt.on_event(busy)
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.deliver([event()])
    assert stage.host.status()["s.py"].cpuMs >= 20
    stage.host.stop()


def test_waiting_http_belongs_in_def_handlers(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        rt.on_event(lambda event: rt.log.info(rt.http("http://192.0.2.1/").status), thresholds=["t"])
        async def wrong(event):
            rt.http("http://192.0.2.1/")
        rt.on_event(wrong, thresholds=["u"])
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.deliver([event(1, threshold="t"), event(2, threshold="u")])
    stage.host.stop()
    assert stage.lines() == ["200"]
    assert stage.lines("error") == [
        "s.py, line 5: ConfigError: http: inside `async def` use `await rt.http_async(…)` (in on_event)"
    ]


def test_a_host_that_was_never_started_stops_and_hears_of_peers(tmp_path: Path) -> None:
    stage = Stage(script_of(tmp_path, ECHO))
    stage.host.bgp_up("192.0.2.1")
    stage.host.deliver([event()])
    stage.host.stop()
    assert stage.host.status() == {}


def test_the_log_goes_to_the_programs_log(caplog: pytest.LogCaptureFixture) -> None:
    log_line(LogLine("warning", "s.py", "text", 0.0))
    assert caplog.record_tuples == [("tidegate.script", logging.WARNING, "s.py: text")]


def test_a_text_starts_no_line_of_the_log_and_steers_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    log_line(LogLine("warning", "s.py", "name\n2026 ERROR forged\r\x1b[31m\tred\u202e é", 0.0))
    assert caplog.messages == ["s.py: name\n    2026 ERROR forged\\r\\x1b[31m\tred\\u202e é"]


def test_the_same_failure_again_and_again_does_not_fill_the_log(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        def tick():
            if rt.now() < 1_700_000_021.5:
                raise ValueError(f"at {rt.now():.0f}")
            raise KeyError("another")
        rt.every(1, tick)
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.advance(START_NS + 23 * SECOND)
    assert stage.lines("error") == [
        "s.py, line 5: ValueError: at 1700000001 (in timer)",
        "s.py, line 5: ValueError: at 1700000011 (in timer) (9 more were not logged before)",
        "s.py, line 5: ValueError: at 1700000021 (in timer) (9 more were not logged before)",
        "s.py, line 6: KeyError: 'another' (in timer)",
    ]
    assert stage.host.status()["s.py"].handlerErrors == 23
    stage.host.stop()


def test_failures_that_take_turns_do_not_fill_the_log_either(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        def tick():
            if int(rt.now()) % 2:
                raise ValueError("odd")
            raise KeyError("even")
        rt.every(1, tick)
    """
    stage = Stage(script_of(tmp_path, text))
    stage.host.start(START_NS)
    stage.host.advance(START_NS + 9 * SECOND)
    assert stage.lines("error") == [
        "s.py, line 5: ValueError: odd (in timer)",
        "s.py, line 6: KeyError: 'even' (in timer)",
    ]
    stage.host.stop()
