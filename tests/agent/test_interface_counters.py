from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.interface_counters import (
    Lag,
    if_type,
    interface_records,
    is_ethernet_port,
    is_member,
    total_mode,
)
from tidegate.wire.netlink.ethtool import Duplex, EthernetStats, LinkMode
from tidegate.wire.netlink.link import BondInfo, BondMember, LacpCounters, Link, LinkFlags, Stats
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.interface_counters import EthernetCounters, IfCounters, LagPortStats, PortName
from tidegate.wire.sflow.samples import CountersSample, DataSource

NONE, NONE64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
LOWER_UP = 0x10000  # IFF_LOWER_UP, which decides nothing
UP = LinkFlags.UP | LinkFlags.RUNNING | LOWER_UP
GIGABIT = LinkMode(1_000_000_000, Duplex.FULL)
ALL = Stats(*range(1000, 1025))  # each counter its own number
U64 = st.integers(0, 2**64 - 1)
STATS = st.lists(U64, min_size=25, max_size=25).map(lambda words: Stats(*words))
MAC, PARTNER, SYSTEM = (bytes([2, 0, 0, 0, 0, last]) for last in (1, 2, 3))


def port(**changes: object) -> Link:
    return msgspec.structs.replace(Link(3, "eth0", flags=UP, operstate=6, stats=ALL), **changes)


def counters(link: Link, mode: LinkMode = GIGABIT) -> IfCounters:
    record = interface_records(link, mode=mode)[0]
    assert isinstance(record, IfCounters)
    return record


def ethernet(link: Link, told: EthernetStats | None = None) -> list[int]:
    record = interface_records(link, mode=GIGABIT, ethernet=told)[1]
    assert isinstance(record, EthernetCounters)
    return list(msgspec.structs.astuple(record))


def lag(link: Link, bond: Link, counts: LacpCounters | None = None) -> LagPortStats:
    record = interface_records(link, mode=GIGABIT, lag=Lag(bond, counts))[-2]
    assert isinstance(record, LagPortStats)
    return record


def test_every_counter_has_its_place() -> None:
    assert counters(port()) == IfCounters(
        ifIndex=3,
        ifType=6,
        ifSpeed=1_000_000_000,
        ifDirection=1,
        ifStatus=3,
        ifInOctets=ALL.rx_bytes,
        ifInUcastPkts=0,  # more multicast than all packets
        ifInMulticastPkts=ALL.multicast,
        ifInBroadcastPkts=NONE,
        ifInDiscards=ALL.rx_dropped + ALL.rx_missed_errors,
        ifInErrors=ALL.rx_errors,
        ifInUnknownProtos=NONE,
        ifOutOctets=ALL.tx_bytes,
        ifOutUcastPkts=ALL.tx_packets,
        ifOutMulticastPkts=NONE,
        ifOutBroadcastPkts=NONE,
        ifOutDiscards=ALL.tx_dropped,
        ifOutErrors=ALL.tx_errors,
        ifPromiscuousMode=0,
    )


def test_unicast_is_what_is_not_multicast() -> None:
    assert counters(port(stats=Stats(rx_packets=10, multicast=3))).ifInUcastPkts == 7


def test_without_statistics_all_counters_are_unknown() -> None:
    told = counters(port(stats=None))
    assert (told.ifInOctets, told.ifOutOctets, told.ifInUcastPkts, told.ifOutErrors) == (NONE64, NONE64, NONE, NONE)
    assert ethernet(port(stats=None)) == [NONE] * 13


def test_counters_of_32_bits_wrap() -> None:
    told = counters(
        port(
            stats=Stats(
                rx_packets=2**32 + 5, rx_bytes=2**40, tx_packets=2**33, rx_dropped=2**32 - 1, rx_missed_errors=2
            )
        )
    )
    assert (told.ifInUcastPkts, told.ifOutUcastPkts, told.ifInDiscards, told.ifInOctets) == (5, 0, 1, 2**40)


