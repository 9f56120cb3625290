"""A flow definition made ready for batches: the fields it needs, the layout of its keys, the rows that count for it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np

from tidegate.data.batch import Column, FlowBatch
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS, Form
from tidegate.engine.definition import FlowDefinition, Key, Statistic, ValueExpr, compares, subexpressions
from tidegate.engine.evaluate import Evaluation, Memos
from tidegate.engine.key_kernels import gather_words
from tidegate.engine.lookups import Lookups
from tidegate.engine.rows import Items, Rows
from tidegate.engine.texts import Texts
from tidegate.engine.values import Value, text_of
from tidegate.kernel import F64, I64, U64, Flags

__all__ = ["Part", "Plan", "make_plan", "select"]

# Fields that every batch has, so that values need no column for them.
_ALWAYS = (Key(FieldRef("bytes")), Key(FieldRef("frames")))
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


Chosen = I64 | slice  # rows of a batch


class Part(msgspec.Struct, frozen=True):
    """One key in the words of a table's key: the words of its form, then one for its presence where `absent` is set."""

    form: Form
    absent: str | None
    width: int  # words


class Plan(msgspec.Struct, frozen=True):
    """A definition, the fields it needs, and the layout of its keys."""

    definition: FlowDefinition
    needs: frozenset[FieldRef]
    parts: tuple[Part, ...]
    words: int  # of a key, without the data source

    @property
    def values(self) -> tuple[ValueExpr, ...]:
        """Return the value, then the further values."""
        return (self.definition.value, *self.definition.values)

    def key_text(self, words: tuple[int, ...], texts: Texts) -> str:
        """Return the text of a key's words, which stand without the data source."""
        shown: list[str] = []
        at = 0
        for part in self.parts:
            own = words[at : at + part.width - (part.absent is not None)]
            at += part.width
            gone = part.absent is not None and not words[at - 1]
            shown.append(part.absent or "" if gone else text_of(part.form, own, texts))
        return self.definition.fs.join(shown)


def make_plan(definition: FlowDefinition, lookups: Lookups, texts: Texts) -> Plan:
    """Return the plan of a definition; the layout of keys is read off an evaluation of no rows."""
    fields = frozenset(_fields(definition))
    empty = Evaluation(_no_rows(fields), lookups, texts, Memos())
    keys = [empty.value(key) for key in definition.keys]
    parts = tuple(
        Part(value.form, value.absent, FORMS[value.form].width + (value.absent is not None)) for value in keys
    )
    return Plan(definition, fields, parts, sum(part.width for part in parts))


def _fields(definition: FlowDefinition) -> Iterator[FieldRef]:
    values = (definition.value, *definition.values)
    counted = [value.of for value in values if value.statistic is Statistic.COUNT or value.of not in _ALWAYS]
    for top in (*definition.keys, *(compare.lhs for compare in compares(definition.filter)), *counted):
        yield from (expr.field for expr in subexpressions(top) if isinstance(expr, Key))


def _no_rows(fields: frozenset[FieldRef]) -> FlowBatch:
    whole, words = np.empty(0, np.int64), np.empty(0, np.uint64)
    columns = {}
    for field in fields:
        form = FIELDS[field.name].form
        columns[field] = Column(form, np.empty((FORMS[form].width, 0), np.uint64), np.empty(0, np.bool_))
    return FlowBatch(
        time_ns=whole, datagram=whole, agent_high=words, agent_low=words, sub_agent=words, source=words,
        sequence=whole, pool=whole, drops=whole, rate=np.empty(0), octets=np.empty(0), dropped=np.empty(0, np.bool_),
        data=np.empty(0, np.uint8), columns=columns,
    )  # fmt: skip


def select(plan: Plan, batch: FlowBatch, evaluation: Evaluation, times: F64, sources: I64) -> tuple[Rows, I64]:
    """Return the rows of a batch that count for a definition, and which rows of the batch they are.

    `sources` are the numbers of data sources, -1 for none.
    """
    definition = plan.definition
    wanted = (sources >= 0) & (batch.dropped == definition.dropped)
    if definition.filter is not None:
        wanted &= evaluation.mask(definition.filter)
    if not np.count_nonzero(wanted):
        return _no_selection(plan), np.empty(0, np.int64)
    keys = [evaluation.value(key) for key in definition.keys]
    for value in keys:
        if value.absent is None:
            wanted &= value.present
    raw = [_raw(value, batch, evaluation) for value in plan.values]
    if raw[0].present is not None:
        wanted &= raw[0].present
    rows = np.flatnonzero(wanted)
    part: Chosen = slice(None) if len(rows) == len(wanted) else rows  # where every row counts, nothing is copied
    rates = batch.rate[part]
    chosen = Rows(
        keys=_key_matrix(plan, keys, sources, rows),
        times=times[part],
        sources=sources[part],
        rates=rates,
        items=tuple(_items(value, one, part, rates) for value, one in zip(plan.values, raw, strict=True)),
    )
    return chosen, rows


def _no_selection(plan: Plan) -> Rows:
    numbers = np.empty(0)
    nothing = Items(numbers, np.empty(0, np.uint64), np.empty(0, np.bool_))
    keys = np.empty((0, 1 + plan.words), np.uint64)
    return Rows(keys, numbers, np.empty(0, np.int64), numbers, (nothing,) * len(plan.values))


def _key_matrix(plan: Plan, keys: list[Value], sources: I64, rows: I64) -> U64:
    matrix = np.empty((len(rows), 1 + plan.words), np.uint64)
    matrix[:, 0] = sources[rows]
    at = 1
    for part, value in zip(plan.parts, keys, strict=True):
        gather_words(np.ascontiguousarray(value.words), rows, matrix, at)
        at += part.width
        if part.absent is not None:
            matrix[:, at - 1] = value.present[rows]
    return matrix


class _Raw(msgspec.Struct, frozen=True, eq=False):
    """What a statistic is made of, for all rows of a batch; None: 1, and everywhere."""

    numbers: F64 | U64 | None
    present: Flags | None


def _raw(value: ValueExpr, batch: FlowBatch, evaluation: Evaluation) -> _Raw:
    if value.statistic is Statistic.COUNT:
        counted = evaluation.value(value.of)
        return _Raw(_one_word(counted), counted.known)
    match value.of:
        case Key(FieldRef("bytes", 0)):
            return _Raw(batch.octets, batch.octets > 0)
        case Key(FieldRef("frames", 0)):
            return _Raw(None, None)
        case _:
            return _Raw(*evaluation.numbers(value.of))


def _items(value: ValueExpr, raw: _Raw, rows: Chosen, rates: F64) -> Items:
    """Return what the chosen rows bring to a statistic."""
    present = np.ones(len(rates), np.bool_) if raw.present is None else raw.present[rows]
    if value.statistic is Statistic.COUNT and raw.numbers is not None:
        return Items(np.empty(0), raw.numbers[rows].astype(np.uint64, copy=False), present)
    numbers = np.ones(len(rates)) if raw.numbers is None else raw.numbers[rows].astype(np.float64, copy=False)
    if value.factor != 1:
        numbers = numbers * value.factor
    return Items(numbers * rates if value.statistic is Statistic.RATE else numbers, np.empty(0, np.uint64), present)


def _one_word(value: Value) -> U64:
    """Return one word for each text; those of values that have two are mixed."""
    word = value.words[0]
    for part in value.words[1:]:
        word = word * _SPREAD ^ part
    return word if value.absent is None else np.where(value.present, word, _SPREAD)
