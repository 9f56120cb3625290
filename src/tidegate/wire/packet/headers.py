"""The readable dissector: a sampled header to its layers, outermost first.

One table tells which function reads which layer; each says what follows, and the walk ends where nothing does, where
nothing more was captured, or at the twelfth layer. `tidegate.wire.packet.columns` is the fast twin.

Answers for: docs/concepts/dissection.md, "Sampled headers"; the formats themselves stand in link.py, network.py,
transport.py and tunnels.py.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.data.names import Layer
from tidegate.wire.packet import link, network, transport, tunnels
from tidegate.wire.packet.window import Fields, Found, Window

__all__ = ["MAX_LAYERS", "PacketLayer", "dissect"]

MAX_LAYERS = 12  # the stack word of data/forms.py holds as many


class PacketLayer(msgspec.Struct, frozen=True):
    """A layer: its name in `stack`, octets of the header before it, and its fields under the catalogue's names.

    Fields are words as in `tidegate.data.forms`; of text they are the octets.
    """

    name: Layer
    offset: int
    fields: Fields


_READERS: dict[Layer, Callable[[Window], Found]] = {
    Layer.ETH: link.ethernet,
    Layer.VLAN: link.vlan,
    Layer.LLC: link.llc,
    Layer.MPLS: link.mpls,
    Layer.PPPOE: link.pppoe,
    Layer.ARP: link.arp,
    Layer.IP: network.ipv4,
    Layer.IP6: network.ipv6,
    Layer.AH: network.ah,
    Layer.ESP: lambda _: Found({}),
    Layer.TCP: transport.tcp,
    Layer.UDP: transport.udp,
    Layer.SCTP: transport.sctp,
    Layer.ICMP: transport.icmp,
    Layer.ICMP6: transport.icmp6,
    Layer.DNS: transport.dns,
    Layer.IBBT: transport.ibbt,
    Layer.GRE: tunnels.gre,
    Layer.VXLAN: tunnels.vxlan,
    Layer.GENEVE: tunnels.geneve,
}


def dissect(protocol: int, header: bytes) -> list[PacketLayer]:
    """Return the layers of a sampled header; `protocol` is its header_protocol (sFlow version 5 section 5.3)."""
    window = Window(header, 0, len(header), MAX_LAYERS - 1)
    layer, start = _outermost(protocol, window)
    window = Window(header, start, len(header), MAX_LAYERS - 1)
    layers: list[PacketLayer] = []
    while layer is not None and window.start < window.end and window.room >= 0:
        found = _READERS[layer](window)
        layers.append(PacketLayer(layer, window.start, found.fields))
        layer, window = found.following, found.window(window)
    return layers


def _outermost(protocol: int, window: Window) -> tuple[Layer | None, int]:
    """Return the first layer and where it starts."""
    match protocol:
        case 1:
            return Layer.ETH, 0
        case 7 | 14:  # PPP and POS: RFC 1662 framing may stand before the protocol number
            framing = 2 if window.octets(0, 2) == b"\xff\x03" else 0
            return link.follow_ppp(window, framing), framing + 2
        case 11 | 12:  # agents mix the two up (pktvisor capture): the version nibble tells
            return window.ip(0), 0
        case 13:
            return Layer.MPLS, 0
        case _:
            return None, 0
