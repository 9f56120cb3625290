"""Keys from routing tables: what a record would say, who is asked for what, and what follows from a change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_batches import SMALL, Packet, flow_batch, last_second, refs, step
from naive_rib import SEQUENCE, SET, NaiveRoute, NaiveTable
from tidegate.data.address import parse_address
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import FORMS
from tidegate.data.rib import Found, Router, nothing_found
from tidegate.engine.definition import Key
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.evaluate import Evaluation, Memos
from tidegate.engine.lookups import Lookups
from tidegate.engine.routing import ROUTED, Routers, Routing
from tidegate.engine.syntax import parse_definition
from tidegate.engine.texts import Texts
from tidegate.engine.values import Value, text_of
from tidegate.kernel import U64
from tidegate.wire.sflow.flow_records import AsPathSegment, ExtendedGateway
from tidegate.wire.sflow.record_fields import record_fields

AGENT, OTHER = "10.0.0.1", "10.0.0.2"
ROW = {"ipsource": "10.1.2.3", "ipdestination": "192.0.2.1"}
ROW6 = {"ip6source": "2001:DB8::1", "ip6destination": "2001:DB8::2"}
TO = NaiveRoute("192.0.2.0/24", "198.51.100.1", ((SEQUENCE, (64500, 64501)),), "64500:1", 100)
FROM = NaiveRoute("10.0.0.0/8", "198.51.100.2", ((SEQUENCE, (64502, 64503)),))
TO6 = NaiveRoute("2001:db8::/32", "2001:DB8:F::1", ((SEQUENCE, (64504,)),))


def router(*routes: NaiveRoute, asn: int = 64496) -> Router:
    return Router(asn, NaiveTable(routes))


def asked(one: Router) -> list[list[tuple[str, str | None]]]:
    assert isinstance(one.table, NaiveTable)
    return one.table.asked


def both(one: Router) -> Routers:
    return Routers(one, one)


def tied(one: Router, **more: object) -> Routing:
    return Routing(agents={parse_address(AGENT): both(one)}, **more)  # type: ignore[arg-type] # fields of the record


def engine_of(routing: Routing | None, *keys: str, config: EngineConfig = SMALL) -> Engine:
    engine = Engine(config, Lookups(), seed=3)
    for number, key in enumerate(keys):
        engine.set_flow(parse_definition(f"f{number}", {"keys": key, "value": "frames", "t": 1}))
    engine.set_routing(routing)
    return engine


def shown(engine: Engine, name: str = "f0") -> dict[str, float]:
    """Return how many packets each key stands for."""
    flow = engine.flows[name]
    found = flow.table.readings(last_second(engine))
    keys = [flow.key_text(tuple(key[1:])) for key in found.keys.tolist()]
    return dict(zip(keys, found.samples.tolist(), strict=True))


def told(row: dict[str, str], key: str, routing: Routing, agent: str = AGENT) -> str | None:
    """Return the text of one key of one sample, None where it is missing."""
    engine = engine_of(routing, key)
    step(engine, [Packet(row, agent=agent)])
    return next(iter(shown(engine)), None)


# What a table says is what a gateway record would have said

segments = st.lists(
    st.tuples(st.sampled_from([SEQUENCE, SET, 3]), st.lists(st.integers(0, 0xFFFFFFFF), max_size=3).map(tuple)),
    max_size=3,
).map(tuple)
numbers = st.integers(0, 0xFFFFFFFF)


@given(segments, st.lists(numbers, max_size=3), st.none() | numbers, st.sampled_from(["192.0.2.9", "2001:DB8::9"]))
def test_a_route_is_read_as_a_gateway_record_is(
    path: tuple[tuple[int, tuple[int, ...]], ...], communities: list[int], local_pref: int | None, next_hop: str
) -> None:
    text = "-".join(f"{word >> 16}:{word & 0xFFFF}" for word in communities)
    route = NaiveRoute("0.0.0.0/0", next_hop, path, text, local_pref)
    octets = b"".join(word.to_bytes(8, "big") for word in parse_address(next_hop))
    record = ExtendedGateway(
        nexthop=octets, as_=64496, src_as=None, src_peer_as=None, localpref=local_pref, communities=tuple(communities),
        dst_as_path=tuple(AsPathSegment(type=kind, as_number=own) for kind, own in path),
    )  # fmt: skip
    expected = record_fields((record,))
    names = [name for name in ROUTED if "source" not in name and name != "bgpdestinationprefix"]

    values, texts = valued(names, tied(router(route)))

    for name, value in values.items():
        wanted = expected.get(name)
        words = tuple(int(part[0]) for part in value.words)
        assert bool(value.present[0]) == (wanted is not None), name
        if isinstance(wanted, bytes):
            assert texts.octets(words[0]) == wanted, name
        elif wanted is not None:
            assert words == tuple(wanted), name


def valued(names: list[str], routing: Routing) -> tuple[dict[str, Value], Texts]:
    """Return the values of fields of one sample."""
    texts = Texts(seed=3)
    batch = flow_batch([Packet(ROW)], refs("ipdestination", "ipsource"), 3)
    evaluation = Evaluation(batch, Lookups().with_routing(routing), texts, Memos())
    return {name: evaluation.value(Key(FieldRef(name))) for name in names}, texts


def test_the_source_is_read_as_the_destination_is() -> None:
    routing = tied(router(FROM, NaiveRoute("192.0.2.0/24")))
    assert told(ROW, "bgpsourceas,bgpsourcepeeras,bgpsourceprefix", routing) == "64503,64502,10.0.0.0/8"
    back = {"ipsource": "192.0.2.1", "ipdestination": "10.1.2.3"}
    assert told(back, "bgpsourceas,null:bgpsourcepeeras,bgpsourceprefix", routing) == "64496,null,192.0.2.0/24"


def test_a_key_has_the_form_of_its_field_wherever_it_comes_from() -> None:
    values, texts = valued(list(ROUTED), tied(router(TO, FROM)))
    for name, value in values.items():
        assert value.form is FIELDS[name].form, name
        assert len(value.words) == FORMS[value.form].width, name
        assert text_of(value.form, tuple(int(part[0]) for part in value.words), texts), name


def test_without_a_route_only_the_router_is_known() -> None:
    routing = tied(router())
    assert told(ROW, "bgpas", routing) == "64496"
    assert [key for key in ROUTED if told(ROW, key, routing) is not None] == ["bgpas"]


def test_without_an_address_nothing_is_known() -> None:
    routing = tied(router(TO, FROM))
    assert [key for key in ROUTED if told({"stack": "eth.arp"}, key, routing) is not None] == []
    assert [key for key in ROUTED if told({"ipsource": "10.1.2.3"}, key, routing) is not None] == [
        "bgpsourceas", "bgpsourcepeeras", "bgpsourceprefix",
    ]  # fmt: skip


def test_a_gateway_record_is_the_whole_truth() -> None:
    routing = tied(router(TO, FROM))
    for record in ({"bgpas": "65000"}, {"bgpnexthop": "198.51.100.9"}):
        found = {key: told({**ROW, **record}, key, routing) for key in ROUTED}
        assert {key: text for key, text in found.items() if text is not None} == record


def test_records_and_tables_stand_side_by_side_in_a_batch() -> None:
    engine = engine_of(tied(router(TO)), "bgpdestinationaspath,null:bgpcommunities")
    record = {"bgpas": "65000", "bgpdestinationaspath": "65001-65002"}
    step(engine, [Packet(ROW), Packet({**ROW, **record}), Packet(ROW), Packet(ROW6)])
    assert shown(engine) == {"64500-64501,64500:1": 2, "65001-65002,null": 1}


# Which table is asked, and for what


def test_agents_without_a_row_have_the_default() -> None:
    mine, default = router(TO, asn=1), router(TO, asn=2)
    routing = Routing(agents={parse_address(AGENT): Routers(mine)}, default=both(default))
    assert (told(ROW, "bgpas", routing), told(ROW, "bgpas", routing, OTHER)) == ("1", "2")
    assert told(ROW6, "bgpas", routing) is None  # it has a row, in which nobody is named for IPv6
    assert told(ROW6, "bgpas", routing, OTHER) == "2"
    assert told(ROW, "bgpas", tied(mine), OTHER) is None


def test_each_family_has_its_router() -> None:
    routing = Routing(default=Routers(router(TO, asn=4), router(TO6, asn=6)))
    assert told(ROW, "bgpas,bgpdestinationprefix", routing) == "4,192.0.2.0/24"
    assert told(ROW6, "bgpas,bgpdestinationprefix", routing) == "6,2001:DB8::/32"


@pytest.mark.parametrize(
    ("stack", "prefix"),
    [
        ("eth.ip.ip6", "192.0.2.0/24"), ("eth.vlan.ip6.ip", "2001:DB8::/32"), ("ip6.ip.ip6", "2001:DB8::/32"),
        ("eth", "192.0.2.0/24"), (None, "192.0.2.0/24"),
    ],
)  # fmt: skip
def test_the_outermost_header_is_looked_up(stack: str | None, prefix: str) -> None:
    row = {**ROW, **ROW6} | ({"stack": stack} if stack else {})
    assert told(row, "bgpdestinationprefix", tied(router(TO, TO6))) == prefix


def test_each_table_is_asked_once_a_side_for_the_rows_of_its_agents() -> None:
    first, second = router(TO, FROM, asn=1), router(TO, asn=2)
    agents = {parse_address(AGENT): both(first), parse_address(OTHER): both(second)}
    engine = engine_of(Routing(agents=agents), *ROUTED, ",".join(ROUTED))
    record = {"bgpas": "65000"}
    rows = [(ROW, AGENT), (ROW, OTHER), ({**ROW, **record}, AGENT), (ROW, "10.0.0.3"), (ROW6, AGENT), ({}, OTHER)]
    step(engine, [Packet(dict(row), agent=agent) for row, agent in rows])

    assert sorted(asked(first)) == [
        [("10.1.2.3", None), ("2001:DB8::1", None)],
        [("192.0.2.1", None), ("2001:DB8::2", None)],
    ]
    assert sorted(asked(second)) == [[("10.1.2.3", None)], [("192.0.2.1", None)]]


def test_nobody_is_asked_for_what_no_key_needs() -> None:
    one = router(TO, FROM)
    engine = engine_of(tied(one), "ipsource", "bgpas")
    step(engine, [Packet(ROW)])
    assert asked(one) == []

    engine.set_flow(parse_definition("f2", {"keys": "bgpsourceas", "value": "frames"}))
    step(engine, [Packet(ROW)])
    assert asked(one) == [[("10.1.2.3", None)]]


def test_needs_are_those_of_what_is_looked_up() -> None:
    record = set(refs("bgpas", "bgpnexthop", "stack"))
    plain, hops = tied(router()), tied(router(), next_hops={parse_address("192.0.2.9"): 1})
    assert engine_of(plain, "ipttl", "macsource").needs() == set(refs("ipttl", "macsource"))
    assert engine_of(plain, "bgpsourceas").needs() == record | set(refs("bgpsourceas", "ipsource", "ip6source"))
    assert engine_of(plain, "bgpcommunities").needs() == record | set(
        refs("bgpcommunities", "ipdestination", "ip6destination")
    )
    assert engine_of(None, "bgpcommunities").needs() == set(refs("bgpcommunities"))
    assert FieldRef("macdestination") not in engine_of(hops, "bgpsourceas").needs()
    assert FieldRef("macdestination") in engine_of(hops, "ipttl", "null:bgpas").needs()


# Exchanges: the destination MAC tells which of several routes is taken

HOPS = {
    parse_address("198.51.100.1"): 0x02AB10000C01,
    parse_address("198.51.100.2"): 0x02AB10000C02,
    parse_address("2001:DB8:F::1"): 0x02AB10000C01,
    parse_address("2001:DB8:F::2"): 0x02AB10000C03,
}


def test_the_next_hop_is_that_of_the_destination_mac_in_the_packet_s_family() -> None:
    one = router()
    engine = engine_of(tied(one, next_hops=HOPS), "null:bgpnexthop", "null:bgpsourceas")
    macs = ["02AB10000C01", "02AB10000C02", "02AB10000C03", "FFFFFFFFFFFF", "000000000001"]
    rows = [{**row, "macdestination": mac} for row in (ROW, ROW6) for mac in macs]
    step(engine, [*map(Packet, rows), Packet(ROW)])

    sources, destinations = sorted(asked(one))
    assert [hop for _, hop in sources] == [None] * 11
    assert [hop for _, hop in destinations] == [
        "198.51.100.1", "198.51.100.2", "2001:DB8:F::2", None, None,  # an IPv4 route may have an IPv6 next hop
        "2001:DB8:F::1", "198.51.100.2", "2001:DB8:F::2", None, None, None,
    ]  # fmt: skip


def test_of_several_next_hops_with_one_mac_the_last_counts() -> None:
    one = router()
    hops = {parse_address("198.51.100.7"): 5, parse_address("198.51.100.8"): 5}
    step(engine_of(tied(one, next_hops=hops), "null:bgpnexthop"), [Packet({**ROW, "macdestination": "000000000005"})])
    assert asked(one) == [[("192.0.2.1", "198.51.100.8")]]


def test_a_packet_without_a_mac_tells_of_no_next_hop() -> None:
    one = router()
    engine = engine_of(tied(one, next_hops={parse_address("198.51.100.1"): 0}), "null:bgpnexthop")
    step(engine, [Packet(ROW), Packet({**ROW, "macdestination": "000000000000"})])
    assert asked(one) == [[("192.0.2.1", None), ("192.0.2.1", "198.51.100.1")]]


def test_the_best_route_is_taken_where_no_mac_tells_of_another() -> None:
    routes = [NaiveRoute("192.0.2.0/24", hop) for hop in ("198.51.100.1", "198.51.100.2")]
    engine = engine_of(tied(router(*routes), next_hops=HOPS), "bgpnexthop")
    macs = ["02AB10000C01", "02AB10000C02", "02AB10000C03", "000000000001"]
    step(engine, [Packet({**ROW, "macdestination": mac}) for mac in macs])
    assert shown(engine) == {"198.51.100.1": 3, "198.51.100.2": 1}


# While it runs


def test_a_change_counts_from_the_next_batch_on() -> None:
    engine = engine_of(None, "bgpdestinationaspath")
    step(engine, [Packet(ROW)])
    assert shown(engine) == {}
    engine.set_routing(tied(router(TO)))
    step(engine, [Packet(ROW)])
    engine.set_routing(tied(router(NaiveRoute("0.0.0.0/0", path=((SEQUENCE, (9,)),)))))
    step(engine, [Packet(ROW)])
    engine.set_routing(None)
    step(engine, [Packet(ROW)])
    assert shown(engine) == {"64500-64501": 1, "9": 1}
    assert engine.needs() == set(refs("bgpdestinationaspath"))


def test_a_definition_may_come_after_the_routers() -> None:
    engine = engine_of(tied(router(TO, FROM)))
    engine.set_flow(parse_definition("f0", {"keys": ",".join(ROUTED), "value": "frames", "t": 1}))
    step(engine, [Packet(ROW)])
    assert shown(engine) == {
        "64496,64503,64502,10.0.0.0/8,64501,64500,192.0.2.0/24,64500-64501,64500:1,100,198.51.100.1": 1
    }


def test_texts_of_tables_are_kept_while_they_come() -> None:
    engine = engine_of(
        tied(router(TO)), "bgpdestinationaspath,bgpcommunities", config=EngineConfig(texts=16, text_octets=1024)
    )
    for number in range(100):
        step(engine, [Packet(ROW)])
        engine.texts.add(b"%d" % number)
    assert engine.texts.turns > 2
    assert shown(engine) == {"64500-64501,64500:1": 100}


def test_keys_of_tables_are_seen() -> None:
    engine = engine_of(tied(router(TO)), "null:bgpdestinationas,null:bgpsourceas", "bgpcommunities")
    step(engine, [Packet(ROW)])
    assert {"bgpdestinationas", "bgpcommunities", "ipdestination"} <= {str(ref) for ref in engine.keys_seen}
    assert not {"bgpsourceas", "bgpas"} & {str(ref) for ref in engine.keys_seen}


def test_a_table_may_be_empty() -> None:
    class Nothing:
        def lookup(self, high: U64, low: U64, next_hop: U64 | None = None) -> Found:
            del low, next_hop
            return nothing_found(len(high))

    engine = engine_of(Routing(default=both(Router(7, Nothing()))), ",".join(f"null:{key}" for key in ROUTED))
    step(engine, [Packet(ROW), Packet(ROW6)])
    assert shown(engine) == {",".join(["7"] + ["null"] * 10): 2}


def test_tables_change_nothing_where_no_sample_needs_them() -> None:
    one = router(TO, FROM)
    engine = engine_of(tied(one), ",".join(ROUTED))
    step(engine, [Packet({**ROW, "bgpas": "65000"}), Packet(ROW, agent=OTHER), Packet({})])
    assert (shown(engine), asked(one)) == ({}, [])
