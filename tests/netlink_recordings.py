"""Recorded netlink messages for tests: those of the checkout, and those of the shared data where they are present."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).parent / "data"
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def recordings(kind: str, *, captured: bool = False) -> list[Path]:
    """Return the recordings of a kind (`psample`, `nflog`, `dropmon`), of every place and kernel.

    `captured`: those that have a capture of the same frames beside them.
    """
    paths = sorted(path for place in (_HERE, _SHARED) for path in (place / kind).glob("**/*.bin"))
    return [path for path in paths if not captured or path.with_suffix(".pcap").exists()]


def every(kind: str, *, captured: bool = False) -> pytest.MarkDecorator:
    """Give `path` of every recording to a test; one that is skipped where there are none."""
    found: list[Any] = [pytest.param(path, id=_name(path)) for path in recordings(kind, captured=captured)]
    missing = pytest.mark.skip(reason=f"no recordings of {kind}: neither tests/data nor ../shared/data has them")
    return pytest.mark.parametrize("path", found or [pytest.param(Path(), marks=missing, id="none")])


def told_of(path: Path) -> dict[str, Any]:
    """Return what the manifest beside a recording says of it; nothing where there is no manifest."""
    manifest = path.with_name("manifest.json")
    if not manifest.exists():
        return {}
    told: dict[str, Any] = json.loads(manifest.read_text())["recordings"]
    return dict(told[path.stem])


def frames(path: Path) -> list[tuple[bytes, int]]:
    """Return the frames of the classic little-endian pcap beside a recording, as far as captured, and their lengths."""
    data = path.with_suffix(".pcap").read_bytes()
    place, found = 24, []
    while place < len(data):
        captured, length = struct.unpack_from("<II", data, place + 8)
        found.append((data[place + 16 : place + 16 + captured], length))
        place += 16 + captured
    return found


def _name(path: Path) -> str:
    return f"{'own' if path.is_relative_to(_HERE) else 'shared'}-{path.parent.name}-{path.stem}"
