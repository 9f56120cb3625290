"""The fuzz targets run, and every input that was worth keeping is still answered as documented."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[3] / "fuzz"
CORPUS = FUZZ / "corpus"
TARGETS = sorted(path.stem for path in FUZZ.glob("bgp*.py"))


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_survived(target: str) -> None:
    corpus = CORPUS / target
    command = [sys.executable, str(FUZZ / f"{target}.py"), "-runs=0", str(corpus)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    assert len(list(corpus.iterdir())) > 50


def test_the_corpora_are_small() -> None:
    sizes = {target: sum(path.stat().st_size for path in (CORPUS / target).iterdir()) for target in TARGETS}
    assert max(sizes.values()) < 1 << 18, sizes
    assert {folder.name for folder in CORPUS.glob("bgp*")} == set(TARGETS)
