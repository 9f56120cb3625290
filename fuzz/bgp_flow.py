"""Fuzz FlowSpec rules: `.venv/bin/python fuzz/bgp_flow.py fuzz/corpus/bgp_flow -max_total_time=600`.

The first octet of an input says of which family rules are and how their offsets are written, the second how many of the
octets after it are rules; the rest are extended communities. Rules come back from each encoder that takes them, and in
their order whatever that of their coming; what they mean can be said in words, as JSON and of packets. So with actions.
"""

from __future__ import annotations

import functools
import itertools
import sys

import atheris

with atheris.instrument_imports(include=["tidegate"]):
    from tidegate.control.flow_effect import effective
    from tidegate.control.flow_explain import Refused, explain_octets
    from tidegate.control.flow_json import action_from_json, action_to_json, rule_from_json, rule_to_json
    from tidegate.control.flow_match import PacketFields, matches
    from tidegate.control.flow_validation import destination_of
    from tidegate.control.flow_words import describe_actions, describe_match, quirks
    from tidegate.errors import DecodeError, EncodeError, Inexpressible
    from tidegate.wire.bgp.attributes import Attributes
    from tidegate.wire.bgp.communities import Action, decode_action, encode_action
    from tidegate.wire.bgp.constants import Afi
    from tidegate.wire.bgp.flow_order import compare_rules, ordered_rule, rule_order
    from tidegate.wire.bgp.flow_rules import FlowRules
    from tidegate.wire.bgp.flowspec import (
        FlowRule,
        OffsetForm,
        decode_components,
        decode_length,
        decode_rule,
        encode_rule,
    )
    from tidegate.wire.bgp.profile import RFC8955, SAFE, adapt
    from tidegate.wire.bgp.routes import FlowRoute
    from tidegate.wire.cursor import Reader

FORMS = tuple(itertools.product(Afi, OffsetForm))


def check(condition: object, what: object = "") -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError(what)


def rules_of(octets: bytes, afi: Afi, form: OffsetForm) -> list[FlowRule]:
    """Read rules one after the other, each with its length; those that are malformed are left out."""
    reader, found = Reader(octets), []
    while len(reader):
        try:
            body = reader.window(decode_length(reader))
        except DecodeError:
            break
        try:
            found.append(decode_components(body, afi, offsets=form))
        except DecodeError:
            continue
    return found


def actions_of(reader: Reader) -> list[Action]:
    """Read communities of either width."""
    found = []
    while len(reader) >= 9:
        wide = reader.u8() & 1 and len(reader) >= 20
        found.append(decode_action(reader.take(20 if wide else 8)))
        written = encode_action(found[-1])
        check(encode_action(decode_action(written)) == written, found[-1])
    return found


def packet(afi: Afi, octets: bytes) -> PacketFields:
    """Return a packet whose fields are made of octets."""
    drawn = (octets + bytes(64))[:64]
    width = 4 if afi is Afi.IPV4 else 16
    return PacketFields(
        afi=afi,
        destination=drawn[:width],
        source=drawn[16 : 16 + width],
        protocol=drawn[32],
        length=drawn[33] << 8 | drawn[34],
        dscp=drawn[35] & 63,
        fragment=drawn[36] & 15,
        source_port=drawn[37] << 8 | drawn[38],
        destination_port=drawn[39],
        icmp_type=drawn[40],
        icmp_code=drawn[41],
        tcp_flags=drawn[42],
        flow_label=drawn[43],
    )


def meaning(rule: FlowRule, actions: list[Action], octets: bytes) -> None:
    """Say what a rule means in every way there is."""
    check(rule_from_json(rule_to_json(rule), rule.afi) == rule, rule)
    check(ordered_rule(rule_order(rule), rule.afi) == rule, rule)
    check(all(isinstance(line, str) for line in (*describe_match(rule), *quirks(rule))))
    destination_of(rule)
    matches(rule, packet(rule.afi, octets))
    for form in OffsetForm:
        try:
            written = encode_rule(rule, offsets=form)
        except EncodeError:
            break
        check(decode_rule(Reader(written), rule.afi, offsets=form) == rule, (rule, form))
    for profile in (SAFE, RFC8955):
        try:
            parts = adapt(FlowRoute(rule, tuple(actions)), profile)
        except (Inexpressible, EncodeError):
            continue
        check(all(len(key.nlri) <= profile.max_octets + 2 for key in parts))


def order(rules: list[FlowRule], afi: Afi) -> None:
    """Hold rules, and look at their order and number as they come and go."""
    held = FlowRules(afi)
    for rule in rules:
        held.announce(rule, Attributes())
    expected = sorted(set(rules), key=functools.cmp_to_key(compare_rules))
    check([one.rule for one in held] == expected, rules)
    for rule in rules[::2]:
        held.withdraw(rule)
    left = set(rules) - set(rules[::2])
    check([one.rule for one in held] == [rule for rule in expected if rule in left], rules)


def one_input(data: bytes) -> None:
    """Read rules and actions."""
    if len(data) < 3:
        return
    reader = Reader(data)
    afi, form = FORMS[reader.u8() % len(FORMS)]
    octets = reader.take(min(reader.u8(), len(reader)))
    actions = actions_of(reader)
    effective(actions)
    check(all(isinstance(line, str) for line in describe_actions(actions, data[:4])))
    for action in actions:
        again = action_from_json(action_to_json(action))
        check(encode_action(again) == encode_action(action) or action_to_json(again) == action_to_json(action), action)
    rules = rules_of(octets, afi, form)
    for rule in rules:
        meaning(rule, actions, data)
    order(rules, afi)
    like = FlowRoute(FlowRule(afi, ()), tuple(actions))
    shown = list(explain_octets(Reader(octets), like, offsets=form, withdrawn=False))
    check(sum(not isinstance(one, Refused) for one in shown) == len(rules), shown)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
