"""Each kernel against its plain twin."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tidegate.data.forms import FORMS, Form
from tidegate.data.hash import hash_text
from tidegate.engine.routing_kernels import hash_texts, outer_addresses, path_ends, spread_routes

WORDS = st.integers(0, (1 << 64) - 1)
LAYERS = st.lists(st.sampled_from(["eth", "vlan", "mpls", "ip", "ip6", "gre", "udp", "vxlan"]), max_size=12)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), LAYERS), max_size=8))
def test_the_outermost_address(rows: list[tuple[bool, bool, list[str]]]) -> None:
    count = len(rows)
    ip = np.arange(2 * count, dtype=np.uint64).reshape(2, count)
    ip6 = ip + np.uint64(100)
    has_ip, has_ip6 = (np.array([row[part] for row in rows], np.bool_) for part in (0, 1))
    stacks = [FORMS[Form.STACK].parse(".".join(layers)) or (0,) for _, _, layers in rows]
    words, known = np.empty((2, count), np.uint64), np.empty(count, np.bool_)

    outer_addresses(ip, has_ip, ip6, has_ip6, np.array([stack[0] for stack in stacks], np.uint64), words, known)

    for row, (first, second, layers) in enumerate(rows):
        outer = next((layer for layer in layers if layer in {"ip", "ip6"}), "ip")
        assert known[row] == (first or second)
        if known[row]:
            chosen = ip6 if second and (outer == "ip6" or not first) else ip
            assert words[:, row].tolist() == chosen[:, row].tolist()


@given(st.lists(st.binary(max_size=12), max_size=6), WORDS)
def test_words_of_octets(texts: list[bytes], seed: int) -> None:
    stop = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    words = np.empty(len(texts), np.uint64)

    hash_texts(np.frombuffer(b"".join(texts), np.uint8), stop[:-1], stop[1:], np.uint64(seed), words)

    assert words.tolist() == [hash_text(text, seed) for text in texts]


def ends_of(octets: bytes) -> tuple[int, int]:
    """Return the first and the last AS of a path, up to where its octets make no whole segment."""
    words = [int.from_bytes(octets[at : at + 4], "big") for at in range(0, len(octets) - 3, 4)]
    numbers: list[int] = []
    while len(words) >= 2 and len(words) >= 2 + words[1]:
        numbers += words[2 : 2 + words[1]]
        words = words[2 + words[1] :]
    return (numbers[0], numbers[-1]) if numbers else (-1, -1)


segments = st.lists(st.integers(0, 0xFFFFFFFF), max_size=3).map(
    lambda numbers: b"".join(word.to_bytes(4, "big") for word in (2, len(numbers), *numbers))
)
paths = st.one_of(
    st.lists(segments, max_size=3).map(b"".join),
    st.builds(lambda path, cut: path[:cut], st.lists(segments, max_size=3).map(b"".join), st.integers(0, 40)),
    st.binary(max_size=20),
)


@given(st.lists(paths, max_size=6))
def test_ends_of_paths(octets: list[bytes]) -> None:
    stop = np.cumsum([0, *map(len, octets)], dtype=np.int64)
    first, last = np.empty((2, len(octets)), np.int64)

    path_ends(np.frombuffer(b"".join(octets), np.uint8), stop[:-1], stop[1:], first, last)

    assert list(zip(first.tolist(), last.tolist(), strict=True)) == [ends_of(path) for path in octets]


@given(st.integers(1, 3), st.lists(st.booleans(), min_size=1, max_size=4), st.data())
def test_routes_are_spread(width: int, has: list[bool], data: st.DataObject) -> None:
    told = np.arange(1, 1 + width * len(has), dtype=np.uint64).reshape(width, len(has))
    rows = data.draw(st.lists(st.integers(0, 9), unique=True))
    route = data.draw(
        st.lists(st.integers(-1, len(has) - 1), min_size=len(rows), max_size=len(rows)).map(
            lambda drawn: np.array(drawn, np.int64)
        )
    )
    words, present = np.zeros((width, 10), np.uint64), np.zeros(10, np.bool_)

    spread_routes(told, np.array(has), route, np.array(rows, np.int64), words, present)

    expected = {row: int(one) for row, one in zip(rows, route, strict=True) if one >= 0 and has[one]}
    for row in range(10):
        assert present[row] == (row in expected)
        assert words[:, row].tolist() == (told[:, expected[row]].tolist() if row in expected else [0] * width)
