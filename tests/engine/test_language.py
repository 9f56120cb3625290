"""What expressions and filters mean: cases that the specification twin in `naive` has to get right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_language import exprs
from flow_text import format_expr, parse_expr
from naive import Env, evaluate_expr, evaluate_filter
from tidegate.engine.definition import Expr
from tidegate.engine.filters import parse_filter

ROW = {
    "ipsource": "10.1.2.3",
    "ipdestination": "192.0.2.1",
    "ip6source.1": "FE80::A00:27FF:FE12:3456",
    "macsource": "02AB10000C01",
    "tcpflags": "000000010",
    "ipecn": "11",
    "ipttl": "64",
    "ipbytes": "1500",
    "ip6fragm": "true",
    "stack": "eth.vlan.ip.tcp",
    "inputifindex": "7",
    "outputifindex": "discard",
    "httpurl": "/metrics/json?x=1",
    "dnsqname": "www.Example.com",
    "direction": "ingress",
}
ENV = Env(
    groups={
        "g": {"10.0.0.0/8": "private", "10.1.0.0/16": "site", "0.0.0.0/0": "external", "::/0": "external6"},
        "narrow": {"192.0.2.1": "server"},
    },
    maps={"m": {"02AB10000C01": "printer", "64": "linux"}},
    countries={"192.0.2.0/24": ("DE", "Germany"), "10.0.0.0/8": ("", "Nowhere")},
    systems={"192.0.2.0/24": ("64500", "Example Net")},
    hosts={"10.1.2.3": {"host_name": "web1"}},
    vendors={"02AB10": "Acme"},
)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("ipsource", "10.1.2.3"),
        ("ipsource.1", None),
        ("ip6source.1", "FE80::A00:27FF:FE12:3456"),
        ("custom", None),
        # groups and maps: the longest prefix, then the next group
        ("group:ipsource:g", "site"),
        ("group:ipdestination:g", "external"),
        ("group:ip6source.1:g", "external6"),
        ("group:ipsource:narrow:g", "site"),
        ("group:ipdestination:narrow:g", "server"),
        ("group:ipsource:narrow", None),
        ("group:ipsource:absent", None),
        ("group:macsource:g", None),
        ("group:ip6source:g", None),
        ("map:macsource:m", "printer"),
        ("map:ipttl:m", "linux"),
        ("map:ipsource:m", None),
        ("map:ipsource:absent", None),
        # databases
        ("country:ipdestination", "DE"),
        ("country:ipdestination:name", "Germany"),
        ("country:ipdestination:both", "DE Germany"),
        ("country:ipsource", None),
        ("country:ip6source.1", None),
        ("asn:ipdestination", "64500"),
        ("asn:ipdestination:descr", "Example Net"),
        ("asn:ipdestination:both", "64500 Example Net"),
        ("asn:macsource", None),
        ("oui:macsource", "02AB10"),
        ("oui:macsource:name", "Acme"),
        ("oui:ipsource", None),
        ("oui:ipsource:name", None),
        ("host:ipsource:host_name", "web1"),
        ("host:ipsource:uuid", None),
        ("host:ipdestination:host_name", None),
        # tokens
        ("prefix:stack:.:2", "eth.vlan"),
        ("prefix:stack:.:9", "eth.vlan.ip.tcp"),
        ("suffix:stack:.:1", "tcp"),
        ("suffix:stack:.:2", "ip.tcp"),
        ("prefix:[uri:httpurl:path]:/:2", "/metrics"),
        ("prefix:stack:|:1", "eth.vlan.ip.tcp"),
        ("suffix:stack:lan.:1", "ip.tcp"),
        ("first:stack:.:ip:ip6", "ip"),
        ("first:stack:.:tcp:eth", "eth"),
        ("first:stack:.:udp", None),
        # addresses
        ("mask:ipsource:24", "10.1.2.0/24"),
        ("mask:ipsource:0", "0.0.0.0/0"),
        ("mask:ipsource:64", "10.1.2.3/32"),
        ("mask:ip6source.1:16", "FE80::/16"),
        ("mask:ip6source.1:0", "::/0"),
        ("mask:macsource:8", None),
        # missing and present
        ("null:ipsource", "10.1.2.3"),
        ("null:vlan", "null"),
        ("null:vlan:none", "none"),
        ("null:vlan:", ""),
        ("or:vlan:ipsource:ipdestination", "10.1.2.3"),
        ("or:vlan:custom", None),
        ("eq:ipsource:ipsource", "true"),
        ("eq:ipsource:ipdestination", "false"),
        ("eq:ipsource:vlan", None),
        ("concat:-:ipttl:ipttl", "64-64"),
        ("concat:-:ipttl:vlan", None),
        ("concat::ipttl:ipbytes", "641500"),
        # numbers
        ("range:ipttl:64:64", "true"),
        ("range:ipttl:65", "false"),
        ("range:ipttl::63", "false"),
        ("range:ipttl:1", "true"),
        ("range:vlan:1", None),
        ("range:inputifindex:1:10", "true"),
        ("range:outputifindex:1:10", None),
        ("range:macsource:1", None),
        ("range:[suffix:dnsqname:.:1]:1", None),
        ("bits:ipttl:96", "64"),
        ("bits:ipttl:0x3f", "0"),
        ("bits:tcpflags:2", "2"),
        ("bits:ipecn:1", "1"),
        ("bits:stack:1", None),
        # choices
        ("if:direction:ingress:ipsource:ipdestination", "10.1.2.3"),
        ("if:direction:egress:ipsource:ipdestination", "192.0.2.1"),
        ("if:vlan:1:ipsource:ipdestination", "192.0.2.1"),
        ("if:vlan:null:ipsource:ipdestination", "10.1.2.3"),
        ("if:ip6fragm:yes:ipsource:ipdestination", "10.1.2.3"),
        ("if:direction:ingress:vlan:ipdestination", None),
        ("uri:httpurl:file", "json"),
        ("uri:ipsource:scheme", None),
        ("link:inputifindex", None),
    ],
)
def test_expressions(text: str, result: str | None) -> None:
    assert evaluate_expr(parse_expr(text), ROW, ENV) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", True),
        ("ipsource=10.1.2.3", True),
        ("ipsource=10.1.2.4,10.1.2.3", True),
        ("ipsource!=10.1.2.4,10.1.2.3", False),
        ("ipsource!=10.1.2.4", True),
        # a text that means the same is equal
        ("ip6source.1=fe80:0::a00:27ff:fe12:3456", True),
        ("macsource=02:ab:10:00:0c:01", True),
        ("ip6fragm=yes", True),
        ("ip6fragm!=no", True),
        ("ip6fragm=TRUE", True),
        ("eq:ipsource:ipsource=yes", True),
        ("null:ip6fragm=yes", True),
        # numbers are compared as decimal text
        ("ipttl=64", True),
        ("ipttl=064", False),
        ("tcpflags=000000010", True),
        ("tcpflags=10", False),
        # texts are exact
        ("dnsqname=www.example.com", False),
        ("map:macsource:m=Printer", False),
        # missing
        ("vlan=null", True),
        ("vlan!=null", False),
        ("ipsource=null", False),
        ("ipsource!=null", True),
        ("vlan=5", False),
        ("vlan!=5", True),
        ("vlan=5,null", True),
        ("vlan~.*", False),
        ("vlan!~.*", True),
        ("vlan~null", False),
        ("link:inputifindex=null", True),
        ("null:vlan=null", True),
        # regular expressions match the whole text
        ("tcpflags~....0..1.", True),
        ("tcpflags~0*1", False),
        ("dnsqname~www", False),
        ("dnsqname~(?i)www\\.example\\.(org|com)", True),
        ("dnsqname~nothing,www.*", True),
        ("dnsqname!~nothing,www.*", False),
        # and before or
        ("vlan=1&vlan=2|ipttl=64", True),
        ("vlan=1&(vlan=2|ipttl=64)", False),
        ("(outputifindex=discard|direction=egress)&first:stack:.:ip:ip6=ip", True),
    ],
)
def test_filters(text: str, result: bool) -> None:  # noqa: FBT001 - what is expected
    assert evaluate_filter(parse_filter(text), ROW, ENV) is result


rows = st.dictionaries(st.sampled_from(sorted(ROW)), st.sampled_from(sorted(ROW.values())), max_size=6)


@given(exprs, rows)
def test_every_expression_has_a_text_or_is_missing(expr: Expr, row: dict[str, str]) -> None:
    text = evaluate_expr(expr, row, ENV)

    assert text is None or isinstance(text, str)
    assert evaluate_expr(parse_expr(format_expr(expr)), row, ENV) == text


@given(exprs, rows, st.sampled_from(["null", "true", "yes", "64", "10.1.2.3", "ip"]))
def test_a_negation_is_the_opposite(expr: Expr, row: dict[str, str], value: str) -> None:
    text = format_expr(expr)
    for op in ("=", "~"):
        plain, negated = (parse_filter(f"{text}{sign}{value}") for sign in (op, f"!{op}"))
        assert evaluate_filter(plain, row, ENV) is not evaluate_filter(negated, row, ENV)
