from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.testing import TestClient

GROUP = {"internal": ["10.0.0.0/8", "FC00::/7"], "external": ["0.0.0.0/0", "192.0.2.1"]}
MAP = {"web": ["80", "443"]}
THRESHOLD = {"metric": "incoming", "value": 125000.0, "byFlow": True, "timeout": 2.0}


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("group", b"{internal:['10.0.0.0/8','FC00::/7'],external:['0.0.0.0/0','192.0.2.1']}", GROUP),
        ("map", b"{web:['80','443']}", MAP),
        ("map", b"{web:[80,443]}", MAP),
        ("threshold", b"{metric:'incoming',value:'125000',byFlow:true,timeout:2}", THRESHOLD),
        (
            "threshold",
            b"{metric:'incoming',value:1,filter:{ifspeed:[10000000000]}}",
            {**THRESHOLD, "value": 1.0, "byFlow": False, "timeout": 0.0, "filter": {"ifspeed": ["10000000000"]}},
        ),
    ],
)
def test_a_definition_is_put_read_and_removed(
    client: TestClient[Litestar], kind: str, body: bytes, found: object
) -> None:
    put = client.put(f"/{kind}/one/json", content=body)
    assert (put.status_code, put.content) == (204, b"")
    assert client.get(f"/{kind}/one/json").json() == found
    assert client.get(f"/{kind}/json").json() == {"one": found}
    assert client.get(f"/{kind}/two/json").status_code == 404
    removed = client.delete(f"/{kind}/one/json")
    assert (removed.status_code, removed.content) == (204, b"")
    assert client.get(f"/{kind}/json").json() == {}
    assert client.delete(f"/{kind}/one/json").status_code == 204


@pytest.mark.parametrize("path", ["/group/json", "/groups/json"])
def test_a_group_without_a_name_is_the_default(client: TestClient[Litestar], path: str) -> None:
    assert client.put(path, json=GROUP).status_code == 204
    assert client.get("/group/default/json").json() == GROUP
    assert client.get("/groups/json").json() == client.get("/group/json").json() == {"default": GROUP}


@pytest.mark.parametrize(
    ("path", "body", "text", "hint"),
    [
        ("/group/a/json", b"{a:['10.0.0.300/8']}", "10.0.0.300/8", "such as"),
        ("/group/a/json", b"{a:['10.0.0.1/8']}", "10.0.0.1/8", "did you mean 10.0.0.0/8?"),
        ("/group/json", b"{a:[true]}", "True", ""),
        ("/group/a/json", b"{a:['10.0.0.0/8'],b:['10.0.0.0/8']}", "10.0.0.0/8", ""),
        ("/map/a/json", b"{a:['1'],b:['1']}", "1", ""),
        ("/threshold/a/json", b"{metric:'a'}", "", ""),
        ("/threshold/a/json", b"{metric:'a',value:'many'}", "'many'", ""),
        ("/threshold/a/json", b"{metric:'a',value:1,timeout:-1}", "-1", ""),
        ("/threshold/a/json", b"{metric:'a',valu:1}", "valu", "did you mean value?"),
        ("/threshold/a/json", b"nonsense", "nonsense", ""),
    ],
)
def test_a_bad_definition(client: TestClient[Litestar], path: str, body: bytes, text: str, hint: str) -> None:
    reply = client.put(path, content=body)
    assert reply.status_code == 400
    assert reply.json()["text"] == text
    assert hint in reply.json().get("hint", "")
