from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import actions, rules, vectors
from tidegate.control.flow_explain import Explained, Refused, explain_octets, explain_route
from tidegate.control.flow_json import actions_from_json, rule_from_json
from tidegate.wire.bgp.communities import Action, RedirectToNextHop, TrafficRateBytes
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, OffsetForm, PrefixComponent, encode_rule
from tidegate.wire.bgp.prefix import parse_prefix
from tidegate.wire.bgp.profile import PROFILES
from tidegate.wire.bgp.routes import FlowRoute
from tidegate.wire.cursor import Reader

DROP = (TrafficRateBytes(0.0),)
OFFSET = FlowRule(Afi.IPV6, (PrefixComponent(ComponentType.DESTINATION, parse_prefix("::1234:5678:9a00:0/104"), 65),))


def read(
    octets: str, afi: Afi, *, offsets: OffsetForm = OffsetForm.RFC8956, withdrawn: bool = False
) -> list[Explained | Refused]:
    like = FlowRoute(FlowRule(afi, ()), DROP)
    return list(explain_octets(Reader(bytes.fromhex(octets)), like, offsets=offsets, withdrawn=withdrawn))


def one(octets: str, afi: Afi = Afi.IPV4, *, offsets: OffsetForm = OffsetForm.RFC8956) -> Explained:
    (found,) = read(octets, afi, offsets=offsets)
    assert isinstance(found, Explained)
    return found


@pytest.mark.parametrize("case", vectors("nlri") + vectors("nlri_random") + vectors("tolerated"))
def test_vectors_are_told_in_their_own_shape(case: dict[str, Any]) -> None:
    found = one(case["nlri"], Afi(case["afi"]))
    assert (found.afi, found.safi, found.nlri) == (case["afi"], 133, case["nlri"])
    assert found.components == case["components"]
    assert len(found.matches) == len(case["components"])
    assert found.does == ["drop"]
    assert set(found.profiles) == set(PROFILES)


@pytest.mark.parametrize("case", vectors("nlri"))
def test_rules_that_reset_a_peer_are_never_sent_to_it_as_they_are(case: dict[str, Any]) -> None:
    if case.get("frr_8_4_resets_session"):
        assert one(case["nlri"], Afi(case["afi"])).profiles["safe"] != "as it is"


@pytest.mark.parametrize("case", vectors("malformed"))
def test_malformed_ones_are_refused_with_the_reason(case: dict[str, Any]) -> None:
    found = read(case["nlri"], Afi(case["afi"]))[-1]
    assert isinstance(found, Refused)
    assert case["nlri"].endswith(found.nlri)
    assert "at octet" in found.error


@given(rules(), st.lists(actions(), max_size=4), st.sampled_from(OffsetForm))
def test_what_is_told_gives_the_rule_back(rule: FlowRule, drawn: list[Action], offsets: OffsetForm) -> None:
    nlri = encode_rule(rule, offsets=offsets)
    told = explain_route(FlowRoute(rule, tuple(drawn)), nlri=nlri, offsets=offsets)
    assert rule_from_json(told.components, rule.afi) == rule
    assert actions_from_json(told.actions) == tuple(drawn)
    assert not any("legal on receipt" in note for note in told.notes)


def test_a_malformed_rule_does_not_hide_the_next() -> None:
    first, second, third = read("0c0120c0000201038106038111 060120c0000237 0a01", Afi.IPV4)
    assert isinstance(first, Refused)
    assert (first.nlri, first.error) == ("0c0120c0000201038106038111", "component types do not rise at octet 10")
    assert isinstance(second, Explained)
    assert second.matches == ["to 192.0.2.55/32"]
    assert third == Refused(afi=1, nlri="0a01", error="truncated at octet 21", notes=[])


def test_spellings_that_no_encoder_writes_are_told() -> None:
    assert "legal on receipt; an encoder writes 050117c00002" in one("050117c00003").notes
    told = one("0a0120c000020103910006")
    assert "legal on receipt, but not to be sent: PROTOCOL cannot hold 6 in 2 octets" in told.notes
    assert told.profiles["rfc8955"] == "refused: PROTOCOL cannot hold 6 in 2 octets"


def test_forms_of_offsets_are_compared() -> None:
    told = one("08016841123456789a", Afi.IPV6, offsets=OffsetForm.OCTETS)
    assert told.matches == ["to ::1234:5678:9a00:0/104 (the first 65 bits may be any)"]
    assert told.notes[1:] == [
        "the offset is read in the form octets",
        "in the form rfc8956 it is another rule: to ::91a:2b3c:4d00:0/104 (the first 65 bits may be any)",
        "in the form whole it is no rule: destination: truncated at octet 4",
    ]
    assert told.profiles["bird-2.0"] == "as it is"
    assert told.profiles["gobgp-3"] == "as it is, written 100168410000000000000000123456789a"
    assert told.profiles["safe"] == "refused: the prefix offset 65"
    (wrong,) = read("100168410000000000000000123456789a", Afi.IPV6)
    assert isinstance(wrong, Refused)
    assert wrong.notes == [
        "with offsets in the form whole it would be a rule: to ::1234:5678:9a00:0/104 (the first 65 bits may be any)"
    ]


def test_at_a_whole_octet_two_forms_agree() -> None:
    told = one("08016840123456789a", Afi.IPV6)
    assert not any("octets it is" in note for note in told.notes)


def test_octets_of_the_other_family_are_told() -> None:
    (found,) = read("050118c00002", Afi.IPV6)
    assert isinstance(found, Refused)
    assert found.notes == ["as IPv4 it would be a rule: to 192.0.2.0/24"]


def test_profiles_rewrite_and_split() -> None:
    told = one("090120c0000201058650")
    assert told.profiles["safe"] == "rewritten, written 0b0120c000020105054f8351"
    assert told.profiles["rfc8955"] == "as it is"
    wide = one("130120c000020105 0107 0109 010b 010d 0111 8113".replace(" ", ""))
    assert wide.profiles["safe"].startswith("split into 2 rules: 110120c0000201050107")


def test_a_withdrawn_rule_does_nothing_and_a_next_hop_is_told() -> None:
    (found,) = read("050118c00002", Afi.IPV4, withdrawn=True)
    assert isinstance(found, Explained)
    assert (found.withdrawn, found.does) == (True, [])
    route = FlowRoute(OFFSET, (RedirectToNextHop(),), bytes([192, 0, 2, 9]))
    told = explain_route(route, nlri=encode_rule(OFFSET))
    assert told.next_hop == "192.0.2.9"
    assert told.does == ["redirect to the next hop of the route, 192.0.2.9"]
