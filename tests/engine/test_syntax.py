from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_language import exprs, filters, near_misses, regexes, values
from flow_text import format_expr, format_filter, format_keys, format_value, format_values, parse_expr
from tidegate.data.fields import FieldRef
from tidegate.engine.definition import (
    AggMode,
    And,
    Compare,
    ConcatOf,
    Expr,
    FilterExpr,
    FirstOf,
    GroupOf,
    IfOf,
    Key,
    LinkOf,
    MaskOf,
    NullOf,
    Op,
    Or,
    OrOf,
    PrefixOf,
    RangeOf,
    Statistic,
    Unknown,
    UriAttribute,
    UriOf,
    ValueExpr,
)
from tidegate.engine.expressions import parse_keys, parse_value, parse_values
from tidegate.engine.filters import parse_filter
from tidegate.engine.scanner import MAX_DEPTH, MAX_TEXT
from tidegate.engine.syntax import (
    MAX_N,
    describe_definition,
    describe_group,
    describe_map,
    describe_threshold,
    parse_definition,
    parse_group,
    parse_map,
    parse_threshold,
    unknown_keys,
)
from tidegate.errors import TextError


def key(name: str, layer: int = 0) -> Key:
    return Key(FieldRef(name, layer))


def error_of(parse: Callable[[str], object], text: str) -> TextError:
    with pytest.raises(TextError) as caught:
        parse(text)
    return caught.value


# Text and back


@given(exprs)
def test_an_expression_survives_its_text(expr: Expr) -> None:
    assert parse_expr(format_expr(expr)) == expr


@given(st.lists(exprs, max_size=4))
def test_keys_survive_their_text(found: list[Expr]) -> None:
    assert parse_keys(format_keys(found)) == tuple(found)


@given(values)
def test_a_value_survives_its_text(value: ValueExpr) -> None:
    assert parse_value(format_value(value)) == value


@given(st.lists(values, max_size=4))
def test_values_survive_their_text(found: list[ValueExpr]) -> None:
    assert parse_values(format_values(found)) == tuple(found)


@given(filters)
def test_a_filter_survives_its_text(found: FilterExpr) -> None:
    assert parse_filter(format_filter(found)) == found


@given(filters)
def test_spaces_around_tokens_do_not_count(found: FilterExpr) -> None:
    assert parse_filter(f"  ( {format_filter(found)}  ) ") == found


@given(regexes, regexes)
def test_what_is_no_single_regular_expression_is_wrapped(one: str, other: str) -> None:
    found = parse_filter(format_filter(Compare(key("stack"), Op.MATCH, (f"{one}|{other}",))))

    assert isinstance(found, Compare)
    assert found.values in ((f"{one}|{other}",), (f"(?:{one}|{other})",))


def test_no_filter_has_no_text() -> None:
    assert format_filter(None) == ""
    assert parse_filter(" ") is None


# Any text


@given(near_misses | st.text())
def test_any_text_is_a_filter_or_an_error_at_its_column(text: str) -> None:
    for parse in (parse_filter, parse_keys, parse_value, parse_values, parse_expr):
        try:
            parse(text)
        except TextError as error:
            found = error
        else:
            continue
        assert found.text == text
        assert 0 <= found.column <= len(text)
        assert found.reason


@pytest.mark.parametrize("letter", ["[", "(", "null:[", "x~(", "x~[", "x~(?:", "a&(", "!", "\\", ":", "a=b||"])
def test_long_repetitions_end_soon(letter: str) -> None:
    for parse in (parse_filter, parse_keys):
        error_of(parse, (letter * MAX_TEXT)[: MAX_TEXT - 1])


@pytest.mark.parametrize("parse", [parse_filter, parse_keys, parse_value])
def test_a_text_has_a_largest_length(parse: Callable[[str], object]) -> None:
    assert "at most" in error_of(parse, "a" * (MAX_TEXT + 1)).reason


def test_brackets_have_a_largest_depth() -> None:
    within = "[" * MAX_DEPTH + "ipsource" + "]" * MAX_DEPTH
    assert parse_keys(within) == (key("ipsource"),)
    assert error_of(parse_keys, f"[{within}]").column == MAX_DEPTH
    within = "(" * MAX_DEPTH + "ipsource=10.0.0.1" + ")" * MAX_DEPTH
    assert isinstance(parse_filter(within), Compare)
    assert error_of(parse_filter, f"({within})").column == MAX_DEPTH


