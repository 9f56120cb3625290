"""One virtual machine for all tests that need its kernel: it is started once a run, and does all scenarios in a row.

A scenario is a script `tests/guest/scenarios/NAME.py` that runs in the guest as root, in its first network namespace,
and prints one JSON value: what happened, not whether that is right. The tests on it are ordinary ones, outside: marked
`@pytest.mark.guest("NAME")`, they take the fixture `result`, which is that value. To add one, write the two files; a
scenario is done only where a test of it is among those to be run.

* The guest has this machine's files at the same paths and is thrown away. It is slow: a Python that imports nothing
  takes 0.3 s there, one with msgspec 1 s, numpy 2 s, the collector until it listens 35 s. So let the agent run in the
  guest, keep what it sends, and take that apart outside.
* `with lab.opened():` there are two hosts with a router between them (`guest.lab`), `guest.traffic` sends something and
  `guest.listening` hears what the kernel says of it. What a scenario makes it also removes.
* A scenario may take `SCENARIO_S`; all of them together `GUEST_S`.
* One that needs compiled kernels is marked `guest("NAME", kernels=True)`: they are compiled outside, for the processor
  that both have in common.
* While writing one:  `PYTHONPATH=tests scripts/run-in-guest .venv/bin/python -m guest.scenarios.NAME`
"""

from __future__ import annotations

import faulthandler
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "scripts" / "run-in-guest"
SCENARIO_S = 150
GUEST_S = 600
MEMORY_MIB = 2048
# The guest's processor is an emulated one; kernels in the cache are kept a processor.
COMMON_PROCESSOR = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
COMPILE = "from tidegate.apps.terminal import compile_with_progress; compile_with_progress()"


@pytest.fixture(scope="session")
def guest_there() -> None:
    """Skip where this machine cannot run a guest, with what is missing for it."""
    done = subprocess.run([RUN, "--prepare"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(done.stderr.strip())


@pytest.fixture(scope="session")
def guest_folder(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    guest_there: None,  # noqa: ARG001 - it skips
) -> Path:
    """Run all scenarios that tests of this run ask for, and return the folder of what they printed."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "guest"  # shared by the workers of a run
    folder.mkdir(exist_ok=True)
    faulthandler.cancel_dump_traceback_later()  # pytest's limit of a test: the guest has its own
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "log").exists():
            marks = [mark for item in request.session.items for mark in item.iter_markers("guest") if mark.args]
            (folder / "log").write_text(_run(folder, marks), encoding="utf-8")
    return folder


def _run(folder: Path, marks: list[pytest.Mark]) -> str:
    """Run scenarios in a guest and return what it printed itself."""
    environment = {**os.environ, **COMMON_PROCESSOR, "PYTHONPATH": str(ROOT / "tests")}
    if any(mark.kwargs.get("kernels") for mark in marks):
        subprocess.run([sys.executable, "-c", COMPILE], env=environment, check=True)
    names = sorted({str(mark.args[0]) for mark in marks})
    steps = "".join(
        f"timeout {SCENARIO_S} {sys.executable} -m guest.scenarios.{name} >{name}.json 2>{name}.errors\n"
        f"echo $? >{name}.status\n"
        f"echo {name} ended at $(cut -d' ' -f1 /proc/uptime) s\n"
        for name in names
    )
    words = [str(RUN), f"--timeout={GUEST_S}", f"--memory={MEMORY_MIB}", f"--writable={folder}", "sh", "-c", steps]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def result(request: pytest.FixtureRequest, guest_folder: Path) -> Any:  # noqa: ANN401 - any JSON
    """What the scenario of this test printed."""
    name = request.node.get_closest_marker("guest").args[0]
    status = guest_folder / f"{name}.status"
    if not status.exists() or status.read_text() != "0\n":
        told = [guest_folder / "log", status, guest_folder / f"{name}.errors"]
        pytest.fail("\n".join(path.read_text(errors="replace") for path in told if path.exists()))
    return json.loads((guest_folder / f"{name}.json").read_text())
