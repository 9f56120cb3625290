"""Kernel: where the layers of a sampled packet header stand.

In go the octets of a block and the place of one header; out comes a list of marks, each a kind and the octets it
covers. Fields are read off the marks later, and only those that somebody needs (`tidegate.wire.sflow.columns`). Nothing
is copied or decoded twice. The rules are those of docs/concepts/dissection.md; `tidegate.wire.packet.headers` is
the readable twin.

A kind below 32 is a layer of `tidegate.data.names.Layer`, listed from the outside in. Kinds from 32 up are places
inside or behind a layer that fields start from.

Answers for: IEEE 802.3 and 802.1Q, RFC 3032 (MPLS), 2516 (PPPoE), 826, 791, 8200, 4302 (AH), 9293, 768, 792, 2784 and
2890 (GRE), 7348 (VXLAN), 8926 (Geneve), 1035 (DNS).
"""

from __future__ import annotations

from enum import IntEnum

from tidegate.data.names import Layer
from tidegate.kernel import I32, U8, inline
from tidegate.octets import be8, be16

__all__ = ["MAX_LAYERS", "MAX_MARKS", "Mark", "dissect", "walk_chain"]

MAX_LAYERS = 12  # the stack word of data/forms.py holds as many
MAX_MARKS = (
    3 * MAX_LAYERS
)  # a layer brings at most two further marks: IPv6 its chain and next header, DNS name and type


class Mark(IntEnum):
    """Kinds of marks that are no layers."""

    ETHERTYPE = 32  # the type behind all VLAN tags
    NEXT_HEADER = 33  # the octet that holds the first header number that is no extension
    IP6_CHAIN = 34  # an IPv6 header again, with the end of its own packet
    GRE_KEY = 36  # empty where there is none, so that marks and layers are counted alike
    ECHO = 37  # ICMP echo and echo reply
    UNREACHABLE_NET = 38  # the IPv4 header inside an ICMP message of type 3 code 0
    UNREACHABLE_HOST = 39
    UNREACHABLE_PROTOCOL = 40
    UNREACHABLE_PORT = 41  # the TCP, UDP or SCTP header inside an ICMP message of type 3 code 3
    DNS_NAME = 42  # exactly the octets of the first question's name
    DNS_TYPE = 43
    RDMA = 44  # RDMA extended transport header


# Plain integers for the kernels: numba reads module constants, not enum members.
_ETH, _VLAN, _MPLS, _PPPOE, _ARP = (int(x) for x in (Layer.ETH, Layer.VLAN, Layer.MPLS, Layer.PPPOE, Layer.ARP))
_IP, _IP6, _TCP, _UDP, _ICMP = (int(x) for x in (Layer.IP, Layer.IP6, Layer.TCP, Layer.UDP, Layer.ICMP))
_ICMP6, _SCTP, _GRE, _VXLAN = (int(x) for x in (Layer.ICMP6, Layer.SCTP, Layer.GRE, Layer.VXLAN))
_GENEVE, _DNS, _IBBT, _LLC = (int(x) for x in (Layer.GENEVE, Layer.DNS, Layer.IBBT, Layer.LLC))
_ESP, _AH = int(Layer.ESP), int(Layer.AH)
_ETHERTYPE, _NEXT_HEADER, _CHAIN = int(Mark.ETHERTYPE), int(Mark.NEXT_HEADER), int(Mark.IP6_CHAIN)
_GRE_KEY, _ECHO = int(Mark.GRE_KEY), int(Mark.ECHO)
_UNREACHABLE_NET, _UNREACHABLE_PORT = int(Mark.UNREACHABLE_NET), int(Mark.UNREACHABLE_PORT)
_DNS_NAME, _DNS_TYPE, _RDMA = int(Mark.DNS_NAME), int(Mark.DNS_TYPE), int(Mark.RDMA)

# What to look at next.
_STOP, _ETHERNET, _BY_TYPE, _BY_NIBBLE, _LABEL, _BY_PPP, _BY_PROTOCOL = range(7)

# What to look at next and its number; the octet it starts at and the one behind the packet; marks and layers so far.
Step = tuple[int, int, int, int, int, int]


@inline
def _mark(marks: I32, count: int, kind: int, at: int, end: int) -> int:
    marks[count, 0] = kind
    marks[count, 1] = at
    marks[count, 2] = end
    return count + 1