def test_a_list_has_a_largest_number_of_items() -> None:
    assert len(parse_keys(",".join(["a"] * 32))) == 32
    assert "at most 32" in error_of(parse_keys, ",".join(["a"] * 33)).reason


# Keys


@pytest.mark.parametrize(
    ("text", "expr"),
    [
        ("ipsource", key("ipsource")),
        (" ipsource.1 ", key("ipsource", 1)),
        ("ipsource.0", key("ipsource")),
        ("custom.thing-1", Unknown("custom.thing-1")),
        ("[[ipsource]]", key("ipsource")),
        ("group:ipsource:a:b", GroupOf(key("ipsource"), ("a", "b"))),
        ("null:[group:ipsource.1:a]", NullOf(GroupOf(key("ipsource", 1), ("a",)))),
        ("null:ipsource:", NullOf(key("ipsource"), "")),
        ("first:stack:.:ip:ip6", FirstOf(key("stack"), ".", ("ip", "ip6"))),
        ("concat:\\::ipsource:ipdestination", ConcatOf(":", (key("ipsource"), key("ipdestination")))),
        ("concat::ipsource:ipdestination", ConcatOf("", (key("ipsource"), key("ipdestination")))),
        ("concat: :ipsource:ipdestination", ConcatOf(" ", (key("ipsource"), key("ipdestination")))),
        ("or:ipsource:[mask:ip6source:64]", OrOf((key("ipsource"), MaskOf(key("ip6source"), 64)))),
        ("range:ipttl::5", RangeOf(key("ipttl"), None, 5)),
        ("range:ipttl:5", RangeOf(key("ipttl"), 5)),
        (
            "prefix:[uri:httpurl:path]:/:2",
            PrefixOf(UriOf(key("httpurl"), UriAttribute.PATH), "/", 2),
        ),
        (
            "if:[first:stack:.:ip:ip6]:ip:ipsource:[null:ip6source:none]",
            IfOf(FirstOf(key("stack"), ".", ("ip", "ip6")), "ip", key("ipsource"), NullOf(key("ip6source"), "none")),
        ),
        ("link:inputifindex", LinkOf(key("inputifindex"))),
    ],
)
def test_keys(text: str, expr: Expr) -> None:
    assert parse_keys(text) == (expr,)
    assert parse_expr(text) == expr


def test_no_keys() -> None:
    assert parse_keys("") == parse_keys("  ") == ()


def test_commas_inside_brackets_belong_to_the_key() -> None:
    assert parse_keys("[concat:,:ipsource:ipdestination],vlan") == (
        ConcatOf(",", (key("ipsource"), key("ipdestination"))),
        key("vlan"),
    )


def test_masks_may_be_hexadecimal() -> None:
    assert parse_expr("bits:ipttl:0xF0") == parse_expr("bits:ipttl:240")


@pytest.mark.parametrize(
    ("text", "column", "reason", "hint"),
    [
        ("ipsource,", 9, "a key is missing", ""),
        ("ipsource,,vlan", 9, "a key is missing", ""),
        ("grup:ipsource:x", 0, "unknown function 'grup'", "did you mean group?"),
        ("vlan,mac:ipsource:x", 5, "unknown function", "map"),
        ("zzz:ipsource", 0, "unknown function", "known are asn, bits"),
        ("dns:ipsource", 0, "reverse DNS is not supported yet", ""),
        ("count:ipsource", 0, "start of a value", ""),
        ("group:ipsource", 0, "too few", "group:expr:name..."),
        ("null:ipsource:a:b", 15, "too many", "null:expr[:text]"),
        ("null:group:ipsource:x", 19, "too many", "square brackets"),
        ("mask:ipsource:129", 14, "0 to 128", ""),
        ("mask:ipsource:x", 14, "0 to 128", ""),
        ("prefix:stack:.:0", 15, "1 to 1000", ""),
        ("prefix:stack::1", 13, "not empty", ""),
        ("bits:ipttl:-1", 11, "hexadecimal", ""),
        ("range:ipttl:1.5", 12, "whole number", ""),
        ("country:ipsource:cod", 17, "none of the words", "did you mean code?"),
        ("host:ipsource:color", 14, "none of the words", "known are host_name"),
        ("group:ipsource:[vlan]", 15, "a function cannot stand here", "plain bracket"),
        ("ip source", 2, "' ' cannot stand in the name", ""),
        ("1st", 0, "'1' cannot stand in the name", ""),
        ("agent.1", 0, "no layer of agent", "agent has no layers"),
        ("vlan,ipsource.12", 5, "no layer of ipsource", ".11"),
        ("ipsource.x", 0, "no layer of ipsource", ""),
        ("[ipsource", 0, "[ is never closed", ""),
        ("[ipsource]]", 10, "but found ']'", ""),
        ("[ipsource vlan]", 9, "cannot stand in the name", ""),
        ("vlan\\", 4, "a backslash ends the text", ""),
    ],
)
def test_errors_in_keys(text: str, column: int, reason: str, hint: str) -> None:
    error = error_of(parse_keys, text)

    assert (error.text, error.column) == (text, column)
    assert reason in error.reason
    assert hint in error.hint


