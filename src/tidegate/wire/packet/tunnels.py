"""Readable dissection of tunnels: GRE with NVGRE and ERSPAN, VXLAN, Geneve.

Each function takes the window that starts at its layer and returns its fields and what follows.

Answers for: RFC 2784 and 2890 (GRE), RFC 7637 (NVGRE), RFC 7348 (VXLAN), RFC 8926 (Geneve).
"""

from __future__ import annotations

from tidegate.data.names import Layer
from tidegate.wire.packet.link import follow_ethertype
from tidegate.wire.packet.window import Found, Window, present

__all__ = ["geneve", "gre", "vxlan"]

_BRIDGED, _ERSPAN = 0x6558, 0x88BE


def gre(window: Window) -> Found:
    """Read RFC 2784: version 0 without routing goes on; the upper 24 bits of a key are an NVGRE subnet."""
    kind = window.uint(2, 2)
    fields = present(greprotocol=kind)
    flags = window.uint(0, 2)
    if flags is None or kind is None or flags & 0x4007:  # routing present, or a version other than 0
        return Found(fields)
    length = 8 if flags & 0x8000 else 4
    if flags & 0x2000:
        fields |= present(grevsid=window.uint(length, 3))
        length += 4
    length += 4 if flags & 0x1000 else 0
    if kind == _ERSPAN:
        return Found(fields, Layer.ETH, length + (8 if flags & 0x1000 else 0))
    if kind == _BRIDGED:
        return Found(fields, Layer.ETH, length)
    known = kind in (0x0800, 0x86DD, 0x8847, 0x8848)
    return Found(fields, follow_ethertype(window, kind, length) if known else None, length)


def vxlan(window: Window) -> Found:
    """Read RFC 7348 section 5."""
    network = window.uint(4, 3)
    return Found(present(vni=network, vxlanvni=network), Layer.ETH, 8)


def geneve(window: Window) -> Found:
    """Read RFC 8926 section 3.4: options, then Ethernet or IP by the protocol type."""
    kind = window.uint(2, 2)
    length = 8 + 4 * (window.bits(0, 1, 0, 63) or 0)
    following = Layer.ETH if kind == _BRIDGED else None
    if kind in (0x0800, 0x86DD):
        following = window.ip(length)
    return Found(present(genevevni=window.uint(4, 3)), following, length)
