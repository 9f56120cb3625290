"""What a definition needs, how its keys are laid out and printed, and which rows count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flow_batches import Packet, flow_batch, lookups_of, refs
from naive import Env
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS, Form
from tidegate.engine.evaluate import Evaluation, Memos
from tidegate.engine.lookups import Lookups
from tidegate.engine.plan import Plan, make_plan, select
from tidegate.engine.rows import Rows
from tidegate.engine.syntax import parse_definition
from tidegate.engine.texts import Texts

LOOKUPS = lookups_of(Env(groups={"g": {"10.0.0.0/8": "ten"}}))


def plan_of(texts: Texts | None = None, **spec: Any) -> Plan:  # noqa: ANN401 - attributes of the language
    return make_plan(parse_definition("f", {"value": "frames", **spec}), LOOKUPS, texts or Texts())


def needs(**spec: Any) -> set[str]:  # noqa: ANN401 - attributes of the language
    return {str(ref) for ref in plan_of(**spec).needs}


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, set()),
        ({"value": "bytes"}, set()),
        ({"value": "bps", "values": "fps,bytes"}, set()),
        ({"value": "count:bytes"}, {"bytes"}),
        ({"value": "avg:bytes"}, set()),
        ({"value": "avg:[bits:bytes:1]"}, {"bytes"}),
        ({"keys": "bytes,frames"}, {"bytes", "frames"}),
        ({"keys": "ipsource,custom"}, {"ipsource"}),
        ({"keys": "ipsource.1"}, {"ipsource.1"}),
        ({"value": "ipttl", "values": "count:ipsource,max:vlan"}, {"ipttl", "ipsource", "vlan"}),
        ({"filter": "ipprotocol=6&(tcpflags~.*1.|first:stack:.:ip=ip)"}, {"ipprotocol", "tcpflags", "stack"}),
        ({"keys": "if:[eq:ipsource:ipdestination]:true:[group:macsource:g]:[or:vlan:vni]"},
         {"ipsource", "ipdestination", "macsource", "vlan", "vni"}),
        ({"keys": "link:inputifindex"}, {"inputifindex"}),
    ],
)  # fmt: skip
def test_only_what_is_looked_at_is_needed(spec: dict[str, Any], names: set[str]) -> None:
    assert needs(**spec) == names


def selected(
    plan: Plan, packets: list[Packet], texts: Texts, sources: list[int] | None = None
) -> tuple[Rows, list[int]]:
    batch = flow_batch(packets, plan.needs, texts.seed)
    numbers = np.array(sources if sources is not None else [0] * len(packets), np.int64)
    rows, chosen = select(
        plan, batch, Evaluation(batch, LOOKUPS, texts, Memos()), np.arange(len(packets)).astype(np.float64), numbers
    )
    return rows, chosen.tolist()


def keys_of(spec: dict[str, Any], *rows: dict[str, str]) -> list[str]:
    """Return the texts of the keys of the rows that count."""
    texts = Texts(seed=5)
    plan = plan_of(texts, **spec)
    found, _ = selected(plan, [Packet(row) for row in rows], texts)
    return [plan.key_text(tuple(key[1:]), texts) for key in found.keys.tolist()]


ROW = {
    "ipsource": "10.1.2.3", "ip6source": "2001:DB8::1", "macsource": "02AB10000C01", "tcpflags": "000000010",
    "vlan": "7", "stack": "eth.ip.tcp", "httphost": "a,b.example", "dnsqname": "x.example", "outputifindex": "discard",
    "isbroadcast": "false", "bgpcommunities": "65000:1-65535:666", "bgpdestinationaspath": "1-2-3", "iptos": "00000100",
}  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ("", ""),
        ("ipsource", "10.1.2.3"),
        ("ipsource,vlan", "10.1.2.3,7"),
        ("ip6source,macsource,tcpflags,iptos", "2001:DB8::1,02AB10000C01,000000010,00000100"),
        ("outputifindex,isbroadcast,stack", "discard,false,eth.ip.tcp"),
        ("httphost,dnsqname,bgpcommunities,bgpdestinationaspath", "a,b.example,x.example,65000:1-65535:666,1-2-3"),
        ("null:vni,vlan", "null,7"),
        ("null:vni:none,null:vni:", "none,"),
        ("null:[null:vni:a]:b", "a"),
        ("null:tcpdestinationport:443", "443"),
        ("mask:ipsource:16,mask:ip6source:32,mask:ipsource:0", "10.1.0.0/16,2001:DB8::/32,0.0.0.0/0"),
        ("oui:macsource,range:vlan:7,eq:vlan:vlan,bits:vlan:5", "02AB10,true,true,5"),
        ("group:ipsource:g,concat:-:vlan:[group:ipsource:g]", "ten,7-ten"),
        ("prefix:[suffix:stack:.:2]:.:1", "ip"),
        ("or:vni:[null:[map:vlan:m]:\\[x\\]]", "[x]"),
        ("if:[first:stack:.:ip:ip6]:ip:ipsource:ip6source", "10.1.2.3"),
        ("if:vlan:8:ipsource:macsource", "02AB10000C01"),
        ("null:[if:vlan:8:ipsource:vni]", "null"),
    ],
)
def test_texts_of_keys(keys: str, text: str) -> None:
    assert keys_of({"keys": keys}, ROW) == [text]


def test_the_separator_stands_between_keys_and_is_not_escaped() -> None:
    assert keys_of({"keys": "ipsource,httphost", "fs": "_SEP_"}, ROW) == ["10.1.2.3_SEP_a,b.example"]


def test_a_text_that_was_forgotten_prints_as_its_word() -> None:
    texts = Texts(slots=2, octets=64)
    plan = plan_of(texts, keys="httphost")
    found, _ = selected(plan, [Packet({"httphost": "a"})], texts)
    for number in range(8):
        texts.add(bytes([number]))

    text = plan.key_text(tuple(found.keys[0, 1:].tolist()), texts)

    assert text == f"#{int(found.keys[0, 1]):016x}"


def test_rows_that_count() -> None:
    texts = Texts()
    plan = plan_of(texts, keys="ipsource", value="bytes", filter="vlan!=9")
    row = {"ipsource": "10.1.2.3", "bytes": "64"}
    packets = [
        Packet(row), Packet({**row, "vlan": "9"}), Packet({"bytes": "64"}), Packet({"ipsource": "::1"}),
        Packet(row, dropped=True), Packet(row), Packet(row, rate=5.0),
    ]  # fmt: skip

    rows, chosen = selected(plan, packets, texts, sources=[4, 4, 4, 4, 4, -1, 5])

    assert chosen == [0, 6]
    assert rows.keys[:, 0].tolist() == [4, 5]
    assert rows.sources.tolist() == [4, 5]
    assert rows.times.tolist() == [0, 6]
    assert rows.items[0].numbers.tolist() == [6400, 320]


def test_absent_and_present_keys_are_apart() -> None:
    texts = Texts()
    plan = plan_of(texts, keys="null:vlan:x")

    rows, _ = selected(plan, [Packet({"vlan": "0"}), Packet({}), Packet({"vlan": "1"})], texts)

    assert len({tuple(key) for key in rows.keys.tolist()}) == 3
    assert plan.words == 2


def test_a_default_that_is_a_value_of_the_form_is_the_same_key() -> None:
    texts = Texts()
    plan = plan_of(texts, keys="null:vlan:1")

    rows, _ = selected(plan, [Packet({}), Packet({"vlan": "1"})], texts)

    assert len({tuple(key) for key in rows.keys.tolist()}) == 1


def test_absent_is_one_more_in_a_count() -> None:
    texts = Texts()
    plan = plan_of(texts, value="count:[null:vlan:none]")

    rows, _ = selected(plan, [Packet({}), Packet({"vlan": "1"}), Packet({"vlan": "0"}), Packet({})], texts)

    assert len(set(rows.items[0].words.tolist())) == 3


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_field_can_be_a_key(name: str) -> None:
    plan = plan_of(keys=name)

    assert plan.needs == frozenset([FieldRef(name)])
    assert plan.words == FORMS[FIELDS[name].form].width


def test_plans_of_the_same_definition_are_the_same() -> None:
    assert plan_of(keys="mask:ipsource:24") == plan_of(keys="mask:ipsource:24")
    assert plan_of(keys="mask:ipsource:24").parts[0].form is Form.PREFIX
    assert refs("ipsource")[0] in plan_of(keys="mask:ipsource:24").needs
    assert make_plan(parse_definition("f", {"value": "frames"}), Lookups(), Texts()).words == 0