# Values


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bytes", ValueExpr(Statistic.RATE, key("bytes"))),
        ("frames", ValueExpr(Statistic.RATE, key("frames"))),
        ("bps", ValueExpr(Statistic.RATE, key("bytes"), 8)),
        ("fps", ValueExpr(Statistic.RATE, key("frames"))),
        ("requests", ValueExpr(Statistic.RATE, key("frames"))),
        ("rate:ipttl", ValueExpr(Statistic.RATE, key("ipttl"))),
        ("rate:bps", ValueExpr(Statistic.RATE, Unknown("bps"))),
        ("count:ipsource", ValueExpr(Statistic.COUNT, key("ipsource"))),
        ("max: [bits:ipttl:15]", ValueExpr(Statistic.MAX, parse_expr("bits:ipttl:15"))),
        ("bits:ipttl:15", ValueExpr(Statistic.RATE, parse_expr("bits:ipttl:15"))),
    ],
)
def test_values(text: str, value: ValueExpr) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 0, "missing"),
        ("bytes,frames", 5, "one value"),
        ("count:mask:ipsource:8", 10, "one argument"),
        ("avg:", 4, "missing"),
        ("bytes frames", 5, "cannot stand"),
    ],
)
def test_errors_in_values(text: str, column: int, reason: str) -> None:
    error = error_of(parse_value, text)

    assert error.column == column
    assert reason in error.reason


# Filters

SAMPLES = [
    "outputifindex!=discard&direction=ingress",
    "(ipflags=001|range:ipfragoffset:1=true)&ipprotocol!=50&first:stack:.:ip:ip6=ip",
    "ipprotocol=6&tcpflags~....1..1.&group:ipsource:g=external&group:ipdestination:g!=a,b",
    "map:macsource:m=null",
    "ethernetprotocol!=2048,2054,34525",
    "ibbt_offset!=null&(ipecn=11|ip6ecn=11)",
    "direction=ingress&link:inputifindex=null",
    "outputifindex=multiple",
    "ip6source=FE80::A00:27FF:FE12:3456",
    "ip6fragm=yes",
    "prefix:stack:.:1=eth",
    "suffix:stack:.:1=ibbt",
    "suffix:[if:[first:stack:.:ip:ip6]:ip:[null:ipsource]:[null:ip6source]]:.:2=example.com",
]


@pytest.mark.parametrize("text", SAMPLES)
def test_samples_of_real_life(text: str) -> None:
    assert format_filter(parse_filter(text)) == text


def test_the_sample_that_needs_reverse_dns_says_so() -> None:
    error = error_of(
        parse_filter, "suffix:[if:[first:stack:.:ip:ip6]:ip:[dns:ipsource]:[dns:ip6source]]:.:2=example.com"
    )

    assert (error.column, error.reason) == (38, "reverse DNS is not supported yet")


def test_and_binds_tighter_than_or() -> None:
    one, two, three = (Compare(key("vlan"), Op.EQUAL, (text,)) for text in "123")

    assert parse_filter("vlan=1|vlan=2&vlan=3") == Or((one, And((two, three))))
    assert parse_filter("(vlan=1|vlan=2)&vlan=3") == And((Or((one, two)), three))
    assert parse_filter("vlan=1&vlan=2&vlan=3") == And((one, two, three))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("httphost=a b , c", ("a b", "c")),
        (r"httphost=a\,b,\ c\ ", ("a,b", " c ")),
        (r"httphost=a\b\\c", ("a\\b\\c",)),
        ("httpurl=/x?a=b~c!", ("/x?a=b~c!",)),
        (r"httpurl~(a|b),[,|&]+", ("(a|b)", "[,|&]+")),
        (r"httpurl~a{1,2}\,\&,\(", (r"a{1,2}\,\&", r"\(")),
    ],
)
def test_texts_of_comparisons(text: str, values: tuple[str, ...]) -> None:
    found = parse_filter(text)

    assert isinstance(found, Compare)
    assert found.values == values


