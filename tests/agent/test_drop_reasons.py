"""Reasons of drops: the table of kernel reasons, traps and functions, and what recorded alerts come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from netlink_recordings import every
from tidegate.agent.drop_reasons import UNKNOWN, drop_reason
from tidegate.data.names import DROP_REASONS
from tidegate.wire.netlink.dropmon import Alert, is_packet_alert, read_alert
from tidegate.wire.netlink.message import split_messages

IPV4 = 0x0800
KERNEL = {
    "NO_SOCKET": 3, "PKT_TOO_SMALL": 324, "HDR_TRUNC": 324, "TCP_CSUM": 317, "UDP_CSUM": 316, "ICMP_CSUM": 336,
    "IP_CSUM": 313, "IP_INHDR": 313, "SOCKET_FILTER": 371, "NETFILTER_DROP": 258, "OTHERHOST": 7, "IP_RPFILTER": 335,
    "UNICAST_IN_L2_MULTICAST": 271, "XFRM_POLICY": 370, "IP_NOPROTO": 2, "SOCKET_RCVBUFF": 259,
    "SOCKET_BACKLOG": 259, "PROTO_MEM": 259, "NOMEM": 259, "FULL_RING": 259, "IP_OUTNOROUTES": 6, "IP_INNOROUTES": 0,
    "IP_INADDRERRORS": 1, "PKT_TOO_BIG": 262, "FRAG_REASM_TIMEOUT": 4, "FRAG_TOO_FAR": 4, "DUP_FRAG": 333,
    "NEIGH_CREATEFAIL": 279, "NEIGH_FAILED": 279, "NEIGH_QUEUEFULL": 279, "NEIGH_DEAD": 279, "QDISC_DROP": 261,
    "CPU_BACKLOG": 368, "TC_INGRESS": 365, "TC_EGRESS": 366, "XDP": 367, "BPF_CGROUP_EGRESS": 369,
    "IPV6DISABLED": 326, "UNHANDLED_PROTO": 325, "INVALID_PROTO": 327, "SKB_CSUM": 329, "SKB_GSO_SEG": 334,
    "SKB_UCOPY_FAULT": 330, "DEV_HDR": 332, "DEV_READY": 331, "TAP_FILTER": 363, "TAP_TXFILTER": 364,
    "IPV6_BAD_EXTHDR": 357, "A_REASON_OF_A_LATER_KERNEL": 256,
}  # fmt: skip


@pytest.mark.parametrize("reason", KERNEL)
def test_reasons_of_the_kernel(reason: str) -> None:
    assert drop_reason(Alert(reason=reason.encode(), symbol=b"tcp_v4_rcv+0x1/0x2", protocol=IPV4)) == KERNEL[reason]


def test_reasons_that_have_the_name_of_one_of_sflow() -> None:
    names = {name: number for number, name in DROP_REASONS.items() if name.startswith(("tcp_", "ipv6_ndisc_"))}
    assert len(names) > 10
    for name, number in names.items():
        if name.upper() not in KERNEL:
            assert drop_reason(Alert(reason=name.upper().encode(), protocol=IPV4)) == number


@pytest.mark.parametrize(
    ("trap", "group", "reason"),
    [
        ("source_mac_is_multicast", "l2_drops", 263), ("ttl_value_is_too_small", "l3_exceptions", 257),
        ("tail_drop", "buffer_drops", 259), ("early_drop", "buffer_drops", 260),
        ("ingress_flow_action_drop", "acl_drops", 258), ("egress_flow_action_drop", "acl_drops", 258),
        ("mtu_value_is_too_small", "l3_exceptions", 262), ("reject_route", "l3_exceptions", 9),
        ("ipv4_lpm_miss", "l3_exceptions", 6), ("ipv6_lpm_miss", "l3_exceptions", 6),
        ("of_a_later_kernel", "l2_drops", 284), ("of_a_later_kernel", "l3_drops", 285),
        ("of_a_later_kernel", "l3_exceptions", 286), ("of_a_later_kernel", "buffer_drops", 287),
        ("of_a_later_kernel", "tunnel_drops", 288), ("of_a_later_kernel", "acl_drops", 258),
        ("of_a_later_kernel", "of_a_later_kernel", UNKNOWN), ("", "", UNKNOWN),
    ],
)  # fmt: skip
def test_traps_of_switches(trap: str, group: str, reason: int) -> None:
    assert drop_reason(Alert(is_hardware=True, trap=trap.encode(), trap_group=group.encode())) == reason


def test_traps_that_have_the_name_of_a_reason_of_sflow() -> None:
    for number, name in DROP_REASONS.items():
        assert drop_reason(Alert(is_hardware=True, trap=name.encode(), trap_group=b"l3_drops")) == number


@pytest.mark.parametrize(
    "group",
    [
        "stp", "lacp", "lldp", "eapol", "mc_snooping", "dhcp", "neigh_discovery", "bfd", "ospf", "bgp", "vrrp", "pim",
        "uc_loopback", "local_delivery", "external_delivery", "ipv6", "ptp_event", "ptp_general", "acl_sample",
        "acl_trap",
    ],
)  # fmt: skip
def test_traps_that_bring_packets_to_the_processor_are_no_drops(group: str) -> None:
    assert drop_reason(Alert(is_hardware=True, trap=b"arp_request", trap_group=group.encode())) is None


@pytest.mark.parametrize(
    ("symbol", "reason"),
    [
        ("tcp_v4_rcv+0x81/0xee0", 289), ("udp_destruct_common+0xb7/0xe0", 289), ("__udp4_lib_rcv+0x1/0x2", 289),
        ("__udp6_lib_rcv", 289), ("ip_error+0x92/0x210", 285), ("ipv4_mtu", 285), ("ip6_pkt_drop", 285),
        ("ipv6_rcv", 285), ("icmp_rcv", 285), ("icmpv6_rcv+0x258/0x690", 285), ("raw_rcv", 285), ("rawv6_rcv", 285),
        ("br_handle_frame", 284), ("__br_forward", 284), ("nft_do_chain", UNKNOWN), ("", UNKNOWN),
        ("skb_release_data+0x1/0x2", None), ("skb_queue_purge", None), ("sk_stream_kill_queues", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("unsaid", [b"", b"NOT_SPECIFIED"])
def test_functions_where_the_kernel_gives_no_reason(symbol: str, reason: int | None, unsaid: bytes) -> None:
    assert drop_reason(Alert(symbol=symbol.encode(), protocol=IPV4, reason=unsaid)) == reason


def test_what_is_no_drop_of_a_packet() -> None:
    assert drop_reason(Alert(reason=b"NOT_DROPPED_YET", protocol=IPV4, symbol=b"tcp_v4_rcv")) is None
    assert drop_reason(Alert(symbol=b"tcp_v4_rcv")) is None  # without a protocol
    assert drop_reason(Alert(reason=b"NO_SOCKET")) is None
    assert drop_reason(Alert(symbol=b"\xff\xfe", reason=b"\xff", protocol=IPV4)) == UNKNOWN


@every("dropmon")
def test_recordings_against_the_table(path: Path) -> None:
    for message in split_messages(path.read_bytes()):
        if is_packet_alert(message):
            alert = read_alert(message)
            told, symbol = alert.reason.decode(), alert.symbol.decode()
            wanted = (289 if symbol.startswith("udp_") else 285) if told == "NOT_SPECIFIED" else KERNEL[told]
            assert drop_reason(alert) == wanted
