"""Counters of bonds and their members are those that the kernel tells others, and come together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guest.sent import datagrams, samples
from tidegate.wire.sflow.interface_counters import IfCounters, LagPortStats, PortName
from tidegate.wire.sflow.samples import CountersSample, Datagram, first

pytestmark = pytest.mark.guest("agent_bonds", kernels=True)
BONDS = {"lacp": ("a1", "a2"), "spare": ("b1", "b2")}
LACP = ("lacp", *BONDS["lacp"])
NAMES = [name for bond, members in BONDS.items() for name in (bond, *members)]
UNKNOWN, NO_MAC, GBIT = 0xFFFFFFFF, bytes(6), 10**9
IN_SYNC = 0x3D  # activity, aggregation, synchronisation, collecting, distributing: IEEE 802.1AX, 6.4.2.3
Told = dict[str, Any]
every_time = pytest.mark.parametrize("time", ["whole", "halved"])


@pytest.fixture
def sent(guest_folder: Path, result: Told) -> Sequence[Datagram]:  # noqa: ARG001 - it fails where the scenario did
    return datagrams(guest_folder / "agent_bonds" / "sflow")


def told(sent: Sequence[Datagram], result: Told, time: str) -> dict[str, CountersSample]:
    """Return the last sample of each interface at a time, by the name in it."""
    found = {}
    for one in samples(sent[result[time]["begins"] : result[time]["ends"]], CountersSample):
        name = first(one.records, PortName)
        if name is not None:
            found[(name.name or b"").decode()] = one
    return found


def links(result: Told, time: str) -> dict[str, Told]:
    """Return what `ip` says of each interface at a time."""
    return {one["ifname"]: one for one in result[time]["links"]}


def counters(sample: CountersSample) -> IfCounters:
    found = first(sample.records, IfCounters)
    assert found is not None
    return found


def lag(sample: CountersSample) -> LagPortStats:
    found = first(sample.records, LagPortStats)
    assert found is not None
    return found


@every_time
@pytest.mark.parametrize("name", NAMES)
def test_counters_are_those_that_ip_tells(sent: Sequence[Datagram], result: Told, name: str, time: str) -> None:
    link = links(result, time)[name]
    received, sent_out = link["stats64"]["rx"], link["stats64"]["tx"]
    sample = told(sent, result, time)[name]
    one = counters(sample)
    assert sample.source_id.index == one.ifIndex == link["ifindex"]
    assert (one.ifInOctets, one.ifOutOctets) == (received["bytes"], sent_out["bytes"])
    assert one.ifInUcastPkts == received["packets"] - received["multicast"]
    assert one.ifInMulticastPkts == received["multicast"]
    assert one.ifOutUcastPkts == sent_out["packets"]
    assert one.ifInDiscards == received["dropped"] + received["missed_errors"]
    assert (one.ifOutDiscards, one.ifInErrors, one.ifOutErrors) == (
        sent_out["dropped"],
        received["errors"],
        sent_out["errors"],
    )


def test_there_was_traffic(sent: Sequence[Datagram], result: Told) -> None:
    assert all((counters(told(sent, result, "whole")[bond]).ifInOctets or 0) > 500 for bond in BONDS)


def test_speed_is_that_of_the_members_that_carry_traffic(sent: Sequence[Datagram], result: Told) -> None:
    speeds = {
        time: [counters(told(sent, result, time)[name]).ifSpeed for name in (*LACP, "spare", "b1")]
        for time in ("whole", "halved")
    }
    assert speeds["whole"] == [20 * GBIT, 10 * GBIT, 10 * GBIT, 10 * GBIT, 10 * GBIT]
    assert [speeds["halved"][place] for place in (0, 1, 3, 4)] == [10 * GBIT] * 4


def test_a_member_without_carrier_is_down(sent: Sequence[Datagram], result: Told) -> None:
    status = {
        time: {name: counters(one).ifStatus for name, one in told(sent, result, time).items()}
        for time in ("whole", "halved")
    }
    assert status == {"whole": dict.fromkeys(NAMES, 3), "halved": {**dict.fromkeys(NAMES, 3), "a2": 1}}


def test_types_are_those_of_bonds_and_ports(sent: Sequence[Datagram], result: Told) -> None:
    types = {name: counters(one).ifType for name, one in told(sent, result, "whole").items()}
    assert types == {name: 161 if name in BONDS else 6 for name in NAMES}  # ieee8023adLag, ethernetCsmacd


@every_time
def test_lacp_is_told_as_the_kernel_has_it(sent: Sequence[Datagram], result: Told, time: str) -> None:
    text = result[time]["lacp"]
    partner = bytes.fromhex(re.findall(r"Partner Mac Address: (\S+)", text)[0].replace(":", ""))
    own = bytes.fromhex(re.findall(r"System MAC address: (\S+)", text)[0].replace(":", ""))
    states = [int(number) for number in re.findall(r"port state: (\d+)", text)]  # actor, partner of each member
    for place, name in enumerate(BONDS["lacp"]):
        one = lag(told(sent, result, time)[name])
        assert one.dot3adAggPortAttachedAggID == links(result, time)["lacp"]["ifindex"]
        assert one.dot3adAggPortActorSystemID == own
        assert one.dot3adAggPortState == bytes([0, states[2 * place], 0, states[2 * place + 1]])
    assert lag(told(sent, result, time)["a1"]).dot3adAggPortState == bytes([0, IN_SYNC, 0, IN_SYNC])
    assert lag(told(sent, result, time)["a1"]).dot3adAggPortPartnerOperSystemID == partner != NO_MAC


@every_time
@pytest.mark.parametrize("name", LACP)
def test_pdus_are_those_that_ip_tells(sent: Sequence[Datagram], result: Told, name: str, time: str) -> None:
    pdus = result[time][f"{name} pdus"]
    one = lag(told(sent, result, time)[name])
    assert (one.dot3adAggPortStatsLACPDUsRx, one.dot3adAggPortStatsLACPDUsTx) == (pdus["lacpdu_rx"], pdus["lacpdu_tx"])
    assert pdus["lacpdu_rx"] > 1
    assert (one.dot3adAggPortStatsIllegalRx, one.dot3adAggPortStatsUnknownRx) == (0, 0)


def test_a_bond_without_lacp_has_neither_systems_nor_pdus(sent: Sequence[Datagram], result: Told) -> None:
    for name in ("spare", *BONDS["spare"]):
        one = lag(told(sent, result, "whole")[name])
        assert one.dot3adAggPortAttachedAggID == links(result, "whole")["spare"]["ifindex"]
        assert (one.dot3adAggPortActorSystemID, one.dot3adAggPortPartnerOperSystemID) == (NO_MAC, NO_MAC)
        assert one.dot3adAggPortStatsLACPDUsRx == one.dot3adAggPortStatsLACPDUsTx == UNKNOWN


def test_members_come_right_behind_their_bond_and_never_alone(sent: Sequence[Datagram], result: Told) -> None:
    numbers = {name: one["ifindex"] for name, one in links(result, "whole").items()}
    together = [(numbers[bond], *(numbers[name] for name in members)) for bond, members in BONDS.items()]
    polled = [one.source_id.index for one in samples(sent, CountersSample) if one.source_id.type == 0]
    groups = [tuple(polled[place : place + 3]) for place in range(0, len(polled), 3)]
    assert set(groups) == set(together)
    assert len(groups) > 10


def test_samples_are_numbered(sent: Sequence[Datagram], result: Told) -> None:
    for link in result["whole"]["links"]:
        mine = [one for one in samples(sent, CountersSample) if one.source_id.index == link["ifindex"]]
        numbers = [one.sequence_number for one in mine if one.source_id.type == 0]
        assert numbers == list(range(1, len(numbers) + 1))
    assert result["status"]["problems"] == {}