@pytest.mark.parametrize(
    ("text", "column", "reason", "hint"),
    [
        ("ipsource", 8, "expected one of = != ~ !~, but the text ends", ""),
        ("ipsource 10.0.0.1", 8, "cannot stand in the name", ""),
        ("ipsource==1", 9, "expected a text behind the operator", ""),
        ("ipsource=", 9, "missing", ""),
        ("ipsource=1,", 11, "missing", ""),
        ("ipsource=1,,2", 11, "missing", ""),
        ("ipsource=1&", 11, "a key is missing", ""),
        ("ipsource=1&&vlan=2", 11, "a key is missing", "&& and ||"),
        ("ipsource=1||vlan=2", 11, "a key is missing", "&& and ||"),
        ("(ipsource=1", 0, "( is never closed", ""),
        ("ipsource=1)", 10, "found ')'", ""),
        ("ipsource=1(", 10, "found '('", ""),
        ("(ipsource=1(", 11, "expected ), but found '('", ""),
        ("null:[ipsource[vlan]]=1", 14, "expected ], but found '['", ""),
        ("()", 1, "a key is missing", ""),
        ("grup:ipsource:x=1", 0, "unknown function", "group"),
        ("vlan=1&ipsource~[a", 16, "missing ]", ""),
        ("vlan~*", 5, "no argument for repetition", ""),
        ("vlan~a,b**", 8, "bad repetition", ""),
        ("vlan~", 5, "missing", ""),
        ("stack~[[a]x]", 7, "holds no other", "backslash"),
        ("stack~[a-z&&b]", 10, "holds no other", "backslash"),
        ("stack~a(?=b)", 7, "invalid perl operator", ""),
        ("stack~(a)\\1", 9, "invalid escape sequence", ""),
        ("stack~a{,3}", 7, "repetitions", "backslash"),
        (r"stack~\p{Alpha}", 6, "invalid character class", ""),
        ("stack~a{4294967296}", 7, "repetitions", ""),
    ],
)
def test_errors_in_filters(text: str, column: int, reason: str, hint: str) -> None:
    error = error_of(parse_filter, text)

    assert (error.text, error.column) == (text, column)
    assert reason in error.reason
    assert hint in error.hint


# Definitions


def test_a_definition_has_defaults() -> None:
    found = parse_definition("web", {"value": "bytes"})

    assert describe_definition(found) == {
        "value": "bytes",
        "n": 5,
        "t": 2.0,
        "fs": ",",
        "log": False,
        "flowStart": False,
        "activeTimeout": 60.0,
        "dropped": False,
    }


def test_a_definition_with_everything_comes_back_as_put() -> None:
    spec = {
        "keys": "ipsource, ipdestination",
        "value": " fps",
        "values": "avg:ipttl,count:ipsource",
        "filter": "ipprotocol=6 & direction = ingress",
        "n": 7,
        "t": 0.5,
        "fs": "_SEP_",
        "log": True,
        "flowStart": True,
        "activeTimeout": 10.0,
        "dropped": True,
        "aggMode": "edge",
        "ipfixCollectors": ["192.0.2.1"],
    }

    found = parse_definition("web", spec)

    assert describe_definition(found) == spec
    assert parse_definition("web", describe_definition(found)) == found
    assert found.agg_mode is AggMode.EDGE


def test_an_empty_mode_is_none() -> None:
    assert parse_definition("web", {"value": "bytes", "aggMode": ""}).agg_mode is None


def test_unknown_keys_are_told_with_a_hint() -> None:
    spec = {"keys": "ipsrc,or:vlan:null", "value": "bytes", "filter": "if:stack:eth:zzzz:vlan=1"}

    assert unknown_keys(parse_definition("web", spec)) == {"ipsrc": "did you mean ipsource?", "zzzz": ""}


