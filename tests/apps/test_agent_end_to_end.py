"""The agent on this machine's kernel: traffic between two namespaces, sampled, sent, received and estimated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_claims import CLAIMS, Ran

TESTS = Path(__file__).resolve().parents[1]
RATE = 10
PRIVATE = 'mkdir -p /run/netns; mount -t tmpfs none /run/netns; ip link set lo up; exec "$@"'
SOURCES = {"packet": ["--source", "packet"], "nft": ["--setup", "nft"]}
pytestmark = pytest.mark.netns


@pytest.fixture(scope="module", params=list(SOURCES))
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    missing = [program for program in ("ip", "nft", "tc", "tcpdump") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    folder = tmp_path_factory.mktemp(request.param)
    words = [sys.executable, "-m", "agent_end_to_end", str(folder), str(RATE), *SOURCES[request.param]]
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-c", PRIVATE, "sh", *words],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Ran(json.loads(done.stdout), folder, RATE)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_all_is_true(ran: Ran, claim: Callable[[Ran], None]) -> None:
    claim(ran)
