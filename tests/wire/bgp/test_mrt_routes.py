from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrt_files as m
from bgp_cases import prefixes
from tidegate.errors import SessionReset
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.mrt_routes import Batch, Form
from tidegate.wire.bgp.prefix import Prefix, encode_prefix
from tidegate.wire.bgp.update import Update, decode_update

V4, V6 = Form(Family.IPV4_UNICAST), Form(Family.IPV6_UNICAST)


def updates(batch: Batch) -> list[Update]:
    return [decode_update(message[19:], each.negotiated) for each in batch.flush() for message in each.messages]


def routes(update: Update) -> list[tuple[Family, str, bytes]]:
    return [
        (group.family, str(destination), group.next_hop)
        for group in update.announced
        for destination in group.destinations
    ]


def one(form: Form, attributes: bytes, nlri: str, path_id: int = 0) -> Update:
    batch = Batch()
    batch.add(form, attributes, m.nlri(nlri), path_id)
    (update,) = updates(batch)
    return update


def test_an_entry_becomes_an_update() -> None:
    update = one(V4, m.PLAIN, "8 0a")
    assert routes(update) == [(Family.IPV4_UNICAST, "10.0.0.0/8", bytes((192, 0, 2, 1)))]
    assert update.problems == ()
    assert update.attributes.as_path is not None
    assert update.attributes.as_path[0].asns == (65002,)


@pytest.mark.parametrize("attributes", [m.ABBREVIATED, m.WHOLE], ids=["next hop alone", "whole MP_REACH_NLRI"])
def test_both_ways_to_write_the_next_hop_are_read(attributes: bytes) -> None:
    update = one(V6, attributes, "32 20010db8")
    assert routes(update) == [(Family.IPV6_UNICAST, "2001:db8::/32", m.HOP6)]
    assert update.problems == ()


def test_a_link_local_next_hop_beside_the_global_one_is_kept() -> None:
    both = m.HOP6 + bytes.fromhex("fe80") + bytes(14)
    update = one(V6, m.ORIGIN + m.PATH + bytes((0x80, 14, 33, 32)) + both, "32 20010db8")
    assert update.announced[0].next_hop == both


def test_attributes_that_only_internal_peers_send_are_kept() -> None:
    assert one(V4, m.PLAIN + bytes.fromhex("400504 000000c8"), "8 0a").attributes.local_pref == 200


def test_flags_that_do_not_suit_are_put_right() -> None:
    update = one(V4, m.ORIGIN + m.PATH + b"\0" + m.HOP[1:] + bytes.fromhex("000504 000000c8"), "8 0a")
    assert update.problems == ()
    assert update.attributes.local_pref == 200


def test_path_identifiers_are_kept() -> None:
    (group,) = one(Form(Family.IPV4_UNICAST, with_path_id=True), m.PLAIN, "8 0a", 7).announced
    assert group.destinations == (Prefix(bytes((10, 0, 0, 0)), 8, 7),)


def test_the_old_format_has_two_octets_an_as_and_as4_path_mends_it() -> None:
    old = m.ORIGIN + bytes.fromhex("400206 0202 fdea 5ba0") + m.HOP
    update = one(Form(Family.IPV4_UNICAST, four_octet_as=False), old + bytes.fromhex("c01106 0201 fa56ea00"), "8 0a")
    assert update.attributes.as_path is not None
    assert [asn for segment in update.attributes.as_path for asn in segment.asns] == [65002, 4_200_000_000]


def test_what_withdraws_has_no_place_in_a_table() -> None:
    update = one(V6, m.ABBREVIATED + bytes.fromhex("800f04 0002 01 00"), "32 20010db8")
    assert update.withdrawn == ()


def test_routes_with_the_same_attributes_go_together() -> None:
    batch = Batch()
    for number in range(2000):
        batch.add(V4, m.PLAIN, encode_prefix(Prefix(bytes((10, number >> 8, number & 255, 0)), 24)))
    batch.add(V4, m.PLAIN + bytes.fromhex("800404 00000001"), m.nlri("8 0b"))
    found = list(batch.flush())
    assert [each.routes for each in found] == [(780, 780, 440, 1)]
    assert list(batch.flush()) == []
    (together,) = found
    decoded = [decode_update(message[19:], together.negotiated) for message in together.messages]
    assert len({route for each in decoded for route in routes(each)}) == 2001


def test_attributes_that_cannot_be_told_apart_are_counted() -> None:
    batch = Batch()
    batch.add(V4, m.PLAIN + b"\x40", m.nlri("8 0a"))
    batch.add(V4, m.PLAIN + bytes.fromhex("80 0e 02 05 00"), m.nlri("8 0a"))
    batch.add(V4, bytes(48_001), m.nlri("8 0a"))
    assert updates(batch) == []
    assert batch.bad == 3


def test_a_batch_says_when_it_is_full() -> None:
    batch = Batch()
    for number in range(100):
        assert not batch.full
        batch.add(V4, number.to_bytes(30_000, "big"), m.nlri("8 0a"))
        if number == 69:
            break
    assert batch.full
    list(batch.flush())
    assert not batch.full


def test_a_route_without_next_hop_is_refused_where_it_is_read() -> None:
    batch = Batch()
    batch.add(V6, m.ORIGIN + m.PATH, m.nlri("32 20010db8"))
    with pytest.raises(SessionReset, match="next hop of 0 octets"):
        updates(batch)


@given(st.sampled_from([V4, V6, Form(Family.IPV4_UNICAST, four_octet_as=False)]), st.binary(max_size=60))
def test_any_attributes_make_an_update_or_are_counted(form: Form, attributes: bytes) -> None:
    batch = Batch()
    batch.add(form, attributes, m.nlri("8 0a"))
    try:
        updates(batch)
    except SessionReset as error:
        assert error.reason  # noqa: PT017 - either is right


@given(st.lists(prefixes(Afi.IPV4), max_size=20), st.lists(prefixes(Afi.IPV6), max_size=20))
def test_no_route_is_lost(four: list[Prefix], six: list[Prefix]) -> None:
    batch = Batch()
    for prefix in four:
        batch.add(V4, m.PLAIN, encode_prefix(prefix))
    for prefix in six:
        batch.add(V6, m.ABBREVIATED, encode_prefix(prefix))
    found = [
        destination for update in updates(batch) for group in update.announced for destination in group.destinations
    ]
    assert found == [*four, *six]
