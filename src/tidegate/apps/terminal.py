"""What commands print: tables, progress, summaries. On a terminal with colour and bars, elsewhere plain lines."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress
from rich.table import Table

from tidegate.apps.kernels import prepare_kernels
from tidegate.apps.replay import Replayed
from tidegate.io.pcap import describe_capture

__all__ = ["compile_with_progress", "progress_bar", "set_up_log", "show_replayed", "show_rows"]


def _errors() -> Console:
    return Console(stderr=True)


def set_up_log(level: str) -> None:
    """Send the log to standard error."""
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(console=_errors(), show_path=False)
        logging.basicConfig(level=level.upper(), format="%(message)s", handlers=[handler])
    else:
        logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")


def compile_with_progress() -> None:
    """Compile the kernels, or load them from the cache; say so where it takes long."""
    console = _errors()
    if not console.is_terminal:
        told: list[str] = []

        def tell(_name: str, _done: int, total: int) -> None:
            if not told:
                told.append(f"preparing {total} kernels (compiled once, then cached)")
                console.print(told[0])

        prepare_kernels(tell)
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("preparing kernels (once)", total=None)
        prepare_kernels(lambda name, done, total: progress.update(task, completed=done, total=total, description=name))


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far something is, on a terminal; nothing elsewhere."""
    console = _errors()
    if not console.is_terminal:
        yield lambda _done, _total: None
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def show_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool, table: bool = True) -> None:
    """Print objects as JSON lines, or as a table, or as lines."""
    if as_json:
        for row in rows:
            print(msgspec.json.encode(row).decode(), flush=True)  # noqa: T201 - it is what the command is for
        return
    console = Console()
    if not table:
        for row in rows:
            console.print(" ".join(f"{name}={_cell(value)}" for name, value in row.items()), markup=False)
        return
    if not rows:
        console.print("nothing to show")
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    shown = Table(*names)
    for row in rows:
        shown.add_row(*(_cell(row.get(name, "")) for name in names))
    console.print(shown)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def show_replayed(result: Replayed) -> None:
    """Say on standard error what a replay came to."""
    console = _errors()
    for stats in result.captures:
        console.print(describe_capture(stats), markup=False)
    seconds = (result.last_ns - result.first_ns) / 1e9
    console.print(
        f"{result.flow_samples:,} flow samples, {result.counter_samples:,} counters samples over {seconds:,.1f} s: "
        f"{result.events:,} events, {result.flow_records:,} flow records"
    )
    bad = {name: count for name, count in result.decoder.counts.items() if count and name != "datagrams"}
    if bad:
        console.print("not decoded whole: " + ", ".join(f"{name} {count}" for name, count in bad.items()))
    for change in result.changes:
        console.print(msgspec.json.encode(change).decode(), markup=False)
    for name, error in result.script_errors.items():
        console.print(f"script {name}: {error}", markup=False)
