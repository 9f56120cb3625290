"""Every frame that arrives is sampled, and tcpdump sees it too."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from guest import lab
from guest.recordings import psample

NAMES = ["icmp6", "udp4", "tcp4", "vlan-ingress"]


def main() -> None:
    """Print messages and frames of some cases, in hexadecimal."""
    lab.run(f"modprobe -a {' '.join(psample.MODULES)}")
    with tempfile.TemporaryDirectory() as folder, lab.opened():
        psample.record(Path(folder), NAMES)
        files = {path.name: path.read_bytes().hex() for path in Path(folder).iterdir()}
    print(json.dumps(files))  # noqa: T201 - that is how it tells


main()
