from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import actions, rules
from tidegate.control.flow_json import (
    action_from_json,
    action_to_json,
    actions_from_json,
    component_name,
    rule_from_json,
    rule_to_json,
)
from tidegate.errors import TextError
from tidegate.wire.bgp.communities import Action, RawCommunity, TrafficRateBytes, TrafficRatePackets
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
    encode_rule,
)
from tidegate.wire.bgp.prefix import parse_prefix

HOST = {"type": 1, "name": "destination", "prefix": "192.0.2.1/32"}


@given(rules())
def test_rules_survive_json_text(rule: FlowRule) -> None:
    assert rule_from_json(json.loads(json.dumps(rule_to_json(rule))), rule.afi) == rule


@given(actions())
def test_actions_survive_json_text(action: Action) -> None:
    assert action_from_json(json.loads(json.dumps(action_to_json(action)))) == action


@pytest.mark.parametrize("rate", [math.inf, -math.inf, -1.5])
def test_rates_that_json_has_no_number_for(rate: float) -> None:
    for action in (TrafficRateBytes(rate, 7), TrafficRatePackets(rate)):
        assert action_from_json(json.loads(json.dumps(action_to_json(action), allow_nan=False))) == action


def test_a_rate_that_is_no_number_stays_none() -> None:
    action = action_from_json(action_to_json(TrafficRateBytes(math.nan)))
    assert isinstance(action, TrafficRateBytes)
    assert math.isnan(action.rate)


def test_what_has_one_natural_value_may_be_left_out() -> None:
    given_ = [
        {"name": "destination", "prefix": "2001:db8::/32"},
        {"type": 5, "ops": [{"op": "==", "value": 53}, {"op": ">=", "value": 1024}]},
        {"name": "tcp-flags", "ops": [{"value": 2, "match": True}]},
        {"name": "flow-label", "ops": [{"op": "==", "value": 7}]},
    ]
    rule = rule_from_json(given_, Afi.IPV6)
    assert encode_rule(rule).hex() == "16012000 20010db8 050135 930400 098102 0da100000007".replace(" ", "")
    assert rule_from_json(rule_to_json(rule), Afi.IPV6) == rule


def test_the_width_that_is_given_is_kept() -> None:
    rule = rule_from_json([{"type": 3, "ops": [{"op": "==", "value": 6, "width": 2}]}], Afi.IPV4)
    assert rule.components == (NumericComponent(ComponentType.PROTOCOL, (NumericOp(Comparison.EQ, 6, 2),)),)


def test_offsets_are_told_for_ipv6_alone() -> None:
    component = PrefixComponent(ComponentType.SOURCE, parse_prefix("::12/128"), 64)
    assert rule_to_json(FlowRule(Afi.IPV6, (component,)))[0]["offset"] == 64
    assert "offset" not in rule_to_json(rule_from_json([HOST], Afi.IPV4))[0]


