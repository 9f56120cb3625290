"""A script's answer to a request as it goes to the client, live and in tests.

None is 204, anything asked for as `txt` is plain text, else it is JSON; a text that is an object or array in JSON goes
as it is. No web framework is needed here, so that a script's tests need none.
"""

from __future__ import annotations

import msgspec

from tidegate.errors import EncodeError

__all__ = ["ErrorReply", "Reply", "answer_of", "refusal"]


class Reply(msgspec.Struct, frozen=True):
    """An answer as it goes to the client."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"


class ErrorReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every reply that is not a success."""

    error: str
    text: str | None = None  # what was wrong: as it was sent, or the part around the column
    column: int | None = None  # in `text`, from 0
    hint: str = ""


def answer_of(value: object, wanted: str) -> Reply:
    """Return the answer for what a handler returned; `EncodeError`, with its cause, where JSON cannot say it."""
    if value is None:
        return Reply(204)
    try:
        if wanted == "txt":
            return Reply(200, str(value).encode(errors="replace"), "text/plain; charset=utf-8")
        return Reply(200, _encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise EncodeError("returned what JSON cannot say") from error


def refusal(status: int, text: str) -> Reply:
    """Return the answer that says what is wrong; half a character, which cannot be sent, becomes a question mark."""
    return Reply(status, msgspec.json.encode(ErrorReply(text.encode(errors="replace").decode())))


def _encode(value: object) -> bytes:
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            msgspec.json.decode(value)
        except msgspec.DecodeError:
            pass
        else:
            return value.encode()
    return msgspec.json.encode(value)
