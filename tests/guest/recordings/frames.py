"""Frames that a host's own stack does not send, all from h1 to the router or past it."""

from __future__ import annotations

import struct

import packets
from guest.lab import H1, H2, R1, mac

__all__ = ["numbered", "odd_frames", "tagged", "untagged", "vlan_frames"]


def numbered(payload: int = 26, *, to: str = H2, number: int = 1, ttl: int = 64, source: str = H1) -> bytes:
    """Return an IPv4 packet with UDP, whose identification is a number and whose header's checksum is right."""
    packet = bytearray(packets.ip(17, packets.udp(42000, 5003, b"p" * payload), src=source, dst=to, ttl=ttl))
    packet[4:6] = struct.pack("!H", number)
    packet[10:12] = _checksum(bytes(packet[:20]))
    return bytes(packet)


def untagged(payload: bytes, kind: int = 0x0800, *, to: str = "") -> bytes:
    """Return a frame, padded to the least that Ethernet sends; for the router where no address is given."""
    station = bytes.fromhex(to) or mac("r1")
    return packets.eth(payload, kind, dst=station, src=mac("h1")).ljust(60, b"\0")


def tagged(packet: bytes, *tags: tuple[int, int, int]) -> bytes:
    """Return an IPv4 frame with tags, outermost first: protocol, priority, VLAN."""
    head = b"".join(struct.pack("!HH", kind, priority << 13 | number) for kind, priority, number in tags)
    return (mac("r1") + mac("h1") + head + b"\x08\x00" + packet).ljust(60, b"\0")


def odd_frames() -> list[bytes]:
    """Return frames of the protocols that a router meets beside plain IP."""
    udp = packets.udp(42000, 5003, b"p" * 20)
    lldp = bytes.fromhex("0207040200000001" + "020405076574683006020078" + "0000")
    return [
        untagged(packets.arp(1, H1, R1), 0x0806, to="ff" * 6),
        untagged(lldp, 0x88CC, to="0180c200000e"),
        untagged(b"BB\x03" + bytes(35), 38, to="0180c2000000"),  # spanning tree: a length, and LLC
        untagged(packets.mpls([16, 17], numbered()), 0x8847),
        untagged(packets.pppoe(7, 0x0021, numbered(0)), 0x8864),
        untagged(b"\xa5" * 46, 0x88B5),
        untagged(numbered(0)),
        untagged(packets.ip(17, udp, src=H1, dst=H2, options=b"\x94\x04\0\0")),
        untagged(packets.ip(17, udp, src=H1, dst="239.1.2.3"), to="01005e010203"),
        untagged(numbered(), to="ff" * 6),
        packets.eth(numbered()[:26], dst=mac("r1"), src=mac("h1")),
        untagged(numbered(), to="020000009999"),
    ]


ODD_FRAMES = (
    "12 frames: ARP request, LLDP, spanning tree (802.3 length 38), MPLS with two labels, PPPoE session, EtherType "
    "0x88b5, UDP without payload (padded to 60), an IPv4 option, multicast, broadcast, IPv4 cut to 26 octets, "
    "another station's"
)


def vlan_frames() -> list[bytes]:
    """Return frames with tags, told apart by their IPv4 identification, from 1 on."""
    one, two, three, four, five, six = (numbered(number=number) for number in range(1, 7))
    return [
        tagged(one, (0x8100, 5, 100)),
        tagged(two, (0x8100, 0, 4094)),
        tagged(three, (0x8100, 6, 0)),
        tagged(four, (0x88A8, 3, 200), (0x8100, 5, 100)),
        tagged(five, (0x8100, 1, 300), (0x8100, 2, 301)),
        tagged(six),
    ]


VLAN_FRAMES = (
    "6 IPv4 frames, identification 1 to 6: VLAN 100 priority 5; VLAN 4094; priority tag (VLAN 0, priority 6); 802.1ad "
    "200 around 802.1Q 100; two 802.1Q tags, 300 around 301; untagged"
)


def _checksum(header: bytes) -> bytes:
    """Return the sum that an IPv4 header carries, over one that has zeros there."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", 0xFFFF - total)
