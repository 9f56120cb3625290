"""A speaker as a program of its own, so that it can be killed as a crash would: it reads one JSON object and speaks.

`{"peer": {…}, "state": path, "announce": [{"match": …} or {"prefix": …}], "withdraw": […]}`; the state file brings back
what was announced before.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import msgspec

from tidegate.control.flowspec import parse_flow
from tidegate.control.unicast import parse_unicast
from tidegate.io.bgp import PeerConfig, Speaker, StateFile
from tidegate.wire.bgp.routes import Route, route_key


def read(route: dict[str, Any]) -> Route:
    return parse_flow(route) if "match" in route else parse_unicast(route)


async def main(told: dict[str, Any]) -> None:
    peer = msgspec.convert(told["peer"], PeerConfig)
    async with Speaker([peer], port=None, state=StateFile(told["state"])) as speaker:
        for route in told["announce"]:
            speaker.announce(None, read(route))
        for route in told["withdraw"]:
            assert speaker.withdraw(None, route_key(read(route)))
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
