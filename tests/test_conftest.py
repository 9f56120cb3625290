"""Under CI nothing is skipped for want of a program; what needs data beside the checkout may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import pytest

@pytest.mark.netns
def test_namespaces():
    pytest.skip("network namespaces need root")

@pytest.mark.guest
def test_kernel():
    pytest.skip("serving files to a guest needs root")

def test_program():
    pytest.skip("not installed: gobgpd")

def test_data():
    pytest.skip("../shared is not beside this checkout")

@pytest.mark.xfail(reason="known")
@pytest.mark.netns
def test_expected():
    raise AssertionError
"""


def run(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with our conftest on what is in a folder."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *words]
    plain = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**plain, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
    )


def outcome(folder: Path, **environment: str) -> str:
    (folder / "test_it.py").write_text(SOURCE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    netns: x\n    guest: x\n    peer: x\n")
    return run(folder, **environment).stdout


def test_skips_are_skips_elsewhere(tmp_path: Path) -> None:
    assert "4 skipped, 1 xfailed" in outcome(tmp_path)


def test_skips_for_want_of_programs_or_rights_fail_under_ci(tmp_path: Path) -> None:
    printed = outcome(tmp_path, CI="true")
    assert "3 failed, 1 skipped, 1 xfailed" in printed
    assert "skipped under CI: Skipped: not installed: gobgpd" in printed


@pytest.mark.parametrize("words", [[], ["--regold"]])
def test_golden_files_are_compared_or_written(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "a.txt").write_text("old")
    test = "from pathlib import Path\ndef test_it(golden):\n    golden(Path('a.txt'), 'new')\n"
    (tmp_path / "test_it.py").write_text(test)
    done = run(tmp_path, *words)
    assert (done.returncode == 0) == bool(words)
    assert (tmp_path / "a.txt").read_text() == ("new" if words else "old")
