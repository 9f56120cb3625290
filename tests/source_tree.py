"""The modules of the package as syntax trees, for tests that read the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "tidegate"


class Module(msgspec.Struct, frozen=True):
    """One file: its dotted name without `tidegate.`, and what it says."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """The part of the house: `wire`, `engine`, `cli` …; the root itself is `""`."""
        return self.name.partition(".")[0]


@cache
def modules() -> dict[str, Module]:
    """Every module of the package by name."""
    return {module.name: module for module in map(_parse, sorted(PACKAGE.rglob("*.py")))}


def _parse(path: Path) -> Module:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def imports(tree: ast.Module) -> Iterator[tuple[str, str | None, int]]:
    """Every import as (module, name or None, line), wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name, node.lineno) for alias in node.names)


def own_imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The modules of this package that a tree imports, as (name, line)."""
    for module, name, line in imports(tree):
        if module != "tidegate" and not module.startswith("tidegate."):
            continue
        inner = module.removeprefix("tidegate").removeprefix(".")
        below = f"{inner}.{name}".removeprefix(".")
        yield (below if name is not None and below in modules() else inner), line


def defined(tree: ast.Module) -> dict[str, ast.stmt]:
    """The names that a module's top level defines or imports."""
    found: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            names = (name for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name))
            found |= {name.id: node for name in names if isinstance(name.ctx, ast.Store)}
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name): node for alias in node.names}
    return found


def exported(tree: ast.Module) -> list[str] | None:
    """The names of `__all__`, None where there is none; it may be added to on further lines."""
    values = [
        node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AugAssign))
        and "__all__" in {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    ]
    return [name for value in values for name in ast.literal_eval(value)] if values else None
