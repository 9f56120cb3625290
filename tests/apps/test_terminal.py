from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from running import prepare
from tidegate.apps.terminal import compile_with_progress, progress_bar, set_up_log


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
