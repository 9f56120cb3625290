from __future__ import annotations

import pytest

from tidegate.apps.script_http import HttpError, Reply, error_reply, not_found, reply_of


@pytest.mark.parametrize(
    ("result", "wanted", "status", "body"),
    [
        (None, "json", 204, b""),
        (None, "txt", 204, b""),
        ({"a": (1, None)}, "json", 200, b'{"a":[1,null]}'),
        (7, "json", 200, b"7"),
        (7, "txt", 200, b"7"),
        ("automatic", "json", 200, b'"automatic"'),
        ("automatic", "txt", 200, b"automatic"),
        (' {"a": 1}', "json", 200, b' {"a": 1}'),
        ("[1]", "json", 200, b"[1]"),
        ("[1", "json", 200, b'"[1"'),
        ("", "json", 200, b'""'),
        ("\ud800", "txt", 200, b"?"),
    ],
)
def test_what_is_returned_becomes_an_answer(result: object, wanted: str, status: int, body: bytes) -> None:
    reply = reply_of(result, wanted)
    assert (reply.status, reply.body) == (status, body)
    assert reply.content_type.startswith("text/plain" if wanted == "txt" and body else "application/json")


def test_what_json_cannot_say_is_an_error() -> None:
    with pytest.raises(TypeError):
        reply_of(object(), "json")


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (not_found("no flow"), Reply(404, b'{"status":404,"error":"no flow"}')),
        (HttpError(200, "no error at all"), Reply(500, b'{"status":500,"error":"no error at all"}')),
        (ValueError("secret"), Reply(500, b'{"status":500,"error":"the script failed"}')),
    ],
)
def test_what_is_raised_becomes_an_answer(error: Exception, reply: Reply) -> None:
    assert error_reply(error) == reply


def test_an_error_says_its_status() -> None:
    assert str(not_found()) == "404 not found"
