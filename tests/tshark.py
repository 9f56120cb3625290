"""What tshark says of a capture, for tests that look at datagrams as others do."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["needs_tshark", "packets", "shown"]

needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
_CHECKS = ["udp.check_checksum:TRUE", "ip.check_checksum:TRUE"]


def packets(path: Path, *fields: str) -> list[tuple[str, ...]]:
    """Return these fields of each packet; of a field that is there several times the values, joined by commas."""
    wanted = [word for field in fields for word in ("-e", field)]
    lines = _run(path, "-T", "fields", *wanted).splitlines()
    return [tuple(line.split("\t")) for line in lines]


def shown(path: Path, display_filter: str) -> str:
    """Return the packets that a display filter lets through, a line each."""
    return _run(path, "-Y", display_filter)


def _run(path: Path, *words: str) -> str:
    options = [word for check in _CHECKS for word in ("-o", check)]
    command = ["tshark", "-n", "-r", str(path), "-d", "udp.port==6343,sflow", *options, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
