"""Groups, maps, countries and systems, as batches see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow_batches import SMALL, Packet, flow_batch, last_second, lookups_of, step
from flow_text import parse_expr
from mmdb import mmdb_bytes
from naive import Env
from tidegate.data.fields import FIELDS
from tidegate.data.forms import FORMS, Form
from tidegate.data.geo import AsnAttribute, CountryAttribute
from tidegate.engine.definition import Expr
from tidegate.engine.engine import Engine
from tidegate.engine.evaluate import Evaluation, Memos
from tidegate.engine.labels import parse_group, parse_map
from tidegate.engine.lookups import Lookups
from tidegate.engine.plan import make_plan
from tidegate.engine.syntax import parse_definition
from tidegate.engine.texts import Texts
from tidegate.engine.values import text_of
from tidegate.io.mmdb import load_asn, load_country


def texts_of(rows: list[dict[str, str]], expr: str, lookups: Lookups, texts: Texts | None = None) -> list[str | None]:
    """Return the text of an expression for each row."""
    texts = texts or Texts()
    needs = make_plan(parse_definition("f", {"keys": expr, "value": "frames"}), lookups, texts).needs
    batch = flow_batch([Packet(row) for row in rows], needs, texts.seed)
    parsed: Expr = parse_expr(expr)
    value = Evaluation(batch, lookups, texts, Memos()).value(parsed)
    words = zip(*(part.tolist() for part in value.words), strict=True)
    shown = [text_of(value.form, tuple(word), texts) for word in words]
    return [text if here else value.absent for text, here in zip(shown, value.present.tolist(), strict=True)]


def sources(*addresses: str) -> list[dict[str, str]]:
    return [{"ipsource": address} for address in addresses]


NESTED = {"all": ["0.0.0.0/0", "::/0"], "ten": ["10.0.0.0/8"], "site": ["10.1.0.0/16"], "host": ["10.1.2.3"]}


def test_the_longest_prefix_wins_however_deep() -> None:
    lookups = Lookups().with_group("g", parse_group("g", NESTED))

    found = texts_of(sources("10.1.2.3", "10.1.2.4", "10.2.0.0", "11.0.0.0"), "group:ipsource:g", lookups)

    assert found == ["host", "site", "ten", "all"]
    assert texts_of([{"ip6source": "FE80::1"}], "group:ip6source:g", lookups) == ["all"]


def test_a_group_that_is_removed_or_was_never_there_finds_nothing() -> None:
    lookups = Lookups().with_group("g", parse_group("g", NESTED))

    assert texts_of(sources("10.1.2.3"), "group:ipsource:absent", lookups) == [None]
    assert texts_of(sources("10.1.2.3"), "group:ipsource:g", lookups.with_group("g", None)) == [None]
    assert texts_of(sources("10.1.2.3"), "group:ipsource:absent:g", lookups) == ["host"]


def test_a_group_of_no_prefixes() -> None:
    assert texts_of(sources("10.1.2.3"), "group:ipsource:g", Lookups().with_group("g", parse_group("g", {}))) == [None]


def test_replacing_a_group_counts_from_the_next_batch_on() -> None:
    engine = Engine(SMALL, Lookups())
    engine.set_flow(parse_definition("f", {"keys": "group:ipsource:g", "value": "frames"}))
    for group in ({"a": ["10.0.0.0/8"]}, {"b": ["10.0.0.0/8"]}, None):
        engine.set_group("g", None if group is None else parse_group("g", group))
        step(engine, [Packet({"ipsource": "10.1.2.3"})])

    flow = engine.flows["f"]
    readings = flow.table.readings(last_second(engine))

    assert [flow.key_text(tuple(key[1:])) for key in readings.keys.tolist()] == ["a", "b"]
    assert readings.samples.tolist() == [1, 1]


# One text of each form, and one that means the same but is not printed so.
MAPPED = {
    "vlan": ("64", "064"),
    "ipsource": ("10.1.2.3", "::ffff:10.1.2.3"), "macsource": ("02AB10000C01", "02:ab:10:00:0c:01"),
    "isbroadcast": ("true", "yes"), "ipecn": ("11", "3"), "ipflags": ("001", "1"), "iptos": ("00000001", "1"),
    "tcpflags": ("000000010", "10"), "outputifindex": ("discard", "4294967296"), "direction": ("ingress", "0"),
    "reason": ("acl", "258"), "ipdscpname": ("be(0)", "0"), "dnsqtypename": ("A", "1"), "ibbtopname": ("CNP", "129"),
    "ibbtoptransport": ("RC", "0"), "stack": ("eth.ip", "eth ip"), "ip6extensions": ("0-44", "0,44"),
    "httphost": ("a.example", "A.example"),
    "dnsqname": ("a.example", "a.example."), "bgpdestinationaspath": ("1-2", "1 2"),
    "bgpcommunities": ("1:2", "1:02"), "bgpdestinationprefix": ("10.0.0.0/8", "10.0.0.0/08"),
}  # fmt: skip


def test_the_cases_are_of_every_form_that_a_field_has() -> None:
    assert {FIELDS[name].form for name in MAPPED} == set(FORMS) - {Form.OUI}


@pytest.mark.parametrize("name", MAPPED)
def test_a_map_compares_printed_texts_of_every_form(name: str) -> None:
    printed, other = MAPPED[name]
    rows = [{name: printed}, {}]

    found = Lookups().with_map("m", parse_map("m", {"yes": ["x", printed], "no": ["y"]}))
    assert texts_of(rows, f"map:{name}:m", found) == ["yes", None]
    not_found = Lookups().with_map("m", parse_map("m", {"yes": [other]}))
    assert texts_of(rows, f"map:{name}:m", not_found) == [None, None]


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        ("mask:ipsource:24", "10.1.2.0/24"),
        ("oui:macsource", "02AB10"),
        ("null:vlan:none", "none"),
        ("bits:ipttl:1", "1"),
    ],
)
def test_a_map_of_what_functions_give(expr: str, text: str) -> None:
    lookups = Lookups().with_map("m", parse_map("m", {"yes": [text]}))

    rows = [{"ipsource": "10.1.2.3", "macsource": "02AB10000C01", "ipttl": "65"}]

    assert texts_of(rows, f"map:[{expr}]:m", lookups) == ["yes"]


def test_countries_and_systems_of_a_database(tmp_path: Path) -> None:
    germany = {"country": {"iso_code": "DE", "names": {"en": "Germany"}}}
    system = {"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}
    path = tmp_path / "test.mmdb"
    path.write_bytes(mmdb_bytes({"192.0.2.0/24": {**germany, **system}, "2001:db8::/32": system}))
    lookups = Lookups()
    for country in CountryAttribute:
        lookups = lookups.with_countries(country, load_country(path, country))
    for attribute in AsnAttribute:
        lookups = lookups.with_systems(attribute, load_asn(path, attribute))

    rows = [{"ipsource": "192.0.2.9", "ip6source": "2001:DB8::1"}, {"ipsource": "198.51.100.1"}]

    assert texts_of(rows, "country:ipsource", lookups) == ["DE", None]
    assert texts_of(rows, "country:ipsource:both", lookups) == ["DE Germany", None]
    assert texts_of(rows, "country:ip6source", lookups) == [None, None]
    assert texts_of(rows, "asn:ip6source", lookups) == ["64500", None]
    assert texts_of(rows, "asn:ipsource:descr", lookups) == ["Example", None]
    assert texts_of(rows, "asn:vlan", lookups) == [None, None]


def test_labels_are_printed_however_many_texts_come_between() -> None:
    texts = Texts(slots=4, octets=64)
    lookups = lookups_of(Env(groups={"g": {"10.0.0.0/8": "ten"}}))
    engine_rows = sources("10.0.0.1")
    for number in range(50):
        texts.add(str(number).encode())
        assert texts_of(engine_rows, "group:ipsource:g", lookups, texts) == ["ten"]
    assert texts.turns > 5


def test_labels_that_no_sample_bears_cost_nothing() -> None:
    texts = Texts(slots=4, octets=64)
    lookups = lookups_of(Env(groups={"g": {f"10.0.{number}.0/24": f"label {number}" for number in range(200)}}))

    assert texts_of(sources("10.0.7.1", "10.0.9.1"), "group:ipsource:g", lookups, texts) == ["label 7", "label 9"]
    assert texts.turns == 0


def test_engines_may_share_tables() -> None:
    lookups = lookups_of(Env(groups={"g": {"10.0.0.0/8": "ten"}}, maps={"m": {"a.example": "A"}}))

    for seed in (1, 2):
        texts = Texts(seed=seed)
        assert texts_of(sources("10.0.0.1"), "group:ipsource:g", lookups, texts) == ["ten"]
        assert texts_of([{"httphost": "a.example"}], "map:httphost:m", lookups, texts) == ["A"]
