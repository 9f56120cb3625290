from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tidegate.apps.bench import Figure, Report, find_benchmarks, measure, meets, run_benchmarks, this_machine
from tidegate.errors import SourceError

GOOD = """
def run():
    print("chatter")
    return [{"name": "a", "value": 2.0, "unit": "ms", "bar": "<= 1", "method": "m", "beside": {"other": 3.0}}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "broken.py").write_text("def run():\n    raise ValueError('no such luck')\n")
    (tmp_path / "silent.py").write_text("def run():\n    return 3\n")
    (tmp_path / "shared.py").write_text("VALUE = 1\n")
    return tmp_path


def test_figures_come_back_whole(folder: Path) -> None:
    assert measure(folder / "good.py") == [Figure("a", 2.0, "ms", "<= 1", "m", {"other": 3.0})]


def test_a_benchmark_that_raises_says_why(folder: Path) -> None:
    with pytest.raises(SourceError, match="broken: ValueError: no such luck"):
        measure(folder / "broken.py")


def test_a_benchmark_without_figures_says_so(folder: Path) -> None:
    with pytest.raises(SourceError, match="silent: no figures"):
        measure(folder / "silent.py")


def test_files_without_run_are_no_benchmarks(folder: Path) -> None:
    assert [path.stem for path in find_benchmarks((), folder)] == ["broken", "good", "silent"]


def test_an_unknown_name_lists_the_known(folder: Path) -> None:
    with pytest.raises(SourceError, match="nope: no such benchmark; there are broken, good, silent"):
        find_benchmarks(["nope"], folder)


def test_an_installed_package_without_benchmarks_says_where_they_are(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="source tree"):
        find_benchmarks((), tmp_path)


def test_the_json_report_has_machine_and_results(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks(["good"], as_json=True, strict=False, folder=folder) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["machine"]) == {"cpu", "cores", "kernel", "python", "numba", "numpy", "date"}
    assert shown["results"][0]["beside"] == {"other": 3.0}
    assert msgspec.convert(shown, Report).results[0].name == "a"


def test_the_table_names_figure_bar_and_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_benchmarks(["good"], as_json=False, strict=False, folder=folder)
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("2 ms", "<= 1", "missed", "other: 3"))


def test_a_missed_bar_is_an_error_only_when_strict(folder: Path) -> None:
    assert run_benchmarks(["good"], as_json=True, strict=True, folder=folder) == 1


def test_a_broken_benchmark_does_not_stop_the_others(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks(["broken", "good"], as_json=True, strict=False, folder=folder) == 1
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["results"]] == ["a"]


@pytest.mark.parametrize(
    ("value", "bar", "verdict"),
    [
        (1.5, "<= 1.5", True),
        (1.6, "<= 1.5", False),
        (3_000_000.0, ">= 3,000,000", True),
        (2.0, "> 2", False),
        (1.9, "< 2", True),
        (0.0, "0", True),
        (0.1, "0", False),
        (4.0, ">= 3e0", True),
        (97.0, "100 +- 5", True),
        (106.0, "100 +- 5", False),
        (1.0, None, None),
        (1.0, "as low as can be", None),
        (1.0, "<= 1.2.3", None),
    ],
)
def test_bars(value: float, bar: str | None, verdict: bool | None) -> None:  # noqa: FBT001 - a row of the table
    assert meets(Figure("a", value, "x", bar)) is verdict


def test_the_machine_is_described() -> None:
    here = this_machine()
    assert here.cores >= 1
    assert here.cpu
