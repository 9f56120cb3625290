"""Record what the kernel says of known traffic, into tests/data:  python -m guest.recordings KIND [NAME…]

The README of each folder of tests/data that holds recordings tells how this is run.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from guest import lab
from tidegate.io.netlink import GENERIC, Netlink, find_family

DATA = Path(__file__).resolve().parents[2] / "data"


def main(kind: str, *names: str) -> None:
    """Record one kind; all cases, or those named."""
    recorder: Any = importlib.import_module(f"guest.recordings.{kind}")
    for module in recorder.MODULES:
        subprocess.run(["modprobe", "-q", module], check=False)  # what cannot be loaded is built in, or will be missed
    release = os.uname().release.partition("-")[0]
    out = DATA / kind / f"linux-{'.'.join(release.split('.')[:2])}"
    out.mkdir(parents=True, exist_ok=True)
    with lab.opened():
        told = recorder.record(out, list(names))
    manifest = out / "manifest.json"
    before = json.loads(manifest.read_text())["recordings"] if names and manifest.exists() else {}
    about = {
        "kernel": release,
        "byte_order": sys.byteorder,
        "tools": [_printed("tc", "-V"), _printed("nft", "-v")],
        **_family(recorder.FAMILY),
        "interfaces": recorder.INTERFACES,
        "recordings": dict(sorted((before | told).items())),
    }
    manifest.write_text(json.dumps(about, indent=1) + "\n")
    for name, one in told.items():
        print(name, {key: one[key] for key in ("messages", "bursts", "reasons") if key in one})  # noqa: T201 - a script


def _printed(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _family(name: str) -> dict[str, object]:
    """Return the numbers of a generic netlink family, which differ from boot to boot."""
    if not name:
        return {}
    with Netlink(GENERIC) as generic:
        family = find_family(generic, name)
    assert family is not None, f"this kernel has no {name}"
    return {"family": family.id, "multicast_groups": family.groups}


main(*sys.argv[1:])
