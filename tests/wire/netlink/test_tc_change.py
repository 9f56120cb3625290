from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tc_recorded import little_endian, recorded
from tidegate.wire.netlink.message import Flags, Message, split_messages
from tidegate.wire.netlink.tc import FilterFlags, Hook, Sampling, TcRequest, read_filter, read_qdisc
from tidegate.wire.netlink.tc_change import (
    AddClsact,
    AddFilter,
    ChangeAction,
    RemoveClsact,
    RemoveFilter,
    TcChange,
    encode_change,
    format_change,
)

COOKIE = b"tidegate\x01\x01"
RECORDED: list[TcChange] = [
    AddClsact(2, "t0"),
    AddFilter(2, "t0", Hook.INGRESS, 1, Sampling(1000, 1, 128, COOKIE)),
    AddFilter(2, "t0", Hook.EGRESS, 7, Sampling(10, 2)),
    AddFilter(2, "t0", Hook.INGRESS, 5, Sampling(0xFFFFFFFF, 0xFFFFFFFF, 9000, bytes(range(16))), FilterFlags.SKIP_HW),
    AddFilter(2, "t0", Hook.INGRESS, 65535, Sampling(1, 0, 1, b"\1"), FilterFlags.SKIP_SW),
    ChangeAction(2, "t0", Hook.INGRESS, 1, 1, Sampling(2000, 3, 64, COOKIE)),
    RemoveFilter(2, "t0", Hook.INGRESS, 1, 1),
    RemoveFilter(2, "t0", Hook.EGRESS, 7, 1),
    RemoveClsact(2, "t0"),
]


@little_endian
@pytest.mark.parametrize("change", RECORDED, ids=format_change)
def test_requests_are_those_of_tc(change: TcChange) -> None:
    """The text of a change is a command; what `tc` sends for it is what is sent here."""
    (sent,) = split_messages(recorded()[format_change(change).partition("  #")[0]])
    kind, flags, body = encode_change(change)
    assert (kind, flags | Flags.REQUEST | Flags.ACK, body) == (sent.type, sent.flags, sent.body)


def test_what_a_changed_action_belongs_to_is_told() -> None:
    assert format_change(RECORDED[5]).endswith("cookie 74696465676174650101  # t0 ingress pref 1")


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/"), min_size=1, max_size=15)


@given(NAMES)
def test_names_of_interfaces_cannot_leave_the_command(name: str) -> None:
    text = format_change(RemoveClsact(2, name))
    words = subprocess.run(["sh", "-c", text.replace("tc ", "printf '%s\\n' ", 1)], capture_output=True, check=True)
    assert words.stdout.decode().splitlines() == ["qdisc", "del", "dev", name, "clsact"]


@given(st.integers(1, 0x7FFFFFFF), st.sampled_from(Hook), st.integers(1, 0xFFFF), st.integers(1, 0xFFFFFFFF))
def test_what_is_asked_for_can_be_read_again(ifindex: int, hook: Hook, pref: int, rate: int) -> None:
    kind, _, body = encode_change(AddFilter(ifindex, "any", hook, pref, Sampling(rate, 1)))
    found = read_filter(Message(kind, 0, 0, 0, body), ifindex=ifindex, hook=hook)
    assert found.sample is not None
    assert (found.pref, found.sample.sampling) == (pref, Sampling(rate, 1))
    kind, _, body = encode_change(RemoveClsact(ifindex, "any"))
    assert (kind, read_qdisc(Message(kind, 0, 0, 0, body)).ifindex) == (TcRequest.DELETE_QDISC, ifindex)