@given(STATS, st.none() | st.builds(EthernetStats, *[st.none() | U64] * 27), st.integers(0, 2**20))
def test_any_counters_can_be_encoded(stats: Stats, told: EthernetStats | None, speed: int) -> None:
    link = port(stats=stats)
    member = Lag(port(kind="bond", bond=BondInfo(4, b"", b"x" * 20), address=b"y" * 20), LacpCounters(*[2**64 - 1] * 9))
    records = interface_records(link, mode=LinkMode(speed), ethernet=told, lag=member)
    assert encode_sample(CountersSample(1, DataSource(0, 3), records))


@pytest.mark.parametrize(
    ("flags", "operstate", "status"),
    [
        (0, 2, 0),
        (LinkFlags.UP, 2, 1),
        (UP, 6, 3),
        (UP, 0, 3),
        (LinkFlags.UP, 6, 3),
        (LinkFlags.UP | LOWER_UP, 5, 1),
    ],
)
def test_status(flags: int, operstate: int, status: int) -> None:
    assert counters(port(flags=flags, operstate=operstate)).ifStatus == status


@pytest.mark.parametrize(("flags", "promiscuity", "mode"), [(UP, 0, 0), (UP, 2, 1), (UP | LinkFlags.PROMISC, 0, 1)])
def test_promiscuous(flags: int, promiscuity: int, mode: int) -> None:
    assert counters(port(flags=flags, promiscuity=promiscuity)).ifPromiscuousMode == mode


@pytest.mark.parametrize(
    ("kind", "arphrd", "number"),
    [
        ("", 1, 6),
        ("veth", 1, 6),
        ("macvlan", 1, 6),
        ("tun", 1, 6),  # a tap
        ("dsa", 1, 6),
        ("", 772, 24),
        ("", 768, 131),
        ("tun", 0xFFFE, 131),
        ("wireguard", 0xFFFE, 131),
        ("vxlan", 1, 131),
        ("gretap", 1, 131),
        ("vlan", 1, 135),
        ("bond", 1, 161),
        ("bond", 32, 161),
        ("team", 1, 161),
        ("bridge", 1, 209),
        ("dummy", 1, 53),
        ("wlan", 1, 71),
        ("ipoib", 32, 199),
        ("ppp", 512, 23),
        ("vcan", 280, 1),
    ],
)
def test_types(kind: str, arphrd: int, number: int) -> None:
    assert if_type(port(kind=kind, type=arphrd)) == number


@pytest.mark.parametrize(
    ("kind", "arphrd", "is_port"),
    [
        ("", 1, True),
        ("dsa", 1, True),
        *((kind, 1, False) for kind in ("bond", "vlan", "bridge", "veth")),
        ("", 772, False),
        ("", 32, False),
    ],
)
def test_only_ports_have_ethernet_counters(kind: str, arphrd: int, is_port: bool) -> None:  # noqa: FBT001 - a column
    link = port(kind=kind, type=arphrd)
    assert is_ethernet_port(link) == is_port
    assert [type(one) for one in interface_records(link, mode=GIGABIT)] == [
        IfCounters,
        *([EthernetCounters] if is_port else []),
        PortName,
    ]


def test_ethernet_counters_of_the_kernel() -> None:
    told = ethernet(port())
    assert told[0] == ALL.rx_frame_errors
    assert told[1] == ALL.rx_crc_errors
    assert told[4] == ALL.tx_heartbeat_errors
    assert told[6] == ALL.tx_window_errors
    assert told[7] == ALL.tx_aborted_errors
    assert told[9] == ALL.tx_carrier_errors
    assert [place for place, value in enumerate(told) if value == NONE] == [2, 3, 5, 8, 10, 11, 12]


def test_ethernet_counters_of_the_driver_win() -> None:
    names = EthernetStats.__struct_fields__
    told = ethernet(port(), EthernetStats(**{name: place for place, name in enumerate(names)}))
    at = names.index
    assert told == [
        at("alignment_errors"),
        at("fcs_errors"),
        at("single_collisions"),
        at("multiple_collisions"),
        ALL.tx_heartbeat_errors,
        at("deferred"),
        at("late_collisions"),
        at("excessive_collisions"),
        at("internal_send_errors"),
        at("carrier_sense_errors"),
        at("too_long"),
        at("internal_receive_errors"),
        at("symbol_errors"),
    ]


def test_a_driver_that_tells_some() -> None:
    told = ethernet(port(), EthernetStats(fcs_errors=0, too_long=2**32 + 7))
    assert (told[0], told[1], told[10], told[12]) == (ALL.rx_frame_errors, 0, 7, NONE)


