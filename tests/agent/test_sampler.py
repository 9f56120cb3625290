"""The sampler beside one of dictionaries, and each of its rules by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naive_sampler import Booked, NaiveSampler, Packet, packed_rows
from tidegate.agent import sampling_kernels
from tidegate.agent.sampler import KnownInterface, Sampler
from tidegate.agent.sampling_kernels import GroupDirection
from tidegate.data.sampled import Row
from tidegate.kernel import compile_kernels
from tidegate.wire.sflow.pack import Pick

WORD = 0xFFFFFFFF
SECOND = 1_000_000_000
PLENTY = 1 << 40  # samples a second


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(sampling_kernels.KERNELS))


def sampler(*known: int | KnownInterface, seed: int = 7, most_samples: int = PLENTY, rate_untold: int = 1) -> Sampler:
    one = Sampler(seed=seed, most_samples=most_samples, rate_untold=rate_untold)
    one.set_interfaces(
        [each if isinstance(each, KnownInterface) else KnownInterface(each, f"e{each}") for each in known]
    )
    return one


def picks(one: Sampler, packets: Sequence[Packet], now_ns: int = 0, *, times: int = 1) -> list[dict[str, int]]:
    """Return the samples that packets become, by the names of `Pick`."""
    data, rows = packed_rows(packets)
    rows = np.tile(rows, (times, 1))
    found = one.step(data, rows, len(rows), now_ns)
    return [{column.name.lower(): int(row[column]) for column in Pick} for row in found]


def numbered(*numbers: int, group: int = 1, taken_in: int = 3) -> list[Packet]:
    return [Packet(group=group, sequence=number, input=taken_in) for number in numbers]


def drops(one: Sampler, packets: Sequence[Packet]) -> list[int]:
    return [pick["drops"] for pick in picks(one, packets)]


# The twin.

INDEXES = [1, 3, 7, 4464, 70000, 65536 + 7, (1 << 24) - 1, (1 << 24) + 3, (1 << 31) - 1]
NUMBERS = st.integers(0, 200) | st.sampled_from([WORD, WORD - 1, WORD - 40, 1 << 31, (1 << 31) - 1, 5000])
TOLD = st.none() | st.just(0) | st.sampled_from(INDEXES) | st.integers(0, WORD) | st.just((1 << 63) - 1)
STARTS = [
    bytes([0x45]) + bytes(30),
    bytes([0x60]) + bytes(30),
    bytes(12) + b"\x08\0\x45" + bytes(20),
    b"",
    b"\x45" * 13,
]


def packets() -> st.SearchStrategy[Packet]:
    return st.builds(
        Packet,
        group=st.integers(0, 4), sequence=st.none() | NUMBERS, input=TOLD, output=TOLD, narrow=st.integers(0, 3),
        egress=st.sampled_from([None, 0, 1]), rate=st.sampled_from([0, 1, 400, WORD]),
        length=st.integers(0, 2000) | st.sampled_from([WORD, WORD - 3]),
        protocol=st.sampled_from([None, 0x0800, 0x86DD, 0x8847, 0x88B5]), tag=st.none() | st.integers(0, WORD),
        data=st.sampled_from(STARTS), layer=st.sampled_from([None, None, 2, 3]),
    )  # fmt: skip


Interfaces = dict[int, tuple[str, int]]  # name and layer by ifIndex


def interfaces() -> st.SearchStrategy[Interfaces]:
    about = st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0, 2, 3]))
    return st.dictionaries(st.sampled_from(INDEXES), about, max_size=len(INDEXES))


Step = list[Packet] | Interfaces | dict[int, GroupDirection] | tuple[int, int]


def steps() -> st.SearchStrategy[list[Step]]:
    directions = st.dictionaries(st.integers(0, 4), st.sampled_from([*GroupDirection]))
    charges = st.tuples(st.integers(0, 4), st.integers(0, 1000))
    batches: st.SearchStrategy[Step] = st.lists(packets(), max_size=10)
    return st.lists(batches | batches | interfaces() | charges | directions.filter(bool), max_size=12)


@given(steps())
def test_samples_are_those_of_the_twin(taken: list[Step]) -> None:
    one, twin = sampler(rate_untold=9), NaiveSampler(rate_untold=9)
    names: dict[int, str] = {}
    sequences: Counter[tuple[int, str]] = Counter()
    for step in taken:
        match step:
            case tuple():
                one.charge(*step)
                twin.charge(*step)
            case dict() if all(isinstance(value, GroupDirection) for value in step.values()) and step:
                told = {group: value for group, value in step.items() if isinstance(value, GroupDirection)}
                one.set_groups(told)
                twin.directions = told
            case dict():
                about = {index: value for index, value in step.items() if isinstance(value, tuple)}
                change_interfaces(one, twin, names, about)
                gone = [key for key in sequences if key[0] and key[1] != names.get(key[0])]
                for key in gone:
                    del sequences[key]
            case _:
                compare(one, twin, step, names, sequences)


def change_interfaces(one: Sampler, twin: NaiveSampler, names: dict[int, str], about: Interfaces) -> None:
    one.set_interfaces([KnownInterface(index, name, layer) for index, (name, layer) in about.items()])
    renamed = [index for index, (name, _) in about.items() if names.get(index, name) != name]
    twin.set_interfaces({index: layer for index, (_, layer) in about.items()}, renamed=renamed)
    names.clear()
    names.update({index: name for index, (name, _) in about.items()})


def compare(
    one: Sampler, twin: NaiveSampler, batch: list[Packet], names: dict[int, str], sequences: Counter[tuple[int, str]]
) -> None:
    booked = [(row, twin.book(packet)) for row, packet in enumerate(batch)]
    wanted = []
    for row, told in booked:
        if told is not None:
            key = told.source, names.get(told.source, "")
            sequences[key] += 1
            wanted.append(as_pick(row, told, sequences[key]))
    assert picks(one, batch) == wanted


def as_pick(row: int, told: Booked, sequence: int, stands_for: int = 1) -> dict[str, int]:
    return {
        "row": row, "source_type": 0, "source": told.source, "sequence": sequence, "rate": told.rate * stands_for,
        "pool": told.pool, "drops": told.drops, "input": told.input, "output": told.output, "egress": told.egress,
        "protocol": told.protocol, "frame": told.frame, "stripped": told.stripped,
    }  # fmt: skip


@given(st.lists(packets(), min_size=1, max_size=60), st.integers(2, 9), st.integers(0, 1 << 62))
def test_sub_sampling_leaves_packets_out_and_nothing_of_the_books(batch: list[Packet], least: int, seed: int) -> None:
    batch = [Packet(group=one.group, sequence=one.sequence, input=one.input, output=one.output) for one in batch]
    known = [KnownInterface(index, "", least=least) for index in INDEXES]
    one, twin = sampler(*known, seed=seed), NaiveSampler()
    twin.set_interfaces(dict.fromkeys(INDEXES, 0))
    booked = [twin.book(packet) for packet in batch]
    sequences: Counter[int] = Counter()
    skipped: Counter[int] = Counter()
    found = {pick["row"]: pick for pick in picks(one, batch)}
    for row, told in enumerate(booked):
        assert told is not None
        stands_for = least if told.source else 1  # nothing is known of what 0:0 is to stand for
        skipped[told.source] += 1
        if row in found:
            sequences[told.source] += 1
            assert found[row] == as_pick(row, told, sequences[told.source], stands_for)
            skipped[told.source] = 0
        assert skipped[told.source] < 2 * stands_for - 1 or stands_for == 1
    assert one.statistics()["shed"] == len(batch) - len(found)


# Numbers of groups.


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ([0, 1, 2], [0, 0, 0]),
        ([5, 6], [0, 0]),  # what was before the first is nobody's
        ([0, 2], [0, 1]),  # a last number of 0 is one
        ([0, 1, 5, 6], [0, 0, 3, 3]),
        ([WORD - 1, WORD, 0, 1], [0, 0, 0, 0]),
        ([WORD - 1, 2], [0, 3]),
        ([WORD, 1], [0, 1]),
        ([7, 7, 7, 8], [0, 0, 0, 0]),
        ([0, WORD, 1], [0, 0, 0]),  # a reversal over the wrap
        ([10, 12, 11, 13, 15], [0, 1, 1, 1, 1]),  # what came late is taken off the next gap
        ([10, 12, 11, 13, 16], [0, 1, 1, 1, 2]),
        ([10, 14, 11, 12, 13, 15, 17, 20], [0, 3, 3, 3, 3, 3, 3, 3]),
        ([1000, 936, 1001], [0, 0, 0]),  # 64 behind: late
        ([1000, 935, 936, 938], [0, 0, 0, 1]),  # 65 behind: a new start
        ([100_000, 0, 1, 2], [0, 0, 0, 0]),
        ([7, 8, 0, 1, 3, 10], [0, 0, 0, 0, 1, 7]),  # a group that was made anew
        ([0, 1 << 31, (1 << 31) + 1], [0, 0, 0]),  # as far behind as ahead
        ([0, (1 << 31) - 1], [0, (1 << 31) - 2]),
    ],
)
def test_gaps_in_numbers_are_drops(numbers: list[int], wanted: list[int]) -> None:
    assert drops(sampler(3), numbered(*numbers)) == wanted


def test_numbers_go_on_from_batch_to_batch() -> None:
    one = sampler(3)
    assert [drops(one, numbered(number)) for number in (1, 2, 5, 6)] == [[0], [0], [2], [2]]


def test_numbers_that_start_anew_after_a_restart_are_neither_late_nor_lost() -> None:
    one = sampler(3)
    assert drops(one, numbered(1000, 1002, 1001)) == [0, 1, 1]  # one is late
    one.forget_numbers()
    assert drops(one, numbered(950, 951, 953)) == [1, 1, 2]  # 52 behind; the credit of before is gone, too
    one.forget_numbers()
    assert drops(one, numbered(5000, 5001)) == [2, 2]
    assert one.statistics()["lost"] == 2


def test_what_was_lost_and_not_told_yet_outlives_a_restart() -> None:
    one = sampler(3)
    assert drops(one, numbered(1)) == [0]
    one.charge(1, 5)
    one.forget_numbers()
    assert drops(one, numbered(0, 1)) == [5, 5]


def test_numbers_of_all_groups_are_forgotten_at_a_restart() -> None:
    one = sampler(3, 4)
    picks(one, [*numbered(40, group=1), *numbered(60, group=2, taken_in=4)])
    one.forget_numbers()
    found = picks(one, [*numbered(0, 2, group=1), *numbered(0, 1, group=2, taken_in=4)])
    assert [(pick["source"], pick["drops"]) for pick in found] == [(3, 0), (3, 1), (4, 0), (4, 0)]


def test_packets_without_numbers_lose_nothing() -> None:
    one = sampler(3)
    assert drops(one, [Packet(input=3, sequence=number) for number in (1, None, None, 2, 4)]) == [0, 0, 0, 0, 1]


def test_groups_are_numbered_apart() -> None:
    one = sampler(3, 4)
    batch = [*numbered(0, group=1, taken_in=3), *numbered(0, 3, group=2, taken_in=4), *numbered(1, group=1, taken_in=3)]
    assert [(pick["source"], pick["drops"]) for pick in picks(one, batch)] == [(3, 0), (4, 0), (4, 2), (3, 0)]
    assert one.statistics()["lost"] == 2


def test_drops_are_charged_to_the_source_of_the_next_packet_once() -> None:
    one = sampler(3, 4)
    batch = [*numbered(0, taken_in=3), *numbered(5, taken_in=4), *numbered(6, taken_in=3)]
    assert [(pick["source"], pick["drops"]) for pick in picks(one, batch)] == [(3, 0), (4, 4), (3, 0)]


def test_drops_and_pool_are_charged_where_the_interface_is_unknown() -> None:
    one = sampler(3)
    batch = [Packet(sequence=0, input=3, rate=10), Packet(sequence=3, input=99, rate=10)]
    second = picks(one, batch)[1]
    assert (second["source_type"], second["source"], second["input"]) == (0, 0, 0)
    assert (second["drops"], second["pool"], second["sequence"]) == (2, 30, 1)
    assert one.statistics()["unknown_interface"] == 1


def test_the_pool_counts_what_was_lost() -> None:
    one = sampler(3)
    found = picks(one, [Packet(sequence=0, input=3, rate=100), Packet(sequence=3, input=3, rate=100)])
    assert [pick["pool"] for pick in found] == [100, 400]


def test_pool_and_drops_wrap_at_32_bits() -> None:
    one = sampler(3)
    found = picks(one, [Packet(input=3, rate=WORD), Packet(input=3, rate=WORD), Packet(input=3, rate=WORD)])
    assert [pick["pool"] for pick in found] == [WORD, WORD - 1, WORD - 2]
    one.charge(1, WORD)
    one.charge(1, 3)
    assert picks(one, [Packet(input=3)])[0]["drops"] == 2


def test_what_a_socket_lost_is_charged_with_the_groups_next_packet() -> None:
    one = sampler(3)
    one.charge(5, 7)
    assert drops(one, [Packet(group=4, input=3), Packet(group=5, input=3), Packet(group=5, input=3)]) == [0, 7, 7]
    assert one.statistics()["lost"] == 7


# Interfaces.


def test_16_bits_of_a_number_are_enough_where_one_interface_has_them() -> None:
    one = sampler(3, 70000, 65536 + 7, 2 * 65536 + 7)
    batch = [Packet(input=low, narrow=1) for low in (4464, 3, 7, 9)]
    assert [pick["input"] for pick in picks(one, batch)] == [70000, 3, 0, 0]  # 7 is of two, 9 of none
    assert [pick["input"] for pick in picks(one, [Packet(input=4464), Packet(input=70000)])] == [0, 70000]


def test_each_of_the_two_numbers_is_narrow_by_itself() -> None:
    """A whole number beside a narrow one is not looked up by its low half."""
    one = sampler(4464, 5)
    (pick,) = picks(one, [Packet(input=70000, output=5, narrow=2)])
    assert (pick["input"], pick["output"]) == (0, 5)
    (pick,) = picks(one, [Packet(input=5, output=70000, narrow=1)])
    assert (pick["input"], pick["output"]) == (5, 0)


def test_a_group_tells_the_direction_else_the_packet_does() -> None:
    one = sampler(3, 4)
    one.set_groups({1: GroupDirection.INGRESS, 2: GroupDirection.EGRESS})
    told = ((1, 1), (2, 0), (5, None), (5, 0), (5, 1))
    batch = [Packet(group=group, egress=egress, input=3, output=4) for group, egress in told]
    assert [pick["source"] for pick in picks(one, batch)] == [3, 4, 4, 3, 4]
    batch = [Packet(group=5, input=3), Packet(group=5, output=4), Packet(group=5, input=3, output=0)]
    assert [(pick["source"], pick["egress"]) for pick in picks(one, batch)] == [(3, 0), (4, 1), (3, 0)]


def test_where_only_one_interface_is_known_it_is_the_source() -> None:
    one = sampler(3)
    one.set_groups({1: GroupDirection.INGRESS, 2: GroupDirection.EGRESS})
    batch = [Packet(group=1, output=3), Packet(group=2, input=3), Packet(group=1, input=9, output=9)]
    assert [pick["source"] for pick in picks(one, batch)] == [3, 3, 0]


def test_ignored_groups_give_nothing_and_lose_nothing() -> None:
    one = sampler(3)
    assert drops(one, numbered(0)) == [0]
    one.set_groups({1: GroupDirection.IGNORED})
    assert picks(one, numbered(1, 2, 3)) == []
    assert one.statistics()["ignored"] == 3
    one.set_groups({})
    assert drops(one, numbered(4, 6)) == [0, 1]


def test_interfaces_that_go_and_come_back() -> None:
    one = sampler(3, 4)
    assert [pick["sequence"] for pick in picks(one, numbered(0, 1, taken_in=3))] == [1, 2]
    one.set_interfaces([KnownInterface(4, "e4"), KnownInterface(3, "e3")])
    assert picks(one, numbered(2))[0]["sequence"] == 3  # still there
    one.set_interfaces([KnownInterface(3, "other"), KnownInterface(4, "e4")])
    (pick,) = picks(one, numbered(3))
    assert (pick["sequence"], pick["pool"]) == (1, 1)  # another interface with this number
    one.set_interfaces([KnownInterface(4, "e4")])
    assert picks(one, numbered(4))[0]["source"] == 0
    one.set_interfaces([KnownInterface(3, "other"), KnownInterface(4, "e4")])
    assert picks(one, numbered(5))[0]["sequence"] == 1


def test_more_interfaces_than_there_were_books_for() -> None:
    one = sampler(*range(1, 10))
    assert [pick["sequence"] for pick in picks(one, numbered(0, 1, taken_in=5))] == [1, 2]
    one.set_interfaces([KnownInterface(index, f"e{index}") for index in range(1, 1000)])
    assert picks(one, numbered(2, taken_in=5))[0]["sequence"] == 3
    found = picks(one, [Packet(input=index) for index in range(1, 1000)])
    assert [(pick["source"], pick["sequence"]) for pick in found] == [(i, 4 if i == 5 else 1) for i in range(1, 1000)]
    for _ in range(5):  # and books are used again
        one.set_interfaces([])
        one.set_interfaces([KnownInterface(index, f"e{index}") for index in range(1, 1000)])
    assert len(one._books) <= 1024


def test_expanded_samples_are_needed_from_2_to_the_24() -> None:
    assert not sampler().needs_expanded
    assert not sampler((1 << 24) - 1).needs_expanded
    assert sampler(3, 1 << 24).needs_expanded


def test_learning_takes_what_packets_name() -> None:
    one = sampler()
    _, rows = packed_rows([Packet(input=3), Packet(output=70000), Packet(input=0, output=(1 << 63) - 1), Packet()])
    one.learn(rows, len(rows))
    found = picks(one, [Packet(input=3), Packet(output=70000), Packet(output=(1 << 63) - 1), Packet(input=1 << 31)])
    assert [pick["source"] for pick in found] == [3, 70000, 0, 0]  # there is no ifIndex beyond 31 bits
    assert not one.needs_expanded


def test_what_is_learnt_is_bounded() -> None:
    one = sampler()
    rows = np.full((70_000, len(Row)), -1, np.int64)
    rows[:, Row.INPUT] = np.arange(1, 70_001)
    one.learn(rows, len(rows))
    one.learn(rows, len(rows))
    assert len(one._numbers) == 65536


# Groups.


def test_more_groups_than_there_is_room_for() -> None:
    """The one that was silent for longest is forgotten; what it lost and has not told is not."""
    one = sampler(3)
    one.set_groups({1: GroupDirection.INGRESS})
    for group in range(1, 257):
        picks(one, numbered(0, group=group))
    one.charge(2, 5)  # seen again
    one.charge(3, 6)
    for group in range(4, 257):
        picks(one, numbered(1, group=group))
    picks(one, numbered(1, group=2))
    picks(one, numbered(0, group=257))
    (unknown,) = picks(one, [Packet(group=257, input=99)])
    assert (unknown["source"], unknown["drops"]) == (0, 6)
    assert drops(one, numbered(9, group=3)) == [5]  # of group 2; a new start of its own
    assert one.statistics()["lost"] == 5 + 6
    assert drops(one, numbered(2, group=1)) == [6]  # the user's are kept
    assert one.statistics()["unnumbered"] == 0


def test_a_group_that_there_is_no_room_for() -> None:
    one = sampler(3)
    one.set_groups(dict.fromkeys(range(1, 258), GroupDirection.INGRESS))
    (pick,) = picks(one, numbered(5, group=999))
    assert (pick["source"], pick["drops"], pick["sequence"]) == (3, 0, 1)
    assert one.statistics()["unnumbered"] == 1
    one.charge(999, 4)
    (pick,) = picks(one, [Packet(group=1, input=77)])
    assert (pick["source"], pick["drops"]) == (0, 4)
    assert one.statistics()["lost"] == 4


# Rates.


def test_a_packet_that_tells_no_rate_has_the_configured_one() -> None:
    one = sampler(3, rate_untold=50)
    assert [pick["rate"] for pick in picks(one, [Packet(input=3, rate=0), Packet(input=3, rate=7)])] == [50, 7]
    one.set_limits(most_samples=PLENTY, rate_untold=60)
    assert picks(one, [Packet(input=3, rate=0)])[0]["rate"] == 60


@pytest.mark.parametrize(
    ("told", "least", "stated"), [(1, 10, 10), (3, 10, 12), (10, 10, 10), (400, 10, 400), (1, 0, 1)]
)
def test_a_rate_that_the_user_wants_is_reached_by_a_multiple(told: int, least: int, stated: int) -> None:
    one = sampler(KnownInterface(3, "", least=least))
    found = picks(one, [Packet(input=3, rate=told)] * 1000)
    assert {pick["rate"] for pick in found} == {stated}


def test_a_stated_rate_has_32_bits() -> None:
    one = sampler(KnownInterface(3, "", least=WORD))
    found = picks(one, [Packet(input=3, rate=WORD - 1)] * 9)
    assert {pick["rate"] for pick in found} <= {WORD}


@pytest.mark.parametrize("multiple", [2, 7, 100, 5000])
def test_sub_sampling_is_true_on_average(multiple: int) -> None:
    """The number taken of n is that of a renewal process: mean n / M, variance n / 3M; 3.3 deviations are 99.9 %."""
    count = 400 * multiple
    one = sampler(KnownInterface(3, "", least=multiple), seed=11)
    rows = [pick["row"] for pick in picks(one, [Packet(input=3)], times=count)]
    assert abs(len(rows) * multiple - count) <= 3.3 * math.sqrt(count * multiple / 3) + multiple
    gaps = np.diff(rows)
    assert gaps.min() >= 1
    assert gaps.max() <= 2 * multiple - 1
    deviation = math.sqrt(((2 * multiple - 1) ** 2 - 1) / 12 / len(gaps))
    assert abs(gaps.mean() - multiple) <= 3.3 * deviation
    assert one.statistics() | {"taken": len(rows), "shed": count - len(rows)} == one.statistics()


def test_sub_sampling_takes_every_place_of_a_pattern_alike() -> None:
    """Traffic that repeats does not show: counting every Mth packet would see one of its places alone."""
    one = sampler(KnownInterface(3, "", least=10), seed=5)
    found = picks(one, [Packet(input=3, length=place % 10, data=b"") for place in range(40_000)])
    places = Counter(pick["frame"] for pick in found)
    assert len(places) == 10
    assert all(abs(count - 400) < 3.3 * 20 for count in places.values())


def test_sub_sampling_is_the_same_for_the_same_seed() -> None:
    def rows(seed: int) -> list[int]:
        one = sampler(KnownInterface(3, "", least=10), seed=seed)
        return [pick["row"] for pick in picks(one, [Packet(input=3)] * 500)]

    assert rows(1) == rows(1)
    assert rows(1) != rows(3)
    assert rows(1 << 62)


def test_sources_are_sub_sampled_apart() -> None:
    """Two sources whose packets alternate: in one series each would hide the other."""
    one = sampler(KnownInterface(3, "", least=8), KnownInterface(4, "", least=1))
    found = Counter(pick["source"] for pick in picks(one, [Packet(input=3 + place % 2) for place in range(4000)]))
    assert found[4] == 2000
    assert abs(found[3] * 8 - 2000) < 3.3 * math.sqrt(2000 * 8 / 3) + 8


def test_load_makes_packets_stand_for_others() -> None:
    one = sampler(3, most_samples=1000)
    taken = seen = 0
    stated = 0
    for step in range(400):  # 100 000 packets a second for four of them
        found = picks(one, [Packet(input=3)], step * SECOND // 100, times=1000)
        seen += 1000
        taken += len(found)
        stated += sum(pick["rate"] for pick in found)
    assert one.every == 100
    assert taken < 4 * 1000 + 6 * 1000  # the first twentieth of a second is not known to be a flood
    assert abs(stated - seen) < 3.3 * math.sqrt(seen * 100 / 3) + 100


def test_packets_of_ignored_groups_are_no_load() -> None:
    one = sampler(3, most_samples=1000)
    one.set_groups({1: GroupDirection.INGRESS, 8: GroupDirection.IGNORED, 9: GroupDirection.IGNORED})
    flood = [Packet(group=8, input=3), Packet(group=9, input=3)] * 1000
    for step in range(300):  # 200 000 a second of them, and 500 of the others
        found = picks(one, [*flood, *[Packet(group=1, input=3)] * 5], step * SECOND // 100)
        assert (len(found), one.every) == (5, 1)
    assert one.statistics()["ignored"] == 600_000
    one.set_groups({1: GroupDirection.INGRESS})
    for step in range(300, 320):
        picks(one, flood, step * SECOND // 100)
    assert one.every > 100  # now they are


def test_nothing_comes_of_nothing() -> None:
    assert picks(sampler(3), []) == []
