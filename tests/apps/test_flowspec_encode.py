from __future__ import annotations

import json
from typing import Any

import pytest

from bgp_cases import vectors
from tidegate.apps.flowspec_encode import Encoding, encode_flows
from tidegate.control.flow_explain import Explained
from tidegate.errors import Inexpressible, SourceError, TextError
from tidegate.wire.bgp.constants import Afi

PLAIN = Encoding()
MATCH = {"match": {"destination": "192.0.2.1", "protocol": "17"}, "then": {"traffic-rate": 0}}
COMPONENTS = {
    "components": [
        {"type": 1, "name": "destination", "prefix": "192.0.2.1/32"},
        {"type": 3, "ops": [{"op": "==", "value": 17}]},
    ],
    "actions": [{"action": "traffic-rate-bytes", "rate": 0}],
}


def encoded(value: object, encoding: Encoding = PLAIN) -> list[Explained]:
    return list(encode_flows(value if isinstance(value, str) else json.dumps(value), encoding))


@pytest.mark.parametrize("case", vectors("nlri") + vectors("nlri_random"))
def test_entries_of_the_vectors_are_rules_as_they_are(case: dict[str, Any]) -> None:
    (found,) = encoded({name: case[name] for name in ("id", "afi", "safi", "nlri", "components")})
    assert (found.nlri, found.components) == (case["nlri"], case["components"])


@pytest.mark.parametrize("case", vectors("actions"))
def test_actions_of_the_vectors_are_written(case: dict[str, Any]) -> None:
    meaning = {name: value for name, value in case["meaning"].items() if name != "note"}
    (found,) = encoded(COMPONENTS | {"actions": [meaning]})
    assert (found.communities, found.actions) == ([case["bytes"]], [meaning])


def test_both_spellings_mean_the_same() -> None:
    (one,), (other,) = encoded(MATCH), encoded(COMPONENTS)
    assert one == other
    assert (one.nlri, one.communities, one.does) == ("090120c0000201038111", ["8006000000000000"], ["drop"])


def test_what_was_printed_can_be_read() -> None:
    (found,) = encoded(COMPONENTS | {"next_hop": "192.0.2.9", "actions": [{"action": "redirect-to-nexthop"}]})
    text = json.dumps({name: getattr(found, name) for name in found.__struct_fields__})
    assert encoded(text) == [found]


def test_lists_and_lines_of_rules() -> None:
    both = encoded([MATCH, COMPONENTS])
    assert both == encoded(f"{json.dumps(MATCH)}\n{json.dumps(COMPONENTS)}\n")
    assert len(both) == 2


@pytest.mark.parametrize(("asn", "path"), [(None, "400200"), (65000, "4002060201 0000fde8")])
def test_the_update_is_made_for_a_peer(asn: int | None, path: str) -> None:
    (found,) = encoded(MATCH, Encoding(update=True, asn=asn))
    assert found.update.startswith("ff" * 16)
    assert path.replace(" ", "") in found.update
    assert found.nlri in found.update
    assert encoded(MATCH)[0].update == ""


def test_a_profile_splits_or_refuses() -> None:
    long = {"match": {"destination": "192.0.2.1", "port": "1|3|5|7|9|11"}, "then": {"traffic-rate": 0}}
    assert len(encoded(long, Encoding(profile="safe"))) == 2
    assert len(encoded(long, Encoding(profile="rfc8955"))) == 1
    with pytest.raises(Inexpressible, match="one rate limit over 2 rules"):
        encoded(long | {"then": {"traffic-rate": 5}}, Encoding(profile="safe"))


def test_a_profile_says_the_form_of_offsets() -> None:
    component = {"type": 1, "prefix": "::1234:5678:9a00:0/104", "offset": 65}
    (found,) = encoded({"components": [component]}, Encoding(profile="bird-2.0"))
    assert found.nlri == "08016841123456789a"
    assert "the offset is read in the form octets" in found.notes


def test_the_family_is_said_or_that_of_a_prefix() -> None:
    label = {"components": [{"type": 13, "ops": [{"op": "==", "value": 1}]}]}
    assert encoded(label, Encoding(afi=Afi.IPV6))[0].afi == 2
    assert encoded(label | {"afi": 2})[0].afi == 2
    assert encoded({"components": [{"type": 2, "prefix": "::/0"}]})[0].afi == 2
    assert encoded({"match": {"protocol": "6"}}, Encoding(afi=Afi.IPV6))[0].afi == 2
    assert encoded({"match": {"protocol": "6", "version": "4"}}, Encoding(afi=Afi.IPV6))[0].afi == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[1]", 'an object with "components" or with "match"'),
        ("7", 'an object with "components" or with "match"'),
        ('{"match": {}', "rule: Input data was truncated"),
        ("", "rule: Input data was truncated"),
        ({"components": [], "action": []}, "rule: unknown field"),
        ({"match": {"destination": "192.0.2.1"}, "actions": []}, "rule: unknown field"),
        ({"components": [], "afi": 2, "next_hop": 5}, "next_hop: an address is expected"),
        ({"components": [], "afi": 2, "next_hop": "here"}, "next_hop: not an IPv4 or IPv6 address"),
        ({"components": [], "afi": 4}, "afi: 1 for IPv4 or 2 for IPv6"),
        ({"components": [], "afi": True}, "afi: 1 for IPv4 or 2 for IPv6"),
        ({"components": [], "afi": "1"}, "afi: 1 for IPv4 or 2 for IPv6"),
        ({"components": []}, "no prefix tells the family"),
        ({"components": [{"type": 13}, 5]}, "no prefix tells the family"),
        ({"components": 5}, "no prefix tells the family"),
        ({"components": [5], "afi": 1}, r"components\[0\]: an object is expected"),
        ({"components": [], "afi": 1}, "rule 1: a rule needs at least one component"),
        (COMPONENTS | {"afi": 2}, "rule 1: DESTINATION 192.0.2.1/32 is no IPV6 prefix"),
        (COMPONENTS | {"actions": [{"action": "traffic-marking", "dscp": 64}]}, "rule 1: DSCP 64 is over six bits"),
    ],
)
def test_what_is_no_rule_is_told_in_a_line(value: object, words: str) -> None:
    with pytest.raises((TextError, SourceError), match=words) as caught:
        encoded(value)
    assert "\n" not in str(caught.value)


def test_two_that_contradict_each_other_on_the_family() -> None:
    with pytest.raises(TextError, match="--afi says the other family"):
        encoded(COMPONENTS | {"afi": 1}, Encoding(afi=Afi.IPV6))
