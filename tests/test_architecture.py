"""The lines of the house, read off the source: who may import whom, who may touch the world, what is state."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest

from source_tree import Module, defined, exported, imports, modules, own_imports
from tidegate.apps.kernels import ALL_KERNELS
from tidegate.data.fields import FIELDS
from tidegate.wire.sflow.origins import ORIGINS

OPEN = {"units", "errors", "kernel", "kernel_cache", "octets"}
MAY_IMPORT = {
    "data": {"data"},
    "wire": {"wire", "data"},
    "engine": {"engine", "data"},
    "control": {"control", "wire", "engine", "data"},
    "agent": {"agent", "wire", "data"},
    "io": {"io", "control", "wire", "data"},
    "web": {"web", "control", "wire", "engine", "data"},
    "apps": {"apps", "web", "io", "control", "agent", "wire", "engine", "data"},
    "cli": {"cli", "apps", "web", "io", "control", "agent", "wire", "engine", "data"},
    "__main__": {"cli"},
    "": {"apps", "engine", "control", "wire", "data"},  # the public names
    **dict.fromkeys(OPEN, OPEN),
}

CLOCKS = {"time", "datetime", "sched", "random", "secrets", "uuid"}
SOCKETS = {"socket", "select", "selectors", "ssl", "aiohttp", "uvicorn", "urllib.request", "http.client"}
PROCESSES = {"subprocess", "multiprocessing"}
SIGNALS = {"signal"}
FILES = {"os", "pathlib", "mmap", "shutil", "tempfile", "sqlite3", "glob", "fcntl", "maxminddb"}
LOGS = {"logging", "warnings"}
THREADS = {"threading", "asyncio", "queue", "concurrent.futures"}
PURE = CLOCKS | SOCKETS | PROCESSES | SIGNALS | FILES | LOGS | THREADS
FORBIDDEN = {
    **dict.fromkeys(("data", "wire", "engine", "control", "agent", *OPEN), PURE),
    "web": CLOCKS | SOCKETS | PROCESSES | SIGNALS | FILES,
    "apps": CLOCKS | SOCKETS | PROCESSES,
    "cli": CLOCKS | SOCKETS | PROCESSES,
}
# Exceptions, each with its reason.
EXCUSED = {
    ("apps.bench", "subprocess"): "each benchmark runs in an interpreter of its own",
    ("apps.bench", "datetime"): "a report of measurements carries its date",
    ("apps.demo", "socket"): "the demonstration is the world: it sends the attack",
    ("apps.demo", "time"): "it tells when what happened",
    ("apps.demo", "random"): "it draws the attack's addresses",
    ("apps.demo_traffic", "random"): "it draws the attack's addresses",
    ("apps.demo_peer", "socket"): "it looks for a free port",
    **dict.fromkeys(
        (("kernel_cache", name) for name in ("os", "pathlib", "shutil", "tempfile")),
        "compiled kernels are kept as numba's own cache would, below anything that could be handed a folder",
    ),
}


def _nowhere(wrong: Callable[[Module], Iterator[str]]) -> None:
    """Fail with every place that `wrong` finds, one a line."""
    found = [f"{module.name or '__init__'}: {place}" for module in modules().values() for place in wrong(module)]
    assert not found, "\n".join(("", *found))


def test_the_tree_is_found() -> None:
    assert {"errors", "wire.cursor", "engine.engine", "io.udp"} <= set(modules())


def test_every_room_has_a_rule() -> None:
    assert {module.room for module in modules().values()} <= set(MAY_IMPORT)


def test_imports_run_one_way() -> None:
    def wrong(module: Module) -> Iterator[str]:
        allowed = MAY_IMPORT[module.room] | OPEN
        for name, line in own_imports(module.tree):
            if name.partition(".")[0] not in allowed and name:
                yield f"line {line} imports {name}"

    _nowhere(wrong)


def test_nothing_inside_imports_the_root() -> None:
    def wrong(module: Module) -> Iterator[str]:
        yield from (f"line {line}" for name, line in own_imports(module.tree) if not name and module.name != "cli")

    _nowhere(wrong)


def test_no_cycles() -> None:
    graph = {
        name: {target for target, _ in own_imports(module.tree) if target} for name, module in modules().items() if name
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_only_io_touches_the_world() -> None:
    def wrong(module: Module) -> Iterator[str]:
        forbidden = FORBIDDEN.get(module.room, set())
        for name, part, line in imports(module.tree):
            for full in (name, f"{name}.{part}", name.partition(".")[0]):
                if full in forbidden and (module.name, full) not in EXCUSED:
                    yield f"line {line} imports {full}"
                    break

    _nowhere(wrong)


def test_every_excuse_is_used() -> None:
    used = {(module.name, name) for module in modules().values() for name, _, _ in imports(module.tree)}
    assert set(EXCUSED) <= used


def test_only_io_and_apps_open_files() -> None:
    def wrong(module: Module) -> Iterator[str]:
        if module.room in {"io", "apps", "cli"}:
            return
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "input"}:
                yield f"line {node.lineno} calls {node.func.id}"

    _nowhere(wrong)


def test_only_commands_print() -> None:
    def wrong(module: Module) -> Iterator[str]:
        if module.room in {"apps", "cli"}:
            return
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                yield f"line {node.lineno} prints"

    _nowhere(wrong)


MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove", "discard"}


def test_modules_hold_no_state() -> None:
    def wrong(module: Module) -> Iterator[str]:
        tables = {name for name, node in defined(module.tree).items() if isinstance(node, (ast.Assign, ast.AnnAssign))}
        for function in ast.walk(module.tree):
            if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            own = _local_names(function)
            yield from (
                f"line {line} changes {name}" for name, line in _changes(function) if name in tables and name not in own
            )

    _nowhere(wrong)


def _local_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def _changes(function: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(function):
        stored = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
        mutated = isinstance(node, ast.Attribute) and node.attr in MUTATORS
        target = getattr(node, "value", None)
        if (stored or mutated) and isinstance(target, ast.Name):
            yield target.id, target.lineno


def test_no_global_statement() -> None:
    def wrong(module: Module) -> Iterator[str]:
        yield from (f"line {node.lineno}" for node in ast.walk(module.tree) if isinstance(node, ast.Global))

    _nowhere(wrong)


def test_module_names_that_are_bound_to_containers_are_constants() -> None:
    def wrong(module: Module) -> Iterator[str]:
        for name, node in defined(module.tree).items():
            value = getattr(node, "value", None)
            if isinstance(value, (ast.List, ast.Dict, ast.Set)) and not name.startswith("__") and name.upper() != name:
                yield f"line {node.lineno}: {name}"

    _nowhere(wrong)


def test_public_names_are_listed_and_exist() -> None:
    def wrong(module: Module) -> Iterator[str]:
        names = exported(module.tree)
        if names is None:
            if module.path.name not in {"__init__.py", "__main__.py"}:
                yield "has no __all__"
            return
        here = defined(module.tree)
        yield from (f"__all__ lists {name}, which is not there" for name in names if name not in here)
        for name, node in here.items():
            is_definition = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
            # reached by KERNELS, a table of routes, the command line
            in_a_table = _decorators(node) & {"kernel", "get", "put", "post", "patch", "delete", "command", "group"}
            if is_definition and not in_a_table and not name.startswith("_") and name not in names:
                yield f"{name} is public but not in __all__"

    _nowhere(wrong)


def test_what_is_imported_is_public() -> None:
    def wrong(module: Module) -> Iterator[str]:
        for source, name, line in imports(module.tree):
            other = modules().get(source.removeprefix("tidegate.")) if source.startswith("tidegate.") else None
            if other is None or name is None or f"{other.name}.{name}" in modules():
                continue
            if name not in (exported(other.tree) or ()):
                yield f"line {line} imports {name} from {other.name}, which does not list it"

    _nowhere(wrong)


def test_every_module_says_what_it_is_for() -> None:
    def wrong(module: Module) -> Iterator[str]:
        if not ast.get_docstring(module.tree) and module.tree.body:
            yield "has no docstring"

    _nowhere(wrong)


def test_every_kernel_is_compiled_at_start() -> None:
    def wrong(module: Module) -> Iterator[str]:
        kernels = {name for name, node in defined(module.tree).items() if "kernel" in _decorators(node)}
        listed = defined(module.tree).get("KERNELS")
        names = {node.id for node in ast.walk(listed) if isinstance(node, ast.Name)} if listed is not None else set()
        yield from (f"{name} is not in KERNELS" for name in sorted(kernels - names))

    _nowhere(wrong)


def test_every_list_of_kernels_is_in_the_list_of_all() -> None:
    lists = {name for name, module in modules().items() if "KERNELS" in defined(module.tree)}
    all_names = {kernel.__name__ for kernel in ALL_KERNELS}
    for name in sorted(lists):
        module = importlib.import_module(f"tidegate.{name}")
        assert {kernel.__name__ for kernel in module.KERNELS} <= all_names, name


def _decorators(node: ast.stmt) -> set[str]:
    calls = [call.func if isinstance(call, ast.Call) else call for call in getattr(node, "decorator_list", [])]
    return {str(getattr(call, "id", getattr(call, "attr", ""))) for call in calls}


def test_fields_and_origins_agree() -> None:
    assert set(FIELDS) - {"agent", "subagent", "frames"} == set(ORIGINS)
