"""Rows on standard output: JSON lines, a table, or one line each."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.apps.tables import Column

__all__ = ["show_json", "show_lines", "show_table"]

_PIPE_WIDTH = 10_000  # where nobody's screen sets a limit, no text is folded or cut


def _output() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_PIPE_WIDTH)


def show_json(rows: Sequence[Mapping[str, object]]) -> None:
    """Print objects as JSON lines."""
    for row in rows:
        print(msgspec.json.encode(row).decode(), flush=True)  # noqa: T201 - it is what the command is for


def show_table(rows: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> None:
    """Print a table; as wide as the terminal, elsewhere as wide as its texts."""
    console = _output()
    if not rows:
        console.print("nothing to show")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.wide,
            overflow="fold" if column.wide else "ellipsis",
        )
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in columns))
    console.print(table)


def show_lines(rows: Sequence[Mapping[str, object]], columns: Sequence[Column]) -> None:
    """Print one line a row, at once: what comes one by one has no common widths."""
    for row in rows:
        print("  ".join(text for text in (column.text(row) for column in columns) if text), flush=True)  # noqa: T201 - as above
