"""The column kernels say of every sample what the readable decoder says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import captures
import packets as p
import strategies
from tidegate.data.block import block_of
from tidegate.data.fields import FieldRef
from tidegate.data.names import Layer
from tidegate.kernel import compile_kernels
from tidegate.wire.sflow import columns
from tidegate.wire.sflow.columns import Decoder
from tidegate.wire.sflow.encode import encode_datagram
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.samples import Datagram, DataSource, FlowSample, InterfaceWord
from twins import SEED, block_with_gaps, differences

# words that mean something somewhere: counts, lengths, record numbers, address types
TELLING = (0, 1, 2, 3, 4, 5, 6, 17, 255, 1001, 1002, 1003, 1016, 2201, 2206, 4097, 0x3FFFFFFF, 1 << 31, (1 << 32) - 1)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(columns.KERNELS))


def datagram_of(*headers: bytes, protocol: int = 1) -> bytes:
    """A datagram with one flow sample a header."""
    samples = tuple(
        FlowSample(
            number, DataSource(0, 1), 10, 20, 0, InterfaceWord(0, 1), InterfaceWord(0, 2),
            (SampledHeader(protocol, len(header), 0, header),),
        )
        for number, header in enumerate(headers)
    )  # fmt: skip
    return encode_datagram(Datagram(bytes(4), 0, 1, 1, samples))


@pytest.mark.parametrize("name", captures.names())
def test_captures(name: str) -> None:
    payloads = captures.datagrams(name)[:100]
    assert differences(payloads) == []


@pytest.mark.parametrize("name", captures.names())
def test_a_captured_datagram_cut_at_each_octet(name: str) -> None:
    payload = captures.datagrams(name)[0][:800]
    step = 1 if len(payload) < 300 else 7
    assert differences([payload[:end] for end in range(0, len(payload), step)]) == []


@given(st.lists(strategies.datagrams().map(encode_datagram), max_size=4))
def test_drawn_datagrams(payloads: list[bytes]) -> None:
    assert differences(payloads) == []


@given(st.lists(strategies.damaged(strategies.datagrams().map(encode_datagram)), max_size=4))
def test_damaged_datagrams(payloads: list[bytes]) -> None:
    assert differences(payloads) == []


@given(st.lists(strategies.damaged(strategies.captured()), max_size=6))
def test_damaged_captures(payloads: list[bytes]) -> None:
    assert differences(payloads) == []


@given(strategies.captured(), st.data())
def test_captures_with_other_words(payload: bytes, data: st.DataObject) -> None:
    words = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(words) // 4)) * 4
        word = data.draw(st.sampled_from(TELLING) | st.integers(0, (1 << 32) - 1)).to_bytes(4, "big")
        words[place : place + 4 * data.draw(st.integers(0, 1))] = word
    assert differences([bytes(words)]) == []


@given(strategies.captured(), strategies.captured(), st.data())
def test_captures_spliced_into_each_other(first: bytes, second: bytes, data: st.DataObject) -> None:
    cut, start = data.draw(st.integers(0, len(first) // 4)) * 4, data.draw(st.integers(0, len(second) // 4)) * 4
    assert differences([first[:cut] + second[start:] + first[cut:]]) == []


@given(st.lists(strategies.headers(), min_size=1, max_size=6), st.sampled_from([1, 1, 1, 7, 11, 13, 14, 0, 99]))
def test_sampled_headers(headers: list[bytes], protocol: int) -> None:
    assert differences([datagram_of(*headers, protocol=protocol)]) == []


INNER = p.ip(6, p.tcp())
CHAIN = p.extension(60) * 6 + p.extension(17, p.udp())
DEEP: dict[str, bytes] = {
    "tags": p.tagged(b"".join(p.vlan(number, b"", 0x8100)[:4] for number in range(1, 20)) + p.vlan(7, INNER)),
    "labels": p.eth(p.mpls(list(range(16, 40)), INNER), 0x8847),
    "a stack of labels that does not end": p.eth(bytes(400), 0x8847),
    "IP in IP": p.eth(p.ip(4, p.ip(4, p.ip(4, p.ip(4, p.ip(4, p.ip(4, p.ip(4, INNER)))))))),
    "AH in AH": p.eth(p.ip(51, bytes([51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) * 20)),
    "extension headers": p.eth(p.ip6(0, bytes(8 * 30)), 0x86DD),
    "fragment headers": p.eth(p.ip6(44, p.fragment(44) * 8 + p.fragment(17, p.udp())), 0x86DD),
    "the deepest chain": p.eth(p.ip6(60, CHAIN), 0x86DD),
    "a chain inside a plain packet": p.eth(p.ip6(41, p.ip6(60, p.extension(44, p.fragment(58, p.icmp(128))))), 0x86DD),
    "a key behind none": p.eth(p.ip(47, p.gre(0x0800, p.ip(47, p.gre(0x6558, p.eth(INNER), key=1 << 8))))),
    "control word": p.eth(p.mpls([16], b"\0\0\0\0" + p.eth(p.mpls([17], b"\0\0\0\0" + p.eth(INNER)), 0x8847)), 0x8847),
    "bridged type straight behind Ethernet": p.eth(p.eth(INNER), 0x6558),
    "a name of many labels": p.eth(p.ip(17, p.udp(9, 53, p.dns(b"\1a" * 126 + b"\0")))),
    "a name too long": p.eth(p.ip(17, p.udp(9, 53, p.dns(b"\1a" * 128 + b"\0")))),
    "the root": p.eth(p.ip(17, p.udp(9, 53, p.dns(b"\0")))),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_headers_cut_at_each_octet(name: str) -> None:
    header = DEEP[name]
    assert differences([datagram_of(*(header[:end] for end in range(len(header) + 1)))]) == []


def test_deep_headers_reach_what_they_are_meant_to() -> None:
    decoder = Decoder()
    from_names = {name: _stack(decoder, header) for name, header in DEEP.items()}
    assert from_names["tags"] == [Layer.ETH, *[Layer.VLAN] * 11]
    assert from_names["IP in IP"] == [Layer.ETH, *[Layer.IP] * 8, Layer.TCP]
    assert from_names["AH in AH"] == [Layer.ETH, Layer.IP, *[Layer.AH] * 10]
    assert from_names["the deepest chain"] == [Layer.ETH, Layer.IP6, Layer.UDP]


def _stack(decoder: Decoder, header: bytes) -> list[Layer]:
    block = block_of([datagram_of(header)], [0])
    word = int(decoder.decode(block, [FieldRef("stack")]).flows.columns[FieldRef("stack")].words[0, 0])
    return [Layer(code) for shift in range(0, 60, 5) if (code := word >> shift & 31)]


@given(st.lists(strategies.damaged(strategies.captured()), max_size=6), st.integers(1, 9))
def test_datagrams_at_any_place_of_a_block(payloads: list[bytes], gap: int) -> None:
    assert differences(payloads, block_with_gaps(payloads, gap)) == []


def test_one_decoder_block_after_block() -> None:
    decoder = Decoder(seed=SEED)
    for name in (*captures.names(), *reversed(captures.names())):
        assert differences(captures.datagrams(name)[:5], decoder=decoder) == [], name
