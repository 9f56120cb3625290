"""The texts of Host sFlow's configuration taken apart: blocks of hsflowd.conf, lines of hsflowd.auto.

In goes a text, out come settings with the place that they stand at; what they mean is not known here. In hsflowd.conf
`=`, `;` and white space separate alike, a name is followed by a value or by a block in braces, `#` begins a comment.
Case does not matter in names, which come out in lower case, and is kept in values.

Answers for: Host sFlow 2.1's hsflowd.conf and hsflowd.auto.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from tidegate.errors import TextError

__all__ = ["Block", "Item", "Setting", "Token", "parse_blocks", "parse_lines", "wrong"]

_DEEPEST = 8
_TOKEN = re.compile(r"[{}]|[^\s=;{}]+")


class Token(msgspec.Struct, frozen=True):
    """A word, or a brace, and where it stands: line from 1, column from 0."""

    text: str
    line: int
    column: int
    whole: str  # its line, for messages


class Setting(msgspec.Struct, frozen=True):
    """A name with its value."""

    name: str
    value: str
    at: Token  # the value


class Block(msgspec.Struct, frozen=True):
    """A name with what stands in braces behind it."""

    name: str
    items: tuple[Setting | Block, ...]
    at: Token  # the name


Item = Setting | Block


def wrong(token: Token, reason: str, hint: str = "") -> TextError:
    """Return the error that shows a line and the place in it."""
    return TextError(token.whole, token.column, f"line {token.line}: {reason}", hint)


def parse_blocks(text: str) -> tuple[Item, ...]:
    """Return the outermost names of a hsflowd.conf with all that is in them; `TextError` where braces do not match."""
    tokens = list(_tokens(text))
    tokens.reverse()
    return tuple(_items(tokens, None))


def parse_lines(text: str) -> tuple[Setting, ...]:
    """Return the settings of a hsflowd.auto, one a line; `TextError` where a line is none."""
    found = []
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.partition("#")[0]
        if not line.strip():
            continue
        name, equals, value = line.partition("=")
        at = Token(value.strip(), number, min(len(name) + 1, len(whole)), whole)
        if not equals or not name.strip():
            raise wrong(at, "not name=value")
        found.append(Setting(name.strip().lower(), value.strip(), at))
    return tuple(found)


def _tokens(text: str) -> Iterator[Token]:
    for number, whole in enumerate(text.splitlines(), 1):
        for found in _TOKEN.finditer(whole.partition("#")[0]):
            yield Token(found[0], number, found.start(), whole)


def _items(tokens: list[Token], opening: Token | None, depth: int = 0) -> list[Item]:
    """Take items off the end of `tokens`, up to the brace that closes the one that was opened before."""
    found: list[Item] = []
    if opening is not None and depth > _DEEPEST:
        raise wrong(opening, f"more than {_DEEPEST} blocks within each other")
    while tokens:
        name = tokens.pop()
        if name.text == "}" and opening is not None:
            return found
        if name.text in {"{", "}"}:
            raise wrong(name, f"{name.text} without a name" if name.text == "{" else "} closes nothing")
        found.append(_item(name, tokens, depth + 1))
    if opening is not None:
        raise wrong(opening, "this { is never closed")
    return found


def _item(name: Token, tokens: list[Token], depth: int) -> Item:
    if not tokens or tokens[-1].text == "}":
        raise wrong(name, f"{name.text} has no value")
    value = tokens.pop()
    if value.text != "{":
        return Setting(name.text.lower(), value.text, value)
    return Block(name.text.lower(), tuple(_items(tokens, value, depth)), name)
