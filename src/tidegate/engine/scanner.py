"""A place in a text of the user's: words, brackets, and errors that point at the column.

Texts are at most `MAX_TEXT` long and nest at most `MAX_DEPTH` deep, so that no text can exhaust memory or the stack.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

from tidegate.errors import TextError

__all__ = ["MAX_DEPTH", "MAX_TEXT", "Scanner", "nearest"]

MAX_TEXT = 1 << 16
MAX_DEPTH = 32
_FEW = 30

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the hint that names the nearest of the known names; where none is near, it lists them if they are few."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:64], names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names)}" if len(names) <= _FEW else ""


class Scanner:
    """A place in a text of the user's, and how deep it lies in brackets."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            raise TextError(text[:64], 64, f"a text has at most {MAX_TEXT} characters, this has {len(text)}")
        self.text = text
        self.at = 0
        self.depth = 0

    def peek(self) -> str:
        """Return the next character, empty at the end."""
        return self.text[self.at : self.at + 1]

    def skip_spaces(self) -> str:
        """Go to the next character that is no space, and return it."""
        while self.peek().isspace():
            self.at += 1
        return self.peek()

    def take(self, wanted: str) -> bool:
        """Go behind `wanted` where it comes next."""
        found = self.text.startswith(wanted, self.at)
        self.at += len(wanted) if found else 0
        return found

    def fail(self, reason: str, column: int | None = None, hint: str = "") -> TextError:
        """Return an error at a column, else here."""
        return TextError(self.text, self.at if column is None else column, reason, hint)

    def unexpected(self, wanted: str) -> TextError:
        """Return the error that tells what was wanted here and what was found."""
        found = f"found {self.peek()!r}" if self.peek() else "the text ends"
        return self.fail(f"expected {wanted}, but {found}")

    def end(self, wanted: str) -> None:
        """Refuse anything but spaces up to the end of the text."""
        if self.skip_spaces():
            raise self.unexpected(wanted)

    def nested(self, parse: Callable[[], T], closing: str) -> T:
        """Parse what stands between the bracket that comes next and `closing`."""
        start = self.at
        if self.depth >= MAX_DEPTH:
            raise self.fail(f"brackets nest at most {MAX_DEPTH} deep")
        self.at += 1
        self.depth += 1
        inner = parse()
        self.depth -= 1
        if not self.skip_spaces():
            raise self.fail(f"{self.text[start]} is never closed", start)
        if not self.take(closing):
            raise self.unexpected(closing)
        return inner

    def word(self, stops: str) -> str:
        """Read to the next `:`, bracket or stop; trailing spaces count only before `:`."""
        letters: list[str] = []
        kept = 0  # letters that are not trailing spaces
        while (letter := self.peek()) and letter not in ":[]" and not self._stops(stops):
            escaped = letter == "\\"
            if escaped:
                letter = self.text[self.at + 1 : self.at + 2]
                if not letter:
                    raise self.fail("a backslash ends the text", hint="write \\\\ for a backslash")
            self.at += 1 + escaped
            letters.append(letter)
            kept = len(letters) if escaped or not letter.isspace() else kept
        return "".join(letters if self.peek() == ":" else letters[:kept])

    def _stops(self, stops: str) -> bool:
        letter = self.text[self.at]
        if letter == "!" and "!" in stops:
            return self.text[self.at + 1 : self.at + 2] in ("=", "~")
        return letter in stops
