"""The registry of sFlow structures: (enterprise, format) to a record's type, name and document.

Samples, flow records and counter records are three spaces of numbers. A document is one of those at sflow.org ("version
5", "Tunnel" for sFlow Tunnel Structures), or whose software is the only source.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.wire.sflow import (
    app_counters,
    app_records,
    flow_records,
    host_counters,
    interface_counters,
    samples,
    tunnel_records,
)

__all__ = ["COUNTER_RECORDS", "FLOW_RECORDS", "SAMPLES", "Format", "Tag"]

Tag = tuple[int, int]  # enterprise, format


class Format(msgspec.Struct, frozen=True):
    """One row: numbers, the specification's name, the frozen record, the document that describes it."""

    enterprise: int
    format: int
    name: str
    record: type[msgspec.Struct]
    document: str


def _table(rows: Sequence[tuple[int, int, str, type[msgspec.Struct], str]]) -> dict[Tag, Format]:
    return {(row[0], row[1]): Format(*row) for row in rows}


SAMPLES: dict[Tag, Format] = _table(
    [
        (0, 1, "flow_sample", samples.FlowSample, "version 5"),
        (0, 2, "counters_sample", samples.CountersSample, "version 5"),
        (0, 3, "flow_sample_expanded", samples.FlowSample, "version 5"),
        (0, 4, "counters_sample_expanded", samples.CountersSample, "version 5"),
        (0, 5, "discarded_packet", samples.DiscardedPacket, "Dropped Packet"),
        (4300, 1002, "rtmetric", samples.Rtmetric, "InMon"),
        (4300, 1003, "rtflow", samples.Rtflow, "InMon"),
    ]
)

