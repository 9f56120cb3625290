"""Records of counters samples: interfaces, switch processors, vendors.

Fields stand in the specification's order and under its names; `tidegate.wire.sflow.xdr` tells what their types mean.
Answers for: sFlow version 5 section 5.3, LAG, InfiniBand, Optical, PFC, Queue and Port Structures, Broadcom, NVIDIA.
"""

# ruff: noqa: N815 - the specification's names
from __future__ import annotations

from typing import Annotated

import msgspec

from tidegate.wire.sflow.xdr import BYTES4, I32, I32S, MAC, STRING, U32, U64, array

__all__ = [
    "BstDeviceBuffers",
    "BstPortBuffers",
    "Energy",
    "EthernetCounters",
    "Fans",
    "Humidity",
    "HwTables",
    "IbCounters",
    "Ieee80211Counters",
    "IfCounters",
    "LagPortStats",
    "Lane",
    "NvidiaGpu",
    "OfPort",
    "Pfc",
    "PortName",
    "Processor",
    "QueueLength",
    "RadioUtilization",
    "Sfp",
    "SlowPathCounts",
    "Temperature",
    "TokenringCounters",
    "VgCounters",
    "VlanCounters",
]  # fmt: skip


class IfCounters(msgspec.Struct, frozen=True):
    """Generic interface counters; `ifSpeed` in bit/s, `ifStatus` bit 0 admin up, bit 1 oper up."""

    ifIndex: U32 = None
    ifType: U32 = None
    ifSpeed: U64 = None
    ifDirection: U32 = None
    ifStatus: U32 = None
    ifInOctets: U64 = None
    ifInUcastPkts: U32 = None
    ifInMulticastPkts: U32 = None
    ifInBroadcastPkts: U32 = None
    ifInDiscards: U32 = None
    ifInErrors: U32 = None
    ifInUnknownProtos: U32 = None
    ifOutOctets: U64 = None
    ifOutUcastPkts: U32 = None
    ifOutMulticastPkts: U32 = None
    ifOutBroadcastPkts: U32 = None
    ifOutDiscards: U32 = None
    ifOutErrors: U32 = None
    ifPromiscuousMode: U32 = None


class EthernetCounters(msgspec.Struct, frozen=True):
    """Ethernet errors."""

    dot3StatsAlignmentErrors: U32 = None
    dot3StatsFCSErrors: U32 = None
    dot3StatsSingleCollisionFrames: U32 = None
    dot3StatsMultipleCollisionFrames: U32 = None
    dot3StatsSQETestErrors: U32 = None
    dot3StatsDeferredTransmissions: U32 = None
    dot3StatsLateCollisions: U32 = None
    dot3StatsExcessiveCollisions: U32 = None
    dot3StatsInternalMacTransmitErrors: U32 = None
    dot3StatsCarrierSenseErrors: U32 = None
    dot3StatsFrameTooLongs: U32 = None
    dot3StatsInternalMacReceiveErrors: U32 = None
    dot3StatsSymbolErrors: U32 = None


class TokenringCounters(msgspec.Struct, frozen=True):
    """Token ring errors."""

    dot5StatsLineErrors: U32 = None
    dot5StatsBurstErrors: U32 = None
    dot5StatsACErrors: U32 = None
    dot5StatsAbortTransErrors: U32 = None
    dot5StatsInternalErrors: U32 = None
    dot5StatsLostFrameErrors: U32 = None
    dot5StatsReceiveCongestions: U32 = None
    dot5StatsFrameCopiedErrors: U32 = None
    dot5StatsTokenErrors: U32 = None
    dot5StatsSoftErrors: U32 = None
    dot5StatsHardErrors: U32 = None
    dot5StatsSignalLoss: U32 = None
    dot5StatsTransmitBeacons: U32 = None
    dot5StatsRecoverys: U32 = None
    dot5StatsLobeWires: U32 = None
    dot5StatsRemoves: U32 = None
    dot5StatsSingles: U32 = None
    dot5StatsFreqErrors: U32 = None


class VgCounters(msgspec.Struct, frozen=True):
    """100BaseVG counters."""

    dot12InHighPriorityFrames: U32 = None
    dot12InHighPriorityOctets: U64 = None
    dot12InNormPriorityFrames: U32 = None
    dot12InNormPriorityOctets: U64 = None
    dot12InIPMErrors: U32 = None
    dot12InOversizeFrameErrors: U32 = None
    dot12InDataErrors: U32 = None
    dot12InNullAddressedFrames: U32 = None
    dot12OutHighPriorityFrames: U32 = None
    dot12OutHighPriorityOctets: U64 = None
    dot12TransitionIntoTrainings: U32 = None
    dot12HCInHighPriorityOctets: U64 = None
    dot12HCInNormPriorityOctets: U64 = None
    dot12HCOutHighPriorityOctets: U64 = None


