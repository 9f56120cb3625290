"""The examples of docs/reference/rest.md, sent in their order."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tidegate.engine.events import ActiveFlow, Event, FlowRecord
from tidegate.web.backend import BgpNoticeInfo, ScriptReply
from tidegate.web.examples import EXAMPLES
from web.conftest import Site

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/rest.md"
BLOCK = re.compile(r"```http\n(.*?)```", re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Return the start line and the body of each block."""
    found = []
    for block in BLOCK.findall(PAGE.read_text()):
        start, _, body = block.partition("\n\n")
        found.append((start.strip(), body.strip()))
    return found


def prepare(site: Site) -> None:
    """Let the instance have seen what the page tells of."""
    key = "192.0.2.1,53"
    site.backend.measured["reflection"] = [
        ActiveFlow(key, 20133.5, "10.0.0.20", "7", 1),
        ActiveFlow(key, 17.0, "10.0.0.21", "2.1", 1),
    ]
    crossed = Event(
        17, 1700000000123, "reflection", "reflection", 10000.0, 10137.5, "10.0.0.20", "7", flow_key=key, samples=41.0
    )
    site.backend.add(msgspec.structs.replace(crossed, interval=3095.0))
    site.backend.add(FlowRecord(311, "reflection", key, 125000.0, 1700000000123, 1700000007123, "10.0.0.20", "7"))
    router = "192.0.2.254"
    top = EXAMPLES["get", "/bgp/topprefixes/{router}/json"].reply
    site.bgp.top = {**top, "topPrefixes": [{"prefix": "203.0.113.0/24", **row} for row in top["topPrefixes"]]}
    site.bgp.learned[router] = [EXAMPLES["get", "/bgp/prefix/{router}/json"].reply]
    site.bgp.notices = msgspec.convert(EXAMPLES["get", "/bgp/log/json"].reply, list[BgpNoticeInfo])
    site.scripts.add("ddos/top.py", lambda asked: ScriptReply({"path": asked.path, "query": asked.query}))


def test_examples_of_the_page_are_true(site: Site) -> None:
    prepare(site)
    found = blocks()
    assert len(found) > 40
    for (request, body), (status, reply) in zip(found[::2], found[1::2], strict=True):
        method, target = request.split(" ")
        answer = site.client.request(method, target, content=body.encode())
        assert (request, answer.status_code) == (request, int(status.split()[1]))
        if reply:
            assert answer.json() == msgspec.json.decode(reply), request
        else:
            assert answer.content == b""


def test_the_page_tells_of_every_path(site: Site) -> None:
    text = PAGE.read_text()
    for path in site.client.get("/api-docs").json()["paths"]:
        words = [word for word in path.split("/") if word and "{" not in word]
        head = f"/{words[0]}"
        assert head in text, path
        assert all(word in text for word in words), path
