"""Records of flow samples: tunnels, InfiniBand, queues, drops, vendors.

Fields stand in the specification's order and under its names; `tidegate.wire.sflow.xdr` tells what their types mean.
Answers for: sFlow Tunnel, InfiniBand, Transit Delay and Dropped Packet Notification Structures, Broadcom, pmacct.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tidegate.wire.sflow.flow_records import SampledEthernet, SampledIpv4, SampledIpv6
from tidegate.wire.sflow.xdr import BYTES16, STRING, U32, U32S, U64, nested

__all__ = [
    "BstEgressQueue",
    "ExtendedAcl",
    "ExtendedDecapsulateEgress",
    "ExtendedDecapsulateIngress",
    "ExtendedEgressQueue",
    "ExtendedFunction",
    "ExtendedHwTrap",
    "ExtendedIbBth",
    "ExtendedIbGrh",
    "ExtendedIbLrh",
    "ExtendedIpv4TunnelEgress",
    "ExtendedIpv4TunnelIngress",
    "ExtendedIpv6TunnelEgress",
    "ExtendedIpv6TunnelIngress",
    "ExtendedL2TunnelEgress",
    "ExtendedL2TunnelIngress",
    "ExtendedLinuxDropReason",
    "ExtendedQueue",
    "ExtendedTimestamp",
    "ExtendedTransit",
    "ExtendedVlanIn",
    "ExtendedVlanOut",
    "ExtendedVniEgress",
    "ExtendedVniIngress",
    "PmacctTag",
]  # fmt: skip


class ExtendedL2TunnelEgress(msgspec.Struct, frozen=True):
    """Ethernet header that is added."""

    header: Annotated[SampledEthernet | None, nested(SampledEthernet)] = None


class ExtendedL2TunnelIngress(msgspec.Struct, frozen=True):
    """Ethernet header that was removed."""

    header: Annotated[SampledEthernet | None, nested(SampledEthernet)] = None


class ExtendedIpv4TunnelEgress(msgspec.Struct, frozen=True):
    """IPv4 header that is added."""

    header: Annotated[SampledIpv4 | None, nested(SampledIpv4)] = None


class ExtendedIpv4TunnelIngress(msgspec.Struct, frozen=True):
    """IPv4 header that was removed."""

    header: Annotated[SampledIpv4 | None, nested(SampledIpv4)] = None


class ExtendedIpv6TunnelEgress(msgspec.Struct, frozen=True):
    """IPv6 header that is added."""

    header: Annotated[SampledIpv6 | None, nested(SampledIpv6)] = None


class ExtendedIpv6TunnelIngress(msgspec.Struct, frozen=True):
    """IPv6 header that was removed."""

    header: Annotated[SampledIpv6 | None, nested(SampledIpv6)] = None


class ExtendedDecapsulateEgress(msgspec.Struct, frozen=True):
    """Where the inner packet starts in the header."""

    inner_header_offset: U32 = None


class ExtendedDecapsulateIngress(msgspec.Struct, frozen=True):
    """Where the inner packet starts in the header."""

    inner_header_offset: U32 = None


class ExtendedVniEgress(msgspec.Struct, frozen=True):
    """Virtual network on exit."""

    vni: U32 = None


class ExtendedVniIngress(msgspec.Struct, frozen=True):
    """Virtual network on entry."""

    vni: U32 = None


class ExtendedIbLrh(msgspec.Struct, frozen=True):
    """InfiniBand local route header."""

    src_vl: U32 = None
    src_sl: U32 = None
    src_dlid: U32 = None
    src_slid: U32 = None
    src_lnh: U32 = None
    dst_vl: U32 = None
    dst_sl: U32 = None
    dst_dlid: U32 = None
    dst_slid: U32 = None
    dst_lnh: U32 = None


class ExtendedIbGrh(msgspec.Struct, frozen=True):
    """InfiniBand global route header."""

    flow_label: U32 = None
    tc: U32 = None
    s_gid: BYTES16 = None
    d_gid: BYTES16 = None
    next_header: U32 = None
    length: U32 = None


class ExtendedIbBth(msgspec.Struct, frozen=True):
    """InfiniBand base transport header."""

    pkey: U32 = None
    dst_qp: U32 = None
    opcode: U32 = None


class ExtendedVlanIn(msgspec.Struct, frozen=True):
    """VLAN tags as received, `TPID << 16 or TCI`."""

    stack: U32S = None


class ExtendedVlanOut(msgspec.Struct, frozen=True):
    """VLAN tags as sent, `TPID << 16 or TCI`."""

    stack: U32S = None


class ExtendedEgressQueue(msgspec.Struct, frozen=True):
    """The egress queue."""

    queue: U32 = None


class ExtendedAcl(msgspec.Struct, frozen=True):
    """The access list that dropped the packet; `direction` 1 ingress, 2 egress."""

    number: U32 = None
    name: STRING = None
    direction: U32 = None


class ExtendedFunction(msgspec.Struct, frozen=True):
    """The kernel function that dropped the packet."""

    symbol: STRING = None


class ExtendedTransit(msgspec.Struct, frozen=True):
    """Time in the device in nanoseconds; all ones: that or more."""

    delay: U32 = None


class ExtendedQueue(msgspec.Struct, frozen=True):
    """Octets in the queue when the packet came."""

    depth: U32 = None


class ExtendedHwTrap(msgspec.Struct, frozen=True):
    """devlink names of the trap that dropped the packet."""

    group: STRING = None
    trap: STRING = None


class ExtendedLinuxDropReason(msgspec.Struct, frozen=True):
    """The kernel's name of the drop reason."""

    reason: STRING = None


class ExtendedTimestamp(msgspec.Struct, frozen=True):
    """Nanoseconds since 1970 UTC."""

    nanoseconds: U64 = None


class BstEgressQueue(msgspec.Struct, frozen=True):
    """Broadcom buffer statistics: the egress queue."""

    queue: U32 = None


class PmacctTag(msgspec.Struct, frozen=True):
    """Tag that pmacct gives to a flow."""

    tag: U64 = None
