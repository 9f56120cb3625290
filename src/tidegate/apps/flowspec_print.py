"""What `tidegate bgp flowspec encode` and `decode` read and print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, assert_never

import msgspec

from tidegate.apps.flowspec_decode import Remark, Shown, Unicast
from tidegate.control.flow_explain import Explained, Refused
from tidegate.errors import SourceError

__all__ = ["print_flows", "read_text", "text_lines"]

_LONGEST: Final = 16 << 20  # octets of an input: far more rules than anyone looks at
_FAMILIES: Final = {1: "IPv4", 2: "IPv6"}


def read_text(name: str) -> str:
    """Return the text of a file, or of standard input for `-`."""
    try:
        octets = sys.stdin.buffer.read(_LONGEST + 1) if name == "-" else _read_file(Path(name))
    except OSError as error:
        raise SourceError(name, error.strerror or str(error)) from None
    if len(octets) > _LONGEST:
        raise SourceError(name, f"it has more than {_LONGEST} octets")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise SourceError(name, f"no text (UTF-8) at octet {error.start}") from None


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST + 1)


def print_flows(flows: Iterable[Shown], *, as_json: bool) -> bool:
    """Print what was found, a JSON object a line or as text; return whether all of it were rules."""
    good = True
    for shown in flows:
        good = good and not isinstance(shown, Refused)
        print(msgspec.json.encode(shown).decode() if as_json else "\n".join(text_lines(shown)))  # noqa: T201 - it is what the command is for
    return good


def text_lines(shown: Shown) -> Iterator[str]:
    """Yield what is to be said in lines for people; the last one is empty."""
    match shown:
        case Explained():
            yield from _rule_lines(shown)
        case Refused():
            yield f"no {_FAMILIES[shown.afi]} rule: {shown.error}"
            yield from _labelled("nlri", [shown.nlri])
            yield from _labelled("note", shown.notes)
        case Unicast():
            way = "withdrawn" if shown.withdrawn else "announced"
            yield f"{_FAMILIES[shown.afi]} route {shown.prefix}, {way}"
            yield from _labelled("next hop", [shown.next_hop] if shown.next_hop else [])
            yield from _labelled("communities", shown.communities)
        case Remark():
            yield shown.remark
        case _:
            assert_never(shown)
    yield ""


def _rule_lines(rule: Explained) -> Iterator[str]:
    yield f"{_FAMILIES[rule.afi]} rule{', withdrawn' if rule.withdrawn else ''}"
    yield from _labelled("nlri", [rule.nlri])
    yield from _labelled("communities", rule.communities)
    yield from _labelled("next hop", [rule.next_hop] if rule.next_hop else [])
    yield from _labelled("update", [rule.update] if rule.update else [])
    yield from _labelled("matches", rule.matches)
    yield from _labelled("then", rule.does)
    yield from _labelled("note", rule.notes)
    yield from _labelled("profiles", [f"{name}: {text}" for name, text in rule.profiles.items()])


def _labelled(label: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines behind a label, which stands before the first alone."""
    for place, line in enumerate(lines):
        yield f"  {'' if place else label:<12}{line}"
