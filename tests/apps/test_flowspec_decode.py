from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import vectors
from tidegate.apps.flowspec_decode import Remark, Shown, Unicast, decode_flows
from tidegate.control.flow_explain import Explained, Refused
from tidegate.errors import SourceError, TidegateError
from tidegate.wire.bgp.constants import MARKER, Afi
from tidegate.wire.bgp.flowspec import OffsetForm

RULE = "090120c0000201038111"


def decoded(text: str, *actions: str, afi: Afi | None = None) -> list[Shown]:
    return list(decode_flows(text, actions, afi=afi))


@pytest.mark.parametrize("case", vectors("nlri") + vectors("nlri_random") + vectors("tolerated"))
def test_vectors_are_read(case: dict[str, Any]) -> None:
    (found,) = decoded(case["nlri"], afi=Afi(case["afi"]))
    assert isinstance(found, Explained)
    assert found.components == case["components"]


@pytest.mark.parametrize("case", vectors("actions"))
def test_actions_of_the_vectors_are_read(case: dict[str, Any]) -> None:
    meaning = {name: value for name, value in case["meaning"].items() if name != "note"}
    (found,) = decoded(RULE, case["bytes"])
    assert isinstance(found, Explained)
    assert (found.actions, found.communities) == ([meaning], [case["bytes"]])


@pytest.mark.parametrize("case", vectors("malformed"))
def test_malformed_vectors_are_refused(case: dict[str, Any]) -> None:
    assert isinstance(decoded(case["nlri"], afi=Afi(case["afi"]))[-1], Refused)


UPDATES: dict[str, list[tuple[Any, ...]]] = {
    "flow4-drop-withdraw": [("rule", True, [])],
    "flow4-drop": [("rule", False, ["drop"])],
    "flow6-drop": [("rule", False, ["drop"])],
    "flow6-drop-withdraw": [("rule", True, [])],
    "flow4-two-actions-withdraw": [("rule", True, [])],
    "flow4-two-actions": [
        (
            "rule",
            False,
            [
                "sample: matching packets are logged or sampled",
                "at most 125,000 octets/s (1,000,000 bit/s)",
                "go on: the rules after this one are tried as well (T bit set; some tools call that “terminal”)",
            ],
        )
    ],
    "flow4-withdraw-minimal": [("rule", True, [])],
    "rtbh4": [("route", False, "192.0.2.66/32", "192.0.2.254", ["65535:666", "65535:65281"])],
    "rtbh4-withdraw": [("route", True, "192.0.2.66/32", "", [])],
    "rtbh6": [("route", False, "2001:db8::66/128", "100::1", ["65535:666", "65535:65281"])],
    "rtbh6-withdraw": [("route", True, "2001:db8::66/128", "", [])],
    "eor-ipv4-unicast": [("remark", "End-of-RIB of ipv4-unicast: all routes have been sent")],
    "eor-ipv6-unicast": [("remark", "End-of-RIB of ipv6-unicast: all routes have been sent")],
    "eor-ipv4-flow": [("remark", "End-of-RIB of ipv4-flowspec: all routes have been sent")],
    "eor-ipv6-flow": [("remark", "End-of-RIB of ipv6-flowspec: all routes have been sent")],
}


def summary(shown: Shown) -> tuple[Any, ...]:
    match shown:
        case Explained():
            return "rule", shown.withdrawn, shown.does
        case Unicast():
            return "route", shown.withdrawn, shown.prefix, shown.next_hop, shown.communities
        case Remark():
            return "remark", shown.remark
        case Refused():
            return "refused", shown.error


@pytest.mark.parametrize("case", vectors("updates"))
def test_updates_of_the_vectors_are_read(case: dict[str, Any]) -> None:
    assert [summary(shown) for shown in decoded(case["message"])] == UPDATES[case["id"]]


def message(attributes: str, *, kind: int = 2) -> str:
    block = bytes.fromhex(attributes)
    body = bytes(2) + len(block).to_bytes(2, "big") + block
    return (MARKER + (19 + len(body)).to_bytes(2, "big") + bytes((kind,)) + body).hex()


ORIGIN_AND_PATH = "40010100 400200"


