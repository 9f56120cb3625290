from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import DecodeError
from tidegate.wire.netlink.link import (
    BondInfo,
    BondMember,
    LacpCounters,
    Link,
    LinkFlags,
    LinkGone,
    LinkMessage,
    Stats,
    lacp_body,
    link_body,
    links_body,
    read_lacp,
    read_link,
    read_link_change,
)
from tidegate.wire.netlink.message import Message, attribute, nested, split_messages

RECORDED = Path(__file__).parents[2] / "data" / "netlink" / "bonds.bin"
MAC = bytes.fromhex("d2ad37e743bc")
U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=15)


def recorded() -> list[Message]:
    return list(split_messages(RECORDED.read_bytes()))


def message(kind: int, body: bytes, *attached: bytes) -> Message:
    return Message(kind, 0, 1, 0, body + b"".join(attached))


def link_message(*attached: bytes, family: int = 0, index: int = 7, flags: int = 0, kind: int = 16) -> Message:
    return message(kind, struct.pack("=BxHiII", family, 1, index, flags, 0), *attached)


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def name(text: str) -> bytes:
    return attribute(3, text.encode() + b"\0")


def encoded(link: Link) -> Message:
    """Return what the kernel would say of a link: the slow twin of the reader."""
    info = [attribute(1, link.kind.encode() + b"\0")] if link.kind else []
    if link.bond is not None:
        ad = nested(23, struct.pack("=HHH", 6, 1, link.bond.aggregator) + bytes(2), attribute(5, link.bond.partner))
        told = attribute(26, link.bond.actor_system)
        info.append(nested(2, attribute(1, bytes([link.bond.mode])), told, ad))
    if link.master_kind:
        info.append(attribute(4, link.master_kind.encode() + b"\0"))
    if link.member is not None:
        one = link.member
        ad = b""
        if (one.aggregator, one.actor_state, one.partner_state) != (0, 0, 0):
            ad = attribute(6, struct.pack("=H", one.aggregator)) + attribute(7, bytes([one.actor_state]))
            ad += attribute(8, struct.pack("=H", one.partner_state))
        info.append(nested(5, attribute(1, bytes([not one.active])), attribute(2, bytes([2 * (not one.link_up)])), ad))
    parts = [name(link.name), u32(4, 1500), attribute(1, link.address)]
    parts += [u32(10, link.master)] if link.master else []
    parts += [u32(5, link.lower)] if link.lower else []
    parts += [attribute(16, bytes([link.operstate])), u32(30, link.promiscuity)]
    if link.stats is not None:
        words = [getattr(link.stats, field) for field in Stats.__struct_fields__]
        parts.append(attribute(23, struct.pack("=25Q", *words)))
    parts.append(nested(18, *info))
    return message(16, struct.pack("=BxHiII", 0, link.type, link.index, link.flags, 0), *parts)


STATS = st.lists(U64, min_size=25, max_size=25).map(lambda words: Stats(*words))
OCTET = st.integers(0, 255)
SHORT = st.integers(0, 2**16 - 1)
PLAIN_MEMBERS = st.builds(BondMember, active=st.booleans(), link_up=st.booleans())
LACP_MEMBERS = st.builds(BondMember, st.booleans(), st.booleans(), SHORT, OCTET, SHORT)
BONDS = st.builds(BondInfo, OCTET, st.binary(min_size=6, max_size=6), st.binary(min_size=6, max_size=6), SHORT)


@st.composite
def links(draw: st.DrawFn) -> Link:
    member = draw(st.none() | PLAIN_MEMBERS | LACP_MEMBERS)
    bond = draw(st.none() | BONDS)
    return Link(
        draw(st.integers(1, 2**31 - 1)),
        draw(NAMES),
        draw(SHORT),
        draw(U32),
        draw(st.binary(max_size=32)),
        draw(U32),
        "bond" if member else draw(st.sampled_from(["", "bridge", "team"])),
        draw(U32),
        "bond" if bond else draw(st.sampled_from(["", "vlan", "veth"])),
        draw(OCTET),
        draw(U32),
        draw(st.none() | STATS),
        member,
        bond,
    )


@given(links())
def test_what_the_kernel_says_is_read(link: Link) -> None:
    assert read_link(encoded(link)) == link
    assert read_link_change(encoded(link)) == link


