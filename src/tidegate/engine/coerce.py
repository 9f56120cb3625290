"""Attributes of untyped objects, read one by one: numbers and booleans may come as text, None counts as absent.

A reader takes the attribute's name and what the user gave for it; a value that it cannot read is a `TextError` whose
text is the value and whose reason begins with the attribute's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from tidegate.engine.scanner import nearest
from tidegate.errors import TextError

__all__ = ["Spec", "array", "boolean", "number", "seconds", "shown", "text", "text_list", "within", "wrong"]

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}

T = TypeVar("T")


def shown(value: object) -> str:
    """Return a value as an error shows it, not too long."""
    return repr(value)[:100]


def wrong(attribute: str, value: object, wanted: str) -> TextError:
    """Return the error that names what was expected."""
    return TextError(shown(value), 0, f"{attribute}: expected {wanted}")


class Spec:
    """An untyped mapping of the user's, read attribute by attribute; None counts as absent."""

    def __init__(self, spec: object, known: tuple[str, ...]) -> None:
        if not isinstance(spec, Mapping):
            raise TextError(shown(spec), 0, "expected an object of attributes")
        for name in spec:
            if name not in known:
                raise TextError(str(name)[:100], 0, "unknown attribute", nearest(str(name), known))
        self._spec: Mapping[str, object] = spec

    def read(self, attribute: str, default: T, parse: Callable[[str, object], T]) -> T:
        """Return what the user gave, else the default."""
        value = self._spec.get(attribute)
        return default if value is None else parse(attribute, value)

    def require(self, attribute: str, parse: Callable[[str, object], T]) -> T:
        """Return what the user gave, which must be something."""
        value = self._spec.get(attribute)
        if value is None:
            raise TextError("", 0, f"{attribute} is missing")
        return parse(attribute, value)

    def parsed(self, attribute: str, written: str, parse: Callable[[str], T]) -> T:
        """Parse a text of the language, naming the attribute in front of the reason."""
        try:
            return parse(written)
        except TextError as error:
            raise error.under(attribute) from None


def text(attribute: str, value: object) -> str:
    """Read a text; numbers are taken as they print."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong(attribute, value, "a text")
    return _scalar(value)


def text_list(attribute: str, value: object) -> str:
    """Read a comma list, or an array of its items."""
    if isinstance(value, list | tuple):
        return ",".join(text(attribute, item) for item in value)
    return text(attribute, value)


def array(attribute: str, value: object) -> tuple[str, ...]:
    """Read an array of texts, or a comma list."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise wrong(attribute, value, "an array")
    return tuple(word for word in (text(attribute, item).strip() for item in items) if word)


def _scalar(value: str | float) -> str:
    """Return the text of a number, an integer's where it is one: thresholds filter by 1e10."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def number(attribute: str, value: object) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong(attribute, value, "a number")
    try:
        parsed = float(value) if not isinstance(value, str) or len(value) <= 64 else math.nan
    except (ValueError, OverflowError):
        parsed = math.nan
    if not math.isfinite(parsed):
        raise wrong(attribute, value, "a number")
    return parsed


def within(low: float, high: float) -> Callable[[str, object], float]:
    """Return the reader of a number that is moved into the limits."""
    return lambda attribute, value: min(max(number(attribute, value), low), high)


def boolean(attribute: str, value: object) -> bool:
    """Read a boolean."""
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    if value in (0, 1):
        return bool(value)
    raise wrong(attribute, value, "true or false")


def seconds(attribute: str, value: object) -> float:
    """Read a time of zero seconds or more."""
    parsed = number(attribute, value)
    if parsed < 0:
        raise wrong(attribute, value, "seconds, not negative")
    return parsed