def test_names_are_those_of_the_specification() -> None:
    assert component_name(ComponentType.DESTINATION_PORT) == "destination-port"


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (5, r"components\[1\]: an object is expected"),
        ({}, r'components\[1\]: a "type" or a "name" is expected'),
        ({"type": 14}, r"components\[1\]\.type: a component type from 1 to 13"),
        ({"type": True}, r"components\[1\]\.type: a component type from 1 to 13"),
        ({"type": "1"}, r"components\[1\]\.type: a component type from 1 to 13"),
        ({"name": "ports"}, r"components\[1\]\.name: one of destination, source, "),
        ({"name": 1}, r"components\[1\]\.name: one of destination, source, "),
        ({"type": 4, "name": "protocol"}, r"components\[1\]\.name: type 4 is port"),
        ({"type": 1}, r"components\[1\]: Object missing required field 'prefix'"),
        ({"type": 1, "prefix": "192.0.2.1/24"}, r"components\[1\]\.prefix: address bits are set"),
        ({"type": 1, "prefix": 5}, r"components\[1\]\.prefix: Expected 'str', got 'int'"),
        ({"type": 1, "prefix": "::/0", "ofset": 3}, r"components\[1\]: Object contains unknown field 'ofset'"),
        ({"type": 3, "ops": [{"op": "~", "value": 1}]}, r"components\[1\]\.ops\[0\]\.op: Invalid enum value '~'"),
        ({"type": 3, "ops": [{"op": "=="}]}, r"components\[1\]\.ops\[0\]: Object missing required field 'value'"),
        ({"type": 3, "ops": [{"op": "==", "value": 1.5}]}, r"components\[1\]\.ops\[0\]\.value: Expected 'int'"),
        ({"type": 9, "ops": 3}, r"components\[1\]\.ops: Expected 'array', got 'int'"),
        ({"type": 9, "ops": [{"op": "==", "value": 3}]}, r"components\[1\]\.ops\[0\]: Object contains unknown field"),
    ],
)
def test_other_shapes_of_component_are_pointed_at(component: object, words: str) -> None:
    with pytest.raises(TextError, match=words):
        rule_from_json([HOST, component], Afi.IPV4)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ([], r'actions\[0\]: an object with an "action" of traffic-rate-bytes, '),
        ({}, r'actions\[0\]: an object with an "action" of traffic-rate-bytes, '),
        ({"action": "nothing"}, r'actions\[0\]: an object with an "action"'),
        ({"action": ["drop"]}, r'actions\[0\]: an object with an "action"'),
        ({"action": "traffic-rate-bytes"}, r"actions\[0\]: Object missing required field 'rate'"),
        ({"action": "traffic-rate-bytes", "rate": "fast"}, r"actions\[0\]\.rate: a number is expected"),
        ({"action": "traffic-rate-bytes", "rate": 0, "asn": 1}, r"actions\[0\]: Object contains unknown field 'asn'"),
        ({"action": "rt-redirect", "form": "as8"}, r"actions\[0\]\.form: one of as2, as4, ipv4, ipv6"),
        ({"action": "rt-redirect", "form": "as2", "as": 1}, r"actions\[0\]: Object missing required field 'value'"),
        (
            {"action": "rt-redirect", "form": "ipv4", "address": "2001:db8::1", "value": 1},
            r"actions\[0\]\.address: an address of the other family",
        ),
        ({"action": "redirect-to-ip", "address": "here"}, r"actions\[0\]\.address: not an IPv4 or IPv6 address"),
        ({"action": "unknown", "octets": "0002"}, r"actions\[0\]\.octets: 8 or 20 octets in hexadecimal"),
        ({"action": "unknown", "octets": "xx"}, r"actions\[0\]\.octets: 8 or 20 octets in hexadecimal"),
    ],
)
def test_other_shapes_of_action_are_pointed_at(action: object, words: str) -> None:
    with pytest.raises(TextError, match=words):
        actions_from_json([action])


@pytest.mark.parametrize("values", [None, {}, "drop", 7])
def test_lists_are_lists(values: object) -> None:
    with pytest.raises(TextError, match="components: a list is expected"):
        rule_from_json(values, Afi.IPV4)
    with pytest.raises(TextError, match="actions: a list is expected"):
        actions_from_json(values)


def test_a_long_value_is_shown_in_part_and_any_value_at_all() -> None:
    with pytest.raises(TextError, match=r"…$"):
        actions_from_json(["x" * 1000])
    with pytest.raises(TextError, match="object object"):
        actions_from_json([object()])


def test_unknown_communities_keep_their_octets() -> None:
    raw = RawCommunity(bytes.fromhex("0002fde800000064"))
    assert action_from_json(action_to_json(raw)) == raw


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)
FIELDS = st.sampled_from(["type", "name", "prefix", "offset", "ops", "action", "rate", "form", "address", "value"])


@given(st.dictionaries(FIELDS, JSON | st.integers(1, 13) | st.sampled_from(["port", "rt-redirect", "as2", "::"])))
def test_any_object_is_read_or_pointed_at(value: dict[str, Any]) -> None:
    with suppress(TextError):
        assert rule_from_json([value], Afi.IPV6).components
    with suppress(TextError):
        assert len(actions_from_json([value])) == 1
