from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.engine.events import ActiveFlow
from web.fake_backend import FakeBackend

STRICT = b'{"keys":"ipsource,ipdestination","value":"bytes","filter":"ipprotocol=6"}'
RELAXED = b"{keys:'ipsource,ipdestination',value:'bytes',filter:'ipprotocol=6',}"
FULL = {
    "keys": "ipsource,ipdestination",
    "value": "bytes",
    "filter": "ipprotocol=6",
    "n": 5,
    "t": 2.0,
    "fs": ",",
    "log": False,
    "flowStart": False,
    "activeTimeout": 60.0,
    "dropped": False,
}


@pytest.fixture
def measured(backend: FakeBackend) -> FakeBackend:
    backend.set_flow("web", {"keys": "ipsource,ipdestination", "value": "bytes"})
    backend.set_flow("total", {"value": "frames"})
    backend.set_flow("a.b", {"keys": "ipsource", "value": "bytes"})
    backend.measured = {
        "web": [
            ActiveFlow("10.1.1.5,10.1.2.9", 1250431.7, "10.0.0.20", "7", 1),
            ActiveFlow("10.1.1.5,10.1.2.9", 50.0, "10.0.0.21", "3", 1),
            ActiveFlow("10.1.1.6,10.1.2.9", 8100.0, "10.0.0.21", "3", 1, values=(12.5, 3.0)),
            ActiveFlow("10.1.1.7,10.1.3.9", 9.0, "10.0.0.21", "2.1", 1),
        ],
        "total": [ActiveFlow("", 12.5, "10.0.0.20", "7", 1)],
        "a.b": [ActiveFlow("10.1.1.5", 3.0, "10.0.0.20", "2.1", 1)],
    }
    return backend


