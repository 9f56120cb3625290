"""The octets behind the words of text columns, in bounded memory.

A text's word is the hash of its octets; here the octets are kept, so that a word can be printed. Two generations of the
same size: octets go into the young one; when it is full it becomes the old one, and the old one is forgotten. What is
seen at least once a generation therefore stays, however many texts come along. A text that is forgotten costs nothing
but its print: its word still counts, and prints as `#` and the word.

Whoever makes texts that do not come with each batch adds them again after a turn, which `turns` tells. For labels,
`words_of` does so; those that no sample bears are never added. Engines may share labels, but not texts.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from tidegate.data.batch import Column
from tidegate.data.hash import hash_text
from tidegate.engine.text_kernels import NAUGHT, keep_texts
from tidegate.kernel import I64, U8, U64, Flags

__all__ = ["Labels", "Texts"]


class Labels:
    """Texts by number; they do not change."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts


class Texts:
    """Octets by word; at most `slots` texts and `octets` octets a generation."""

    def __init__(self, *, seed: int = 0, slots: int = 1 << 17, octets: int = 1 << 23) -> None:
        self.seed = seed
        self.turns = 0
        self._words = [np.zeros(2 * slots, np.uint64) for _ in range(2)]
        self._places = [np.zeros((2 * slots, 2), np.int64) for _ in range(2)]
        self._arena = np.empty(2 * octets, np.uint8)
        self._used = np.zeros(3, np.int64)
        self._labels: WeakKeyDictionary[Labels, tuple[U64, Flags]] = WeakKeyDictionary()  # words, which are kept

    def keep(self, column: Column, data: U8) -> None:
        """Keep the octets of a text column."""
        if column.start is not None and column.stop is not None:
            self._keep(data, column.words[0], column.present, column.start, column.stop)

    def add(self, octets: bytes) -> int:
        """Keep octets that stand in no batch; return their word."""
        word = hash_text(octets, self.seed)
        data = np.frombuffer(octets, np.uint8)
        whole = np.array([0], np.int64), np.array([len(octets)], np.int64)
        self._keep(data, np.array([word], np.uint64), np.ones(1, np.bool_), *whole)
        return word

    def words_of(self, labels: Labels, rows: I64) -> U64:
        """Return the words of labels by number, whose octets are kept."""
        if labels not in self._labels:
            count = len(labels.texts)
            self._labels[labels] = np.zeros(count, np.uint64), np.zeros(count, np.bool_)
        words, kept = self._labels[labels]
        for number in np.unique(rows[~kept[rows]]).tolist():
            words[number] = self.add(labels.texts[number].encode(errors="replace"))
            kept[number] = True
        return words[rows]

    def octets(self, word: int) -> bytes | None:
        """Return the octets of a word, or None where they are forgotten."""
        word = word or NAUGHT
        for words, places in zip(self._words, self._places, strict=True):
            mask = len(words) - 1
            slot = word & mask
            while int(words[slot]) not in {word, 0}:
                slot = slot + 1 & mask
            if int(words[slot]) == word:
                start, stop = places[slot]
                return self._arena[start:stop].tobytes()
        return None

    def _keep(self, data: U8, words: U64, present: Flags, start: I64, stop: I64) -> None:
        row = 0
        while row < len(words):
            row = keep_texts(
                data, words, present, start, stop, row, self._words[0], self._places[0],
                self._arena, self._used,
            )  # fmt: skip
            if row < len(words):
                self._turn()

    def _turn(self) -> None:
        self.turns += 1
        self._labels.clear()
        self._words.reverse()
        self._places.reverse()
        self._words[0][:] = 0
        half = len(self._arena) // 2
        self._used[:] = 0, 0, half - self._used[2]
