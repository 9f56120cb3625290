"""Samples into datagrams: what goes in comes out, in time, in order and in size."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.datagrams import DatagramForm, Datagrams
from tidegate.data.block import Block
from tidegate.data.sampled import Row
from tidegate.errors import EncodeError
from tidegate.kernel import compile_kernels
from tidegate.wire.sflow import pack
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.pack import Pick
from tidegate.wire.sflow.samples import CountersSample, Datagram, DataSource, FlowSample, UnknownRecord

MS = 1_000_000
FORM = DatagramForm(agent_address=bytes([192, 0, 2, 1]), sub_agent=7)
START_NS = 5_000 * MS


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(pack.KERNELS))


def datagrams(**changes: object) -> Datagrams:
    return Datagrams(msgspec.structs.replace(FORM, **changes), started_ns=START_NS)


def add_flows(one: Datagrams, numbers: Iterable[int], now_ns: int = START_NS, *, octets: int = 60) -> None:
    """Add flow samples with these sequence numbers."""
    told = list(numbers)
    rows = np.full((1, len(Row)), -1, np.int64)
    rows[0, [Row.DATA, Row.DATA_LENGTH, Row.MAC_LENGTH]] = 0, octets, 0
    picks = np.zeros((len(told), len(Pick)), np.int64)
    picks[:, Pick.SEQUENCE], picks[:, Pick.RATE], picks[:, Pick.PROTOCOL] = told, 1, 1
    one.add_flows(np.zeros(octets, np.uint8), rows, picks, now_ns)


def ready(number: int, octets: int = 100) -> bytes:
    """Return a sample of so many octets that is octets already."""
    filler = UnknownRecord(9, 9, bytes(octets - 28))
    sample = encode_sample(CountersSample(sequence_number=number, source_id=DataSource(0, 1), records=(filler,)))
    assert len(sample) == octets
    return sample


def payloads(blocks: Iterable[Block]) -> list[bytes]:
    return [
        block.data[start : start + length].tobytes()
        for block in blocks
        for start, length in zip(block.offset.tolist(), block.length.tolist(), strict=True)
    ]


def decoded(blocks: Iterable[Block]) -> list[Datagram]:
    found = [decode_datagram(payload) for payload in payloads(blocks)]
    assert all(datagram.notes == () for datagram in found)
    return found


def numbers(found: Iterable[Datagram]) -> list[int]:
    samples = [sample for datagram in found for sample in datagram.samples]
    return [sample.sequence_number for sample in samples if isinstance(sample, FlowSample | CountersSample)]


def test_nothing_waits_at_first() -> None:
    one = datagrams()
    assert one.deadline() is None
    assert one.take(START_NS, all_of_them=True) == []
    add_flows(one, [])
    assert one.deadline() is None


def test_a_datagram_tells_who_sends_it() -> None:
    for address in (bytes([192, 0, 2, 1]), bytes(15) + b"\1"):
        one = datagrams(agent_address=address)
        one.add(ready(1), START_NS)
        (found,) = decoded(one.take(START_NS + 1234 * MS))
        assert (found.agent_address, found.sub_agent_id) == (address, 7)
        assert (found.sequence_number, found.uptime) == (1, 1234)


def test_a_sample_waits_for_the_delay_and_no_longer() -> None:
    one = datagrams(delay_ns=100 * MS)
    add_flows(one, [1], START_NS + 5 * MS)
    one.add(ready(2), START_NS + 50 * MS)
    add_flows(one, [3], START_NS + 90 * MS)
    assert one.deadline() == START_NS + 105 * MS
    assert one.take(START_NS + 105 * MS - 1) == []
    assert numbers(decoded(one.take(START_NS + 105 * MS))) == [1, 2, 3]
    assert one.deadline() is None
    add_flows(one, [4], START_NS + 200 * MS)
    assert one.deadline() == START_NS + 300 * MS


def test_full_datagrams_do_not_wait_for_the_open_one() -> None:
    for fill in (
        lambda one, number, at: add_flows(one, [number], at),
        lambda one, number, at: one.add(ready(number), at),
    ):
        one = datagrams(datagram_octets=512, delay_ns=100 * MS)
        for number in range(8):  # three or four a datagram
            fill(one, number, START_NS + number * 10 * MS)
        assert one.deadline() == START_NS + 100 * MS
        first = decoded(one.take(START_NS + 80 * MS))
        assert 0 < len(numbers(first)) < 8
        opened = len(numbers(first))
        assert one.deadline() == START_NS + opened * 10 * MS + 100 * MS  # that of the open one
        assert numbers(first + decoded(one.take(START_NS + 1000 * MS))) == list(range(8))


def test_all_of_them_may_be_wanted_before_the_deadline() -> None:
    one = datagrams()
    add_flows(one, [1])
    assert numbers(decoded(one.take(START_NS, all_of_them=True))) == [1]


def test_a_datagram_is_filled_to_its_last_octet() -> None:
    room = 512 - 28
    for second, wanted in ((room - 200, 1), (room - 196, 2)):
        one = datagrams(datagram_octets=512)
        assert one.room == room
        one.add(ready(1, 200), START_NS)
        one.add(ready(2, second), START_NS)
        found = payloads(one.take(START_NS, all_of_them=True))
        assert [len(payload) for payload in found] == ([512] if wanted == 1 else [228, 28 + second])


def test_a_sample_that_no_datagram_has_room_for_is_refused() -> None:
    one = datagrams(datagram_octets=512)
    with pytest.raises(EncodeError, match="a sample of 488 octets, where a datagram has room for 484"):
        one.add(ready(1, 488), START_NS)
    assert one.deadline() is None
    one.add(ready(1, 484), START_NS)
    assert numbers(decoded(one.take(START_NS, all_of_them=True))) == [1]


def test_more_datagrams_than_there_are_slots() -> None:
    one = datagrams(datagram_octets=512, header_octets=400)
    add_flows(one, range(1000), octets=400)
    for number in range(1000, 1200):
        one.add(ready(number, 480), START_NS)
    add_flows(one, range(1200, 1500), octets=400)
    found = decoded(one.take(START_NS, all_of_them=True))
    assert numbers(found) == list(range(1500))
    assert [datagram.sequence_number for datagram in found] == list(range(1, 1501))
    assert (one.samples, one.sequence) == (1500, 1500)


def test_uptime_and_sequence_numbers_have_32_bits() -> None:
    one = datagrams()
    one.sequence = (1 << 32) - 2
    for _ in range(3):
        one.add(ready(1), START_NS)
        one.take(START_NS, all_of_them=True)
    one.sequence = (1 << 32) - 2
    found = []
    for step in range(3):
        one.add(ready(1), START_NS)
        found += decoded(one.take(START_NS + ((1 << 32) - 1 + step) * MS))
    assert [datagram.sequence_number for datagram in found] == [(1 << 32) - 1, 0, 1]
    assert [datagram.uptime for datagram in found] == [(1 << 32) - 1, 0, 1]


def test_another_form_loses_nothing() -> None:
    one = datagrams(datagram_octets=512, delay_ns=100 * MS)
    add_flows(one, range(10))
    wider = msgspec.structs.replace(FORM, agent_address=bytes(16), expanded=True, datagram_octets=1400)
    one.set_form(wider, START_NS + 3 * MS)
    assert one.deadline() == START_NS + 100 * MS  # by the new form
    add_flows(one, range(10, 12), START_NS + 50 * MS)
    found = decoded(one.take(START_NS + 100 * MS))
    assert numbers(found) == list(range(12))
    flows = [sample for datagram in found for sample in datagram.samples if isinstance(sample, FlowSample)]
    assert [sample.expanded for sample in flows] == [False] * 10 + [True] * 2
    assert [len(datagram.agent_address) for datagram in found] == [4] * (len(found) - 1) + [16]
    assert [datagram.sequence_number for datagram in found] == list(range(1, len(found) + 1))


class Flows(msgspec.Struct, frozen=True):
    count: int
    octets: int


class Ready(msgspec.Struct, frozen=True):
    octets: int


class Form(msgspec.Struct, frozen=True):
    octets: int
    address: int


Step = Flows | Ready | Form | None  # None: somebody takes what is full
FLOWS = st.builds(Flows, st.integers(0, 200), st.integers(0, 200))
READY = st.builds(lambda words: Ready(4 * words), st.integers(8, 110))
STEPS = st.lists(
    st.tuples(
        st.integers(0, 120),
        FLOWS | READY | st.none() | st.builds(Form, st.integers(512, 1500), st.sampled_from([4, 16])),
    ),
    max_size=30,
)


@given(STEPS)
def test_what_goes_in_comes_out(steps: list[tuple[int, Step]]) -> None:
    one = datagrams(delay_ns=100 * MS)
    now_ns, given_in = START_NS, 0
    came: list[int] = []  # when each sample came, by its number
    found: list[Datagram] = []

    def take(at_ns: int) -> None:
        taken = one.take(at_ns)
        for payload in payloads(taken):
            assert len(payload) <= limit
        new = decoded(taken)
        assert all(datagram.uptime == (at_ns - START_NS) // MS or datagram.uptime in switched for datagram in new)
        for number in numbers(new):
            assert at_ns - came[number] <= 100 * MS
        found.extend(new)

    limit = 1500
    switched: set[int] = set()
    for passed, step in [*steps, (1000, None)]:
        while (due := one.deadline()) is not None and due <= now_ns + passed * MS:
            take(max(due, now_ns))
        now_ns += passed * MS
        match step:
            case Flows():
                add_flows(one, range(given_in, given_in + step.count), now_ns, octets=step.octets)
                given_in += step.count
                came += [now_ns] * step.count
                switched.add((now_ns - START_NS) // MS)  # when slots were full
            case Ready():
                one.add(ready(given_in, step.octets), now_ns)
                given_in += 1
                came.append(now_ns)
                switched.add((now_ns - START_NS) // MS)
            case Form():
                address = bytes(step.address)
                form = msgspec.structs.replace(one.form, datagram_octets=step.octets, agent_address=address)
                one.set_form(form, now_ns)
                switched.add((now_ns - START_NS) // MS)
            case None:
                take(now_ns)
    assert one.deadline() is None
    assert numbers(found) == list(range(given_in))
    assert one.samples == given_in
    assert [datagram.sequence_number for datagram in found] == list(range(1, len(found) + 1))
    assert all(datagram.samples for datagram in found)
