from __future__ import annotations

import pytest

from tidegate.errors import EncodeError
from tidegate.web.answers import Reply, answer_of, refusal


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
    reply = answer_of(result, wanted)
    assert (reply.status, reply.body) == (status, body)
    assert reply.content_type.startswith("text/plain" if wanted == "txt" and body else "application/json")


@pytest.mark.parametrize("value", [object(), "\ud800", '["\ud800"]', {(1, 2): 3}])
def test_what_json_cannot_say_is_an_error_with_its_cause(value: object) -> None:
    with pytest.raises(EncodeError, match="JSON") as caught:
        answer_of(value, "json")
    assert isinstance(caught.value.__cause__, TypeError | ValueError)


def test_a_refusal_says_what_is_wrong() -> None:
    assert refusal(404, "half \ud800") == Reply(404, b'{"error":"half ?"}')
