from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.web.examples import EXAMPLES
from web.fake_backend import FakeBackend, FakeScripts

PARTS = {
    "{router}": "192.0.2.254",
    "{address}": "192.0.2.1",
    "{bits}": "32",
    "{agents}": "ALL",
    "{agent}": "10.0.0.20",
    "{name}": "one",
    "{app}": "ddos",
}


@pytest.fixture
def document(client: TestClient[Litestar]) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api-docs").json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method, path): one for path, item in document["paths"].items() for method, one in item.items()}


def test_every_path_is_in_the_document(client: TestClient[Litestar], document: dict[str, Any]) -> None:
    served = {
        (method.lower(), route.path_format)
        for route in client.app.routes
        for method in getattr(route, "route_handler_map", ())
        if method != "OPTIONS"
    }
    hidden = {("get", "/"), ("get", "/html/{name}"), ("get", "/api-docs")}
    assert served - hidden == set(operations(document))


def test_every_operation_is_described(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert {"400", "401", "403", "404", "413"} <= set(operation["responses"])
    ids = [one["operationId"] for one in operations(document).values()]
    assert len(ids) == len(set(ids))


def test_every_put_and_every_read_of_an_object_has_an_example(document: dict[str, Any]) -> None:
    for key, operation in operations(document).items():
        if key[0] == "put" and key in EXAMPLES:
            assert operation["requestBody"]["content"]["application/json"]["example"] == EXAMPLES[key].body
    without = {key for key in operations(document) if key not in EXAMPLES and key[0] != "delete"}
    paths = ("/app/{app}/scripts/{rest}", "/script/{rest}")
    scripts = {(method, path) for path in paths for method in ("get", "put", "post")}
    assert without == scripts | {("get", "/agents/json"), ("get", "/license/json"), ("get", "/prometheus/analyzer/txt")}
    assert set(EXAMPLES) <= set(operations(document))


def test_parameters_have_the_names_of_the_interface(document: dict[str, Any]) -> None:
    found = {
        key: {one["name"] for one in operation.get("parameters", ())} for key, operation in operations(document).items()
    }
    assert found["get", "/events/json"] == {"eventID", "thresholdID", "maxEvents", "timeout"}
    assert found["get", "/flows/json"] == {"flowID", "name", "maxFlows", "timeout"}
    assert found["get", "/activeflows/{agents}/{name}/json"] == {
        "agents",
        "name",
        "maxFlows",
        "minValue",
        "aggMode",
        "filter",
    }


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [name for inner in value.values() for name in references(inner)]
        return [name for inner in value for name in references(inner)] if isinstance(value, list) else []

    names = {name.rpartition("/")[2] for name in references(document)}
    assert "Event" in names
    assert names <= set(document["components"]["schemas"])


def test_fields_of_the_document_are_those_of_the_replies(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, path in (("Event", "/events/json"), ("FlowRecord", "/flows/json")):
        (example,) = EXAMPLES["get", path].reply
        assert set(example) <= set(schemas[name]["properties"])
    assert set(schemas["ErrorReply"]["properties"]) == {"error", "text", "column", "hint"}


@pytest.mark.parametrize("key", [key for key in EXAMPLES if EXAMPLES[key].body is not None], ids=" ".join)
def test_bodies_of_examples_can_be_sent(client: TestClient[Litestar], key: tuple[str, str]) -> None:
    method, path = key
    for name, part in PARTS.items():
        path = path.replace(name, part)
    assert client.request(method, path, json=EXAMPLES[key].body).status_code == 204


@pytest.mark.parametrize("kind", ["flow", "threshold", "group", "map"])
def test_replies_of_examples_are_what_comes(client: TestClient[Litestar], kind: str) -> None:
    path = f"/{kind}/{{name}}/json"
    client.put(f"/{kind}/one/json", json=EXAMPLES["put", path].body)
    assert client.get(f"/{kind}/one/json").json() == EXAMPLES["get", path].reply


def test_the_document_is_made_once(client: TestClient[Litestar], backend: FakeBackend, scripts: FakeScripts) -> None:
    assert backend is not None
    assert scripts is not None
    assert client.get("/api-docs").content == client.get("/api-docs").content
