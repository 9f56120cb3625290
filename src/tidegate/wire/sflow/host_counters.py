"""Records of counters samples: hosts.

Fields stand in the specification's order and under its names; `tidegate.wire.sflow.xdr` tells what their types mean.
Answers for: sFlow Host Structures.
"""

# ruff: noqa: N815 - the specification's names
from __future__ import annotations

from typing import Annotated

import msgspec

from tidegate.wire.sflow.xdr import BYTES16, FLOAT, I32, MACS, STRING, U32, U64, array

__all__ = [
    "HostAdapter",
    "HostAdapters",
    "HostCpu",
    "HostDescr",
    "HostDiskIo",
    "HostMemory",
    "HostNetIo",
    "HostParent",
    "Mib2IcmpGroup",
    "Mib2IpGroup",
    "Mib2TcpGroup",
    "Mib2UdpGroup",
]  # fmt: skip


class HostDescr(msgspec.Struct, frozen=True):
    """What a host is; `machine_type` and `os_name` by number."""

    hostname: STRING = None
    uuid: BYTES16 = None
    machine_type: U32 = None
    os_name: U32 = None
    os_release: STRING = None


class HostAdapter(msgspec.Struct, frozen=True):
    """One network adapter of a host."""

    ifIndex: U32 = None
    mac_address: MACS = None


class HostAdapters(msgspec.Struct, frozen=True):
    """The network adapters of a host."""

    adapters: Annotated[tuple[HostAdapter, ...] | None, array(HostAdapter)] = None


class HostParent(msgspec.Struct, frozen=True):
    """The data source of what a virtual machine or container runs in."""

    container_type: U32 = None
    container_index: U32 = None


class HostCpu(msgspec.Struct, frozen=True):
    """Processors of a host: MHz, uptime in seconds, other times in ms; three fields were added later."""

    load_one: FLOAT = None
    load_five: FLOAT = None
    load_fifteen: FLOAT = None
    proc_run: U32 = None
    proc_total: U32 = None
    cpu_num: U32 = None
    cpu_speed: U32 = None
    uptime: U32 = None
    cpu_user: U32 = None
    cpu_nice: U32 = None
    cpu_system: U32 = None
    cpu_idle: U32 = None
    cpu_wio: U32 = None
    cpu_intr: U32 = None
    cpu_sintr: U32 = None
    interrupts: U32 = None
    contexts: U32 = None
    cpu_steal: U32 = None
    cpu_guest: U32 = None
    cpu_guest_nice: U32 = None


class HostMemory(msgspec.Struct, frozen=True):
    """Memory of a host in octets."""

    mem_total: U64 = None
    mem_free: U64 = None
    mem_shared: U64 = None
    mem_buffers: U64 = None
    mem_cached: U64 = None
    swap_total: U64 = None
    swap_free: U64 = None
    page_in: U32 = None
    page_out: U32 = None
    swap_in: U32 = None
    swap_out: U32 = None


class HostDiskIo(msgspec.Struct, frozen=True):
    """Disks of a host; times in ms, `part_max_used` in hundredths of a percent."""

    disk_total: U64 = None
    disk_free: U64 = None
    part_max_used: I32 = None
    reads: U32 = None
    bytes_read: U64 = None
    read_time: U32 = None
    writes: U32 = None
    bytes_written: U64 = None
    write_time: U32 = None


class HostNetIo(msgspec.Struct, frozen=True):
    """Network traffic of a host."""

    bytes_in: U64 = None
    pkts_in: U32 = None
    errs_in: U32 = None
    drops_in: U32 = None
    bytes_out: U64 = None
    packets_out: U32 = None
    errs_out: U32 = None
    drops_out: U32 = None


class Mib2IpGroup(msgspec.Struct, frozen=True):
    """IP counters of a host (RFC 1213)."""

    ipForwarding: U32 = None
    ipDefaultTTL: U32 = None
    ipInReceives: U32 = None
    ipInHdrErrors: U32 = None
    ipInAddrErrors: U32 = None
    ipForwDatagrams: U32 = None
    ipInUnknownProtos: U32 = None
    ipInDiscards: U32 = None
    ipInDelivers: U32 = None
    ipOutRequests: U32 = None
    ipOutDiscards: U32 = None
    ipOutNoRoutes: U32 = None
    ipReasmTimeout: U32 = None
    ipReasmReqds: U32 = None
    ipReasmOKs: U32 = None
    ipReasmFails: U32 = None
    ipFragOKs: U32 = None
    ipFragFails: U32 = None
    ipFragCreates: U32 = None


class Mib2IcmpGroup(msgspec.Struct, frozen=True):
    """ICMP counters of a host (RFC 1213)."""

    icmpInMsgs: U32 = None
    icmpInErrors: U32 = None
    icmpInDestUnreachs: U32 = None
    icmpInTimeExcds: U32 = None
    icmpInParamProbs: U32 = None
    icmpInSrcQuenchs: U32 = None
    icmpInRedirects: U32 = None
    icmpInEchos: U32 = None
    icmpInEchoReps: U32 = None
    icmpInTimestamps: U32 = None
    icmpInAddrMasks: U32 = None
    icmpInAddrMaskReps: U32 = None
    icmpOutMsgs: U32 = None
    icmpOutErrors: U32 = None
    icmpOutDestUnreachs: U32 = None
    icmpOutTimeExcds: U32 = None
    icmpOutParamProbs: U32 = None
    icmpOutSrcQuenchs: U32 = None
    icmpOutRedirects: U32 = None
    icmpOutEchos: U32 = None
    icmpOutEchoReps: U32 = None
    icmpOutTimestamps: U32 = None
    icmpOutTimestampReps: U32 = None
    icmpOutAddrMasks: U32 = None
    icmpOutAddrMaskReps: U32 = None


class Mib2TcpGroup(msgspec.Struct, frozen=True):
    """TCP counters of a host (RFC 1213)."""

    tcpRtoAlgorithm: U32 = None
    tcpRtoMin: U32 = None
    tcpRtoMax: U32 = None
    tcpMaxConn: U32 = None
    tcpActiveOpens: U32 = None
    tcpPassiveOpens: U32 = None
    tcpAttemptFails: U32 = None
    tcpEstabResets: U32 = None
    tcpCurrEstab: U32 = None
    tcpInSegs: U32 = None
    tcpOutSegs: U32 = None
    tcpRetransSegs: U32 = None
    tcpInErrs: U32 = None
    tcpOutRsts: U32 = None
    tcpInCsumErrs: U32 = None


class Mib2UdpGroup(msgspec.Struct, frozen=True):
    """UDP counters of a host (RFC 1213)."""

    udpInDatagrams: U32 = None
    udpNoPorts: U32 = None
    udpInErrors: U32 = None
    udpOutDatagrams: U32 = None
    udpRcvbufErrors: U32 = None
    udpSndbufErrors: U32 = None
    udpInCsumErrors: U32 = None
