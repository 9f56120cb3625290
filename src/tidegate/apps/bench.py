"""Run the benchmarks of a source tree: each file of benchmarks/ in an interpreter of its own, figures as data.

A benchmark file has `run() -> list[dict]`; a figure has `name`, `value`, `unit`, `bar` (a text such as "<= 1.5", or
None), `method` and `beside` (other programs' figures, same run). A missed bar is shown and, unless asked for, is no
error: machines differ.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tidegate.errors import SourceError

__all__ = ["Figure", "Machine", "Report", "find_benchmarks", "measure", "meets", "run_benchmarks", "this_machine"]

_PATIENCE_S = 1800
# Run in the new interpreter: what the benchmark prints goes to the error stream, so that the figures stand alone.
_RUNNER = """
import contextlib, importlib.util, json, sys
with contextlib.redirect_stdout(sys.stderr):
    spec = importlib.util.spec_from_file_location(sys.argv[2], sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    figures = module.run()
print(json.dumps(figures))
"""
_BAR = re.compile(r"\s*(<=|>=|<|>|)\s*([-+0-9.,_eE]+)(?:\s*\+-\s*([0-9.]+))?\s*$")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda value, limit: value <= limit,
    ">=": lambda value, limit: value >= limit,
    "<": lambda value, limit: value < limit,
    ">": lambda value, limit: value > limit,
    "": lambda value, limit: value <= limit,  # a number alone is the most that may be lost
}


class Figure(msgspec.Struct, frozen=True):
    """One measurement; `beside` holds what other programs needed in the same run."""

    name: str
    value: float
    unit: str
    bar: str | None = None
    method: str = ""
    beside: dict[str, float] = {}


class Machine(msgspec.Struct, frozen=True):
    """What the figures were measured on."""

    cpu: str
    cores: int
    kernel: str
    python: str
    numba: str
    numpy: str
    date: str


class Report(msgspec.Struct, frozen=True):
    """All figures, with the machine."""

    machine: Machine
    results: tuple[Figure, ...]


def run_benchmarks(names: Sequence[str], *, as_json: bool, strict: bool, folder: Path | None = None) -> int:
    """Measure, print figures as they come and all of them at the end; return the exit status of the command.

    It is 1 where a benchmark did not run, and with `strict` where a bar was missed.
    """
    progress = Console(stderr=True, highlight=False)
    figures: list[Figure] = []
    broken = 0
    for path in find_benchmarks(names, folder):
        progress.print(f"{path.stem} …")
        try:
            figures += measure(path)
        except SourceError as error:
            broken += 1
            progress.print(f"{error}", markup=False)
    report = Report(this_machine(), tuple(figures))
    if as_json:
        print(msgspec.json.encode(report).decode())  # noqa: T201 - it is what the command is for
    else:
        _show(report, Console())
    missed = strict and any(meets(figure) is False for figure in figures)
    return int(broken > 0 or missed)


def find_benchmarks(names: Sequence[str] = (), folder: Path | None = None) -> list[Path]:
    """Return the benchmark files, all or those named; `SourceError` where there are none of that name."""
    folder = folder or Path(__file__).resolve().parents[3] / "benchmarks"
    files = {path.stem: path for path in sorted(folder.glob("*.py")) if "def run(" in path.read_text(encoding="utf-8")}
    if not files:
        raise SourceError(str(folder), "no benchmarks here; they come with the source tree, not with the package")
    for name in names:
        if name not in files:
            raise SourceError(name, f"no such benchmark; there are {', '.join(files)}")
    return [files[name] for name in names or files]


def measure(path: Path) -> list[Figure]:
    """Run one benchmark in an interpreter of its own; `SourceError` where it gives no figures."""
    command = [sys.executable, "-c", _RUNNER, str(path), path.stem]
    environment = {**os.environ, "PYTHONPATH": str(path.parent)}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_S, check=False, env=environment)  # noqa: S603 - this interpreter
    except subprocess.TimeoutExpired:
        raise SourceError(path.stem, f"not done after {_PATIENCE_S} s") from None
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {done.returncode}"]
        raise SourceError(path.stem, lines[-1])
    try:
        return msgspec.json.decode(done.stdout, type=list[Figure])
    except msgspec.DecodeError as error:
        raise SourceError(path.stem, f"no figures: {error}") from None


def meets(figure: Figure) -> bool | None:
    """Tell whether a figure is within its bar; None where it has none that can be read."""
    found = _BAR.match(figure.bar or "")
    if found is None:
        return None
    with contextlib.suppress(ValueError):
        limit = float(found[2].replace(",", ""))
        if found[3]:
            return abs(figure.value - limit) <= float(found[3])
        return _COMPARE[found[1]](figure.value, limit)
    return None


def this_machine(now: datetime | None = None) -> Machine:
    """Return what this machine is."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        kernel=platform.release(),
        python=platform.python_version(),
        numba=version("numba"),
        numpy=version("numpy"),
        date=(now or datetime.now(UTC)).isoformat(timespec="seconds"),
    )


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _show(report: Report, console: Console) -> None:
    """Print the figures as a table, the method of each below."""
    here = report.machine
    console.print(
        f"{here.cpu}, {here.cores} cores, Linux {here.kernel}, Python {here.python}, numba {here.numba}, "
        f"numpy {here.numpy}, {here.date}"
    )
    table = Table("figure", "value", "bar", "", "beside", box=None, pad_edge=False)
    for figure in report.results:
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[meets(figure)]
        beside = "\n".join(f"{other}: {value:,g}" for other, value in figure.beside.items())
        table.add_row(figure.name, f"{figure.value:,g} {figure.unit}", figure.bar or "", verdict, beside)
    console.print(table)
    methods: dict[str, list[str]] = {}
    for figure in report.results:
        methods.setdefault(figure.method, []).append(figure.name)
    for method, names in methods.items():
        console.print(f"[dim]{'; '.join(names)}: {method}[/]", highlight=False)
