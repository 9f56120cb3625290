"""What iproute2's `tc` sent and was answered, from the recording in tests/data/tc."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

RECORDING = Path(__file__).parent / "data" / "tc" / "iproute2-6.1.txt"

little_endian = pytest.mark.skipif(sys.byteorder != "little", reason="recorded on a little-endian machine")


def recorded() -> dict[str, bytes]:
    """Return the octets by command."""
    found: dict[str, str] = {}
    command = ""
    for line in RECORDING.read_text(encoding="ascii").splitlines():
        if line.startswith("$ "):
            command = line[2:]
        elif not line.startswith("#"):
            found[command] = found.get(command, "") + line
    return {command: bytes.fromhex(text) for command, text in found.items()}
