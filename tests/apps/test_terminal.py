from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from running import prepare
from tidegate.apps.replay import Replayed
from tidegate.apps.terminal import compile_with_progress, progress_bar, set_up_log, show_replayed
from tidegate.io.pcap import CaptureStats
from tidegate.wire.sflow.columns import DecoderStatistics


@pytest.fixture
def _root_log() -> Iterator[None]:
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before, level = root.handlers[:], uvicorn.level
    yield
    root.handlers[:] = before
    uvicorn.setLevel(level)


@pytest.mark.usefixtures("_root_log")
def test_the_log_is_quiet_about_the_web_server(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger().handlers.clear()  # those of the test run
    set_up_log("info")
    logging.getLogger("tidegate").info("here")
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.error").warning("trouble")
    said = capsys.readouterr().err
    assert "INFO tidegate: here" in said
    assert "started" not in said
    assert "trouble" in said


def test_without_a_terminal_there_are_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    prepare()
    compile_with_progress()
    with progress_bar("replaying") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_there_are(capfd: pytest.CaptureFixture[str]) -> None:
    code = "from tidegate.apps.terminal import progress_bar\nwith progress_bar('replaying') as p: p(1, 2)"
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", code], stderr=slave, env=environment) as process:
        os.close(slave)
        seen = b""
        while part := _read(master):
            seen += part
        assert process.wait() == 0
    os.close(master)
    assert b"replaying" in seen
    assert capfd.readouterr().out == ""


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end has closed
        return b""


def test_a_replay_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    counts = dict.fromkeys(("datagrams", "bad_version", "bad_address"), 3) | {"bad_address": 0}
    decoder = msgspec.convert({**_empty(DecoderStatistics), "counts": counts}, DecoderStatistics)
    stats = msgspec.convert({**_empty(CaptureStats), "name": "[c].pcap"}, CaptureStats)
    show_replayed(Replayed((stats,), decoder, 1000, 2, 3, 4, 10**9, 3 * 10**9, (), {"s.py": "s.py, line 1: [x]"}))
    said = capsys.readouterr().err.replace("\n", " ")
    assert "[c].pcap: 0 datagrams" in said
    assert "1,000 flow samples, 2 counters samples over 2.0 s: 3 events, 4 flow records" in said
    assert "not decoded whole: bad_version 3" in said
    assert "bad_address" not in said
    assert "script s.py: s.py, line 1: [x]" in said


def _empty(kind: type[msgspec.Struct]) -> dict[str, object]:
    """Return a value for each field that must have one."""
    empty = {int: 0, str: "", float: 0.0}
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            found[field.name] = empty.get(
                field.type, {} if "ict" in str(field.type) or "apping" in str(field.type) else ()
            )
    return found