@pytest.mark.parametrize("body", [STRICT, RELAXED, b"\xef\xbb\xbf" + STRICT, b"\r\n " + RELAXED + b"\r\n"])
@pytest.mark.parametrize(
    "kind", [None, "application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "x"]
)
def test_a_flow_is_put_read_and_removed(client: TestClient[Litestar], body: bytes, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    put = client.put("/flow/tcp/json", content=body, headers=headers)
    assert (put.status_code, put.content) == (204, b"")
    assert client.get("/flow/tcp/json").json() == FULL
    assert client.get("/flow/json").json() == {"tcp": FULL}
    removed = client.delete("/flow/tcp/json")
    assert (removed.status_code, removed.content) == (204, b"")
    assert client.get("/flow/tcp/json").status_code == 404
    assert client.delete("/flow/tcp/json").status_code == 204


def test_numbers_and_booleans_may_be_texts(client: TestClient[Litestar]) -> None:
    body = b"{value:'bytes',t:'0.1',n:'100',log:'true',keys:['ipsource','ipdestination']}"
    assert client.put("/flow/tcp/json", content=body).status_code == 204
    found = client.get("/flow/tcp/json").json()
    assert (found["t"], found["n"], found["log"], found["keys"]) == (0.1, 100, True, "ipsource,ipdestination")


@pytest.mark.parametrize("name", ["sflow-test-bytes", "ddos_protect_ip_flood", "a.b", "a~b", "a%20b", "ä"])
def test_names_are_free(client: TestClient[Litestar], name: str) -> None:
    expected = 400 if "%20" in name else 204
    assert client.put(f"/flow/{name}/json", content=STRICT).status_code == expected
    assert client.get(f"/flow/{name}/json").status_code == (200 if expected == 204 else 404)


@pytest.mark.parametrize(
    ("body", "text", "column", "error"),
    [
        (b"", "", 0, "the body is no object"),
        (b"[1]", "[1]", 0, "the body is no object"),
        (b"null", "null", 0, "the body is no object"),
        (b"{keys:'ipsource'}", "", 0, "value is missing"),
        (b"{value:'bytes'", "{value:'bytes'", 14, "expected a comma or }"),
        (b"{value:'bytes',colour:1}", "colour", 0, "unknown attribute"),
        (b"{value:'bytes',filter:'a=1&&b=2'}", "a=1&&b=2", 4, "filter: "),
        (b"{value:'bytes',keys:'nope:ipsource'}", "nope:ipsource", 0, "keys: "),
        (b"{value:'bytes\xff'}", "{value:'bytes\ufffd'}", 13, "the body is not UTF-8"),
        (b"{value:'bytes',t:true}", "True", 0, "t: expected a number"),
    ],
)
def test_a_bad_definition_points_at_the_column(
    client: TestClient[Litestar], body: bytes, text: str, column: int, error: str
) -> None:
    reply = client.put("/flow/tcp/json", content=body)
    found = reply.json()
    assert reply.status_code == 400
    assert (found["text"], found["column"]) == (text, column)
    assert found["error"].startswith(error)
    assert client.get("/flow/json").json() == {}


def test_of_a_long_text_only_the_part_around_the_column_is_repeated(client: TestClient[Litestar]) -> None:
    body = b"{value:'bytes',filter:'" + b"ipsource=10.0.0.1&" * 2000 + b"&ipsource=1'}"
    found = client.put("/flow/tcp/json", content=body).json()
    assert len(found["text"]) <= 400
    assert found["text"][found["column"] - 1 : found["column"] + 9] == "&&ipsource"


def test_keys_seen(client: TestClient[Litestar]) -> None:
    assert client.get("/flowkeys/json").json() == {"ipsource": 12, "ipdestination": 12}


@pytest.mark.usefixtures("measured")
def test_active_flows_are_merged_and_the_largest_first(client: TestClient[Litestar]) -> None:
    assert client.get("/activeflows/ALL/web/json").json() == [
        {"key": "10.1.1.5,10.1.2.9", "value": 1250431.7, "agent": "10.0.0.20", "dataSource": "7", "flowN": 2},
        {
            "key": "10.1.1.6,10.1.2.9",
            "value": 8100.0,
            "agent": "10.0.0.21",
            "dataSource": "3",
            "flowN": 1,
            "values": [12.5, 3.0],
        },
        {"key": "10.1.1.7,10.1.3.9", "value": 9.0, "agent": "10.0.0.21", "dataSource": "2.1", "flowN": 1},
    ]
    assert [row["key"] for row in client.get("/activeflows/ALL/total/json").json()] == [""]


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("ALL/web/json?maxFlows=1", [1250431.7]),
        ("ALL/web/json?maxFlows=0", []),
        ("ALL/web/json?minValue=10", [1250431.7, 8100.0]),
        ("ALL/web/json?aggMode=sum", [1250481.7, 8100.0, 9.0]),
        ("ALL/web/json?aggMode=avg&maxFlows=1", [625240.85]),
        ("10.0.0.21/web/json?aggMode=max", [8100.0, 50.0, 9.0]),
        ("10.0.0.20,10.0.0.21/web/json?maxFlows=1", [1250431.7]),
        ("10.0.0.20;10.0.0.21/web/json?maxFlows=1", [1250431.7]),
        ("ALL/web/json?filter=%5E10.1.1.6,", [8100.0]),
        ("ALL/web/json?filter=10.1.2.9$&maxFlows=1", [1250431.7]),
        ("ALL/web/json?filter=10.1.3.9$&maxFlows=1", [9.0]),
        ("10.9.9.9/web/json", []),
    ],
)
def test_which_flows_are_asked_for(client: TestClient[Litestar], query: str, values: list[float]) -> None:
    assert [row["value"] for row in client.get("/activeflows/" + query).json()] == values


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/activeflows/ALL/wed/json", "wed"),
        ("/flowlocations/ALL/wed/json?key=a", "wed"),
        ("/activeflows/ALL/web/json?maxFlows=many", "many"),
        ("/activeflows/ALL/web/json?aggMode=most", "most"),
        ("/activeflows/ALL/web/json?filter=(a", "(a"),
    ],
)
def test_a_question_that_is_wrong(client: TestClient[Litestar], path: str, text: str) -> None:
    reply = client.get(path)
    assert reply.status_code == 400
    assert reply.json()["text"] == text
    assert reply.json()["error"]


@pytest.mark.usefixtures("measured")
def test_where_a_flow_is(client: TestClient[Litestar]) -> None:
    assert client.get("/flowlocations/ALL/web/json?key=10.1.1.5,10.1.2.9").json() == [
        {"agent": "10.0.0.20", "dataSource": "7", "value": 1250431.7},
        {"agent": "10.0.0.21", "dataSource": "3", "value": 50.0},
    ]
    assert client.get("/flowlocations/ALL/web/json?key=nobody").json() == []


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("10.0.0.20/7.web/json?key=10.1.1.5,10.1.2.9", 1250431.7),
        ("10.0.0.21/2.1.web/json?key=10.1.1.7,10.1.3.9", 9.0),
        ("10.0.0.20/2.1.a.b/json?key=10.1.1.5", 3.0),
        ("10.0.0.20/7.total/json", 12.5),
    ],
)
def test_value_of_one_flow_at_one_place(client: TestClient[Litestar], path: str, value: float) -> None:
    assert client.get("/flowvalue/" + path).json() == value


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("path", ["10.0.0.20/8.web", "10.0.0.9/7.web", "10.0.0.20/7.nope", "10.0.0.20/web", "a/b"])
def test_value_that_is_not_there(client: TestClient[Litestar], path: str) -> None:
    assert client.get(f"/flowvalue/{path}/json?key=10.1.1.5,10.1.2.9").status_code == 404