FLOW_RECORDS: dict[Tag, Format] = _table(
    [
        (0, 1, "sampled_header", flow_records.SampledHeader, "version 5"),
        (0, 2, "sampled_ethernet", flow_records.SampledEthernet, "version 5"),
        (0, 3, "sampled_ipv4", flow_records.SampledIpv4, "version 5"),
        (0, 4, "sampled_ipv6", flow_records.SampledIpv6, "version 5"),
        (0, 1001, "extended_switch", flow_records.ExtendedSwitch, "version 5"),
        (0, 1002, "extended_router", flow_records.ExtendedRouter, "version 5"),
        (0, 1003, "extended_gateway", flow_records.ExtendedGateway, "version 5"),
        (0, 1004, "extended_user", flow_records.ExtendedUser, "version 5"),
        (0, 1005, "extended_url", flow_records.ExtendedUrl, "version 5"),
        (0, 1006, "extended_mpls", flow_records.ExtendedMpls, "version 5"),
        (0, 1007, "extended_nat", flow_records.ExtendedNat, "version 5"),
        (0, 1008, "extended_mpls_tunnel", flow_records.ExtendedMplsTunnel, "version 5"),
        (0, 1009, "extended_mpls_vc", flow_records.ExtendedMplsVc, "version 5"),
        (0, 1010, "extended_mpls_FTN", flow_records.ExtendedMplsFtn, "version 5"),
        (0, 1011, "extended_mpls_LDP_FEC", flow_records.ExtendedMplsLdpFec, "version 5"),
        (0, 1012, "extended_vlantunnel", flow_records.ExtendedVlanTunnel, "version 5"),
        (0, 1013, "extended_80211_payload", flow_records.Extended80211Payload, "802.11"),
        (0, 1014, "extended_80211_rx", flow_records.Extended80211Rx, "802.11"),
        (0, 1015, "extended_80211_tx", flow_records.Extended80211Tx, "802.11"),
        (0, 1016, "extended_80211_aggregation", flow_records.Extended80211Aggregation, "802.11"),
        (0, 1017, "extended_openflow_v1", flow_records.ExtendedOpenflowV1, "OpenFlow"),
        (0, 1018, "extended_fc", flow_records.ExtendedFc, "Fibre Channel"),
        (0, 1019, "extended_queue_length", flow_records.ExtendedQueueLength, "Queue Length"),
        (0, 1020, "extended_nat_port", flow_records.ExtendedNatPort, "Port NAT"),
        (0, 1021, "extended_L2_tunnel_egress", tunnel_records.ExtendedL2TunnelEgress, "Tunnel"),
        (0, 1022, "extended_L2_tunnel_ingress", tunnel_records.ExtendedL2TunnelIngress, "Tunnel"),
        (0, 1023, "extended_ipv4_tunnel_egress", tunnel_records.ExtendedIpv4TunnelEgress, "Tunnel"),
        (0, 1024, "extended_ipv4_tunnel_ingress", tunnel_records.ExtendedIpv4TunnelIngress, "Tunnel"),
        (0, 1025, "extended_ipv6_tunnel_egress", tunnel_records.ExtendedIpv6TunnelEgress, "Tunnel"),
        (0, 1026, "extended_ipv6_tunnel_ingress", tunnel_records.ExtendedIpv6TunnelIngress, "Tunnel"),
        (0, 1027, "extended_decapsulate_egress", tunnel_records.ExtendedDecapsulateEgress, "Tunnel"),
        (0, 1028, "extended_decapsulate_ingress", tunnel_records.ExtendedDecapsulateIngress, "Tunnel"),
        (0, 1029, "extended_vni_egress", tunnel_records.ExtendedVniEgress, "Tunnel"),
        (0, 1030, "extended_vni_ingress", tunnel_records.ExtendedVniIngress, "Tunnel"),
        (0, 1031, "extended_ib_lrh", tunnel_records.ExtendedIbLrh, "InfiniBand"),
        (0, 1032, "extended_ib_grh", tunnel_records.ExtendedIbGrh, "InfiniBand"),
        (0, 1033, "extended_ib_bth", tunnel_records.ExtendedIbBth, "InfiniBand"),
        (0, 1034, "extended_vlanin", tunnel_records.ExtendedVlanIn, "VLAN"),
        (0, 1035, "extended_vlanout", tunnel_records.ExtendedVlanOut, "VLAN"),
        (0, 1036, "extended_egress_queue", tunnel_records.ExtendedEgressQueue, "Dropped Packet"),
        (0, 1037, "extended_acl", tunnel_records.ExtendedAcl, "Dropped Packet"),
        (0, 1038, "extended_function", tunnel_records.ExtendedFunction, "Dropped Packet"),
        (0, 1039, "extended_transit", tunnel_records.ExtendedTransit, "Transit Delay"),
        (0, 1040, "extended_queue", tunnel_records.ExtendedQueue, "Transit Delay"),
        (0, 1041, "extended_hw_trap", tunnel_records.ExtendedHwTrap, "Dropped Packet"),
        (0, 1042, "extended_linux_drop_reason", tunnel_records.ExtendedLinuxDropReason, "Dropped Packet"),
        (0, 1043, "extended_timestamp", tunnel_records.ExtendedTimestamp, "Timestamp"),
        (0, 2000, "transaction", app_records.Transaction, "Application (old)"),
        (0, 2001, "extended_nfs_storage_transaction", app_records.NfsTransaction, "Application (old)"),
        (0, 2002, "extended_scsi_storage_transaction", app_records.ScsiTransaction, "Application (old)"),
        (0, 2003, "extended_http_transaction", app_records.HttpTransaction, "Application (old)"),
        (0, 2100, "extended_socket_ipv4", app_records.ExtendedSocketIpv4, "Host"),
        (0, 2101, "extended_socket_ipv6", app_records.ExtendedSocketIpv6, "Host"),
        (0, 2102, "extended_proxy_socket_ipv4", app_records.ExtendedProxySocketIpv4, "HTTP"),
        (0, 2103, "extended_proxy_socket_ipv6", app_records.ExtendedProxySocketIpv6, "HTTP"),
        (0, 2200, "memcache_operation", app_records.MemcacheOperation, "Memcache"),
        (0, 2201, "http_request_old", app_records.HttpRequestOld, "HTTP (old)"),
        (0, 2202, "app_operation", app_records.AppOperation, "Application"),
        (0, 2203, "app_parent_context", app_records.AppParentContext, "Application"),
        (0, 2204, "app_initiator", app_records.AppInitiator, "Application"),
        (0, 2205, "app_target", app_records.AppTarget, "Application"),
        (0, 2206, "http_request", app_records.HttpRequest, "HTTP"),
        (0, 2207, "extended_proxy_request", app_records.ExtendedProxyRequest, "HTTP"),
        (0, 2208, "extended_nav_timing", app_records.ExtendedNavTiming, "Navigation Timing"),
        (0, 2209, "extended_tcp_info", app_records.ExtendedTcpInfo, "TCP"),
        (0, 2210, "extended_entities", app_records.ExtendedEntities, "Entities"),
        (4413, 1, "bst_egress_queue", tunnel_records.BstEgressQueue, "Broadcom"),
        (8800, 2, "pmacct_tag", tunnel_records.PmacctTag, "pmacct"),
    ]
)