@inline
def _ethernet(data: U8, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    count = _mark(marks, count, _ETH, at, end)
    layers += 1
    place = at + 12
    if place + 2 > end:
        return _STOP, 0, at, end, count, layers
    kind = be16(data, place)
    while kind in (0x8100, 0x88A8, 0x9100):
        if place + 2 >= end or layers == MAX_LAYERS:
            return _STOP, 0, at, end, count, layers
        count = _mark(marks, count, _VLAN, place + 2, end)
        layers += 1
        place += 4
        if place + 2 > end:
            return _STOP, 0, at, end, count, layers
        kind = be16(data, place)
    if kind >= 1536:
        return _BY_TYPE, kind, place + 2, end, _mark(marks, count, _ETHERTYPE, place, end), layers
    inner = place + 2
    snap = inner + 8 <= end and be16(data, inner) == 0xAAAA and be16(data, inner + 2) == 0x0300
    snap = snap and be16(data, inner + 4) == 0
    count = _mark(marks, count, _ETHERTYPE, inner + 6 if snap else place, end)
    if inner >= end or layers == MAX_LAYERS:
        return _STOP, 0, at, end, count, layers
    count = _mark(marks, count, _LLC, inner, end)
    if not snap:
        return _STOP, 0, at, end, count, layers + 1
    return _BY_TYPE, be16(data, inner + 6), inner + 8, end, count, layers + 1


@inline
def _by_type(number: int, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    """EtherTypes; here and below `at < end` and a layer may still be added."""
    if number in (0x0800, 0x86DD):
        return _BY_NIBBLE, 0, at, end, count, layers
    if number in (0x8847, 0x8848):
        return _LABEL, 0, at, end, count, layers
    if number == 0x0806:
        return _STOP, 0, at, end, _mark(marks, count, _ARP, at, end), layers + 1
    if number not in (0x8863, 0x8864):
        return _STOP, 0, at, end, count, layers
    count = _mark(marks, count, _PPPOE, at, end)
    return (_BY_PPP if number == 0x8864 else _STOP), 0, at + 6, end, count, layers + 1


@inline
def _label(data: U8, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    count = _mark(marks, count, _MPLS, at, end)
    layers += 1
    behind = at + 4
    if behind >= end:
        return _STOP, 0, at, end, count, layers
    if data[at + 2] & 1 == 0:
        return _LABEL, 0, behind, end, count, layers
    nibble = data[behind] >> 4
    if nibble in (4, 6):
        return _BY_NIBBLE, 0, behind, end, count, layers
    return (_STOP if nibble else _ETHERNET), 0, behind + 4, end, count, layers


@inline
def _by_ppp(data: U8, at: int, end: int, count: int, layers: int) -> Step:
    if at + 2 > end:
        return _STOP, 0, at, end, count, layers
    number = be16(data, at)
    if number in (0x0021, 0x0057):
        return _BY_NIBBLE, 0, at + 2, end, count, layers
    return (_LABEL if number in (0x0281, 0x0283) else _STOP), 0, at + 2, end, count, layers


@inline
def _ip(data: U8, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    count = _mark(marks, count, _IP, at, end)
    layers += 1
    length = (be8(data, at) & 15) * 4
    if length < 20 or at + 20 > end:
        return _STOP, 0, at, end, count, layers
    total = be16(data, at + 2)
    if total >= length and at + total < end:
        end = at + total
    if be16(data, at + 6) & 0x1FFF:
        return _STOP, 0, at, end, count, layers
    return _BY_PROTOCOL, be8(data, at + 9), at + length, end, count, layers


@inline
def _is_extension(number: int) -> bool:
    return number in (0, 43, 44, 51, 60, 135, 139, 140)


@inline
def walk_chain(data: U8, at: int, end: int) -> tuple[int, int, bool, int, int]:
    """Pass over the extension headers behind the whole IPv6 header at `at`.

    Returned are the octet that holds the first number that is none of them (-1 where the chain is cut off or too long),
    where that header starts, whether this is a later fragment, the numbers as data/forms.py packs them (0: none), and
    the first fragment header (-1: none).
    """
    named, place, fragment = at + 6, at + 40, -1
    number = be8(data, named)
    word = count = 0
    later = False
    while _is_extension(number) and not later:
        if count == 7:
            return -1, place, later, count << 56 | word, fragment
        word |= number << (8 * count)
        count += 1
        if number == 44 and fragment < 0:
            fragment = place
        if place + (8 if number == 44 else 2) > end:
            return -1, place, later, count << 56 | word, fragment
        length = 8
        if number == 44:
            later = be16(data, place + 2) >> 3 != 0
        elif number == 51:
            length = (be8(data, place + 1) + 2) * 4
        else:
            length = (be8(data, place + 1) + 1) * 8
        named = place
        number = be8(data, named)
        place += length
    return -1 if _is_extension(number) else named, place, later, count << 56 | word, fragment


@inline
def _ip6(data: U8, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    count = _mark(marks, count, _IP6, at, end)
    layers += 1
    if at + 40 > end:
        return _STOP, 0, at, end, count, layers
    payload = be16(data, at + 4)
    if payload and at + 40 + payload < end:
        end = at + 40 + payload
    count = _mark(marks, count, _CHAIN, at, end)
    named, place, later, _, _ = walk_chain(data, at, end)
    if named < 0:
        return _STOP, 0, at, end, count, layers
    count = _mark(marks, count, _NEXT_HEADER, named, end)
    return (_STOP if later else _BY_PROTOCOL), be8(data, named), place, end, count, layers


@inline
def _icmp(data: U8, at: int, end: int, marks: I32, count: int) -> int:
    """Mark what stands in an ICMP message: RFC 792; an unreachable packet only as far as a field needs it."""
    count = _mark(marks, count, _ICMP, at, end)
    if at + 2 > end:
        return count
    kind, code = data[at], data[at + 1]
    if kind in (0, 8):
        return _mark(marks, count, _ECHO, at, end)
    inner = at + 8
    if kind != 3 or code > 3 or inner + 20 > end or data[inner] >> 4 != 4:
        return count
    if code < 3:
        return _mark(marks, count, _UNREACHABLE_NET + int(code), inner, end)
    length = (be8(data, inner) & 15) * 4
    if length < 20 or data[inner + 9] not in (6, 17, 132) or be16(data, inner + 6) & 0x1FFF:
        return count
    return _mark(marks, count, _UNREACHABLE_PORT, inner + length, end)


@inline
def _dns(data: U8, at: int, end: int, marks: I32, count: int) -> int:
    """Mark the first question: RFC 1035 section 4.1.2; a compressed or cut name is not marked."""
    count = _mark(marks, count, _DNS, at, end)
    if at + 12 > end or be16(data, at + 4) == 0:
        return count
    place = at + 12
    while place < end and place - at < 12 + 255:
        size = be8(data, place)
        if size == 0:
            count = _mark(marks, count, _DNS_NAME, at + 12, place + 1)
            return _mark(marks, count, _DNS_TYPE, place + 1, end)
        if size > 63:
            return count
        place += 1 + size
    return count


@inline
def _ibbt(data: U8, at: int, end: int, marks: I32, count: int) -> int:
    count = _mark(marks, count, _IBBT, at, end)
    operation = be8(data, at) & 31
    # InfiniBand volume 1, table 38: RDMA WRITE first and only, with and without immediate, and RDMA READ request
    if operation in (6, 10, 11, 12):
        return _mark(marks, count, _RDMA, at + 12, end)
    return count


@inline
def _tunnelled(kind: int) -> int:
    """Return how to go on at the EtherTypes that GRE and Geneve share."""
    if kind == 0x6558:
        return _ETHERNET
    return _BY_NIBBLE if kind in (0x0800, 0x86DD) else _STOP


@inline
def _udp(data: U8, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    count = _mark(marks, count, _UDP, at, end)
    layers += 1
    inner = at + 8
    if inner >= end or layers == MAX_LAYERS:
        return _STOP, 0, at, end, count, layers
    port = be16(data, at + 2)
    if port in (4789, 8472):
        if data[inner] & 8 == 0:
            return _STOP, 0, at, end, count, layers
        return _ETHERNET, 0, inner + 8, end, _mark(marks, count, _VXLAN, inner, end), layers + 1
    if port == 6081:
        count = _mark(marks, count, _GENEVE, inner, end)
        if inner + 4 > end:
            return _STOP, 0, at, end, count, layers + 1
        behind = inner + 8 + (be8(data, inner) & 63) * 4
        return _tunnelled(be16(data, inner + 2)), 0, behind, end, count, layers + 1
    if port == 4791:
        count = _ibbt(data, inner, end, marks, count)
    elif port == 53 or be16(data, at) == 53:
        count = _dns(data, inner, end, marks, count)
    return _STOP, 0, at, end, count, layers


@inline
def _gre(data: U8, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    """RFC 2784 and 2890; version 1 (PPTP) and routing (RFC 1701) end the walk."""
    count = _mark(marks, count, _GRE, at, end)
    layers += 1
    if at + 4 > end or data[at] & 0x40 or data[at + 1] & 7:
        return _STOP, 0, at, end, count, layers
    flags = data[at]
    behind = at + 4 + (4 if flags & 0x80 else 0)
    count = _mark(marks, count, _GRE_KEY, behind, end if flags & 0x20 else behind)
    behind += (4 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    number = be16(data, at + 2)
    if number == 0x88BE:
        return _ETHERNET, 0, behind + (8 if flags & 0x10 else 0), end, count, layers
    step = _LABEL if number in (0x8847, 0x8848) else _tunnelled(number)
    return step, 0, behind, end, count, layers


@inline
def _by_protocol(data: U8, number: int, at: int, end: int, marks: I32, count: int, layers: int) -> Step:
    if number == 6:
        return _STOP, 0, at, end, _mark(marks, count, _TCP, at, end), layers + 1
    if number == 17:
        return _udp(data, at, end, marks, count, layers)
    if number == 1:
        return _STOP, 0, at, end, _icmp(data, at, end, marks, count), layers + 1
    if number == 58:
        return _STOP, 0, at, end, _mark(marks, count, _ICMP6, at, end), layers + 1
    if number in (4, 41):
        return _BY_NIBBLE, 0, at, end, count, layers
    if number == 47:
        return _gre(data, at, end, marks, count, layers)
    if number == 50:
        return _STOP, 0, at, end, _mark(marks, count, _ESP, at, end), layers + 1
    if number == 51:
        count = _mark(marks, count, _AH, at, end)
        if at + 2 > end:
            return _STOP, 0, at, end, count, layers + 1
        return _BY_PROTOCOL, be8(data, at), at + (be8(data, at + 1) + 2) * 4, end, count, layers + 1
    if number == 132:
        return _STOP, 0, at, end, _mark(marks, count, _SCTP, at, end), layers + 1
    return (_LABEL if number == 137 else _STOP), 0, at, end, count, layers


@inline
def _first_step(data: U8, protocol: int, at: int, end: int) -> tuple[int, int]:
    """Return where to begin, by header_protocol (sFlow version 5, section 5.3)."""
    if protocol == 1:
        return _ETHERNET, at
    if protocol in (11, 12):
        return _BY_NIBBLE, at
    if protocol == 13:
        return _LABEL, at
    if protocol in (7, 14):
        framed = at + 2 <= end and be16(data, at) == 0xFF03
        return _BY_PPP, at + 2 if framed else at
    return _STOP, at


@inline
def dissect(data: U8, protocol: int, at: int, end: int, marks: I32, count: int) -> int:
    """Mark the layers of the header `data[at:end]`, outermost first; return how many marks there are now.

    `marks` has room for MAX_MARKS more rows: kind, first octet, the octet behind the last one that belongs to it.
    """
    layers, number = 0, 0
    step, at = _first_step(data, protocol, at, end)
    while step != _STOP and at < end and layers < MAX_LAYERS:
        if step == _BY_TYPE:
            step, number, at, end, count, layers = _by_type(number, at, end, marks, count, layers)
        elif step == _BY_NIBBLE:
            version = data[at] >> 4
            if version == 4:
                step, number, at, end, count, layers = _ip(data, at, end, marks, count, layers)
            elif version == 6:
                step, number, at, end, count, layers = _ip6(data, at, end, marks, count, layers)
            else:
                step = _STOP
        elif step == _BY_PROTOCOL:
            step, number, at, end, count, layers = _by_protocol(data, number, at, end, marks, count, layers)
        elif step == _ETHERNET:
            step, number, at, end, count, layers = _ethernet(data, at, end, marks, count, layers)
        elif step == _LABEL:
            step, number, at, end, count, layers = _label(data, at, end, marks, count, layers)
        else:
            step, number, at, end, count, layers = _by_ppp(data, at, end, count, layers)
    return count
