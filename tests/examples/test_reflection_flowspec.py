from __future__ import annotations

import msgspec
import pytest

from script_files import example
from tidegate.apps.fake_runtime import FakeRuntime
from tidegate.engine.filters import parse_filter

SCRIPT = example("reflection_flowspec")
PORT_53 = {
    "match": {"destination": "192.0.2.1/32", "protocol": "=17", "source-port": "=53", "version": "4"},
    "then": {"traffic-rate": "0"},
}
FRAGMENTS = {
    "match": {"destination": "192.0.2.1/32", "protocol": "=17", "fragment": "I", "version": "4"},
    "then": {"traffic-rate": "0"},
}


def started(**config: object) -> FakeRuntime:
    fake = FakeRuntime(config={"enforce": True, **config}, peers=["198.51.100.1"])
    SCRIPT.setup(fake.rt)
    return fake


def test_measures_by_victim_and_port_and_leaves_out_small_and_trusted() -> None:
    fake = started(trusted=["203.0.113.0/24"], min_bytes=300, frames=5000)
    definition = fake.backend.definitions["reflection"]
    assert (definition.keys_text, definition.value_text) == ("ipdestination,udpsourceport", "frames")
    assert definition.filter == parse_filter(
        "range:bytes:300=true&group:ipsource:reflection_trusted!=trusted&group:ipdestination:reflection_protect=protect"
    )
    assert fake.backend.groups()["reflection_trusted"] == {"trusted": ["203.0.113.0/24"]}
    assert fake.backend.limits["reflection"].value == 5000
    assert fake.backend.limits["reflection"].by_flow


def test_an_attack_gets_a_rule_for_its_port_and_one_for_fragments() -> None:
    fake = started()
    fake.fire("reflection", flow_key="192.0.2.1,53")
    assert fake.flows() == [PORT_53, FRAGMENTS]


def test_ipv6_gets_rules_of_its_family() -> None:
    fake = started()
    fake.fire("reflection6", flow_key="2001:DB8::1,123")
    assert [flow["match"]["version"] for flow in fake.flows()] == ["6", "6"]
    assert fake.flows()[0]["match"]["destination"] == "2001:db8::1/128"


def test_the_peer_of_the_settings_gets_the_rules() -> None:
    fake = started(peer="198.51.100.1")
    fake.fire("reflection", flow_key="192.0.2.1,53")
    assert {change.peer for change in fake.changes} == {"198.51.100.1"}


def test_rules_are_withdrawn_after_their_time_when_the_attack_is_over() -> None:
    fake = started(hold_s=600)
    attack = fake.fire("reflection", flow_key="192.0.2.1,53")
    fake.calm(attack)
    fake.advance(599.9)
    assert fake.flows() == [PORT_53, FRAGMENTS]
    fake.advance(0.1)
    assert fake.flows() == []


def test_rules_stand_while_the_threshold_is_triggered_anywhere() -> None:
    fake = started(hold_s=600, recheck_s=60)
    first = fake.fire("reflection", flow_key="192.0.2.1,53", data_source="1")
    second = fake.fire("reflection", flow_key="192.0.2.1,53", data_source="2")
    fake.calm(first)
    fake.advance(3600)
    assert fake.flows() == [PORT_53, FRAGMENTS]
    fake.calm(second)
    fake.advance(60)
    assert fake.flows() == []
    assert len(fake.changes) == 4


def test_the_fragment_rule_stands_until_the_last_port_is_released() -> None:
    fake = started(hold_s=600, recheck_s=60)
    fake.calm(fake.fire("reflection", flow_key="192.0.2.1,53"))
    ntp = fake.fire("reflection", flow_key="192.0.2.1,123")
    fake.advance(600)
    assert [flow["match"].get("source-port") for flow in fake.flows()] == [None, "=123"]
    fake.calm(ntp)
    fake.advance(60)
    assert fake.flows() == []


def test_an_attack_that_comes_again_is_filtered_again() -> None:
    fake = started(hold_s=600)
    fake.calm(fake.fire("reflection", flow_key="192.0.2.1,53"))
    fake.advance(600)
    fake.fire("reflection", flow_key="192.0.2.1,53")
    assert fake.flows() == [PORT_53, FRAGMENTS]


def test_without_enforce_it_only_says_what_it_would_do() -> None:
    fake = FakeRuntime(config={"hold_s": 600})
    SCRIPT.setup(fake.rt)
    fake.calm(fake.fire("reflection", flow_key="192.0.2.1,53"))
    fake.advance(600)
    assert fake.changes == []
    observed = [line for line in fake.lines("info") if line.startswith("observe only")]
    assert len(observed) == 4


def test_no_more_rules_than_the_settings_allow() -> None:
    fake = started(max_rules=4)
    for host in range(1, 4):
        fake.fire("reflection", flow_key=f"192.0.2.{host},53")
    assert len(fake.flows()) == 4
    assert len(fake.lines("error")) == 1


def test_attacks_under_way_are_told_by_http() -> None:
    fake = started()
    fake.fire("reflection", flow_key="192.0.2.1,53")
    assert fake.request().body == b'["192.0.2.1,53"]'


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="enforced"):
        SCRIPT.setup(FakeRuntime(config={"enforced": True}).rt)
