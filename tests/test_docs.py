"""The documents hold: their Python runs, their links lead somewhere, their commands parse, their tables are current."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from documents import ROOT, Page, pages
from tidegate.apps import reference_docs
from tidegate.cli import cli

PAGES = pages()
REFERENCE = reference_docs.pages()
each_page = pytest.mark.parametrize("page", PAGES, ids=str)


SAVED = re.compile(r"[Ss]ave this as\s+`([\w.]+)`[^`]*?```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if any(page.blocks("python"))], ids=str)
def test_python_runs_and_commands_print_what_is_shown(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a page from top to bottom, in a folder with the files that it says to save."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name, text in SAVED.findall(page.text):
        (tmp_path / name).write_text(text, encoding="utf-8")
    namespace: dict[str, object] = {"__name__": f"document {page}"}
    for line, block in page.blocks("python"):
        code = compile("\n" * (line - 1) + block, str(page.path), "exec")
        exec(code, namespace)  # noqa: S102 - our own pages
    for _, block in page.blocks("console"):
        command, _, shown = block.removeprefix("$ ").partition("\n")
        if command.split()[:2] in (["tidegate", "decode"], ["tidegate", "replay"]):
            result = CliRunner().invoke(cli, shlex.split(command)[1:])
            assert result.exit_code == 0, result.output
            _looks_like(result.stdout, shown)


def _looks_like(printed: str, shown: str) -> None:
    """Compare line by line; … at the end of a line stands for its rest, on a line of its own for all that follows."""
    lines = iter(printed.splitlines())
    for line in shown.splitlines():
        if line == "…":
            return
        found = next(lines, "nothing")
        start, cut, _ = line.partition("…")
        assert found.startswith(start) if cut else found == line, f"shown {line!r}, printed {found!r}"
    assert list(lines) == [], "more is printed than shown"


@each_page
def test_links_lead_somewhere(page: Page) -> None:
    by_path = {other.path: other for other in PAGES}
    for link in page.links():
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in by_path[path].anchors(), f"{link}: no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    by_path = {page.path: page for page in PAGES}
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        path = todo.pop()
        if path in seen or path not in by_path:
            continue
        seen.add(path)
        todo += [(path.parent / link.partition("#")[0]).resolve() for link in by_path[path].links()]
    assert {str(by_path[path]) for path in by_path if path not in seen} == set()


@each_page
def test_commands_parse(page: Page) -> None:
    for line in page.commands():
        words = line.split("|")[0].split()
        if "tidegate" in [word.rpartition("/")[2] for word in words[:1]]:
            _parse(shlex.split(line.split("|")[0])[1:], line)
        elif words[:1] == ["make"] and len(words) > 1:
            targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            goals = {word for word in words[1:] if "=" not in word}
            assert goals <= set(targets), line


def _parse(words: list[str], line: str) -> None:
    """Parse a command line without running it."""
    words = [word for word in words if word not in {"&", "2>&1"} and not word.startswith((">", "2>"))]
    if not words:
        return
    command = cli.commands.get(words[0])
    if command is None:
        assert words[0].startswith("-"), f"no such command: {line}"
        return
    try:
        command.make_context(words[0], words[1:])
    except (click.exceptions.Exit, click.MissingParameter):
        return  # --help, or a command that is only named
    except click.UsageError as error:
        pytest.fail(f"{line}: {error.message}")


@each_page
def test_files_named_are_there(page: Page) -> None:
    for code in page.code():
        if re.fullmatch(r"(src|tests|docs|benchmarks|examples|scripts|fuzz)/[\w./-]*", code):
            assert (ROOT / code).exists(), code
        elif re.fullmatch(r"(data|wire|engine|control|io|web|apps)/[\w/-]+\.py", code):
            assert (ROOT / "src/tidegate" / code).exists(), code


@pytest.mark.parametrize("name", REFERENCE)
def test_generated_pages_are_current(name: str, golden: Callable[[Path, str], None]) -> None:
    golden(ROOT / "docs/reference" / name, REFERENCE[name])


def test_figures_of_the_readme_are_those_of_the_report(golden: Callable[[Path, str], None]) -> None:
    readme = next(page for page in PAGES if str(page) == "README.md")
    section = readme.text.partition("\n## Figures\n")[2].partition("\n## ")[0]
    assert "tidegate bench" in section
    report = (ROOT / "benchmarks/figures.json").read_bytes()
    assert json.loads(report)["results"][0]["name"] in section
    golden(readme.path, reference_docs.with_figures(readme.text, report))


def test_the_adrs_have_their_four_parts() -> None:
    adrs = [page for page in PAGES if page.path.parent.name == "adr"]
    assert adrs
    for page in adrs:
        for part in ("## Context", "## Decision", "## Cost", "## Turned down"):
            assert part in page.text, f"{page}: {part}"