@given(
    st.sampled_from([16, 17, 92]), st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: bytes(16) + rest)
)
def test_any_octets_are_read_or_refused(kind: int, body: bytes) -> None:
    for read in (read_link, read_link_change, read_lacp):
        with contextlib.suppress(DecodeError):
            read(message(kind, body))


def test_recorded_links() -> None:
    found = {link.name: link for one in recorded() if one.type == 16 and (link := read_link(one)) is not None}
    assert [link.index for link in found.values()] == list(range(1, 9))
    pa, bond, vlan = found["pa"], found["bond0"], found["bond0.7"]
    assert (pa.master, pa.master_kind, pa.kind, pa.address) == (4, "bond", "veth", MAC)
    assert pa.member == BondMember(active=True, link_up=True, aggregator=1, actor_state=63, partner_state=63)
    assert pa.lower == 0  # its other end has number 2 in another namespace
    assert pa.stats is not None
    assert (pa.stats.rx_packets, pa.stats.rx_bytes, pa.stats.rx_errors) == (15, 1632, 0)
    assert bond.bond == BondInfo(4, bytes(6), bytes.fromhex("06f2ac4d1ca4"), 1)
    assert (bond.up, bond.running, bond.operstate) == (True, True, 6)
    assert (vlan.lower, vlan.kind, vlan.type) == (4, "vlan", 1)
    assert found["bond1"].bond == BondInfo(1)
    assert (found["d0"].member, found["d1"].member) == (BondMember(active=True), BondMember(active=False))
    assert found["lo"].flags & LinkFlags.LOOPBACK


def test_recorded_lacp() -> None:
    found = [read_lacp(one) for one in recorded() if one.type == LinkMessage.NEWSTATS]
    member, bond = LacpCounters(lacpdu_rx=9, lacpdu_tx=9), LacpCounters(lacpdu_rx=18, lacpdu_tx=18)
    assert found == [None, member, member, bond, None, None, None, None]


def test_every_lacp_counter_has_its_number() -> None:
    counts = nested(1, *(attribute(number, struct.pack("=Q", 10 + number)) for number in range(9)), attribute(9, b""))
    answer = message(92, bytes(12), nested(3, nested(2, counts)))
    assert read_lacp(answer) == LacpCounters(*range(10, 19))


@pytest.mark.parametrize("words", [0, 1, 23, 24, 25, 26, 40])
def test_statistics_of_any_length(words: int) -> None:
    value = struct.pack(f"={words}Q", *range(1, words + 1)) + b"odd"
    link = read_link(link_message(name("x"), attribute(23, value)))
    assert link is not None
    assert link.stats == Stats(*range(1, min(words, 25) + 1))


def test_a_link_of_another_namespace_is_no_lower_link() -> None:
    both = read_link(link_message(name("x"), u32(5, 3), u32(37, 0)))
    here = read_link(link_message(name("x"), u32(5, 3)))
    assert both is not None
    assert here is not None
    assert (both.lower, here.lower) == (0, 3)


def test_the_bridge_side_of_a_port_is_no_link() -> None:
    for kind in (16, 17):
        assert read_link_change(link_message(name("x"), family=7, kind=kind)) is None


def test_news_of_a_wireless_driver_are_no_link() -> None:
    assert read_link(link_message(attribute(11, b"scan"))) is None
    assert read_link_change(link_message(attribute(11, b"scan"), kind=17)) is None


def test_an_interface_goes() -> None:
    assert read_link_change(link_message(name("eth9"), index=9, kind=17)) == LinkGone(9, "eth9")


def test_other_messages_are_no_change() -> None:
    assert read_link_change(message(20, b"")) is None


@pytest.mark.parametrize("read", [read_link, read_lacp])
def test_short_headers(read: object) -> None:
    assert callable(read)
    with pytest.raises(DecodeError, match="truncated interface header"):
        read(message(16, bytes(8)))


def test_requests() -> None:
    assert link_body(5) == struct.pack("=BxHiII", 0, 0, 5, 0, 0)
    assert links_body() == bytes(16)
    assert lacp_body(5) == struct.pack("=BxxxII", 0, 5, 6)