class VlanCounters(msgspec.Struct, frozen=True):
    """Counters of a VLAN."""

    vlan_id: U32 = None
    octets: U64 = None
    ucastPkts: U32 = None
    multicastPkts: U32 = None
    broadcastPkts: U32 = None
    discards: U32 = None


class Ieee80211Counters(msgspec.Struct, frozen=True):
    """802.11 counters."""

    dot11TransmittedFragmentCount: U32 = None
    dot11MulticastTransmittedFrameCount: U32 = None
    dot11FailedCount: U32 = None
    dot11RetryCount: U32 = None
    dot11MultipleRetryCount: U32 = None
    dot11FrameDuplicateCount: U32 = None
    dot11RTSSuccessCount: U32 = None
    dot11RTSFailureCount: U32 = None
    dot11ACKFailureCount: U32 = None
    dot11ReceivedFragmentCount: U32 = None
    dot11MulticastReceivedFrameCount: U32 = None
    dot11FCSErrorCount: U32 = None
    dot11TransmittedFrameCount: U32 = None
    dot11WEPUndecryptableCount: U32 = None
    dot11QoSDiscardedFragmentCount: U32 = None
    dot11AssociatedStationCount: U32 = None
    dot11QoSCFPollsReceivedCount: U32 = None
    dot11QoSCFPollsUnusedCount: U32 = None
    dot11QoSCFPollsUnusableCount: U32 = None
    dot11QoSCFPollsLostCount: U32 = None


class LagPortStats(msgspec.Struct, frozen=True):
    """Link aggregation; states are an octet each: actor admin, actor oper, partner admin, partner oper."""

    dot3adAggPortActorSystemID: MAC = None
    dot3adAggPortPartnerOperSystemID: MAC = None
    dot3adAggPortAttachedAggID: U32 = None
    dot3adAggPortState: BYTES4 = None
    dot3adAggPortStatsLACPDUsRx: U32 = None
    dot3adAggPortStatsMarkerPDUsRx: U32 = None
    dot3adAggPortStatsMarkerResponsePDUsRx: U32 = None
    dot3adAggPortStatsUnknownRx: U32 = None
    dot3adAggPortStatsIllegalRx: U32 = None
    dot3adAggPortStatsLACPDUsTx: U32 = None
    dot3adAggPortStatsMarkerPDUsTx: U32 = None
    dot3adAggPortStatsMarkerResponsePDUsTx: U32 = None


class SlowPathCounts(msgspec.Struct, frozen=True):
    """Why packets took the slow path."""

    unknown: U32 = None
    other: U32 = None
    cam_miss: U32 = None
    cam_full: U32 = None
    no_hw_support: U32 = None
    cntrl: U32 = None


class IbCounters(msgspec.Struct, frozen=True):
    """InfiniBand port counters."""

    ibPortXmitPkts: U64 = None
    ibPortRcvPkts: U64 = None
    ibPortSymbolError: U32 = None
    ibPortLinkErrorRecovery: U32 = None
    ibPortLinkDowned: U32 = None
    ibPortRcvErrors: U32 = None
    ibPortRcvRemotePhysicalErrors: U32 = None
    ibPortRcvSwitchRelayErrors: U32 = None
    ibPortXmitDiscards: U32 = None
    ibPortXmitConstraintErrors: U32 = None
    ibPortRcvConstraintErrors: U32 = None
    ibPortLocalLinkIntegrityErrors: U32 = None
    ibPortExcessiveBufferOverrun: U32 = None
    ibPortVL15Dropped: U32 = None


class Lane(msgspec.Struct, frozen=True):
    """One lane of an optical module; indexes from 1, currents in uA, powers in uW, wavelengths in nm."""

    index: U32 = None
    tx_bias_current: U32 = None
    tx_power: U32 = None
    tx_power_min: U32 = None
    tx_power_max: U32 = None
    tx_wavelength: U32 = None
    rx_power: U32 = None
    rx_power_min: U32 = None
    rx_power_max: U32 = None
    rx_wavelength: U32 = None


class Sfp(msgspec.Struct, frozen=True):
    """An optical module; voltage in mV, temperature in 1/1000 C."""

    module_id: U32 = None
    module_num_lanes: U32 = None
    module_supply_voltage: U32 = None
    module_temperature: I32 = None
    lanes: Annotated[tuple[Lane, ...] | None, array(Lane)] = None


class Pfc(msgspec.Struct, frozen=True):
    """Priority flow control; `pause_duration` in microseconds."""

    requests: U32 = None
    indications: U32 = None
    pause_duration: U32 = None
    storm_detected: U32 = None
    storm_restored: U32 = None


class Processor(msgspec.Struct, frozen=True):
    """Processor and memory of a switch; percentages in hundredths, -1 unknown."""

    cpu_5s: I32 = None
    cpu_1m: I32 = None
    cpu_5m: I32 = None
    total_memory: U64 = None
    free_memory: U64 = None


