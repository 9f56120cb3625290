from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given

from flow_language import exprs, filters
from flow_text import format_expr, format_filter, parse_expr
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import Form
from tidegate.engine.definition import (
    Compare,
    Expr,
    FilterExpr,
    Key,
    Unknown,
    compares,
    expressions,
    form_of,
    subexpressions,
)
from tidegate.engine.functions import FUNCTIONS, Argument
from tidegate.engine.syntax import parse_definition

# What the flow language offers; `dns` is answered with an error of its own.
LANGUAGE = [
    "group", "map", "country", "asn", "oui", "host", "prefix", "suffix", "first", "mask", "null", "or", "eq", "range",
    "if", "concat", "bits", "uri", "link",
]  # fmt: skip


def test_the_table_has_every_function_of_the_language() -> None:
    assert sorted(FUNCTIONS) == sorted(LANGUAGE)


def test_every_class_of_expressions_has_a_row() -> None:
    assert {*(row.build for row in FUNCTIONS.values()), Key, Unknown} == set(get_args(Expr))


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_row_fits_its_class(name: str) -> None:
    row = FUNCTIONS[name]
    fields = msgspec.structs.fields(row.build)  # type: ignore[arg-type]  # a class of expressions

    assert len(fields) == len(row.arguments)
    optional = sum(not field.required for field in fields)
    missing_defaults = len(row.arguments) - row.required - optional
    assert missing_defaults == 0 or row.many
    assert row.about


def test_names_of_functions_and_statistics_are_no_keys() -> None:
    assert not {*FUNCTIONS, "dns", "rate", "avg", "min", "max", "count", "bps", "fps", "requests"} & {*FIELDS}


@given(exprs)
def test_subexpressions_are_all_that_its_text_names(expr: Expr) -> None:
    found = list(subexpressions(expr))

    assert found[0] == expr
    text = format_expr(expr)
    for inner in found:
        assert format_expr(inner) in text
    assert all(isinstance(inner, get_args(Expr)) for inner in found)


def test_expressions_of_a_definition_are_those_of_all_attributes() -> None:
    definition = parse_definition(
        "x",
        {
            "keys": "null:[group:ipsource:g],vlan",
            "value": "avg:ipttl",
            "values": "bytes,count:[mask:ip6source:64]",
            "filter": "(stack=eth|direction=ingress)&[or:custom:ipid]~1",
        },
    )

    keys = {str(expr.field) for expr in expressions(definition) if isinstance(expr, Key)}
    unknown = {expr.name for expr in expressions(definition) if isinstance(expr, Unknown)}

    assert keys == {"ipsource", "vlan", "ipttl", "bytes", "ip6source", "stack", "direction", "ipid"}
    assert unknown == {"custom"}


@given(filters)
def test_comparisons_come_from_left_to_right(found: FilterExpr) -> None:
    text = format_filter(found)
    place = 0
    for compare in compares(found):
        assert isinstance(compare, Compare)
        place = text.index(format_filter(compare), place) + 1


def test_no_filter_has_no_comparisons() -> None:
    assert list(compares(None)) == []


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ipsource.1", Form.ADDRESS),
        ("null:ip6fragm", Form.BOOLEAN),
        ("eq:ipsource:ipdestination", Form.BOOLEAN),
        ("range:ipttl:1", Form.BOOLEAN),
        ("bits:ipttl:1", Form.NUMBER),
        ("or:ipsource:ip6source", Form.ADDRESS),
        ("or:ipsource:vlan", Form.TEXT),
        ("if:vlan:1:tcpsourceport:udpsourceport", Form.NUMBER),
        ("if:vlan:1:[group:ipsource:g]:ipsource", Form.TEXT),
        ("mask:ipsource:8", Form.TEXT),
        ("custom", Form.TEXT),
    ],
)
def test_forms(text: str, form: Form) -> None:
    assert form_of(parse_expr(text)) is form


def test_a_field_at_a_layer_has_the_field_s_form() -> None:
    for name, field in FIELDS.items():
        assert form_of(Key(FieldRef(name, 3))) is field.form


def test_kinds_of_arguments_say_what_they_are() -> None:
    assert all(kind.value for kind in Argument)
