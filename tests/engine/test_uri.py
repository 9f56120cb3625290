from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.engine.definition import UriAttribute
from tidegate.engine.uri import uri_part

WHOLE = "http://user:pw@example.com:8080/a/../b/./c.tar.gz?x=1/2&y#top/"
PARTS = {
    "normalized": "http://user:pw@example.com:8080/b/c.tar.gz?x=1/2&y#top/",
    "scheme": "http",
    "user": "user:pw",
    "authority": "user:pw@example.com:8080",
    "host": "example.com",
    "port": "8080",
    "path": "/a/../b/./c.tar.gz",
    "file": "c.tar.gz",
    "extension": "gz",
    "query": "x=1/2&y",
    "fragment": "top/",
    "isabsolute": "true",
    "isopaque": "false",
}


def test_all_attributes_have_an_example() -> None:
    assert {attribute.value for attribute in UriAttribute} == set(PARTS)


@pytest.mark.parametrize("attribute", UriAttribute)
def test_parts_of_a_url(attribute: UriAttribute) -> None:
    assert uri_part(WHOLE, attribute) == PARTS[attribute.value]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("/metrics/json", {"path": "/metrics/json", "file": "json", "extension": None, "isabsolute": "false"}),
        ("/metrics/", {"file": None, "scheme": None, "host": None, "port": None, "query": None}),
        ("mailto:a@example.com", {"isopaque": "true", "path": None, "file": None, "extension": None, "host": None}),
        ("//[2001:db8::1]:80/x", {"host": "[2001:db8::1]", "port": "80", "scheme": None}),
        ("", {"path": None, "normalized": None, "isopaque": "false"}),
        ("/a/b/..", {"normalized": "/a/"}),
        ("/a/b/.", {"normalized": "/a/b/"}),
        ("/../../a", {"normalized": "/a"}),
        ("../a/../../b", {"normalized": "../../b"}),
        ("a/..", {"normalized": None}),
        ("/a//b", {"normalized": "/a//b"}),
    ],
)
def test_samples(text: str, parts: dict[str, str | None]) -> None:
    assert {name: uri_part(text, UriAttribute(name)) for name in parts} == parts


@given(st.text() | st.text(":/?#@[].%a1", max_size=20), st.sampled_from(UriAttribute))
def test_any_text_splits(text: str, attribute: UriAttribute) -> None:
    assert uri_part(text, attribute) != ""


@given(st.text("/.a", max_size=12))
def test_what_is_normalized_stays(path: str) -> None:
    once = uri_part(path, UriAttribute.NORMALIZED)

    assert once is None or uri_part(once, UriAttribute.NORMALIZED) == once
