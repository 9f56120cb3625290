"""The `filter` of `/activeflows`: a pattern that is searched for in flow keys, in time linear in the key.

Anyone who may read may send one, so it is the part of regular expressions that cannot run away: characters, `.`, sets,
escapes of one character, `^`, `$`, `|` between whole patterns, `.*` and `.+`. Other repetitions and groups are errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from tidegate.errors import TextError

__all__ = ["parse_key_filter"]

_MAX_PATTERN: Final = 256
_SET: Final = r"\[\^?\]?(?:\\[^0-9A-Za-z]|\\[dDsSwW]|(?!--|&&|~~|\|\|)[^\]\[\\])*\]"  # no operators on sets
_TOKEN: Final = re.compile(
    rf"(?P<any>\.[*+])|(?P<bar>\|)|(?P<one>\\[^0-9A-Za-z]|\\[dDsSwWbB]|{_SET}|[^*+?{{}}()\[\]\\])", re.DOTALL
)


def parse_key_filter(pattern: str) -> Callable[[str], bool]:
    """Return the test of a key; an empty pattern accepts all."""
    if len(pattern) > _MAX_PATTERN:
        raise TextError(pattern, _MAX_PATTERN, f"filter: a pattern has at most {_MAX_PATTERN} characters")
    alternatives = list(_alternatives(pattern))
    return lambda key: any(_matches(pieces, key) for pieces in alternatives)


def _alternatives(pattern: str) -> Iterator[tuple[re.Pattern[str], ...]]:
    """Cut the pattern at `|` into alternatives, and each of them at `.*` into pieces of a fixed length."""
    pieces: list[str] = []
    piece, at = "", 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise TextError(
                pattern, at, "filter: only .* and .+ may repeat, and nothing is grouped", "escape it with a backslash"
            )
        if token["bar"]:
            yield tuple(_compile(pattern, at, text) for text in (*pieces, piece))
            pieces, piece = [], ""
        elif token["any"]:
            pieces.append(piece)
            piece = "." if token["any"] == ".+" else ""
        else:
            piece += token["one"]
        at = token.end()
    yield tuple(_compile(pattern, at, text) for text in (*pieces, piece))


def _compile(pattern: str, at: int, piece: str) -> re.Pattern[str]:
    try:
        return re.compile(piece, re.DOTALL)
    except re.error as error:
        raise TextError(pattern, max(at - len(piece), 0), f"filter: {error}") from None


def _matches(pieces: tuple[re.Pattern[str], ...], key: str) -> bool:
    at = 0
    for piece in pieces:
        found = piece.search(key, at)
        if found is None:
            return False
        at = found.end()
    return True
