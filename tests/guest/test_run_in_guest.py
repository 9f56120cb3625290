"""The runner of the guest: output, status, files, time, and what it says where there can be none."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from running import until

RUN = Path(__file__).resolve().parents[2] / "scripts" / "run_in_guest.py"
START = [sys.executable, str(RUN)]


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*START, *words], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.mark.guest
@pytest.mark.usefixtures("guest_there")
def test_a_command_runs_on_the_other_kernel_and_leaves_only_what_it_may(tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path.parent / "gone"
    steps = 'uname -r; echo "$TOLD"; cat /proc/self/comm >&2; echo a >"$0"; echo b >"$1"; cat "$1"; exit 7'
    words = ("sh", "-c", steps, str(there), str(gone))
    done = run(f"--writable={tmp_path}", *words, TOLD="kept to itself")
    assert done.returncode == 7
    assert done.stdout.splitlines()[1:] == ["", "cat", "b"]
    assert done.stdout.splitlines()[0] != os.uname().release
    assert there.read_text() == "a\n"
    assert not gone.exists()
    assert not done.stderr


@pytest.mark.guest
@pytest.mark.usefixtures("guest_there")
def test_a_command_that_takes_too_long_is_ended_and_told_apart() -> None:
    done = run("--timeout=1", "sh", "-c", "echo before; sleep 1000")
    assert done.returncode == 124
    assert done.stdout == "before\n"
    assert "longer than 1 s" in done.stderr


@pytest.mark.guest
@pytest.mark.usefixtures("guest_there")
def test_a_kernel_that_does_not_boot_is_tried_again_and_told(tmp_path: Path) -> None:
    (tmp_path / "boot").mkdir()
    (tmp_path / "lib" / "modules" / "6.0").mkdir(parents=True)
    (tmp_path / "lib" / "modules" / "6.0" / "modules.dep").touch()
    (tmp_path / "boot" / "vmlinuz-6.0").write_bytes(b"no kernel")
    done = run(f"--kernel={tmp_path}", "true")
    assert done.returncode == 125
    assert done.stderr.count("the guest did not boot") == 4


@pytest.mark.guest
@pytest.mark.usefixtures("guest_there")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_running_where_it_is_ended(tmp_path: Path, number: signal.Signals) -> None:
    started = tmp_path / "started"
    words = [*START, f"--writable={tmp_path}", "sh", "-c", f"touch {started}; sleep 1000"]
    with subprocess.Popen(words, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        until(started.exists, "the command")
        children = _children(process.pid)
        process.send_signal(number)
    assert len(children) == 2
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), "the end of its programs")
    if number == signal.SIGTERM:
        assert list(tmp_path.iterdir()) == [started]


def _children(parent: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


@pytest.mark.guest
@pytest.mark.usefixtures("guest_there")
def test_a_folder_without_a_kernel_is_refused(tmp_path: Path) -> None:
    done = run(f"--kernel={tmp_path}", "true")
    assert done.returncode == 125
    assert "no unpacked kernel package" in done.stderr


def test_a_machine_without_the_programs_is_told_what_to_install(tmp_path: Path) -> None:
    done = run("true", PATH=str(tmp_path))
    assert done.returncode == 125
    assert "qemu-system-x86_64 (package qemu-system-x86)" in done.stderr
    assert "a static busybox (package busybox-static)" in done.stderr


def test_a_busybox_that_needs_a_dynamic_linker_is_none(tmp_path: Path) -> None:
    shutil.copy(shutil.which("sh") or "", tmp_path / "busybox")
    assert "static busybox" in run("true", PATH=str(tmp_path)).stderr


@pytest.mark.parametrize("words", [[], ["--writable=/nowhere", "true"]])
def test_nonsense_is_refused(words: list[str]) -> None:
    assert run(*words).returncode == 2
