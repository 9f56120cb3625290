"""Octets by word: two generations, bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_batches import Packet, flow_batch, refs
from tidegate.data.hash import hash_text
from tidegate.data.names import LAYERS
from tidegate.engine.texts import Texts

SLOTS, OCTETS = 4, 32


def small() -> Texts:
    return Texts(seed=3, slots=SLOTS, octets=OCTETS)


def test_what_was_added_is_found_by_its_word() -> None:
    texts = small()

    words = [texts.add(octets) for octets in (b"", b"one", b"two", b"one")]

    assert words == [hash_text(octets, 3) for octets in (b"", b"one", b"two", b"one")]
    assert [texts.octets(word) for word in words] == [b"", b"one", b"two", b"one"]
    assert texts.octets(12345) is None
    assert texts.turns == 0


def test_a_full_generation_becomes_the_old_one_and_the_old_one_is_forgotten() -> None:
    texts = small()
    first = [texts.add(bytes([letter])) for letter in range(SLOTS)]

    second = [texts.add(bytes([letter])) for letter in range(SLOTS, 2 * SLOTS)]
    assert texts.turns == 1
    assert [texts.octets(word) for word in first + second] == [bytes([letter]) for letter in range(2 * SLOTS)]

    texts.add(b"x")
    assert texts.turns == 2
    assert [texts.octets(word) for word in first] == [None] * SLOTS
    assert [texts.octets(word) for word in second] == [bytes([letter]) for letter in range(SLOTS, 2 * SLOTS)]


def test_octets_fill_a_generation_too() -> None:
    texts = small()

    words = [texts.add(bytes([letter]) * 15) for letter in range(3)]

    assert texts.turns == 1
    assert [texts.octets(word) for word in words] == [bytes([letter]) * 15 for letter in range(3)]


def test_what_is_seen_in_each_generation_stays() -> None:
    texts = small()
    often = texts.add(b"often")

    for number in range(100):
        texts.add(number.to_bytes(2, "big"))
        texts.add(b"often")

    assert texts.octets(often) == b"often"
    assert texts.turns > 20


def test_a_text_larger_than_a_generation_is_not_kept_and_nothing_else_is_lost() -> None:
    texts = small()
    word = texts.add(b"kept")

    large = texts.add(b"x" * (OCTETS + 1))

    assert texts.octets(large) is None
    assert texts.octets(word) == b"kept"
    assert texts.octets(texts.add(b"x" * OCTETS)) == b"x" * OCTETS


@given(st.lists(st.binary(max_size=OCTETS + 2), max_size=80))
def test_memory_is_bounded_and_the_newest_texts_are_there(added: list[bytes]) -> None:
    texts = small()
    for octets in added:
        word = texts.add(octets)
        assert texts.octets(word) == (octets if len(octets) <= OCTETS else None)

    known = {octets for octets in added if texts.octets(hash_text(octets, 3)) is not None}
    assert len(known) <= 2 * SLOTS
    assert sum(map(len, known)) <= 2 * OCTETS
    assert all(texts.octets(hash_text(octets, 3)) in {octets, None} for octets in added)


def test_a_column_is_kept_where_it_is_present() -> None:
    (name,) = refs("httphost")
    batch = flow_batch([Packet({"httphost": "a.example"}), Packet({}), Packet({"httphost": ""})], [name], seed=3)
    texts = small()

    texts.keep(batch.columns[name], batch.data)

    words = batch.columns[name].words[0].tolist()
    assert [texts.octets(words[0]), texts.octets(words[2])] == [b"a.example", b""]


def test_a_column_larger_than_two_generations_keeps_its_end() -> None:
    (name,) = refs("httphost")
    hosts = [f"h{number}" for number in range(50)]
    batch = flow_batch([Packet({"httphost": host}) for host in hosts], [name], seed=3)
    texts = small()

    texts.keep(batch.columns[name], batch.data)

    found = [texts.octets(word) for word in batch.columns[name].words[0].tolist()]
    assert found[-SLOTS:] == [host.encode() for host in hosts[-SLOTS:]]
    assert found[: -2 * SLOTS] == [None] * (50 - 2 * SLOTS)


def test_a_column_without_octets_needs_nothing() -> None:
    (name,) = refs("stack")
    batch = flow_batch([Packet({"stack": f"eth.{LAYERS[6]}"})], [name])
    texts = small()

    texts.keep(batch.columns[name], batch.data)

    assert texts.octets(int(batch.columns[name].words[0, 0])) is None


@pytest.mark.parametrize("seed", [0, 1, (1 << 64) - 1])
def test_the_seed_decides_the_words(seed: int) -> None:
    texts = Texts(seed=seed, slots=SLOTS, octets=OCTETS)

    assert texts.add(b"a") == hash_text(b"a", seed)
    assert isinstance(np.uint64(texts.add(b"a")), np.uint64)
