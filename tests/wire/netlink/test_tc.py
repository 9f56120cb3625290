from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tc_recorded import little_endian, recorded
from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.netlink.message import Message, split_messages
from tidegate.wire.netlink.tc import (
    CONTINUE,
    COOKIE_OCTETS,
    Filter,
    FilterFlags,
    Hook,
    Qdisc,
    SampleAction,
    Sampling,
    TcRequest,
    clsact_body,
    filter_body,
    filters_body,
    qdiscs_body,
    read_filter,
    read_qdisc,
    sample_action_body,
    sample_filter_body,
)

WORDS = st.integers(0, 0xFFFFFFFF)
SAMPLINGS = st.builds(Sampling, st.integers(1, 0xFFFFFFFF), WORDS, WORDS, st.binary(max_size=COOKIE_OCTETS))
INDEXES = st.integers(1, 0x7FFFFFFF)
PREFS = st.integers(1, 0xFFFF)
PLACES = st.sampled_from([FilterFlags.NONE, FilterFlags.SKIP_HW, FilterFlags.SKIP_SW])


def _message(body: bytes) -> Message:
    return Message(TcRequest.NEW_FILTER, 0, 0, 0, body)


@given(INDEXES, st.sampled_from(Hook), PREFS, SAMPLINGS, PLACES)
def test_a_filter_is_read_as_it_was_written(
    ifindex: int, hook: Hook, pref: int, sampling: Sampling, flags: FilterFlags
) -> None:
    body = sample_filter_body(ifindex, hook, sampling, pref=pref, flags=flags)
    sample = SampleAction(sampling, index=0, bindings=0, control=CONTINUE)
    wanted = Filter(ifindex, hook, chain=0, pref=pref, handle=0, kind="matchall", flags=flags, sample=sample)
    assert read_filter(_message(body), ifindex=ifindex, hook=hook) == wanted
    assert struct.unpack_from("=i", body, 4) == (ifindex,)


@given(INDEXES)
def test_a_qdisc_is_read_as_it_was_written(ifindex: int) -> None:
    assert read_qdisc(_message(clsact_body(ifindex))) == Qdisc(ifindex, "clsact", 0xFFFF0000, 0xFFFFFFF1)


@given(st.binary(max_size=300), st.booleans())
def test_any_octets_are_read_or_refused(data: bytes, whole: bool) -> None:  # noqa: FBT001 - drawn
    body = clsact_body(1)[:20] + data if whole else data
    for read in (read_qdisc, lambda message: read_filter(message, ifindex=1, hook=Hook.EGRESS)):
        with suppress(DecodeError):
            read(_message(body))


@given(SAMPLINGS, st.data())
def test_a_damaged_filter_is_read_or_refused(sampling: Sampling, data: st.DataObject) -> None:
    body = bytearray(sample_filter_body(1, Hook.INGRESS, sampling, pref=1))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read_filter(_message(bytes(body)), ifindex=1, hook=Hook.INGRESS)
    except DecodeError:
        return
    assert found.hook is Hook.INGRESS


def test_a_sampling_action_without_its_parameters_is_refused() -> None:
    body = sample_filter_body(1, Hook.INGRESS, Sampling(1, 1), pref=1).replace(b"\x18\0\x02\0", b"\x18\0\x09\0")
    with pytest.raises(DecodeError, match="truncated parameters of a sampling action"):
        read_filter(_message(body), ifindex=1, hook=Hook.INGRESS)
    with pytest.raises(DecodeError, match="truncated traffic control header"):
        read_qdisc(_message(body[:19]))


@pytest.mark.parametrize(
    ("sampling", "pref", "words"),
    [
        (Sampling(0, 1), 1, "sampling rate 0 is not within 1 to 4294967295"),
        (Sampling(1 << 32, 1), 1, "sampling rate 4294967296"),
        (Sampling(1, -1), 1, "psample group -1"),
        (Sampling(1, 1, 1 << 32), 1, "octets of a sample 4294967296"),
        (Sampling(1, 1, 0, bytes(17)), 1, "a cookie of 17 octets: the kernel keeps 16"),
        (Sampling(1, 1), 0, "preference 0 is not within 1 to 65535"),
        (Sampling(1, 1), 65536, "preference 65536"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(sampling: Sampling, pref: int, words: str) -> None:
    with pytest.raises(EncodeError, match=words):
        sample_filter_body(1, Hook.INGRESS, sampling, pref=pref)


def test_a_preference_of_nothing_would_remove_all_filters_and_is_refused() -> None:
    with pytest.raises(EncodeError, match="preference 0"):
        filter_body(1, Hook.INGRESS, pref=0, handle=1)


def test_an_action_is_changed_by_its_number() -> None:
    body = sample_action_body(77, Sampling(10, 2))
    assert struct.pack("=IIiii", 77, 0, CONTINUE, 0, 0) in body


@little_endian
def test_answers_of_a_kernel_are_read() -> None:
    octets = recorded()
    asked = octets["tc filter show dev t0 ingress"]
    found = [read_filter(one, ifindex=2, hook=Hook.INGRESS) for one in split_messages(asked)]
    sampling = Sampling(1000, 1, 128, b"tidegate")
    sample = SampleAction(sampling, index=1, bindings=1, control=CONTINUE)
    assert found == [
        Filter(2, Hook.INGRESS, 0, 1, 0, "matchall"),
        Filter(2, Hook.INGRESS, 0, 1, 1, "matchall", FilterFlags.NOT_IN_HW, sample),
        Filter(2, Hook.INGRESS, 0, 3, 0, "u32"),
        Filter(2, Hook.INGRESS, 0, 3, 0x80000000, "u32"),
        Filter(2, Hook.INGRESS, 0, 3, 0x80000800, "u32"),
    ]


@little_endian
def test_filters_of_others_have_no_sampling_that_could_be_ours() -> None:
    asked = recorded()["tc filter show dev t0 egress"]
    found = [read_filter(one, ifindex=2, hook=Hook.EGRESS) for one in split_messages(asked)]
    assert [(one.pref, one.handle, one.kind, one.sample) for one in found] == [
        (1, 0, "flower", None),
        (1, 1, "flower", None),
    ]


@little_endian
def test_qdiscs_of_a_kernel_are_read() -> None:
    found = [read_qdisc(one) for one in split_messages(recorded()["tc qdisc show dev t0"])]
    assert [(one.ifindex, one.kind) for one in found] == [(1, "noqueue"), (2, "noqueue"), (2, "clsact")]
    assert found[-1] == Qdisc(2, "clsact", 0xFFFF0000, 0xFFFFFFF1)


def test_dumps_are_asked_for_by_hook() -> None:
    assert qdiscs_body() == bytes(20)
    assert filters_body(2, Hook.EGRESS) == struct.pack("=BxxxiIII", 0, 2, 0, Hook.EGRESS, 0)
