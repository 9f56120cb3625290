"""Regular expressions in time linear in the text: whoever sends packets chooses the texts that they run on.

They are those of RE2 (https://github.com/google/re2/wiki/Syntax): no back references and no look-around. A dot matches
every character, the end of a line included, so that a line break in a name passes no filter by.
"""

from __future__ import annotations

import re2

__all__ = ["Pattern"]


def _options() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.dot_nl = True
    return options


class Pattern:
    """A compiled expression; `ValueError` tells what is wrong with it, and the part that is, or nothing."""

    def __init__(self, text: str) -> None:
        try:
            self._compiled = re2.compile(text.encode(), _options())
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair is no character", "") from None
        except re2.error as error:
            reason, _, part = error.args[0].decode(errors="replace").partition(": ")
            raise ValueError(reason, part) from None

    def matches(self, text: str) -> bool:
        """Tell whether the expression matches the whole text."""
        return self._compiled.fullmatch(text.encode(errors="replace")) is not None

    def found_in(self, text: str) -> bool:
        """Tell whether the expression matches some part of the text."""
        return self._compiled.search(text.encode(errors="replace")) is not None
