"""Readable dissection of link layers: Ethernet, VLAN tags, LLC/SNAP, MPLS, PPPoE, ARP.

Each function takes the window that starts at its layer and returns its fields and what follows.

Answers for: IEEE 802.3, 802.1Q, 802.2, RFC 1042 (SNAP), RFC 3032 and 4385 (MPLS and its control word), RFC 2516
(PPPoE), RFC 1661 (PPP), RFC 826 (ARP).
"""

from __future__ import annotations

from tidegate.data.names import Layer
from tidegate.wire.packet.window import Fields, Found, Window, present

__all__ = ["arp", "destination_kinds", "ethernet", "follow_ethertype", "follow_ppp", "llc", "mpls", "pppoe", "vlan"]

_TAGS = (0x8100, 0x88A8, 0x9100)
_BROADCAST = 0xFFFFFFFFFFFF
_GROUP = 1 << 40  # the lowest bit of the first octet


def follow_ethertype(window: Window, kind: int | None, at: int) -> Layer | None:
    """Return the layer that an EtherType names, `at` octets into the layer."""
    if kind in (0x0800, 0x86DD):
        return window.ip(at)
    names = {0x0806: Layer.ARP, 0x8847: Layer.MPLS, 0x8848: Layer.MPLS, 0x8863: Layer.PPPOE, 0x8864: Layer.PPPOE}
    return names.get(kind or 0)


def follow_ppp(window: Window, at: int) -> Layer | None:
    """Return the layer that the PPP protocol number `at` octets into the layer names."""
    number = window.uint(at, 2)
    if number in (0x0021, 0x0057):
        return window.ip(at + 2)
    return Layer.MPLS if number in (0x0281, 0x0283) else None


def _follow_tag(window: Window, kind: int | None, at: int) -> Layer | None:
    """Return what follows a type that stands straight behind Ethernet or a tag."""
    if kind in _TAGS:
        return Layer.VLAN
    if kind is not None and kind < 1536:
        return Layer.LLC
    return follow_ethertype(window, kind, at)


def _type_behind_tags(window: Window) -> int | None:
    """Return the EtherType behind all tags; of LLC/SNAP its type, of other LLC the length."""
    at = 12
    tags = 0
    while window.uint(at, 2) in _TAGS:
        if tags == window.room:
            return None  # the tag lies deeper than is looked at
        at += 4
        tags += 1
    kind = window.uint(at, 2)
    if kind is not None and kind < 1536 and _is_snap(window, at + 2):
        return window.uint(at + 8, 2)
    return kind


def _is_snap(window: Window, at: int) -> bool:
    return window.octets(at, 6) == b"\xaa\xaa\x03\0\0\0" and window.octets(at + 6, 2) is not None


def ethernet(window: Window) -> Found:
    """Read an IEEE 802.3 MAC header, 14 octets."""
    destination = window.uint(0, 6)
    fields = present(
        macdestination=destination, macsource=window.uint(6, 6), ethernetprotocol=_type_behind_tags(window)
    )
    fields |= destination_kinds(destination)
    return Found(fields, _follow_tag(window, window.uint(12, 2), 14), 14)


def destination_kinds(mac: int | None) -> Fields:
    """Return what kind of address a destination MAC is."""
    if mac is None:
        return {}
    group = bool(mac & _GROUP)
    return present(
        isbroadcast=int(mac == _BROADCAST),
        ismulticast=int(group and mac != _BROADCAST),
        isunicast=int(not group),
    )


def vlan(window: Window) -> Found:
    """Read a tag behind its type: control information and the next type. VLAN 0 only carries a priority."""
    number = window.bits(0, 2, 0, 0xFFF)
    fields = present(vlan=number or None, priority=window.bits(0, 1, 5, 7))
    return Found(fields, _follow_tag(window, window.uint(2, 2), 4), 4)


def llc(window: Window) -> Found:
    """Read IEEE 802.2; only SNAP with OUI 0 goes on (RFC 1042)."""
    if not _is_snap(window, 0):
        return Found({})
    return Found({}, follow_ethertype(window, window.uint(6, 2), 8), 8)


def mpls(window: Window) -> Found:
    """Read one label; behind the last the first nibble tells (RFC 4385 section 3)."""
    fields = present(
        mplslabel=window.bits(0, 3, 4, 0xFFFFF), mplsexp=window.bits(2, 1, 1, 7), mplsttl=window.uint(3, 1)
    )
    if window.bits(2, 1, 0, 1) == 0:
        return Found(fields, Layer.MPLS, 4)
    if window.bits(4, 1, 4, 15) == 0:
        return Found(fields, Layer.ETH, 8)
    return Found(fields, window.ip(4), 4)


def pppoe(window: Window) -> Found:
    """Read PPPoE, six octets; behind those of a session stands PPP.

    Which of the two EtherTypes named the layer is told by the octets right before it.
    """
    fields = present(pppoesession=window.uint(2, 2))
    return Found(fields, follow_ppp(window, 6), 8) if window.uint(-2, 2) == 0x8864 else Found(fields)


def arp(window: Window) -> Found:
    """Read ARP of IPv4 over Ethernet, the only kind that is read."""
    fields: Fields = present(
        arpoperation=window.uint(6, 2),
        arpmacsender=window.uint(8, 6),
        arpipsender=window.address(14, 4),
        arpmactarget=window.uint(18, 6),
        arpiptarget=window.address(24, 4),
    )
    return Found(fields)
