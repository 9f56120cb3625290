"""Records of flow samples: packet contents, forwarding context, 802.11.

Fields stand in the specification's order and under its names; `tidegate.wire.sflow.xdr` tells what their types mean.
Answers for: sFlow version 5 section 5.3, sFlow 802.11 Structures, sFlow OpenFlow Structures.
"""

# ruff: noqa: N815 - the specification's names
from __future__ import annotations

from typing import Annotated

import msgspec

from tidegate.wire.sflow.xdr import ADDRESS, HEADER, IP4, IP6, MAC, OPAQUE, REST, STRING, U32, U32S, U64, array

__all__ = [
    "AsPathSegment",
    "Extended80211Aggregation",
    "Extended80211Payload",
    "Extended80211Rx",
    "Extended80211Tx",
    "ExtendedFc",
    "ExtendedGateway",
    "ExtendedMpls",
    "ExtendedMplsFtn",
    "ExtendedMplsLdpFec",
    "ExtendedMplsTunnel",
    "ExtendedMplsVc",
    "ExtendedNat",
    "ExtendedNatPort",
    "ExtendedOpenflowV1",
    "ExtendedQueueLength",
    "ExtendedRouter",
    "ExtendedSwitch",
    "ExtendedUrl",
    "ExtendedUser",
    "ExtendedVlanTunnel",
    "SampledEthernet",
    "SampledHeader",
    "SampledIpv4",
    "SampledIpv6",
]  # fmt: skip


class AsPathSegment(msgspec.Struct, frozen=True):
    """A segment of an AS path: `type` 1 is a set, 2 a sequence."""

    type: U32 = None
    as_number: U32S = None


class SampledHeader(msgspec.Struct, frozen=True):
    """The first octets of a packet: `frame_length` on the wire, `stripped` octets taken off before the copy."""

    protocol: U32 = None
    frame_length: U32 = None
    stripped: U32 = None
    header: HEADER = None


class SampledEthernet(msgspec.Struct, frozen=True):
    """An Ethernet frame by its fields; `length` with FCS."""

    length: U32 = None
    src_mac: MAC = None
    dst_mac: MAC = None
    type: U32 = None


class SampledIpv4(msgspec.Struct, frozen=True):
    """An IPv4 packet by its fields; `length` is the IP total length."""

    length: U32 = None
    protocol: U32 = None
    src_ip: IP4 = None
    dst_ip: IP4 = None
    src_port: U32 = None
    dst_port: U32 = None
    tcp_flags: U32 = None
    tos: U32 = None


class SampledIpv6(msgspec.Struct, frozen=True):
    """An IPv6 packet by its fields; `priority` is the traffic class."""

    length: U32 = None
    protocol: U32 = None
    src_ip: IP6 = None
    dst_ip: IP6 = None
    src_port: U32 = None
    dst_port: U32 = None
    tcp_flags: U32 = None
    priority: U32 = None


class ExtendedSwitch(msgspec.Struct, frozen=True):
    """VLAN and 802.1p priority on entry and on exit."""

    src_vlan: U32 = None
    src_priority: U32 = None
    dst_vlan: U32 = None
    dst_priority: U32 = None


class ExtendedRouter(msgspec.Struct, frozen=True):
    """Next hop and the prefix lengths that matched."""

    nexthop: ADDRESS = None
    src_mask_len: U32 = None
    dst_mask_len: U32 = None


class ExtendedGateway(msgspec.Struct, frozen=True):
    """What BGP says of the route; `as` is the device's own AS."""

    nexthop: ADDRESS = None
    as_: U32 = msgspec.field(default=None, name="as")
    src_as: U32 = None
    src_peer_as: U32 = None
    dst_as_path: Annotated[tuple[AsPathSegment, ...] | None, array(AsPathSegment)] = None
    communities: U32S = None
    localpref: U32 = None


class ExtendedUser(msgspec.Struct, frozen=True):
    """User names; charsets are IANA MIB enums, 106 is UTF-8."""

    src_charset: U32 = None
    src_user: STRING = None
    dst_charset: U32 = None
    dst_user: STRING = None


class ExtendedUrl(msgspec.Struct, frozen=True):
    """The URL of an HTTP transfer; `direction` 1: the source is the server."""

    direction: U32 = None
    url: STRING = None
    host: STRING = None


class ExtendedMpls(msgspec.Struct, frozen=True):
    """Label words as on the wire, outermost first."""

    nexthop: ADDRESS = None
    in_stack: U32S = None
    out_stack: U32S = None


class ExtendedNat(msgspec.Struct, frozen=True):
    """Translated addresses."""

    src_address: ADDRESS = None
    dst_address: ADDRESS = None


class ExtendedMplsTunnel(msgspec.Struct, frozen=True):
    """MPLS tunnel."""

    tunnel_lsp_name: STRING = None
    tunnel_id: U32 = None
    tunnel_cos: U32 = None


class ExtendedMplsVc(msgspec.Struct, frozen=True):
    """MPLS virtual circuit."""

    vc_instance_name: STRING = None
    vll_vc_id: U32 = None
    vc_label_cos: U32 = None


class ExtendedMplsFtn(msgspec.Struct, frozen=True):
    """MPLS FEC to NHLFE mapping."""

    mplsFTNDescr: STRING = None
    mplsFTNMask: U32 = None


class ExtendedMplsLdpFec(msgspec.Struct, frozen=True):
    """MPLS LDP FEC."""

    mplsFecAddrPrefixLength: U32 = None


class ExtendedVlanTunnel(msgspec.Struct, frozen=True):
    """Tags that were stripped, `TPID << 16 or TCI`, outermost first."""

    stack: U32S = None


class Extended80211Payload(msgspec.Struct, frozen=True):
    """Decrypted 802.11 payload; `ciphersuite` is OUI and suite type."""

    ciphersuite: U32 = None
    data: OPAQUE = None


class Extended80211Rx(msgspec.Struct, frozen=True):
    """Reception of an 802.11 frame; `packet_duration` in microseconds."""

    ssid: STRING = None
    bssid: MAC = None
    version: U32 = None
    channel: U32 = None
    speed: U64 = None
    rsni: U32 = None
    rcpi: U32 = None
    packet_duration: U32 = None


class Extended80211Tx(msgspec.Struct, frozen=True):
    """Sending of an 802.11 frame; durations in microseconds, `power` in milliwatts."""

    ssid: STRING = None
    bssid: MAC = None
    version: U32 = None
    transmissions: U32 = None
    packet_duration: U32 = None
    retrans_duration: U32 = None
    channel: U32 = None
    speed: U64 = None
    power: U32 = None


class ExtendedOpenflowV1(msgspec.Struct, frozen=True):
    """OpenFlow 1.0 match and actions, kept as octets."""

    flow_cookie: U64 = None
    flow_match_and_actions: REST = None


class ExtendedFc(msgspec.Struct, frozen=True):
    """Fibre Channel forwarding."""

    src_mask_len: U32 = None
    dst_mask_len: U32 = None
    next_hop: U32 = None
    metric: U32 = None


class ExtendedQueueLength(msgspec.Struct, frozen=True):
    """Length of the queue that the packet waited in."""

    queueIndex: U32 = None
    queueLength: U32 = None


class ExtendedNatPort(msgspec.Struct, frozen=True):
    """Translated ports."""

    src_port: U32 = None
    dst_port: U32 = None


class Extended80211Aggregation(msgspec.Struct, frozen=True):
    """The frames of an 802.11 aggregate, each a list of records; the one record that holds records."""

    pdus: tuple[tuple[msgspec.Struct, ...], ...] | None = None  # read by decode.py: records are found by number there
