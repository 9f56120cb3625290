"""From captured frames to the UDP datagrams in them: one kernel over many frames.

In go the octets of a file and where its frames lie; out come, for each frame, a status out of `STATUS` and, where that
is "datagram", its payload and whence it came. IP fragments are only recognised here; `fragments.py` joins them.
Payloads that the capture has cut short are given as far as they go.

Answers for: RFC 791, RFC 8200 section 4 (extension headers), RFC 768, RFC 4302 section 2.2 (length of AH), IEEE 802.1Q
(tags), RFC 2516 (PPPoE sessions), and the link types (tcpdump.org/linktypes.html) that `_find_network` names.
"""

from __future__ import annotations

import numpy as np

from tidegate.kernel import I64, U8, U64, inline, kernel
from tidegate.octets import be16, be64

__all__ = ["CUT", "DATAGRAM", "DPORT", "FRAGMENT", "KERNELS", "LENGTH", "NETWORK", "ROWS", "SIGNED", "SPORT", "START"]
__all__ += ["STATUS", "STATUSES", "unwrap_frames", "unwrap_whole"]

STATUSES = ("datagram", "fragment", "link type not known", "not IP", "not UDP", "malformed header")
DATAGRAM, FRAGMENT, _LINK_TYPE, _NOT_IP, _NOT_UDP, _MALFORMED = range(6)

# The rows of the table that `unwrap_frames` fills, one column a frame.
STATUS, NETWORK, START, LENGTH, SPORT, DPORT, CUT, SIGNED = range(8)
ROWS = 8

_IPV4 = 0x0800
_IPV6 = 0x86DD


@inline
def _find_protocol(data: U8, at: int, end: int) -> int:
    """Return where the IP header begins after the EtherType at `at`, or minus a status."""
    while at + 2 <= end:
        protocol = be16(data, at)
        if protocol in (_IPV4, _IPV6):
            return at + 2
        if protocol in (0x8100, 0x88A8, 0x9100, 0x9200):  # tags of VLANs, any number of them
            at += 4
        elif protocol == 0x8864:  # PPPoE session: version, code, session, length, PPP protocol
            known = at + 10 <= end and be16(data, at + 8) in (0x0021, 0x0057)
            return at + 10 if known else -_NOT_IP
        else:
            return -_NOT_IP
    return -_MALFORMED


@inline
def _find_in_cooked_2(data: U8, start: int, end: int) -> int:
    """Return the same for Linux cooked, version 2: the EtherType is the first of 20 octets."""
    if start + 20 > end:
        return -_MALFORMED
    protocol = be16(data, start)
    if protocol in (0x8100, 0x88A8):
        return _find_protocol(data, start + 22, end)
    return start + 20 if protocol in (_IPV4, _IPV6) else -_NOT_IP


@inline
def _find_network(data: U8, start: int, end: int, link_type: int) -> int:
    """Return where the IP header begins, or minus a status."""
    if link_type == 1:  # Ethernet: two addresses, then the EtherType
        return _find_protocol(data, start + 12, end)
    if link_type == 113:  # Linux cooked: the EtherType is the last of 16 octets
        return _find_protocol(data, start + 14, end)
    if link_type == 276:
        return _find_in_cooked_2(data, start, end)
    if link_type in (
        0,
        108,
    ):  # NULL and LOOP: a family in four octets of either byte order; the IP version says the same
        return start + 4
    if link_type in (12, 14, 101, 228, 229):  # raw IP
        return start
    return -_LINK_TYPE


@inline
def _walk_ipv4(data: U8, at: int, end: int, table: I64, words: U64, i: int) -> int:
    """Fill START, LENGTH (of the IP payload) and the source; return a status."""
    header = np.int64(data[at] & 15) * 4
    total = be16(data, at + 2)
    if total == 0:  # segmentation offload: captured before the length was known
        total = end - at
    if header < 20 or total < header or at + header > end:
        return _MALFORMED
    words[0, i] = np.uint64(0)
    words[1, i] = np.uint64((0xFFFF << 32) | (be16(data, at + 12) << 16) | be16(data, at + 14))
    table[START, i] = at + header
    table[LENGTH, i] = total - header
    if data[at + 9] != 17:
        return _NOT_UDP
    return FRAGMENT if be16(data, at + 6) & 0x3FFF else DATAGRAM


