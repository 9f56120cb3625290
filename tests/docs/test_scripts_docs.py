"""The documents on scripts run, and name everything that scripts may call."""

from __future__ import annotations

from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

from tidegate.apps.fake_runtime import FakeRuntime
from tidegate.apps.script import Bgp, Log, Runtime, Shared, Store

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = (DOCS / "reference/script-api.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("page", "blocks"), [("guides/scripts.md", 7), ("reference/script-api.md", 0)])
def test_every_python_block_runs(page: str, blocks: int) -> None:
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(DOCS / page)
    examples = list(document.examples())
    for example in examples:
        example.evaluate()
    assert len(examples) == blocks


def public(kind: type) -> list[str]:
    return [name for name in vars(kind) if not name.startswith("_")]


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (Runtime, "rt."),
        (Bgp, "rt.bgp."),
        (Log, "rt.log."),
        (Store, "rt.store."),
        (Shared, "rt.shared."),
        (FakeRuntime, "fake."),
    ],
)
def test_the_reference_has_every_call(kind: type, prefix: str) -> None:
    missing = [
        name
        for name in public(kind)
        if f"`{prefix}{name}" not in REFERENCE and f"await {prefix}{name}" not in REFERENCE
    ]
    assert missing == []


def test_the_reference_has_every_attribute() -> None:
    fake = FakeRuntime()
    for holder, prefix in ((fake.rt, "rt."), (fake, "fake.")):
        names = [name for name in vars(holder) if not name.startswith("_")]
        assert [name for name in names if f"`{prefix}{name}" not in REFERENCE] == []
