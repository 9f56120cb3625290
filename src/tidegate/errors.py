"""What can go wrong, each class named by what the caller should do next.

TidegateError
├── DecodeError         drop these bytes, count the reason; `offset` and `path` say where
├── EncodeError         the value does not fit the format: mend the value, nothing was written
├── TextError           show the user the column of the text that was wrong
├── ConfigError         show the user the key, stop before starting
├── Inexpressible       tell the user which part of a rule a target cannot express; send nothing
├── SourceError         a file, socket or database the user named cannot be used; `name` says which
│   └── NotPermitted    this process has no right to it: take another one, or ask for the right
└── SessionReset        send the NOTIFICATION, close the session
"""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "DecodeError",
    "EncodeError",
    "Inexpressible",
    "NotPermitted",
    "SessionReset",
    "SourceError",
    "TextError",
    "TidegateError",
]


class TidegateError(Exception):
    """The root: `except TidegateError` catches what this package raises on purpose."""


class DecodeError(TidegateError):
    """Bytes that do not say what their format promises.

    `reason` is from a closed set (it labels a counter); `offset` counts octets from the start of what was given to the
    outermost decoder; `path` grows from the inside out as layers add where they were.
    """

    def __init__(self, reason: str, offset: int, path: tuple[str, ...] = ()) -> None:
        super().__init__(reason, offset, path)
        self.reason = reason
        self.offset = offset
        self.path = path

    def within(self, part: str) -> DecodeError:
        """Return the same error with `part` in front of its path."""
        return DecodeError(self.reason, self.offset, (part, *self.path))

    def __str__(self) -> str:
        where = " > ".join(self.path)
        return f"{where}: {self.reason} at octet {self.offset}" if where else f"{self.reason} at octet {self.offset}"


class EncodeError(TidegateError):
    """A value that its format cannot hold; encoders raise and never cut."""


class TextError(TidegateError):
    """A text of the user's that cannot be parsed; `column` counts characters from 0."""

    def __init__(self, text: str, column: int, reason: str, hint: str = "") -> None:
        super().__init__(text, column, reason, hint)
        self.text = text
        self.column = column
        self.reason = reason
        self.hint = hint

    def under(self, field: str) -> TextError:
        """Return the same error with the name of what the text was given for in front of its reason."""
        return TextError(self.text, self.column, f"{field}: {self.reason}", self.hint)

    def __str__(self) -> str:
        line = f"{self.reason} at column {self.column + 1}: {self.text[: self.column]}⟶{self.text[self.column :]}"
        return f"{line} ({self.hint})" if self.hint else line


class ConfigError(TidegateError):
    """A configuration value that cannot be used; `key` is its dotted name."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(key, reason)
        self.key = key
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" if self.key else self.reason


class Inexpressible(TidegateError):  # noqa: N818 - named by the reaction, as all here
    """A rule that `target` cannot express exactly because of `part`; it is refused, never widened."""

    def __init__(self, rule: str, part: str, target: str) -> None:
        super().__init__(rule, part, target)
        self.rule = rule
        self.part = part
        self.target = target

    def __str__(self) -> str:
        return f"{self.target} cannot express {self.part} of {self.rule}"


class SourceError(TidegateError):
    """A file, socket or database that the user named and that cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class NotPermitted(SourceError):  # noqa: N818 - what to do about it is another source, or more rights
    """A source that this process has no right to use."""


class SessionReset(TidegateError):  # noqa: N818 - RFC 7606's own term
    """Send NOTIFICATION `code`/`subcode` with `data` and close the session (RFC 4271 section 6)."""

    def __init__(self, code: int, subcode: int, data: bytes = b"", reason: str = "") -> None:
        super().__init__(code, subcode, data, reason)
        self.code = code
        self.subcode = subcode
        self.data = data
        self.reason = reason

    def __str__(self) -> str:
        text = f"NOTIFICATION {self.code}/{self.subcode}"
        return f"{text}: {self.reason}" if self.reason else text
