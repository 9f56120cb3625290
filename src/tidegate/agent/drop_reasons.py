"""Why a packet was dropped, as sFlow numbers it: from the kernel's reason, a hardware trap, or a function's name.

Answers for: sFlow Dropped Packet Notification Structures and its extensions (`tidegate.data.names`), linux
include/net/dropreason-core.h, Documentation/networking/devlink/devlink-trap.rst; the mapping is Host sFlow's, but for
two slips of its table.
"""

from __future__ import annotations

from tidegate.data.names import DROP_REASONS
from tidegate.wire.netlink.dropmon import Alert

__all__ = ["UNKNOWN", "drop_reason"]

UNKNOWN = 256
_BY_NAME = {name: number for number, name in DROP_REASONS.items()}

_REASONS = {
    "NO_SOCKET": 3, "PKT_TOO_SMALL": 324, "HDR_TRUNC": 324, "TCP_CSUM": 317, "UDP_CSUM": 316, "ICMP_CSUM": 336,
    "IP_CSUM": 313, "IP_INHDR": 313, "SOCKET_FILTER": 371, "NETFILTER_DROP": 258, "OTHERHOST": 7, "IP_RPFILTER": 335,
    "UNICAST_IN_L2_MULTICAST": 271, "XFRM_POLICY": 370, "IP_NOPROTO": 2, "SOCKET_RCVBUFF": 259, "SOCKET_BACKLOG": 259,
    "PROTO_MEM": 259, "NOMEM": 259, "FULL_RING": 259, "IP_OUTNOROUTES": 6, "IP_INNOROUTES": 0, "IP_INADDRERRORS": 1,
    "PKT_TOO_BIG": 262, "FRAG_REASM_TIMEOUT": 4, "FRAG_TOO_FAR": 4, "DUP_FRAG": 333, "NEIGH_CREATEFAIL": 279,
    "NEIGH_FAILED": 279, "NEIGH_QUEUEFULL": 279, "NEIGH_DEAD": 279, "QDISC_DROP": 261, "CPU_BACKLOG": 368,
    "TC_INGRESS": 365, "TC_EGRESS": 366, "XDP": 367, "BPF_CGROUP_EGRESS": 369, "IPV6DISABLED": 326,
    "UNHANDLED_PROTO": 325, "INVALID_PROTO": 327, "SKB_CSUM": 329, "SKB_GSO_SEG": 334, "SKB_UCOPY_FAULT": 330,
    "DEV_HDR": 332, "DEV_READY": 331, "TAP_FILTER": 363, "TAP_TXFILTER": 364, "IPV6_BAD_EXTHDR": 357,
}  # fmt: skip
_NO_DROP = "NOT_DROPPED_YET"
_UNSAID = {"", "NOT_SPECIFIED"}

_TRAPS = {
    "source_mac_is_multicast": 263, "ttl_value_is_too_small": 257, "tail_drop": 259, "early_drop": 260,
    "ingress_flow_action_drop": 258, "egress_flow_action_drop": 258, "mtu_value_is_too_small": 262, "reject_route": 9,
    "ipv4_lpm_miss": 6, "ipv6_lpm_miss": 6,
}  # fmt: skip
_TRAP_GROUPS = {
    "l2_drops": 284, "l3_drops": 285, "l3_exceptions": 286, "buffer_drops": 287, "tunnel_drops": 288, "acl_drops": 258,
}  # fmt: skip
_CONTROL = {  # groups of traps that bring packets to the processor: nothing was dropped
    "stp", "lacp", "lldp", "eapol", "mc_snooping", "dhcp", "neigh_discovery", "bfd", "ospf", "bgp", "vrrp", "pim",
    "uc_loopback", "local_delivery", "external_delivery", "ipv6", "ptp_event", "ptp_general", "acl_sample", "acl_trap",
}  # fmt: skip

_ORDINARY = ("skb_release_data", "skb_queue_purge", "sk_stream_kill_queues")  # packets freed in the course of things
_FUNCTIONS = (  # by how the name of the function begins, the first that fits
    (("tcp_", "udp_", "__udp4_", "__udp6_"), 289),
    (("ip_", "ipv4_", "ip6_", "ipv6_", "icmp_", "icmpv6_", "raw_", "rawv6_"), 285),
    (("br_", "__br_"), 284),
)


def drop_reason(alert: Alert) -> int | None:
    """Return the reason, None where an alert is about no drop."""
    if alert.is_hardware or alert.trap:
        return _of_trap(alert.trap_group.decode(errors="replace"), alert.trap.decode(errors="replace"))
    reason = alert.reason.decode(errors="replace")
    if reason == _NO_DROP or not alert.protocol:
        return None  # without a protocol: no packet of the network, but one of a socket's own making
    if reason in _UNSAID:
        return _of_function(alert.symbol.decode(errors="replace"))
    return _of_reason(reason)


def _of_reason(reason: str) -> int:
    if reason in _REASONS:
        return _REASONS[reason]
    return _BY_NAME.get(reason.lower(), UNKNOWN)  # TCP_…, IPV6_NDISC_… and whatever else has the name of one


def _of_trap(group: str, trap: str) -> int | None:
    if group in _CONTROL:
        return None
    return _BY_NAME.get(trap, _TRAPS.get(trap, _TRAP_GROUPS.get(group, UNKNOWN)))


def _of_function(symbol: str) -> int | None:
    if symbol.startswith(_ORDINARY):
        return None
    return next((number for begins, number in _FUNCTIONS if symbol.startswith(begins)), UNKNOWN)
