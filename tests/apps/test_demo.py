from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from running import prepare
from tidegate.apps.demo import demo_file
from tidegate.errors import SourceError

STEPS = ["BGP session with", "background:", "first attack datagram", "event reflection", "UPDATE written", " holds "]


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def run_demo(folder: Path, path: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path, "TMPDIR": str(folder)}
    words = [sys.executable, "-m", "tidegate", "demo"]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)


def steps_in_order(output: str) -> None:
    places = [output.index(step) for step in [*STEPS, "end of the attack", "withdrawn:", "REST was at"]]
    assert places == sorted(places)
    assert "203.0.113.7" in output


def test_it_shows_the_loop_with_a_second_tidegate(tmp_path: Path) -> None:
    done = run_demo(tmp_path, str(tmp_path))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    steps_in_order(done.stdout)
    assert "a second tidegate (gobgpd is not installed)" in done.stdout
    (folder,) = tmp_path.iterdir()
    assert [path.name for path in folder.iterdir()] == ["tidegate.log"]


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("gobgpd"), reason="gobgpd is not installed")
def test_it_shows_the_loop_with_gobgp(tmp_path: Path) -> None:
    done = run_demo(tmp_path, os.environ["PATH"])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    steps_in_order(done.stdout)
    assert "GoBGP holds [destination: 203.0.113.7/32][protocol: ==udp][source-port: ==53]" in done.stdout


def test_a_peer_that_does_not_start_is_a_failure_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("gobgpd", "gobgp"):
        program = tmp_path / "bin" / name
        program.write_text("#!/bin/sh\nexit 3\n")
        program.chmod(0o755)
    done = run_demo(tmp_path, str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "tidegate: gobgpd: it does not answer; see " in done.stderr
    assert "Traceback" not in done.stderr


def test_its_files_are_there() -> None:
    assert demo_file("overflowd-two-port-1000.pcap").is_file()
    assert demo_file("reflection_flowspec.py").is_file()
    with pytest.raises(SourceError, match="this installation lacks the files of the demonstration"):
        demo_file("none")