BOND = Link(9, "bond0", flags=UP, address=MAC, kind="bond", bond=BondInfo(4, bytes(6), PARTNER, 2), stats=ALL)
MEMBER = port(master=9, master_kind="bond", member=BondMember(aggregator=2, actor_state=0x3D, partner_state=0x3F))
COUNTS = LacpCounters(1, 2, 4, 8, 16, 32, 64, 128, 256)


def test_a_member_of_a_bond() -> None:
    assert lag(MEMBER, BOND, COUNTS) == LagPortStats(
        dot3adAggPortActorSystemID=MAC,
        dot3adAggPortPartnerOperSystemID=PARTNER,
        dot3adAggPortAttachedAggID=9,
        dot3adAggPortState=bytes([0, 0x3D, 0, 0x3F]),
        dot3adAggPortStatsLACPDUsRx=1,
        dot3adAggPortStatsMarkerPDUsRx=16,
        dot3adAggPortStatsMarkerResponsePDUsRx=64,
        dot3adAggPortStatsUnknownRx=4 + 256,
        dot3adAggPortStatsIllegalRx=8,
        dot3adAggPortStatsLACPDUsTx=2,
        dot3adAggPortStatsMarkerPDUsTx=32,
        dot3adAggPortStatsMarkerResponsePDUsTx=128,
    )


def test_the_bond_itself() -> None:
    told = lag(BOND, BOND, COUNTS)
    assert (told.dot3adAggPortAttachedAggID, told.dot3adAggPortActorSystemID) == (9, MAC)
    assert (told.dot3adAggPortPartnerOperSystemID, told.dot3adAggPortState) == (PARTNER, bytes(4))
    assert [type(one) for one in interface_records(BOND, mode=GIGABIT, lag=Lag(BOND))] == [
        IfCounters,
        LagPortStats,
        PortName,
    ]


def test_a_configured_actor_system() -> None:
    bond = msgspec.structs.replace(BOND, bond=BondInfo(4, SYSTEM, PARTNER, 2))
    assert lag(MEMBER, bond).dot3adAggPortActorSystemID == SYSTEM


def test_a_member_in_another_aggregator_has_another_partner() -> None:
    member = msgspec.structs.replace(MEMBER, member=BondMember(aggregator=3, actor_state=1))
    assert lag(member, BOND).dot3adAggPortPartnerOperSystemID == bytes(6)


@pytest.mark.parametrize("bond", [BondInfo(1, b"", b""), None])
def test_a_bond_without_lacp_tells_who_belongs_to_it(bond: BondInfo | None) -> None:
    other = msgspec.structs.replace(BOND, bond=bond)
    told = lag(port(master=9, master_kind="bond", member=BondMember()), other)
    assert told == LagPortStats(bytes(6), bytes(6), 9, bytes(4), *[NONE] * 8)


@pytest.mark.parametrize(
    ("master", "kind", "told"), [(9, "bond", True), (9, "team", True), (9, "bridge", False), (0, "", False)]
)
def test_members(master: int, kind: str, told: bool) -> None:  # noqa: FBT001 - a column
    assert is_member(port(master=master, master_kind=kind)) == told


def test_the_name_comes_last() -> None:
    assert interface_records(MEMBER, mode=GIGABIT, lag=Lag(BOND))[-1] == PortName(b"eth0")


def test_the_speed_of_a_bond_is_that_of_its_active_members() -> None:
    members = [
        port(index=1, member=BondMember()),
        port(index=2, member=BondMember()),
        port(index=3, member=BondMember(active=False)),
        port(index=4, member=BondMember(link_up=False)),
        port(index=5, flags=LinkFlags.UP, member=BondMember()),
        port(index=6),  # of a team, which tells nothing of its members
        port(index=7, member=BondMember()),  # of unknown speed
    ]
    modes = dict.fromkeys(range(1, 7), GIGABIT)
    assert total_mode(members[:6], modes) == LinkMode(3_000_000_000, Duplex.FULL)
    assert total_mode(members, modes) == LinkMode(3_000_000_000, Duplex.UNKNOWN)
    assert total_mode([], modes) == LinkMode()