class RadioUtilization(msgspec.Struct, frozen=True):
    """Use of a radio channel in milliseconds."""

    elapsed_time: U32 = None
    on_channel_time: U32 = None
    on_channel_busy_time: U32 = None


class QueueLength(msgspec.Struct, frozen=True):
    """Histogram of the lengths of a queue."""

    queueIndex: U32 = None
    segmentSize: U32 = None
    queueSegments: U32 = None
    queueLength0: U32 = None
    queueLength1: U32 = None
    queueLength2: U32 = None
    queueLength4: U32 = None
    queueLength8: U32 = None
    queueLength32: U32 = None
    queueLength128: U32 = None
    queueLength1024: U32 = None
    queueLengthMore: U32 = None
    dropped: U32 = None


class OfPort(msgspec.Struct, frozen=True):
    """OpenFlow port."""

    datapath_id: U64 = None
    port_no: U32 = None


class PortName(msgspec.Struct, frozen=True):
    """Name of an interface."""

    name: STRING = None


class Energy(msgspec.Struct, frozen=True):
    """Power supply: mV, mA, mW, hundredths of a percent, mJ."""

    voltage: U32 = None
    current: U32 = None
    real_power: U32 = None
    power_factor: I32 = None
    energy: U32 = None
    errors: U32 = None


class Temperature(msgspec.Struct, frozen=True):
    """Temperatures in 1/10 C."""

    minimum: I32 = None
    maximum: I32 = None
    errors: U32 = None


class Humidity(msgspec.Struct, frozen=True):
    """Humidity in percent."""

    relative: I32 = None


class Fans(msgspec.Struct, frozen=True):
    """Fans; `speed` in percent."""

    total: U32 = None
    failed: U32 = None
    speed: U32 = None


class BstDeviceBuffers(msgspec.Struct, frozen=True):
    """Broadcom buffer statistics of the device in hundredths of a percent."""

    uc_pc: I32 = None
    mc_pc: I32 = None


class BstPortBuffers(msgspec.Struct, frozen=True):
    """Broadcom buffer statistics of a port in hundredths of a percent."""

    ingress_uc_pc: I32 = None
    ingress_mc_pc: I32 = None
    egress_uc_pc: I32 = None
    egress_mc_pc: I32 = None
    egress_queue_uc: I32S = None
    egress_queue_mc: I32S = None


class HwTables(msgspec.Struct, frozen=True):
    """How full the tables of a Broadcom switch ASIC are."""

    bcm_host_entries: U32 = None
    bcm_host_entries_max: U32 = None
    bcm_ipv4_entries: U32 = None
    bcm_ipv4_entries_max: U32 = None
    bcm_ipv6_entries: U32 = None
    bcm_ipv6_entries_max: U32 = None
    bcm_ipv4_ipv6_entries: U32 = None
    bcm_ipv4_ipv6_entries_max: U32 = None
    bcm_long_ipv6_entries: U32 = None
    bcm_long_ipv6_entries_max: U32 = None
    bcm_total_routes: U32 = None
    bcm_total_routes_max: U32 = None
    bcm_ecmp_nexthops: U32 = None
    bcm_ecmp_nexthops_max: U32 = None
    bcm_mac_entries: U32 = None
    bcm_mac_entries_max: U32 = None
    bcm_ipv4_neighbors: U32 = None
    bcm_ipv6_neighbors: U32 = None
    bcm_ipv4_routes: U32 = None
    bcm_ipv6_routes: U32 = None
    bcm_acl_ingress_entries: U32 = None
    bcm_acl_ingress_entries_max: U32 = None
    bcm_acl_ingress_counters: U32 = None
    bcm_acl_ingress_counters_max: U32 = None
    bcm_acl_ingress_meters: U32 = None
    bcm_acl_ingress_meters_max: U32 = None
    bcm_acl_ingress_slices: U32 = None
    bcm_acl_ingress_slices_max: U32 = None
    bcm_acl_egress_entries: U32 = None
    bcm_acl_egress_entries_max: U32 = None
    bcm_acl_egress_counters: U32 = None
    bcm_acl_egress_counters_max: U32 = None
    bcm_acl_egress_meters: U32 = None
    bcm_acl_egress_meters_max: U32 = None
    bcm_acl_egress_slices: U32 = None
    bcm_acl_egress_slices_max: U32 = None


class NvidiaGpu(msgspec.Struct, frozen=True):
    """GPUs of a host: times in ms, energy in mJ, temperature in C, fan speed in percent."""

    device_count: U32 = None
    processes: U32 = None
    gpu_time: U32 = None
    mem_time: U32 = None
    mem_total: U64 = None
    mem_free: U64 = None
    ecc_errors: U32 = None
    energy: U32 = None
    temperature: U32 = None
    fan_speed: U32 = None
