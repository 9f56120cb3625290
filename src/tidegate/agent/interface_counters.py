"""What the kernel says of an interface, as sFlow's counter records.

In go a link with its counters, its speed, its driver's statistics and its bond; out comes the tuple of records of one
counters sample, in the order that collectors are used to: if_counters, ethernet, lag_port_stats, port_name. A counter
that nobody keeps is all ones, and always is. 64-bit counters of the kernel that sFlow has 32 bits for are their low
bits: they wrap, as readers expect.

Answers for: sFlow version 5 section 5.3, sFlow LAG Port Statistics, RFC 2863 (ifType of IANA, ifOperStatus),
Documentation/networking/statistics.rst and linux/if_link.h (what the kernel's counters are in IEEE 802.3's terms).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tidegate.agent.interface_kinds import Nature, kind_of
from tidegate.wire.netlink.ethtool import Duplex, EthernetStats, LinkMode
from tidegate.wire.netlink.link import AGGREGATES, BondInfo, BondMember, LacpCounters, Link, LinkFlags, Stats
from tidegate.wire.sflow.interface_counters import EthernetCounters, IfCounters, LagPortStats, PortName

__all__ = ["Lag", "if_type", "interface_records", "is_ethernet_port", "is_member", "total_mode"]

_WORD = 0xFFFFFFFF  # of a counter: not available
_LONG = 0xFFFFFFFFFFFFFFFF
_COUNTERS = IfCounters.__struct_fields__[5:-1]
_UNTOLD = {name: _LONG if name.endswith("Octets") else _WORD for name in _COUNTERS}
_NO_MAC = bytes(6)
_OTHER, _ETHERNET, _PPP, _LOOPBACK, _WIRELESS, _TUNNEL, _INFINIBAND = 1, 6, 23, 24, 71, 131, 199  # ifType
# By ARPHRD (linux/if_arp.h): RAWIP and NONE are tunnels into programs (tun) and modems.
_BY_TYPE = {
    1: _ETHERNET,
    32: _INFINIBAND,
    512: _PPP,
    772: _LOOPBACK,
    **dict.fromkeys((519, 768, 769, 776, 778, 779, 823, 0xFFFE), _TUNNEL),
    **dict.fromkeys((801, 802, 803), _WIRELESS),
}
# EthernetStats' names in the order of sFlow's record; the fifth (SQE test errors) is one that drivers do not tell.
_ETHERNET_FIELDS = (
    "alignment_errors",
    "fcs_errors",
    "single_collisions",
    "multiple_collisions",
    "sqe_test_errors",
    "deferred",
    "late_collisions",
    "excessive_collisions",
    "internal_send_errors",
    "carrier_sense_errors",
    "too_long",
    "internal_receive_errors",
    "symbol_errors",
)
_OPERSTATE_UP = 6  # IF_OPER_UP
_LACP = 4  # BOND_MODE_8023AD


class Lag(msgspec.Struct, frozen=True):
    """What a record about link aggregation needs: the bond or team, and the PDUs of the interface that it is about."""

    bond: Link
    counters: LacpCounters | None = None


def interface_records(
    link: Link, *, mode: LinkMode, ethernet: EthernetStats | None = None, lag: Lag | None = None
) -> tuple[msgspec.Struct, ...]:
    """Return the records of an interface; `lag` where it is a bond, a team, or a member of one."""
    records: list[msgspec.Struct] = [_if_counters(link, mode)]
    if is_ethernet_port(link):
        records.append(_ethernet_counters(link.stats, ethernet or EthernetStats()))
    if lag is not None:
        records.append(_lag_port_stats(link, lag))
    records.append(PortName(link.name.encode()))
    return tuple(records)


def is_ethernet_port(link: Link) -> bool:
    """Tell whether an interface is the end of an Ethernet cable, as far as this machine can see."""
    return link.type == 1 and kind_of(link.kind).nature is Nature.PORT


def is_member(link: Link) -> bool:
    """Tell whether an interface is a member of a bond or a team."""
    return link.master > 0 and link.master_kind in AGGREGATES


def if_type(link: Link) -> int:
    """Return IANA's number for what an interface is."""
    return kind_of(link.kind).if_type or _BY_TYPE.get(link.type, _OTHER)


