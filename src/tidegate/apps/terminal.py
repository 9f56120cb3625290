"""What programs tell on standard error: log and progress. Bars and colour on a terminal, else plain lines."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import Progress

from tidegate.apps.kernels import ALL_KERNELS
from tidegate.io.clock import SystemClock
from tidegate.kernel import compile_kernels, unkept_reason

__all__ = [
    "compile_with_progress",
    "progress_bar",
    "set_up_log",
]

_LONG_NS = 2_000_000_000


def _errors() -> Console:
    return Console(stderr=True, soft_wrap=True)  # a line stays one, in a file too


def set_up_log(level: str) -> None:
    """Send the log to standard error."""
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(console=_errors(), show_path=False)
        logging.basicConfig(level=level.upper(), format="%(message)s", handlers=[handler])
    else:
        logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("numba").setLevel(logging.WARNING)  # its debug lines are its compiler's own
    if level != "debug":  # that it starts and stops is told by the program that has it
        logging.getLogger("uvicorn").setLevel(logging.WARNING)


def compile_with_progress(kernels: Sequence[Callable[..., Any]] = ALL_KERNELS) -> None:
    """Compile kernels, or load them from the cache; say so where it takes long."""
    console = _errors()
    if console.is_terminal:
        _compile_with_a_bar(console, kernels)
    else:
        _compile_with_a_line(console, kernels)
    if reason := unkept_reason(kernels):
        console.print(f"kernels could not be kept and will be compiled again at the next start: {reason}", markup=False)


def _compile_with_a_bar(console: Console, kernels: Sequence[Callable[..., Any]]) -> None:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("preparing kernels (compiled once)", total=len(kernels))
        for done, name in enumerate(compile_kernels(kernels)):
            progress.update(task, completed=done, description=f"preparing kernels (compiled once): {name}")


def _compile_with_a_line(console: Console, kernels: Sequence[Callable[..., Any]]) -> None:
    clock = SystemClock()
    start, told = clock.monotonic_ns(), False
    for done, _ in enumerate(compile_kernels(kernels)):
        if not told and clock.monotonic_ns() - start > _LONG_NS:
            told = True
            console.print(f"compiling kernels, {done} of {len(kernels)} done; this takes a minute or two, once")


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