@inline
def _walk_ipv6(data: U8, at: int, end: int, table: I64, words: U64, i: int) -> int:
    """Fill START, LENGTH (of what follows the extension headers) and the source; return a status."""
    if at + 40 > end:
        return _MALFORMED
    words[0, i] = be64(data, at + 8)
    words[1, i] = be64(data, at + 16)
    length = be16(data, at + 4)
    stop = at + 40 + length if length else end  # 0: a jumbogram, or segmentation offload
    following = np.int64(data[at + 6])
    at += 40
    while following not in (17, 44):
        if following not in (0, 43, 51, 60, 135, 139, 140):
            return _NOT_UDP
        if at + 8 > end:
            return _MALFORMED
        size = np.int64(data[at + 1])
        size = (size + 2) * 4 if following == 51 else (size + 1) * 8
        following = np.int64(data[at])
        at += size  # type: ignore[assignment]  # numba's int
    if at > stop:
        return _MALFORMED
    table[START, i] = at
    table[LENGTH, i] = stop - at
    return FRAGMENT if following == 44 else DATAGRAM


@inline
def _unwrap_udp(data: U8, end: int, table: I64, i: int) -> int:
    """Narrow START and LENGTH from the UDP header to its payload; return a status."""
    at = table[START, i]
    stop = min(end, at + table[LENGTH, i])
    if at + 8 > stop:
        return _MALFORMED
    length = be16(data, at + 4)
    if length == 0:  # a jumbogram, or offload
        length = stop - at
    if length < 8:
        return _MALFORMED
    whole = min(length, stop - at)
    table[CUT, i] = 1 if whole < length else 0
    table[START, i] = at + 8
    table[LENGTH, i] = whole - 8
    table[SPORT, i] = be16(data, at)
    table[DPORT, i] = be16(data, at + 2)
    # Version 5, then a kind of agent address: no other protocol seen in captures begins so.
    signed = whole >= 16 and be16(data, at + 8) == 0 and be16(data, at + 10) == 5
    table[SIGNED, i] = 1 if signed and be16(data, at + 12) == 0 and be16(data, at + 14) <= 2 else 0
    return DATAGRAM


@kernel("void(uint8[::1], int64[:,::1], int64, int64[:,::1], uint64[:,::1], int64[::1])")
def unwrap_frames(data: U8, frames: I64, count: int, table: I64, words: U64, port_counts: I64) -> None:
    """Fill `table` and the source addresses `words` (two rows: high, low) for the first `count` columns of `frames`.

    `frames` has rows of offset, octets, time and link type. `port_counts` counts datagrams by destination port.
    """
    for i in range(count):
        start = frames[0, i]
        end = start + frames[1, i]
        table[CUT, i] = 0
        table[SIGNED, i] = 0
        at = _find_network(data, start, end, frames[3, i])
        status = -at
        if at >= 0:
            table[NETWORK, i] = at
            status = _NOT_IP
            if at + 20 > end:
                status = _MALFORMED
            elif data[at] >> 4 == 4:
                status = _walk_ipv4(data, at, end, table, words, i)
            elif data[at] >> 4 == 6:
                status = _walk_ipv6(data, at, end, table, words, i)
        if status == DATAGRAM:
            status = _unwrap_udp(data, end, table, i)
        if status == DATAGRAM:
            port_counts[table[DPORT, i]] += 1
        table[STATUS, i] = status


@kernel("void(uint8[::1], int64[:,::1], int64, int64[::1])")
def unwrap_whole(data: U8, table: I64, i: int, port_counts: I64) -> None:
    """Fill column `i` from `data`, a UDP datagram with its header put together from fragments."""
    table[START, i] = 0
    table[LENGTH, i] = data.size
    table[STATUS, i] = _unwrap_udp(data, data.size, table, i)
    if table[STATUS, i] == DATAGRAM:
        port_counts[table[DPORT, i]] += 1


KERNELS = (unwrap_frames, unwrap_whole)
