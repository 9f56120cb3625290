"""The scripts of the house: they find a Python, and sum up what CI ran."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def run(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / name, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


def report(folder: Path, name: str, **counts: int) -> str:
    attributes = " ".join(f'{key}="{value}"' for key, value in counts.items())
    path = folder / name
    path.write_text(f'<testsuites><testsuite name="pytest" {attributes}></testsuite></testsuites>')
    return str(path)


def test_reports_are_added_up(tmp_path: Path) -> None:
    one = report(tmp_path, "one.xml", tests=10, failures=0, errors=0, skipped=2)
    two = report(tmp_path, "two.xml", tests=5, failures=0, errors=0, skipped=0)
    done = run("sum_up_tests.py", one, two)
    assert done.stdout == "13 passed, 0 failed, 2 skipped\n"
    assert done.returncode == 0


def test_errors_count_as_failures(tmp_path: Path) -> None:
    done = run("sum_up_tests.py", report(tmp_path, "one.xml", tests=10, failures=1, errors=2, skipped=0))
    assert done.stdout == "7 passed, 3 failed, 0 skipped\n"
    assert done.returncode == 1


def test_a_report_that_is_missing_is_a_failure(tmp_path: Path) -> None:
    one = report(tmp_path, "one.xml", tests=10, failures=0, errors=0, skipped=2)
    done = run("sum_up_tests.py", one, str(tmp_path / "two.xml"))
    assert done.stdout == "8 passed, 1 failed, 2 skipped\n"
    assert done.returncode == 1


def test_a_chosen_python_is_taken() -> None:
    found = run("find-python", PYTHON=sys.executable).stdout.strip()
    assert Path(found).samefile(sys.executable)


def test_a_chosen_program_that_is_no_python_is_refused() -> None:
    done = run("find-python", PYTHON="/bin/true-or-not")
    assert done.returncode == 1
    assert "not a Python of version 3.11 or newer" in done.stderr


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    for name in ("bash", "env"):
        (tmp_path / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    done = run("find-python", PATH=str(tmp_path), HOME=str(tmp_path), PYENV_ROOT=str(tmp_path), PYTHON="")
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


@pytest.mark.parametrize("script", sorted(path.name for path in SCRIPTS.iterdir() if path.suffix == ""))
def test_shell_scripts_are_sound(script: str) -> None:
    assert os.access(SCRIPTS / script, os.X_OK)
    assert subprocess.run(["bash", "-n", SCRIPTS / script], check=False).returncode == 0
