"""An agent that samples by tc, and a collector behind it: the one of `agent_end_to_end`, with fewer packets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from agent_end_to_end import happened
from guest import lab

RATE = 10
PACKETS = 500


def main() -> None:
    """Print what happened; the datagrams are in the folder `agent_end_to_end` of where this runs."""
    folder = Path("agent_end_to_end").resolve()
    folder.mkdir()
    with lab.opened():
        sys.stdout.write(json.dumps(happened(folder, RATE, ["--setup", "tc"], packets=PACKETS)))


if __name__ == "__main__":
    main()
