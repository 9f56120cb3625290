"""Whatever is sent, the answer is one of those that the interface has: never a 500, never a hang."""

from __future__ import annotations

import json
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from web.conftest import Site

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
KINDS = st.sampled_from(["flow", "group", "map", "threshold"])
SEGMENTS = st.text(max_size=12).map(lambda text: quote(text, safe=""))
ATTRIBUTES = st.sampled_from(
    ["keys", "value", "values", "filter", "n", "t", "fs", "log", "metric", "byFlow", "timeout", "match", "then", "a"]
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ATTRIBUTES, inner, max_size=4),
    max_leaves=8,
)
OBJECTS = st.dictionaries(ATTRIBUTES, JSONS, max_size=5)
BODIES = (
    st.binary(max_size=40)
    | st.text(max_size=40).map(str.encode)
    | (JSONS | OBJECTS).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
)
BODY_PATHS = st.one_of(
    st.builds("/{}/{}/json".format, KINDS, SEGMENTS),
    st.builds("/{}/json".format, KINDS),
    st.just("/bgp/flowspec/192.0.2.254/json"),
    st.builds("/bgp/routepusher/192.0.2.254/{}/{}/json".format, SEGMENTS, SEGMENTS),
    st.just("/bgp/routepusher/192.0.2.254/192.0.2.1/32/json"),
    st.just("/app/ddos/scripts/top.py/json"),
)
COMMON = st.sampled_from(["/events/json", "/flows/json", "/agents/json", "/activeflows/ALL/web/json"])
READ_PATHS = st.one_of(
    st.builds("/{}/{}/{}/json".format, st.sampled_from(["metric", "table", "dump", "activeflows"]), SEGMENTS, SEGMENTS),
    st.builds("/{}/ALL/{}/json".format, st.sampled_from(["metric", "table"]), st.text("sort:web.-0123,;", max_size=12)),
    st.builds("/{}/{}/web/json".format, st.sampled_from(["flowlocations", "activeflows"]), SEGMENTS),
    st.builds("/flowvalue/{}/{}/json".format, SEGMENTS, SEGMENTS),
    st.builds("/app/{}/{}/json".format, SEGMENTS, SEGMENTS),
    st.builds("/html/{}".format, SEGMENTS),
    st.builds("/{}".format, SEGMENTS),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["eventID", "flowID", "maxEvents", "maxFlows", "thresholdID", "aggMode", "minValue", "filter", "key"]
    )
    | st.text(max_size=4),
    st.integers().map(str) | st.floats().map(str) | st.text(max_size=8),
    max_size=4,
)


@SHARED
@given(method=st.sampled_from(["PUT", "DELETE"]), path=BODY_PATHS, body=BODIES)
def test_any_body(site: Site, method: str, path: str, body: bytes) -> None:
    reply = site.client.request(method, path, content=body)
    assert reply.status_code in {204, 400, 404, 405}
    if reply.status_code == 204:
        assert reply.content == b""
    else:
        found = reply.json()
        assert found["error"]
        assert 0 <= found.get("column", 0) <= len(found.get("text", ""))
    for kind in ("flow", "group", "map", "threshold"):
        assert site.client.get(f"/{kind}/json").status_code == 200


@SHARED
@given(path=READ_PATHS, query=PARAMETERS)
def test_any_question(site: Site, path: str, query: dict[str, str]) -> None:
    reply = site.client.get(path, params=query, follow_redirects=False)
    assert reply.status_code in {200, 302, 400, 404}


@SHARED
@given(path=COMMON, query=PARAMETERS)
def test_any_parameter(site: Site, path: str, query: dict[str, str]) -> None:
    site.backend.set_flow("web", {"value": "bytes"})
    reply = site.client.get(path, params={**query, "timeout": "0"})
    assert reply.status_code in {200, 400}


@SHARED
@given(query=st.binary(max_size=20))
def test_any_query(site: Site, query: bytes) -> None:
    text = "".join(chr(octet) if 0x21 <= octet < 0x7F and octet not in b"#" else f"%{octet:02x}" for octet in query)
    for path in ("/agents/json", "/metric/ALL/web/json", "/flowkeys/json"):
        assert site.client.get(f"{path}?{text}").status_code in {200, 400}
