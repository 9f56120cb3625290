"""`tidegate decode`: recordings as readable datagrams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tidegate.data.address import format_address
from tidegate.data.block import Block
from tidegate.errors import DecodeError
from tidegate.io.pcap import Capture, describe_capture
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.view import datagram_json

__all__ = ["decoded_objects", "text_lines"]

Shown = dict[str, Any]


def decoded_objects(paths: Sequence[Path]) -> Iterator[Shown]:
    """Yield one object a datagram; one that cannot be decoded has `error` in place of its content.

    A recording that is damaged or holds no datagrams ends with an object whose `error` says so.
    """
    for path in paths:
        capture = Capture(path)
        try:
            for block in capture:
                for row in range(len(block)):
                    yield _shown(path, block, row)
            stats = capture.statistics()
            if stats.damage or not stats.datagrams:
                yield {"file": str(path), "error": describe_capture(stats)}
        finally:
            capture.close()


def _shown(path: Path, block: Block, row: int) -> Shown:
    start = int(block.offset[row])
    payload = block.data[start : start + int(block.length[row])].tobytes()
    source = (int(block.source_high[row]), int(block.source_low[row]))
    where: Shown = {"file": str(path), "time": int(block.time_ns[row]) / 1e9}
    if source != (0, 0):
        where |= {"source": format_address(*source), "source_port": int(block.source_port[row])}
    try:
        return where | datagram_json(decode_datagram(payload))
    except DecodeError as error:
        return where | {"error": str(error), "length": len(payload)}


def text_lines(shown: Shown, indent: str = "") -> Iterator[str]:
    """Yield an object as indented lines, one field each."""
    for name, value in shown.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from text_lines(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for place, part in enumerate(value):
                yield f"{indent}{name}[{place}]:"
                yield from text_lines(part, indent + "  ")
        else:
            yield f"{indent}{name}: {value}"
    if not indent:
        yield ""