def test_lists_numbers_and_booleans_come_as_scripts_send_them() -> None:
    found = parse_definition(
        "web",
        {
            "keys": ["ipsource", "concat:\\,:vlan:vlan"],
            "value": "bytes",
            "values": ["avg:ipttl"],
            "filter": None,
            "n": "100",
            "t": "0.1",
            "log": "true",
            "flowStart": "no",
            "dropped": 1,
            "aggMode": " agent ",
            "ipfixCollectors": "192.0.2.1, 192.0.2.2",
        },
    )

    assert (len(found.keys), len(found.values), found.filter) == (2, 1, None)
    assert (found.n, found.t, found.log, found.flow_start, found.dropped) == (100, 0.1, True, False, True)
    assert found.agg_mode is AggMode.AGENT
    assert found.ipfix_collectors == ("192.0.2.1", "192.0.2.2")


@pytest.mark.parametrize(
    ("attribute", "given", "kept"),
    [("n", 0, 1), ("n", 10**9, MAX_N), ("n", "7.9", 7), ("t", 0, 0.1), ("t", 1e9, 600), ("activeTimeout", 0, 0.1)],
)
def test_numbers_are_moved_into_their_limits(attribute: str, given: object, kept: float) -> None:
    assert describe_definition(parse_definition("web", {"value": "bytes", attribute: given}))[attribute] == kept


@pytest.mark.parametrize(
    ("spec", "column", "reason", "hint"),
    [
        ({}, 0, "value is missing", ""),
        ({"value": None}, 0, "value is missing", ""),
        ({"value": "bytes", "filtr": "x"}, 0, "unknown attribute", "did you mean filter?"),
        ({"value": "bytes", "keys": "ipsource,,"}, 9, "keys: a key is missing", ""),
        ({"value": "bytes", "keys": 5}, 0, "keys: ", ""),
        ({"value": "bytes", "keys": {}}, 0, "keys: expected a text", ""),
        ({"value": "bytes", "keys": [None]}, 0, "keys: expected a text", ""),
        ({"value": "bytes,"}, 5, "value: ", ""),
        ({"value": "bytes", "values": "avg:"}, 4, "values: ", ""),
        ({"value": "bytes", "filter": "a=1&"}, 4, "filter: a key is missing", ""),
        ({"value": "bytes", "n": "many"}, 0, "n: expected a number", ""),
        ({"value": "bytes", "n": True}, 0, "n: expected a number", ""),
        ({"value": "bytes", "t": float("nan")}, 0, "t: expected a number", ""),
        ({"value": "bytes", "t": "1" * 400}, 0, "t: expected a number", ""),
        ({"value": "bytes", "t": 10**400}, 0, "t: expected a number", ""),
        ({"value": "bytes", "log": "maybe"}, 0, "log: expected true or false", ""),
        ({"value": "bytes", "log": []}, 0, "log: expected true or false", ""),
        ({"value": "bytes", "fs": ""}, 0, "fs: expected", ""),
        ({"value": "bytes", "aggMode": "edges"}, 0, "aggMode: unknown mode", "did you mean edge?"),
        ({"value": "bytes", "ipfixCollectors": 5}, 0, "ipfixCollectors: expected an array", ""),
        ([], 0, "expected an object", ""),
    ],
)
def test_errors_in_definitions(spec: dict[str, object], column: int, reason: str, hint: str) -> None:
    error = error_of(lambda name: parse_definition(name, spec), "web")

    assert error.column == column
    assert error.reason.startswith(reason)
    assert hint in error.hint


@pytest.mark.parametrize("name", ["web", "sflow-test-bytes", "ddos_protect_ip_flood", "a.b", "é"])
def test_names(name: str) -> None:
    assert parse_definition(name, {"value": "bytes"}).name == name


@pytest.mark.parametrize(("name", "column"), [("", 0), ("a/b", 1), ("ab,c", 2), ("a b", 1), ("a\n", 1), ("x" * 257, 0)])
def test_names_that_no_path_could_hold_are_refused(name: str, column: int) -> None:
    assert error_of(lambda text: parse_definition(text, {"value": "bytes"}), name).column == column


@given(
    st.dictionaries(
        st.sampled_from(["keys", "value", "values", "filter", "n", "t", "fs", "log", "aggMode", "ipfixCollectors"]),
        st.none() | st.booleans() | st.integers() | st.floats() | near_misses | st.lists(near_misses, max_size=2),
    )
)
def test_any_object_is_a_definition_or_an_error(spec: dict[str, object]) -> None:
    try:
        found = parse_definition("web", spec)
    except TextError:
        return
    assert parse_definition("web", describe_definition(found)) == found


# Thresholds, groups and maps


