"""Readable dissection of what IP carries: TCP, UDP, SCTP, ICMP, ICMPv6, the first DNS question, InfiniBand transport.

Each function takes the window that starts at its layer and returns its fields and what follows.

Answers for: RFC 9293, 768, 9260, 792, 4443, 1035 section 4.1, InfiniBand Architecture Specification volume 1 section
9.2 (as RoCE version 2 carries it).
"""

from __future__ import annotations

from tidegate.data.names import Layer
from tidegate.wire.packet.window import Fields, Found, Window, present

__all__ = ["dns", "ibbt", "icmp", "icmp6", "sctp", "tcp", "udp"]

_PORTED = (6, 17, 132)  # TCP, UDP, SCTP: the destination port is the second pair of octets
_WITH_RETH = (6, 10, 11, 12)  # RDMA WRITE first, only, only with immediate; RDMA READ request
_LONGEST_NAME = 255  # octets, RFC 1035 section 2.3.4


def tcp(window: Window) -> Found:
    """Read RFC 9293 section 3.1; flags with the NS bit of RFC 3540."""
    return Found(
        present(
            tcp_offset=window.start,
            tcpsourceport=window.uint(0, 2),
            tcpdestinationport=window.uint(2, 2),
            tcpseqno=window.uint(4, 4),
            tcpackno=window.uint(8, 4),
            tcpflags=window.bits(12, 2, 0, 0x1FF),
            tcpwindow=window.uint(14, 2),
        )
    )


def udp(window: Window) -> Found:
    """Read RFC 768; the ports tell what is inside."""
    source, destination = window.uint(0, 2), window.uint(2, 2)
    fields = present(
        udp_offset=window.start,
        udpsourceport=source,
        udpdestinationport=destination,
        udpbytes=window.uint(4, 2),
    )
    return Found(fields, _udp_payload(window, source, destination), 8)


def _udp_payload(window: Window, source: int | None, destination: int | None) -> Layer | None:
    if destination in (4789, 8472):
        return (
            Layer.VXLAN if window.bits(8, 1, 3, 1) else None
        )  # without the I flag it is no VXLAN (RFC 7348 section 5)
    if destination == 6081:
        return Layer.GENEVE
    if destination == 4791:
        return Layer.IBBT
    return Layer.DNS if 53 in (source, destination) else None


def sctp(window: Window) -> Found:
    """Read RFC 9260 section 3.1."""
    return Found(present(sctpsourceport=window.uint(0, 2), sctpdestinationport=window.uint(2, 2)))


def icmp(window: Window) -> Found:
    """Read RFC 792; of an unreachable packet as much as the fields need."""
    kind, code = window.uint(0, 1), window.uint(1, 1)
    fields = present(icmptype=kind, icmpcode=code)
    if kind in (0, 8) and code is not None:
        fields |= present(icmpseqno=window.uint(6, 2))
    if kind == 3:
        fields |= _unreachable(window, code)
    return Found(fields)


def _unreachable(window: Window, code: int | None) -> Fields:
    """Return what was unreachable, by the header of the packet that an ICMP message of type 3 carries."""
    inner = 8
    if window.octets(inner, 20) is None or window.bits(inner, 1, 4, 15) != 4:
        return {}
    if code == 0:
        return present(icmpunreachablenet=window.address(inner + 16, 4))
    if code == 1:
        return present(icmpunreachablehost=window.address(inner + 16, 4))
    if code == 2:
        return present(icmpunreachableprotocol=window.uint(inner + 9, 1))
    length = 4 * (window.bits(inner, 1, 0, 15) or 0)
    first = window.bits(inner + 6, 2, 0, 0x1FFF) == 0
    if code != 3 or length < 20 or not first or window.uint(inner + 9, 1) not in _PORTED:
        return {}
    return present(icmpunreachableport=window.uint(inner + length + 2, 2))


def icmp6(window: Window) -> Found:
    """Read RFC 4443 section 2.1."""
    return Found(present(icmp6type=window.uint(0, 1), icmp6code=window.uint(1, 1)))


def dns(window: Window) -> Found:
    """Read RFC 1035 section 4.1: whether it is a response, and the first question."""
    fields = present(dnsqr=window.bits(2, 1, 7, 1))
    if not window.uint(4, 2) or window.octets(0, 12) is None:
        return Found(fields)
    name = _question(window)
    if name is not None:
        fields |= present(dnsqname=name, dnsqtypename=window.uint(12 + len(name), 2))
    return Found(fields)


def _question(window: Window) -> bytes | None:
    """Return the octets of the first question's name, None where it is cut, compressed or too long."""
    at = 12
    while True:
        size = window.uint(at, 1)
        if size is None or size > 63 or at >= 12 + _LONGEST_NAME:
            return None
        at += 1 + size
        if size == 0:
            return window.octets(12, at - 12)


def ibbt(window: Window) -> Found:
    """Read the InfiniBand base transport header, 12 octets, and the length in the RDMA header behind it."""
    opcode = window.uint(0, 1)
    fields = present(
        ibbt_offset=window.start,
        ibbtopcode=opcode,
        ibbtopname=opcode,
        ibbtoptransport=window.bits(0, 1, 5, 7),
        ibbtse=window.bits(1, 1, 7, 1),
        ibbtm=window.bits(1, 1, 6, 1),
        ibbttver=window.bits(1, 1, 0, 15),
        ibbtdestqp=window.uint(5, 3),
        ibbtack=window.bits(8, 1, 7, 1),
    )
    if opcode is not None and opcode & 31 in _WITH_RETH:
        fields |= present(ibbtrdmalen=window.uint(24, 4))
    return Found(fields)
