"""Hypothesis strategies for the flow language: expressions, values and filters as the parser could have made them."""

from __future__ import annotations

from enum import Enum

from hypothesis import strategies as st

from tidegate.data.fields import FIELDS, MAX_LAYER, FieldRef
from tidegate.engine.definition import And, Compare, Expr, FilterExpr, Key, Op, Or, Statistic, Unknown, ValueExpr
from tidegate.engine.functions import FUNCTIONS, Argument, Function

# Characters that mean something somewhere, spaces, and a few that do not.
letters = st.sampled_from(list("ab0.-_/'\"{}+*?^$:[],&|()=~!\\ \t\n\u00a0é😀"))
texts = st.text(letters, max_size=6)
names = st.text(letters, min_size=1, max_size=6)

_NAMES = ["ipsource", "ipdestination", "ip6source", "tcpflags", "stack", "direction", "outputifindex", "macsource"]
plain_keys = st.sampled_from(sorted(FIELDS)).map(lambda name: Key(FieldRef(name)))
layered_keys = st.builds(
    lambda name, layer: Key(FieldRef(name, layer)),
    st.sampled_from([name for name in _NAMES if FIELDS[name].layered]),
    st.integers(1, MAX_LAYER),
)
unknown_keys = st.sampled_from(["custom", "my-key", "null", "rack.row", "bps", "Vendor_x.3"]).map(Unknown)
keys = st.one_of(plain_keys, layered_keys, unknown_keys)

_LITERALS: dict[Argument, st.SearchStrategy[object]] = {
    Argument.NAME: names,
    Argument.TEXT: texts,
    Argument.COUNT: st.integers(1, 1000),
    Argument.LENGTH: st.integers(0, 128),
    Argument.MASK: st.integers(0, (1 << 64) - 1),
    Argument.BOUND: st.none() | st.integers(-10, 1 << 64),
}


def _argument(kind: Argument | type[Enum], inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[object]:
    if not isinstance(kind, Argument):
        return st.sampled_from(list(kind))
    return inner if kind is Argument.EXPR else _LITERALS[kind]


def calls(row: Function, inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    """Return the strategy of one function's calls."""
    arguments = [_argument(kind, inner) for kind in row.arguments]
    if row.many:
        least = row.required - len(arguments) + 1
        arguments[-1] = st.lists(arguments[-1], min_size=least, max_size=least + 2).map(tuple)
    return st.tuples(*arguments).map(lambda given: row.build(*given))


exprs: st.SearchStrategy[Expr] = st.recursive(
    keys, lambda inner: st.one_of([calls(row, inner) for row in FUNCTIONS.values()]), max_leaves=6
)
values = st.builds(ValueExpr, st.sampled_from(Statistic), exprs)

regexes = st.sampled_from(
    [".*", "....1..1.", r"a\,b", r"[,&|)]+", "(a|b,c)", "a{1,2}", "[]]", "[^]a]", r"\(", "(?:x[)(]y)", r"a\ ", "é+"]
)
compares = st.builds(
    Compare,
    exprs,
    st.sampled_from([Op.EQUAL, Op.NOT_EQUAL]),
    st.lists(names, min_size=1, max_size=3).map(tuple),
) | st.builds(
    Compare, exprs, st.sampled_from([Op.MATCH, Op.NOT_MATCH]), st.lists(regexes, min_size=1, max_size=3).map(tuple)
)


def _several(inner: st.SearchStrategy[FilterExpr]) -> st.SearchStrategy[FilterExpr]:
    terms = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return terms.map(And) | terms.map(Or)


filters: st.SearchStrategy[FilterExpr] = st.recursive(compares, _several, max_leaves=6)

# Text that is nearly a filter: pieces of the language in any order.
_PIECES = [
    "ipsource", "ipsource.1", "group", "null", "mask", "range", "first", "dns", "frobnicate", "count", ":", "[", "]",
    "(", ")", "=", "!=", "~", "!~", "!", "&", "|", ",", "\\", " ", "1", "24", "-", ".", "ip", "a", "[a-", "(?", "*",
    "\0", "\ud800",
]  # fmt: skip
near_misses = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)
