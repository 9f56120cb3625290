"""The fuzz target runs, and every input that was worth keeping is still answered as its twin answers it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CORPUS = ROOT / "fuzz" / "corpus" / "netlink"


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
def test_the_corpus_is_survived() -> None:
    command = [sys.executable, str(ROOT / "fuzz" / "netlink.py"), "-runs=0", str(CORPUS)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert len(list(CORPUS.iterdir())) > 50