def test_malformed_rules_of_an_update_are_told_one_by_one() -> None:
    reach = "800e13 0001 85 00 00 060120c0000237 0603810603 8111"
    found = decoded(message(f"{reach} {ORIGIN_AND_PATH}"))
    assert [summary(shown) for shown in found] == [
        ("rule", False, ["let pass (no action)"]),
        ("refused", "component types do not rise at octet 11"),
    ]


def test_an_update_that_is_treated_as_withdrawn_says_why() -> None:
    found = decoded(message("800e0c 0001 85 00 00 060120c0000237 400200"))
    assert [summary(shown) for shown in found] == [
        ("remark", "origin: missing well-known attribute (the routes are treated as withdrawn)"),
        ("rule", True, []),
    ]


def test_an_attribute_that_is_discarded_is_told() -> None:
    found = decoded(message(f"800e0c 0001 85 00 00 060120c0000237 {ORIGIN_AND_PATH} 400600 c00701 00"))
    assert ("remark", "aggregator: 8 octets expected (discarded)") in [summary(shown) for shown in found]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (MARKER.hex() + "001304", "message 1: it is no UPDATE but KEEPALIVE"),
        (MARKER.hex() + "0020", "message 1: it is cut off after 18 octets"),
        (MARKER.hex() + "001309", "message 1: a receiver would end the session: NOTIFICATION 1/3"),
        (message("800e0400018500"), "message 1: a receiver would end the session: NOTIFICATION 3/9"),
        ("", "octets: two hexadecimal digits an octet"),
        ("abc", "octets: two hexadecimal digits an octet"),
        ("0120xx", "octets: hexadecimal digits are expected"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_line(text: str, words: str) -> None:
    with pytest.raises(TidegateError, match=words):
        decoded(text)


def test_several_messages_one_after_the_other() -> None:
    twice = message(f"800e0c 0001 85 00 00 060120c0000237 {ORIGIN_AND_PATH}") * 2
    assert len(decoded(twice)) == 2


def test_communities_are_checked_and_a_message_has_its_own() -> None:
    with pytest.raises(TidegateError, match="--community: 8 or 20 octets"):
        decoded(RULE, "8006")
    with pytest.raises(SourceError, match="a whole message has its own"):
        decoded(MARKER.hex() + "001304", "8006000000000000")


@pytest.mark.parametrize("text", ["0x05 01 18 c0:00:02", "050118C00002", "05\n0118\tc00002"])
def test_octets_may_be_spaced(text: str) -> None:
    (found,) = decoded(text)
    assert isinstance(found, Explained)
    assert found.matches == ["to 192.0.2.0/24"]


def test_the_family_is_guessed_where_one_fits() -> None:
    (four,) = decoded("050118c00002")
    (six,) = decoded("07012000 20010db8")
    (either,) = decoded("03038111")
    assert isinstance(four, Explained)
    assert isinstance(six, Explained)
    assert isinstance(either, Explained)
    assert (four.afi, six.afi, either.afi) == (1, 2, 1)
    note = "it can be read as a rule of the other family, too: --afi says which it is"
    assert note in either.notes
    assert note not in four.notes
    assert note not in [note for shown in decoded("03038111", afi=Afi.IPV4) for note in shown.notes]  # type: ignore[union-attr]


def test_the_form_of_offsets_is_given() -> None:
    (found,) = decode_flows("100168410000000000000000123456789a", offsets=OffsetForm.WHOLE)
    assert isinstance(found, Explained)
    assert found.components[0]["prefix"] == "::1234:5678:9a00:0/104"
    update = message(f"800e0e 0002 85 00 00 08016841123456789a {ORIGIN_AND_PATH}")
    (found,) = decode_flows(update, offsets=OffsetForm.OCTETS)
    assert isinstance(found, Explained)
    assert found.components[0]["prefix"] == "::1234:5678:9a00:0/104"


@given(st.binary(min_size=1, max_size=80), st.booleans(), st.sampled_from(OffsetForm))
def test_any_octets_are_told_or_an_error_of_ours(octets: bytes, whole: bool, offsets: OffsetForm) -> None:  # noqa: FBT001
    head = MARKER + (23 + len(octets)).to_bytes(2, "big") + bytes((2, 0, 0)) + len(octets).to_bytes(2, "big")
    with suppress(TidegateError):
        assert list(decode_flows((head * whole + octets).hex(), offsets=offsets)) is not None
