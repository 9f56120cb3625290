"""One request to an ASGI application, held in the hand: its client can go away, and nothing runs in a thread."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from litestar import Litestar

from tidegate.web.polls import Polls


class Call:
    """A GET that is under way."""

    def __init__(self, app: Litestar, target: str) -> None:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[Any] = []
        self._inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        path, _, query = target.partition("?")
        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8008),
            "state": {},
        }
        self.task = asyncio.ensure_future(app(scope, self._inbox.get, self._send))  # type: ignore[arg-type]  # plain dicts

    async def _send(self, message: object) -> None:
        self.sent.append(message)

    def disconnect(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    async def reply(self) -> Any:  # noqa: ANN401 - whatever JSON says
        await self.task
        assert self.sent[0]["status"] == 200, self.sent
        return json.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))


async def until_waiting(polls: Polls, count: int = 1) -> None:
    """Let the loop run until `count` polls wait."""
    while polls.waiting != count:  # noqa: ASYNC110 - it yields and does not sleep
        await asyncio.sleep(0)
