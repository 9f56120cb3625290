"""Dropped packets are told with their reasons, by one agent or by two; at the end the kernel's monitor is off again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guest.sent import datagrams, header, packet, samples
from tidegate.wire.sflow.samples import DiscardedPacket, first
from tidegate.wire.sflow.tunnel_records import ExtendedFunction, ExtendedLinuxDropReason

pytestmark = pytest.mark.guest("agent_discards", kernels=True)
TIMES = ("another's", "alone", "beside the other", "alone again", "afterwards")
PORT_UNREACHABLE, NET_UNREACHABLE, ACL = 3, 0, 258
CLOSED_PORT = (PORT_UNREACHABLE, b"NO_SOCKET", b"__udp4_lib_rcv")
ALL = [
    *[CLOSED_PORT] * 3,
    *[(ACL, b"NETFILTER_DROP", b"nft_do_chain")] * 5,
    *[(NET_UNREACHABLE, b"IP_INNOROUTES", b"ip_error")] * 2,
    (PORT_UNREACHABLE, b"NO_SOCKET", b"tcp_v4_rcv"),
]
Told = dict[str, Any]


def discarded(folder: Path, result: Told, which: int, time: str) -> list[DiscardedPacket]:
    """Return what an agent (0, 1) told at a time."""
    ends = [0, *(result[one][which] for one in TIMES)]
    place = TIMES.index(time)
    sent = datagrams(folder / "agent_discards" / f"{('one', 'two')[which]}.sflow")
    return samples(sent[ends[place] : ends[place + 1]], DiscardedPacket)


def reasons(told: Sequence[DiscardedPacket]) -> list[tuple[int, bytes, bytes]]:
    """Return reason, the kernel's reason and its function of each."""
    found = []
    for one in told:
        function, reason = first(one.records, ExtendedFunction), first(one.records, ExtendedLinuxDropReason)
        assert function is not None
        assert reason is not None
        found.append((one.reason, reason.reason or b"", (function.symbol or b"").partition(b"+")[0]))
    return found


@pytest.mark.parametrize("which", [0, 1])
def test_each_drop_is_told_with_its_reason(guest_folder: Path, result: Told, which: int) -> None:
    told = discarded(guest_folder, result, which, "beside the other")
    assert reasons(told) == ALL
    assert {(one.input_ifindex, one.output_ifindex, one.drops) for one in told} == {(101, 0, 0)}


@pytest.mark.parametrize("which", [0, 1])
def test_the_packet_is_told_as_it_came(guest_folder: Path, result: Told, which: int) -> None:
    told = discarded(guest_folder, result, which, "beside the other")[:10]
    assert {(one.protocol, one.stripped, one.frame_length) for one in map(header, told)} == {(1, 4, 14 + 128 + 4)}
    assert {packet(one)[:14] for one in told} == {bytes.fromhex("020000000101 020000000102 0800")}
    assert {len(packet(one)) for one in told} == {128}


@pytest.mark.parametrize(("time", "count"), [("another's", 1), ("alone", 1), ("alone again", 1), ("afterwards", 0)])
def test_the_first_agent_tells_as_long_as_it_runs(guest_folder: Path, result: Told, time: str, count: int) -> None:
    assert reasons(discarded(guest_folder, result, 0, time)) == [CLOSED_PORT] * count


def test_all_are_numbered(guest_folder: Path, result: Told) -> None:
    for which in (0, 1):
        told = [one for time in TIMES for one in discarded(guest_folder, result, which, time)]
        assert [one.sequence_number for one in told] == list(range(1, len(told) + 1))
        assert {one.source_id.type for one in told} == {one.source_id.index for one in told} == {0}


def test_the_monitor_ends_with_who_started_it(result: Told) -> None:
    assert [result[f"on {time}"] for time in ("at first", "after the second", "after the first")] == [
        False,
        True,
        False,
    ]
    assert result["one"]["sources"]["drop_monitor"] == {"overflows": 0, "passive": False}
    assert result["two"]["sources"]["drop_monitor"] == {"overflows": 0, "passive": True}


def test_whose_the_monitor_is_is_said(result: Told) -> None:
    assert result["log"].count("the drop monitor runs already, as another program has set it up") == 2


def test_nothing_is_wrong(result: Told) -> None:
    assert result["one"]["problems"] == result["two"]["problems"] == {}
    assert "ERROR" not in result["log"]
    assert "WARNING" not in result["log"]
