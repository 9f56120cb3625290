from __future__ import annotations

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.engine.events import ActiveFlow
from web.fake_backend import FakeBackend

A, B = "10.0.0.20", "10.0.0.21"
KEY = {"key": "k", "value": 10.0}


@pytest.fixture(autouse=True)
def measured(backend: FakeBackend) -> FakeBackend:
    backend.set_flow("web", {"keys": "ipsource", "value": "bytes"})
    backend.set_flow("total", {"value": "frames"})
    backend.set_flow("idle", {"value": "frames"})
    backend.measured = {
        "web": [
            ActiveFlow("k", 10.0, A, "7", 1),
            ActiveFlow("l", 4.0, A, "7", 1, values=(1.0, None)),
            ActiveFlow("k", 2.0, A, "2.1", 1),
            ActiveFlow("k", 6.0, B, "3", 1),
        ],
        "total": [ActiveFlow("", 100.0, A, "7", 1), ActiveFlow("", 50.0, B, "3", 1)],
    }
    return backend


def test_names(client: TestClient[Litestar]) -> None:
    assert client.get("/metrics/json").json() == {"web": 0, "total": 0, "idle": 0}


def test_all_metrics_of_an_agent(client: TestClient[Litestar]) -> None:
    assert client.get(f"/metric/{A}/json").json() == {"7.web": 10.0, "2.1.web": 2.0, "7.total": 100.0}
    assert client.get("/metric/10.9.9.9/json").status_code == 404


def test_as_many_elements_as_metrics_in_their_order(client: TestClient[Litestar]) -> None:
    assert client.get("/metric/ALL/load_one,sum:total,web/json").json() == [
        {"metricName": "load_one", "metricN": 0},
        {"metricName": "sum:total", "metricN": 2, "metricValue": 150.0, "lastUpdateMax": 0, "lastUpdateMin": 0},
        {
            "metricName": "web",
            "metricN": 3,
            "metricValue": 10.0,
            "agent": A,
            "dataSource": "7",
            "lastUpdate": 0,
            "lastUpdateMax": 0,
            "lastUpdateMin": 0,
            "topKeys": [KEY, {"key": "l", "value": 4.0, "values": [1.0, None]}],
        },
    ]
    assert [row["metricName"] for row in client.get("/metric/ALL/c;b;a;b/json").json()] == ["c", "b", "a", "b"]


@pytest.mark.parametrize(
    ("metric", "value", "count"),
    [
        ("web", 10.0, 3),
        ("max:web", 10.0, 3),
        ("min:web", 2.0, 3),
        ("any:web", 2.0, 3),
        ("sum:web", 18.0, 3),
        ("avg:web", 6.0, 3),
        ("var:web", 16.0, 3),
        ("sdev:web", 4.0, 3),
        ("med:web", 6.0, 3),
        ("q1:web", 4.0, 3),
        ("q2:web", 6.0, 3),
        ("q3:web", 8.0, 3),
        ("iqr:web", 4.0, 3),
        ("7.web", 10.0, 1),
        ("2.1.web", 2.0, 1),
        ("sum:2.1.web", 2.0, 1),
        ("9.web", None, 0),
        ("nope:web", None, 0),
        ("sum:idle", None, 0),
    ],
)
def test_operators(client: TestClient[Litestar], metric: str, value: float | None, count: int) -> None:
    (found,) = client.get(f"/metric/ALL/{metric}/json").json()
    assert (found["metricName"], found.get("metricValue"), found["metricN"]) == (metric, value, count)


def test_quartiles_come_along(client: TestClient[Litestar]) -> None:
    (found,) = client.get("/metric/ALL/iqr:web/json").json()
    assert found["quartiles"] == {"min": 2.0, "q1": 4.0, "med": 6.0, "q3": 8.0, "max": 10.0}
    assert "agent" not in found


def test_top_keys_of_a_data_source(client: TestClient[Litestar]) -> None:
    assert client.get(f"/metric/{A}/7.web/json").json()[0]["topKeys"][0]["key"] == "k"
    assert "topKeys" not in client.get(f"/metric/{A}/7.total/json").json()[0]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 3),
        ("?total=*", 2),
        ("?total=100", 1),
        ("?total=100.0", 1),
        ("?total=100&total=50", 2),
        ("?total=100&web=10", 1),
        ("?total=100&web=6", 0),
        ("?total=some", 0),
        ("?ifspeed=1000", 0),
    ],
)
def test_data_sources_that_pass_a_filter(client: TestClient[Litestar], query: str, count: int) -> None:
    assert client.get("/metric/ALL/web/json" + query).json()[0]["metricN"] == count


def test_dump(client: TestClient[Litestar]) -> None:
    total = [
        {"agent": A, "dataSource": "7", "metricName": "total", "lastUpdate": 0, "metricValue": 100.0},
        {"agent": B, "dataSource": "3", "metricName": "total", "lastUpdate": 0, "metricValue": 50.0},
    ]
    web = {"agent": B, "dataSource": "3", "metricName": "web", "lastUpdate": 0, "metricValue": 6.0}
    assert client.get("/dump/ALL/total/json").json() == total
    assert client.get(f"/dump/{B}/7.web;3.web/json").json() == [{**web, "topKeys": [{"key": "k", "value": 6.0}]}]
    assert client.get("/dump/ALL/nope;idle/json").json() == []
    assert len(client.get("/dump/ALL/ALL/json").json()) == 5


def test_table(client: TestClient[Litestar]) -> None:
    rows = client.get("/table/ALL/web,total,nope/json").json()
    assert [[cell.get("metricValue") for cell in row] for row in rows] == [
        [2.0, None, None],
        [10.0, 100.0, None],
        [6.0, 50.0, None],
    ]
    assert [(row[2]["metricName"], row[2]["agent"], row[2]["lastUpdate"]) for row in rows] == [
        ("nope", A, 0),
        ("nope", A, 0),
        ("nope", B, 0),
    ]


@pytest.mark.parametrize(
    ("metrics", "values"),
    [
        ("sort:web", [10.0, 6.0, 2.0]),
        ("sort:web:-2", [10.0, 6.0]),
        ("sort:web:2", [2.0, 6.0]),
        ("web,sort:total:-1", [10.0]),
        ("web,sort:total", [10.0, 6.0]),
        ("sort:nope:-5", []),
    ],
)
def test_table_in_order(client: TestClient[Litestar], metrics: str, values: list[float]) -> None:
    rows = client.get(f"/table/ALL/{metrics}/json").json()
    assert [row[0]["metricValue"] for row in rows] == values


def test_too_many_metrics(client: TestClient[Litestar]) -> None:
    names = ",".join("m" for _ in range(201))
    for kind in ("metric", "table", "dump"):
        assert client.get(f"/{kind}/ALL/{names}/json").status_code == 400
