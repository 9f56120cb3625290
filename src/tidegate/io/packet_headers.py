"""What the kernel tells beside the octets of packets that a packet socket received: message headers to rows.

Answers for: packet(7) (sockaddr_ll, PACKET_AUXDATA), linux/if_packet.h, cmsg(3).
"""

from __future__ import annotations

import numpy as np

from tidegate.data.sampled import Row
from tidegate.io.mmsg import CONTROL, CONTROL_LENGTH_AT, LENGTH_AT, NAME, NAME_LENGTH_AT, SO_TIMESTAMPNS
from tidegate.kernel import I32, I64, U8, kernel

__all__ = ["KERNELS", "PACKET_AUXDATA", "read_packet_headers"]

PACKET_AUXDATA = 8
_OUTGOING = 4  # PACKET_OUTGOING
_VLAN_VALID, _TPID_VALID = 0x10, 0x40  # TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID
_INPUT, _OUTPUT, _NARROW, _EGRESS = int(Row.INPUT), int(Row.OUTPUT), int(Row.NARROW), int(Row.EGRESS)
_GROUP, _RATE, _LENGTH, _PROTOCOL = int(Row.GROUP), int(Row.RATE), int(Row.LENGTH), int(Row.PROTOCOL)
_TIME, _TAG, _MAC_LENGTH, _LAYER = int(Row.TIME), int(Row.TAG), int(Row.MAC_LENGTH), int(Row.LAYER)
_DATA, _DATA_LENGTH = int(Row.DATA), int(Row.DATA_LENGTH)


@kernel("i8(i8[:,::1], i4[:,::1], u1[:,::1], i8[:,::1], i4[:,::1], i8, i8, i8, i8, i8[::1], i8[:,::1])")
def read_packet_headers(
    headers: I64,
    header_halves: I32,
    names: U8,
    controls: I64,
    control_halves: I32,
    now_ns: int,
    interface: int,
    rate: int,
    layer: int,
    lengths: I64,
    rows: I64,
) -> int:
    """Fill a row (Row) and a length a packet, as many as `lengths` has, and make the headers ready again.

    `now_ns` is the time where the kernel gave none; `layer` what packets of the interface begin with. DATA is left for
    who copies the octets. Returned is the greatest length.
    """
    longest = np.int64(0)
    for i in range(lengths.size):
        length = np.int64(header_halves[i, LENGTH_AT])
        lengths[i] = length
        longest = max(longest, length)
        control_length = headers[i, CONTROL_LENGTH_AT]
        headers[i, CONTROL_LENGTH_AT] = CONTROL
        header_halves[i, NAME_LENGTH_AT] = NAME
        rows[i, :] = -1
        rows[i, _GROUP], rows[i, _RATE], rows[i, _LAYER] = interface, rate, layer
        rows[i, _NARROW] = rows[i, _MAC_LENGTH] = 0
        rows[i, _PROTOCOL] = np.int64(names[i, 2]) << 8 | np.int64(names[i, 3])
        rows[i, _LENGTH] = rows[i, _DATA_LENGTH] = length
        rows[i, _TIME] = now_ns
        egress = names[i, 10] == _OUTGOING
        rows[i, _EGRESS] = 1 if egress else 0
        if egress:
            rows[i, _OUTPUT] = interface
        else:
            rows[i, _INPUT] = interface
        at = 0  # words of 64 bits; struct cmsghdr is a length of one word, then level and type of half a word each
        while 8 * at + 16 <= control_length:
            size = controls[i, at]
            if size < 16 or size > control_length - 8 * at:
                break
            kind, value = control_halves[i, 2 * at + 3], 2 * at + 4
            if kind == SO_TIMESTAMPNS and size >= 32:  # struct timespec
                rows[i, _TIME] = controls[i, at + 2] * 1_000_000_000 + controls[i, at + 3]
            elif kind == PACKET_AUXDATA and size >= 36:  # status, length, snapped, MAC and network offset, TCI and TPID
                status = control_halves[i, value]
                rows[i, _LENGTH] = np.int64(control_halves[i, value + 1]) & 0xFFFFFFFF
                if status & _VLAN_VALID:
                    tags = np.int64(control_halves[i, value + 4])
                    tpid = (tags >> 16) & 0xFFFF if status & _TPID_VALID else 0x8100
                    rows[i, _TAG] = tpid << 16 | (tags & 0xFFFF)
            at += (size + 7) >> 3
    return int(longest)


KERNELS = (read_packet_headers,)