def total_mode(members: Iterable[Link], modes: Mapping[int, LinkMode]) -> LinkMode:
    """Return the speed of a bond whose kernel does not tell it: the sum over the members that carry traffic."""
    active = [modes.get(link.index, LinkMode()) for link in members if _is_active(link)]
    duplexes = {mode.duplex for mode in active}
    return LinkMode(sum(mode.speed for mode in active), duplexes.pop() if len(duplexes) == 1 else Duplex.UNKNOWN)


def _is_active(link: Link) -> bool:
    return link.running and (link.member is None or (link.member.active and link.member.link_up))


def _if_counters(link: Link, mode: LinkMode) -> IfCounters:
    return IfCounters(
        ifIndex=link.index,
        ifType=if_type(link),
        ifSpeed=mode.speed,
        ifDirection=mode.duplex,
        ifStatus=link.up | (link.running or link.operstate == _OPERSTATE_UP) << 1,
        ifPromiscuousMode=int(link.promiscuity > 0 or bool(link.flags & LinkFlags.PROMISC)),
        **(_UNTOLD if link.stats is None else _traffic(link.stats)),
    )


def _traffic(stats: Stats) -> dict[str, int]:
    # Drivers may count multicast packets that the host never took, so that they can be more than all.
    return {
        "ifInOctets": stats.rx_bytes,
        "ifInUcastPkts": max(0, stats.rx_packets - stats.multicast) & _WORD,
        "ifInMulticastPkts": stats.multicast & _WORD,
        "ifInBroadcastPkts": _WORD,
        "ifInDiscards": stats.rx_dropped + stats.rx_missed_errors & _WORD,
        "ifInErrors": stats.rx_errors & _WORD,
        "ifInUnknownProtos": _WORD,
        "ifOutOctets": stats.tx_bytes,
        "ifOutUcastPkts": stats.tx_packets & _WORD,
        "ifOutMulticastPkts": _WORD,
        "ifOutBroadcastPkts": _WORD,
        "ifOutDiscards": stats.tx_dropped & _WORD,
        "ifOutErrors": stats.tx_errors & _WORD,
    }


def _ethernet_counters(stats: Stats | None, told: EthernetStats) -> EthernetCounters:
    """Return IEEE 802.3's counters: the driver's, else what the kernel defines as the same, else none."""
    same = {} if stats is None else _ieee(stats)
    return EthernetCounters(
        *(
            _WORD if (value := same.get(name) if own is None else own) is None else value & _WORD
            for name, own in ((name, getattr(told, name, None)) for name in _ETHERNET_FIELDS)
        )
    )


def _ieee(stats: Stats) -> dict[str, int]:
    return {
        "alignment_errors": stats.rx_frame_errors,
        "fcs_errors": stats.rx_crc_errors,
        "sqe_test_errors": stats.tx_heartbeat_errors,
        "late_collisions": stats.tx_window_errors,
        "excessive_collisions": stats.tx_aborted_errors,
        "carrier_sense_errors": stats.tx_carrier_errors,
    }


def _lag_port_stats(link: Link, lag: Lag) -> LagPortStats:
    bond = lag.bond.bond or BondInfo()
    member = link.member or BondMember()
    lacp = bond.mode == _LACP
    attached = link.index == lag.bond.index or member.aggregator == bond.aggregator  # else its partner is another
    system = bond.actor_system if any(bond.actor_system) else lag.bond.address
    counters = lag.counters
    return LagPortStats(
        _mac(system) if lacp else _NO_MAC,
        _mac(bond.partner) if lacp and attached else _NO_MAC,
        lag.bond.index,
        bytes((0, member.actor_state & 0xFF, 0, member.partner_state & 0xFF)),  # of administration nothing is told
        *((_WORD,) * 8 if counters is None else _pdus(counters)),
    )


def _pdus(counters: LacpCounters) -> tuple[int, ...]:
    counts = (
        counters.lacpdu_rx,
        counters.marker_rx,
        counters.marker_response_rx,
        counters.lacpdu_unknown_rx + counters.marker_unknown_rx,
        counters.lacpdu_illegal_rx,
        counters.lacpdu_tx,
        counters.marker_tx,
        counters.marker_response_tx,
    )
    return tuple(count & _WORD for count in counts)


def _mac(address: bytes) -> bytes:
    return address if len(address) == 6 else _NO_MAC
