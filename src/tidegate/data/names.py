"""Names of numbers, one table a registry; codes without a name print as numbers.

Layers are those of the flow language's `stack` key. Drop reasons are the sFlow discard list (sFlow Dropped Packet
Notification Structures, with the codes that Host sFlow added). DNS types are IANA's, InfiniBand names those of the
InfiniBand Architecture Specification, volume 1, section 9.2.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["DNS_TYPES", "DROP_REASONS", "IB_OPCODES", "IB_TRANSPORTS", "LAYERS", "Layer"]


class Layer(IntEnum):
    """A protocol header that the `stack` key names; five bits."""

    ETH = 1
    VLAN = 2
    MPLS = 3
    PPPOE = 4
    ARP = 5
    IP = 6
    IP6 = 7
    TCP = 8
    UDP = 9
    ICMP = 10
    ICMP6 = 11
    SCTP = 12
    GRE = 13
    VXLAN = 14
    GENEVE = 15
    DNS = 16
    IBBT = 17
    PPP = 18
    LLC = 19
    ESP = 20
    AH = 21


LAYERS: dict[int, str] = {layer.value: layer.name.lower() for layer in Layer}

DROP_REASONS: dict[int, str] = {
    0: "net_unreachable", 1: "host_unreachable", 2: "protocol_unreachable", 3: "port_unreachable", 4: "frag_needed",
    5: "src_route_failed", 6: "dst_net_unknown", 7: "dst_host_unknown", 8: "src_host_isolated",
    9: "dst_net_prohibited", 10: "dst_host_prohibited", 11: "dst_net_tos_unreachable", 12: "dst_host_tos_unreachable",
    13: "comm_admin_prohibited", 14: "host_precedence_violation", 15: "precedence_cutoff", 256: "unknown",
    257: "ttl_exceeded", 258: "acl", 259: "no_buffer_space", 260: "red", 261: "traffic_shaping", 262: "pkt_too_big",
    263: "src_mac_is_multicast", 264: "vlan_tag_mismatch", 265: "ingress_vlan_filter",
    266: "ingress_spanning_tree_filter", 267: "port_list_is_empty", 268: "port_loopback_filter",
    269: "blackhole_route", 270: "non_ip", 271: "uc_dip_over_mc_dmac", 272: "dip_is_loopback_address",
    273: "sip_is_mc", 274: "sip_is_loopback_address", 275: "ip_header_corrupted", 276: "ipv4_sip_is_limited_bc",
    277: "ipv6_mc_dip_reserved_scope", 278: "ipv6_mc_dip_interface_local_scope", 279: "unresolved_neigh",
    280: "mc_reverse_path_forwarding", 281: "non_routable_packet", 282: "decap_error", 283: "overlay_smac_is_mc",
    284: "unknown_l2", 285: "unknown_l3", 286: "unknown_l3_exception", 287: "unknown_buffer", 288: "unknown_tunnel",
    289: "unknown_l4", 290: "sip_is_unspecified", 291: "mlag_port_isolation", 292: "blackhole_arp_neigh",
    293: "src_mac_is_dmac", 294: "dmac_is_reserved", 295: "sip_is_class_e", 296: "mc_dmac_mismatch",
    297: "sip_is_dip", 298: "dip_is_local_network", 299: "dip_is_link_local", 300: "overlay_smac_is_dmac",
    301: "egress_vlan_filter", 302: "uc_reverse_path_forwarding", 303: "split_horizon", 304: "locked_port",
    305: "dmac_filter", 306: "blackhole_nexthop", 307: "vxlan_parsing", 308: "llc_snap_parsing", 309: "vlan_parsing",
    310: "pppoe_ppp_parsing", 311: "mpls_parsing", 312: "arp_parsing", 313: "ip_1_parsing", 314: "ip_n_parsing",
    315: "gre_parsing", 316: "udp_parsing", 317: "tcp_parsing", 318: "ipsec_parsing", 319: "sctp_parsing",
    320: "dccp_parsing", 321: "gtp_parsing", 322: "esp_parsing", 323: "unknown_parsing", 324: "pkt_too_small",
    325: "unhandled_proto", 326: "ipv6disabled", 327: "invalid_proto", 328: "ip_noproto", 329: "skb_csum",
    330: "skb_ucopy_fault", 331: "dev_ready", 332: "dev_hdr", 333: "dup_frag", 334: "skb_gso_seg",
    335: "reverse_path_forwarding", 336: "icmp_parsing", 337: "tcp_md5notfound", 338: "tcp_md5unexpected",
    339: "tcp_md5failure", 340: "tcp_flags", 341: "tcp_zerowindow", 342: "tcp_old_data", 343: "tcp_overwindow",
    344: "tcp_ofomerge", 345: "tcp_rfc7323_paws", 346: "tcp_invalid_sequence", 347: "tcp_reset",
    348: "tcp_invalid_syn", 349: "tcp_close", 350: "tcp_fastopen", 351: "tcp_old_ack", 352: "tcp_too_old_ack",
    353: "tcp_ack_unsent_data", 354: "tcp_ofo_queue_prune", 355: "tcp_ofo_drop", 356: "tcp_minttl",
    357: "ipv6_bad_exthdr", 358: "ipv6_ndisc_frag", 359: "ipv6_ndisc_hop_limit", 360: "ipv6_ndisc_bad_code",
    361: "ipv6_ndisc_bad_options", 362: "ipv6_ndisc_ns_otherhost", 363: "tap_filter", 364: "tap_txfilter",
    365: "tc_ingress", 366: "tc_egress", 367: "xdp", 368: "cpu_backlog", 369: "bpf_cgroup_egress", 370: "xfrm_policy",
    371: "socket_filter",
}  # fmt: skip

DNS_TYPES: dict[int, str] = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 17: "RP",
    24: "SIG", 25: "KEY", 28: "AAAA", 29: "LOC", 33: "SRV", 35: "NAPTR", 37: "CERT", 39: "DNAME", 41: "OPT",
    43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA",
    59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 64: "SVCB", 65: "HTTPS", 99: "SPF", 249: "TKEY", 250: "TSIG",
    251: "IXFR", 252: "AXFR", 255: "ANY", 256: "URI", 257: "CAA",
}  # fmt: skip

IB_TRANSPORTS: dict[int, str] = {0: "RC", 1: "UC", 2: "RD", 3: "UD", 4: "CNP", 5: "XRC"}

_IB_OPERATIONS: dict[int, str] = {
    0: "SEND_First", 1: "SEND_Middle", 2: "SEND_Last", 3: "SEND_Last_Immediate", 4: "SEND_Only",
    5: "SEND_Only_Immediate", 6: "RDMA_WRITE_First", 7: "RDMA_WRITE_Middle", 8: "RDMA_WRITE_Last",
    9: "RDMA_WRITE_Last_Immediate", 10: "RDMA_WRITE_Only", 11: "RDMA_WRITE_Only_Immediate",
    12: "RDMA_READ_Request", 13: "RDMA_READ_Response_First", 14: "RDMA_READ_Response_Middle",
    15: "RDMA_READ_Response_Last", 16: "RDMA_READ_Response_Only", 17: "Acknowledge", 18: "ATOMIC_Acknowledge",
    19: "CmpSwap", 20: "FetchAdd", 22: "SEND_Last_Invalidate", 23: "SEND_Only_Invalidate",
}  # fmt: skip
IB_OPCODES: dict[int, str] = {0x81: "CNP"} | {
    transport << 5 | operation: f"{IB_TRANSPORTS[transport]}_{name}"
    for transport in (0, 1, 2, 3, 5)
    for operation, name in _IB_OPERATIONS.items()
}
