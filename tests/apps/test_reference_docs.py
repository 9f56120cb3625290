from __future__ import annotations

import msgspec

import tidegate
from tidegate.apps import reference_docs
from tidegate.apps.bench import Figure, Machine, Report
from tidegate.apps.reference_docs import pages, with_figures
from tidegate.data.fields import FIELDS
from tidegate.engine.functions import FUNCTIONS
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES

MACHINE = Machine(cpu="a processor", cores=2, kernel="6", python="3.11", numba="1", numpy="2", date="2026-01-02T03:04")
README = "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n"


def test_every_key_is_on_its_page() -> None:
    page = pages()["keys.md"]
    assert [name for name in FIELDS if f"| `{name}`" not in page] == []


def test_every_form_of_a_key_is_explained() -> None:
    assert {field.form for field in FIELDS.values()} <= set(reference_docs._FORM_TEXTS)


def test_every_function_is_on_its_page() -> None:
    page = pages()["functions.md"]
    assert [name for name in FUNCTIONS if f"| `{name}:" not in page] == []


def test_every_structure_is_on_its_page() -> None:
    page = pages()["records.md"]
    rows = [*SAMPLES.values(), *FLOW_RECORDS.values(), *COUNTER_RECORDS.values()]
    assert [row.name for row in rows if f"| {row.enterprise}:{row.format} | `{row.name}` |" not in page] == []


def test_every_public_name_is_on_its_page() -> None:
    page = pages()["api.md"]
    assert [name for name in tidegate.__all__ if f"| `{name}` |" not in page] == []


def test_bounds_and_defaults_of_the_configuration_are_told() -> None:
    page = pages()["configuration.md"]
    assert "| `port` | number from 0 to 65,535 | `6343` |" in page
    assert "## `[[bgp.peers]]`" in page
    assert "| `address` | text | must be given |" in page


def test_figures_with_a_bar_or_company_are_shown() -> None:
    figures = (
        Figure("fast", 3_500_000.0, "samples/s", ">= 3000000", "m", {"other": 2.0}),
        Figure("slow", 7.25, "ms", "<= 5"),
        Figure("alone", 1.0, "ms"),
    )
    text = with_figures(README, msgspec.json.encode(Report(MACHINE, figures)))
    assert "| `fast` | 3,500,000 samples/s | >= 3000000 | met | other: 2 |" in text
    assert "| `slow` | 7.25 ms | <= 5 | **missed** |  |" in text
    assert "alone" not in text
    assert text.startswith("before\n<!-- figures -->\na processor, 2 cores, Linux 6, Python 3.11, 2026-01-02.\n")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "old" not in text