COUNTER_RECORDS: dict[Tag, Format] = _table(
    [
        (0, 1, "if_counters", interface_counters.IfCounters, "version 5"),
        (0, 2, "ethernet_counters", interface_counters.EthernetCounters, "version 5"),
        (0, 3, "tokenring_counters", interface_counters.TokenringCounters, "version 5"),
        (0, 4, "vg_counters", interface_counters.VgCounters, "version 5"),
        (0, 5, "vlan_counters", interface_counters.VlanCounters, "version 5"),
        (0, 6, "ieee80211_counters", interface_counters.Ieee80211Counters, "802.11"),
        (0, 7, "lag_port_stats", interface_counters.LagPortStats, "LAG"),
        (0, 8, "slow_path_counts", interface_counters.SlowPathCounts, "Slow Path"),
        (0, 9, "ib_counters", interface_counters.IbCounters, "InfiniBand"),
        (0, 10, "sfp", interface_counters.Sfp, "Optical"),
        (0, 11, "pfc", interface_counters.Pfc, "PFC"),
        (0, 1001, "processor", interface_counters.Processor, "version 5"),
        (0, 1002, "radio_utilization", interface_counters.RadioUtilization, "802.11"),
        (0, 1003, "queue_length", interface_counters.QueueLength, "Queue Length"),
        (0, 1004, "of_port", interface_counters.OfPort, "OpenFlow"),
        (0, 1005, "port_name", interface_counters.PortName, "Port Name"),
        (0, 2000, "host_descr", host_counters.HostDescr, "Host"),
        (0, 2001, "host_adapters", host_counters.HostAdapters, "Host"),
        (0, 2002, "host_parent", host_counters.HostParent, "Host"),
        (0, 2003, "host_cpu", host_counters.HostCpu, "Host"),
        (0, 2004, "host_memory", host_counters.HostMemory, "Host"),
        (0, 2005, "host_disk_io", host_counters.HostDiskIo, "Host"),
        (0, 2006, "host_net_io", host_counters.HostNetIo, "Host"),
        (0, 2007, "mib2_ip_group", host_counters.Mib2IpGroup, "Host"),
        (0, 2008, "mib2_icmp_group", host_counters.Mib2IcmpGroup, "Host"),
        (0, 2009, "mib2_tcp_group", host_counters.Mib2TcpGroup, "Host"),
        (0, 2010, "mib2_udp_group", host_counters.Mib2UdpGroup, "Host"),
        (0, 2100, "virt_node", app_counters.VirtNode, "Host"),
        (0, 2101, "virt_cpu", app_counters.VirtCpu, "Host"),
        (0, 2102, "virt_memory", app_counters.VirtMemory, "Host"),
        (0, 2103, "virt_disk_io", app_counters.VirtDiskIo, "Host"),
        (0, 2104, "virt_net_io", app_counters.VirtNetIo, "Host"),
        (0, 2105, "jvm_runtime", app_counters.JvmRuntime, "JVM"),
        (0, 2106, "jvm_statistics", app_counters.JvmStatistics, "JVM"),
        (0, 2200, "memcached_counters", app_counters.MemcachedCounters, "Memcache (old)"),
        (0, 2201, "http_counters", app_counters.HttpCounters, "HTTP"),
        (0, 2202, "app_operations", app_counters.AppOperations, "Application"),
        (0, 2203, "app_resources", app_counters.AppResources, "Application"),
        (0, 2204, "memcache_counters", app_counters.MemcacheCounters, "Memcache"),
        (0, 2205, "vdi_counters", app_counters.VdiCounters, "VDI"),
        (0, 2206, "app_workers", app_counters.AppWorkers, "Application"),
        (0, 2207, "ovs_dp_stats", app_counters.OvsDpStats, "Open vSwitch"),
        (0, 3000, "energy", interface_counters.Energy, "Energy"),
        (0, 3001, "temperature", interface_counters.Temperature, "Energy"),
        (0, 3002, "humidity", interface_counters.Humidity, "Energy"),
        (0, 3003, "fans", interface_counters.Fans, "Energy"),
        (4413, 1, "bst_device_buffers", interface_counters.BstDeviceBuffers, "Broadcom"),
        (4413, 2, "bst_port_buffers", interface_counters.BstPortBuffers, "Broadcom"),
        (4413, 3, "hw_tables", interface_counters.HwTables, "Broadcom"),
        (5703, 1, "nvidia_gpu", interface_counters.NvidiaGpu, "NVIDIA"),
    ]
)