def test_a_threshold_comes_back_as_put() -> None:
    attributes = {"ifspeed": ["1000000000"], "ifname": ["a", "b"]}
    spec = {"metric": "incoming", "value": 125000.0, "byFlow": True, "timeout": 0.2, "filter": attributes}

    assert describe_threshold(parse_threshold("elephant", spec)) == spec


def test_a_threshold_has_defaults() -> None:
    assert describe_threshold(parse_threshold("x", {"metric": "load_one", "value": "3"})) == {
        "metric": "load_one",
        "value": 3.0,
        "byFlow": False,
        "timeout": 0.0,
    }


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"ifspeed": [1e10, 1000]}, (("ifspeed", ("10000000000", "1000")),)),
        ({"ifspeed": 10000000000}, (("ifspeed", ("10000000000",)),)),
        ("os_name=linux&iftype=a&iftype=b%20c", (("os_name", ("linux",)), ("iftype", ("a", "b c")))),
        ("", ()),
        ({}, ()),
    ],
)
def test_filters_of_thresholds(given: object, kept: object) -> None:
    assert parse_threshold("x", {"metric": "m", "value": 1, "filter": given}).filter == kept


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"value": 1}, "metric is missing"),
        ({"metric": "m"}, "value is missing"),
        ({"metric": "m", "value": "inf"}, "value: expected a number"),
        ({"metric": "m", "value": 1, "timeout": -1}, "timeout: expected seconds"),
        ({"metric": "m", "value": 1, "filter": 5}, "filter: expected an object"),
        ({"metric": "m", "value": 1, "filter": {"a": [{}]}}, "filter a: expected a text"),
        ({"metric": "m", "value": 1, "byflow": True}, "unknown attribute"),
    ],
)
def test_errors_in_thresholds(spec: dict[str, object], reason: str) -> None:
    assert error_of(lambda name: parse_threshold(name, spec), "x").reason.startswith(reason)


def test_a_group_comes_back_as_put() -> None:
    spec = {"internal": ["10.0.0.0/8", "FC00::/7", "192.0.2.1"], "AS 65001": ["0.0.0.0/0", "::/0"], "none": []}

    group = parse_group("g", spec)

    assert describe_group(group) == spec
    assert group.labels == ("internal", "AS 65001", "none")
    assert [(length, label) for _, length, label in group.prefixes] == [(104, 0), (7, 0), (128, 0), (96, 1), (0, 1)]


@pytest.mark.parametrize(
    ("spec", "text", "reason", "hint"),
    [
        ({"a": ["10.0.0.0/33"]}, "10.0.0.0/33", "label a: this is no prefix", "such as"),
        ({"a": ["10.0.0.1/8"]}, "10.0.0.1/8", "label a: this is no prefix", "did you mean 10.0.0.0/8?"),
        ({"a": [""]}, "", "label a: this is no prefix", ""),
        ({"a": ["10.0.0.0/8"], "b": ["10.0.0.0/8"]}, "10.0.0.0/8", "labels a and b both have", ""),
        ({"a": ["10.0.0.1"], "b": ["10.0.0.1/32"]}, "10.0.0.1/32", "labels a and b both have", ""),
        ({"a": [None]}, "None", "label a: expected a text", ""),
        ({"a": {"b": 1}}, "{'b': 1}", "label a: expected a text", ""),
        ([], "[]", "expected an object", ""),
    ],
)
def test_errors_in_groups(spec: dict[str, object], text: str, reason: str, hint: str) -> None:
    error = error_of(lambda name: parse_group(name, spec), "g")

    assert error.text == text
    assert error.reason.startswith(reason)
    assert hint in error.hint


def test_one_prefix_twice_under_one_label_is_held_once() -> None:
    assert len(parse_group("g", {"a": ["10.0.0.0/8", "10.0.0.0/8"]}).prefixes) == 1


def test_a_map_comes_back_as_put() -> None:
    assert describe_map(parse_map("m", {"web": [80, "443"], "dns": "53"})) == {"web": ["80", "443"], "dns": ["53"]}


def test_one_value_under_two_labels_is_refused() -> None:
    error = error_of(lambda name: parse_map(name, {"a": ["1"], "b": ["1"]}), "m")

    assert error.reason == "labels a and b both have this value"


def test_keys_of_old_clients_are_groups() -> None:
    assert parse_keys("sourcegroup,destinationgroup") == parse_keys(
        "group:[or:ipsource:ip6source]:default,group:[or:ipdestination:ip6destination]:default"
    )
