"""Relaxed JSON, as clients of flow analysers write it by hand: `{keys:'ipsource', value:'bytes',}`.

Beyond RFC 8259: names without quotes, texts in single quotes, a comma behind the last item. What is strict JSON is read
by the standard library, so that it always has its usual meaning; anything else is read here or is a `TextError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from tidegate.errors import TextError

__all__ = ["MAX_NESTING", "parse_relaxed_json"]

MAX_NESTING = 32  # of what is not strict JSON

_SPACES = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BARE = re.compile(r"[^\s:,'\"{}\[\]]+")
_PLAIN = {"'": re.compile(r"[^'\\]*"), '"': re.compile(r'[^"\\]*')}
_HEX = re.compile(r"[0-9a-fA-F]{4}")
_WORDS = {"true": True, "false": False, "null": None}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "/": "/", "\\": "\\", "'": "'", '"': '"'}
_MAX_DIGITS = 400

T = TypeVar("T")


def parse_relaxed_json(text: str) -> object:
    """Return the dicts, lists, texts, numbers, booleans or None that `text` describes."""
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        parsed = _Reader(text).document()
    if "\\u" in text:
        _check_unicode(text, parsed)
    return parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_unicode(text: str, parsed: object) -> None:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise TextError(text, max(text.find("\\u"), 0), "half of a surrogate pair is no character") from None


class _Reader:
    """A place in a text that is read once from start to end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def document(self) -> object:
        value = self._value()
        if self._next():
            raise self._unexpected("the end of the text")
        return value

    def _next(self) -> str:
        match = _SPACES.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._text[self._at : self._at + 1]

    def _unexpected(self, wanted: str, hint: str = "") -> TextError:
        found = self._text[self._at : self._at + 1]
        return TextError(
            self._text, self._at, f"expected {wanted}, but " + (f"found {found!r}" if found else "the text ends"), hint
        )

    def _value(self) -> object:
        letter = self._next()
        if letter == "{":
            return dict(self._items("}", self._pair))
        if letter == "[":
            return self._items("]", self._value)
        if letter in _PLAIN:
            return self._quoted(letter)
        word = self._bare()
        if word in _WORDS:
            return _WORDS[word]
        number = _NUMBER.fullmatch(word)
        if number is None or len(word) > _MAX_DIGITS:
            self._at -= len(word)
            raise self._unexpected("a value", "put texts in quotes" if word else "")
        return json.loads(word)

    def _bare(self) -> str:
        match = _BARE.match(self._text, self._at)
        word = match.group() if match else ""
        self._at += len(word)
        return word

    def _items(self, closing: str, item: Callable[[], T]) -> list[T]:
        if self._depth >= MAX_NESTING:
            raise TextError(self._text, self._at, f"brackets nest at most {MAX_NESTING} deep")
        self._depth += 1
        self._at += 1
        items: list[T] = []
        while self._next() != closing:
            items.append(item())
            if self._next() not in (",", closing):
                raise self._unexpected(f"a comma or {closing}")
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1
        self._depth -= 1
        return items

    def _pair(self) -> tuple[str, object]:
        letter = self._next()
        name = self._quoted(letter) if letter in _PLAIN else self._bare()
        if not name and letter not in _PLAIN:
            raise self._unexpected("a name")
        if self._next() != ":":
            raise self._unexpected(f"a colon behind {name[:64]}")
        self._at += 1
        return name, self._value()

    def _quoted(self, quote: str) -> str:
        start = self._at
        self._at += 1
        parts: list[str] = []
        while True:
            match = _PLAIN[quote].match(self._text, self._at)
            parts.append(match.group() if match else "")
            self._at += len(parts[-1])
            if self._at >= len(self._text):
                raise TextError(self._text, start, f"{quote} is never closed")
            if self._text[self._at] == quote:
                self._at += 1
                return _join(parts)
            parts.append(self._escape())

    def _escape(self) -> str:
        letter = self._text[self._at + 1 : self._at + 2]
        if letter in _ESCAPES:
            self._at += 2
            return _ESCAPES[letter]
        digits = _HEX.match(self._text, self._at + 2) if letter == "u" else None
        if digits is None:
            raise TextError(self._text, self._at, "unknown escape", "a backslash itself is written \\\\")
        self._at += 6
        return chr(int(digits.group(), 16))


def _join(parts: list[str]) -> str:
    """Join the parts of a text, and surrogate pairs among them."""
    text = "".join(parts)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if len(parts) > 1 else text
