"""What all tests share: how many examples, golden files, and what may be skipped where."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest

import tidegate

pytest.register_assert_rewrite("agent_claims")  # so that its failures show values, as those of test modules do

# The gate draws the same examples each time; HYPOTHESIS_PROFILE=night draws many new ones.
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True, database=None, print_blob=True)
hypothesis.settings.register_profile("night", deadline=None, max_examples=5000, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def pytest_collection_finish() -> None:
    """Load all modules before the first test: Hypothesis also draws constants of the modules loaded by then."""
    for module in pkgutil.walk_packages(tidegate.__path__, "tidegate."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait for the virtual machine: one process waits, the others do the rest meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("guest") is None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regold", action="store_true", help="write golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a file; with --regold write the file, and the diff is reviewed."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--regold"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"{path} is missing: pytest --regold writes it"
        assert path.read_text(encoding="utf-8") == text, f"{path} is out of date: pytest --regold writes it again"

    return compare


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is set, a test may not be skipped for want of a program or of rights: nobody would see it."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail") and _is_wanting(item, report):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {_reason(report)}"
    return report


def _is_wanting(item: pytest.Item, report: pytest.TestReport) -> bool:
    marked = any(item.get_closest_marker(name) for name in ("netns", "guest", "peer"))
    return marked or "not installed" in _reason(report)


def _reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
