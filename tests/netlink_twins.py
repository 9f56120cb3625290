"""Readers of psample and NFLOG messages without a kernel: attributes in a dictionary, one message at a time.

`expected` says what rows a reader should give for datagrams, as dictionaries by the names of `Row`, and what it should
count; `found` says the same of the kernels. Where a row points to octets, the dictionaries have the octets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tidegate.data.block import block_of
from tidegate.data.sampled import Packets, Row
from tidegate.errors import DecodeError
from tidegate.wire.netlink.message import ORDER, Message, attributes, split_messages
from tidegate.wire.netlink.nflog import NFLOG
from tidegate.wire.netlink.samples import SampleReader
from tidegate.wire.netlink.told import Told

__all__ = ["Packet", "expected", "found", "read_nflog", "read_psample"]

Packet = dict[str, int | bytes]
Attributes = list[tuple[int, bytes]]
_WORD, _MOST = 0xFFFFFFFF, (1 << 63) - 1
_PSAMPLE_NUMBERS = {
    0: "input", 1: "output", 2: "length", 3: "group", 4: "sequence", 5: "rate", 10: "queue", 11: "occupancy",
    12: "delay", 13: "time", 14: "protocol",
}  # fmt: skip


def expected(datagrams: Sequence[bytes], family: int) -> tuple[list[Packet], dict[str, int]]:
    """Return the packets of datagrams, and how many messages became what."""
    packets: list[Packet] = []
    told: Counter[Told] = Counter()
    for datagram in datagrams:
        try:
            for message in split_messages(datagram):
                became = _read(message, family)
                if isinstance(became, dict):
                    packets.append(became)
                    became = Told.SAMPLES
                if became is not None:
                    told[became] += 1
        except DecodeError:
            told[Told.BROKEN] += 1
    return packets, {one.name.lower(): told[one] for one in Told}


def _read(message: Message, family: int) -> Packet | Told | None:
    if message.type < 16:
        return None
    try:
        if message.type == NFLOG:
            return read_nflog(message.body) if family == NFLOG else Told.OTHER
        return read_psample(message.body) if family in {0, message.type} else Told.OTHER
    except DecodeError:
        return Told.BROKEN


def read_psample(body: bytes) -> Packet | Told:
    """Return the packet of a psample message; `DecodeError`."""
    if len(body) < 4 or body[0] != 0:
        return Told.OTHER
    last = dict(attributes(body, 4))
    packet: Packet = {"rate": 0, "narrow": sum(1 << kind for kind in (0, 1) if len(last.get(kind, b"")) == 2)}
    for kind, name in _PSAMPLE_NUMBERS.items():
        value = last.get(kind, b"")
        if len(value) in {2, 4, 8}:
            packet[name] = min(int.from_bytes(value, ORDER), _MOST)
    tunnels = [value for kind, value in attributes(body, 4) if kind in {7, 8}]
    if tunnels:
        packet["tunnel"] = tunnels[-1]
    rate = int(packet["rate"])
    if 6 not in last or "group" not in packet or "length" not in packet or not rate:
        return Told.INCOMPLETE
    if 16 in last:
        packet["rate"] = rate = max(1, (2 * _WORD + rate) // (2 * rate))
        if packet.get("sequence") == 0:
            del packet["sequence"]
    return packet | {"data": last[6], "mac": b"", "rate": min(rate, _WORD), "length": min(int(packet["length"]), _WORD)}


def read_nflog(body: bytes) -> Packet | Told:
    """Return the packet of an NFLOG message; `DecodeError`."""
    if len(body) < 4:
        return Told.BROKEN
    told = list(attributes(body, 4))
    header = _last(told, 1, at_least=3)
    payload = _last(told, 9)
    if header is None or payload is None:
        return Told.INCOMPLETE
    hook, is_netdev = header[2], body[0] == 5
    packet: Packet = {
        "group": int.from_bytes(body[2:4], "big"),
        "narrow": 0,
        "rate": _stated_rate(_last(told, 10) or b""),
        "protocol": int.from_bytes(header[:2], "big"),
        "egress": int(hook == 1 if is_netdev else hook in {3, 4}),
    }
    for name, kinds in {"input": (4, 6), "output": (5, 7), "sequence": (12,)}.items():
        for value in (_last(told, kind, size=4) for kind in kinds):
            if value is not None:
                packet[name] = int.from_bytes(value, "big")
    time = _last(told, 3, size=16)
    if time is not None:
        packet["time"] = int.from_bytes(time[4:8], "big") * 10**9 + int.from_bytes(time[12:], "big") % 10**6 * 1000
    tag = _tag(_last(told, 20) or b"")
    if tag is not None:
        packet["tag"] = tag
    mac = _mac(told)
    if is_netdev and hook == 1:
        link = _last(told, 21) or b""
        mac = b""
        if len(link) > len(payload):
            return Told.INCOMPLETE
        layer, inside = (2, payload[14:]) if len(link) == 14 else (3, payload[len(link) :])
        payload = payload if layer == 2 else inside
    else:
        layer, inside = (2 if mac else 3), payload
    octets = max(_ip_octets(inside, int(packet["protocol"])), len(inside))
    return packet | {"layer": layer, "mac": mac, "data": payload, "length": octets + (14 if layer == 2 else 0)}


def _last(told: Attributes, kind: int, *, size: int | None = None, at_least: int = 0) -> bytes | None:
    fit = [value for one, value in told if one == kind and len(value) >= at_least and size in {None, len(value)}]
    return fit[-1] if fit else None


def _mac(told: Attributes) -> bytes:
    """Return the Ethernet header that stands apart from the payload."""
    link_header = _last(told, 21)
    if link_header is not None:
        return link_header if len(link_header) == 14 else b""
    link_type = _last(told, 15, size=2)
    return _last(told, 16, size=14) or b"" if link_type in {b"\0\1", b"\3\4"} else b""


def _stated_rate(prefix: bytes) -> int:
    text = prefix[2:].decode("latin-1")
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    rate = int(digits) if prefix[:2] == b"N=" and digits and len(digits) <= 10 else 0
    return rate if rate <= _WORD else 0


def _ip_octets(packet: bytes, protocol: int) -> int:
    if protocol == 0x0800 and len(packet) >= 4 and packet[0] >> 4 == 4:
        return int.from_bytes(packet[2:4], "big")
    if protocol == 0x86DD and len(packet) >= 6 and packet[0] >> 4 == 6:
        payload = int.from_bytes(packet[4:6], "big")
        return payload + 40 if payload else 0
    return 0


def _tag(octets: bytes) -> int | None:
    try:
        inner = [(kind, value) for kind, value in attributes(octets) if len(value) == 2]
    except DecodeError:
        return None
    tpid, tci = _last(inner, 1), _last(inner, 2)
    return None if tpid is None or tci is None else int.from_bytes(tpid + tci, "big")


_POINTERS = {Row.TUNNEL, Row.TUNNEL_END, Row.MAC, Row.MAC_LENGTH, Row.DATA, Row.DATA_LENGTH}


def found(datagrams: Sequence[bytes], family: int) -> tuple[list[Packet], dict[str, int]]:
    """Return what the kernels make of datagrams, in the words of `expected`."""
    reader = SampleReader(family)
    block = block_of(list(datagrams), [0] * len(datagrams))
    packets = [packet for batch in reader.read(block) for packet in packets_of(batch)]
    return packets, reader.told()


def packets_of(batch: Packets) -> list[Packet]:
    """Return the rows of a batch as dictionaries; what was not told is not there."""
    rows = []
    octets = batch.data.tobytes()
    for numbers in batch.rows[: batch.count].tolist():
        packet: Packet = {
            column.name.lower(): numbers[column] for column in Row if column not in _POINTERS and numbers[column] != -1
        }
        if numbers[Row.TUNNEL] >= 0:
            packet["tunnel"] = _slice(octets, numbers[Row.TUNNEL], numbers[Row.TUNNEL_END])
        packet["mac"] = _slice(octets, numbers[Row.MAC], numbers[Row.MAC] + numbers[Row.MAC_LENGTH])
        packet["data"] = _slice(octets, numbers[Row.DATA], numbers[Row.DATA] + numbers[Row.DATA_LENGTH])
        rows.append(packet)
    return rows


def _slice(octets: bytes, start: int, end: int) -> bytes:
    if start == -1:
        assert end == -1, "octets without a place"
        return b""
    assert 0 <= start <= end <= len(octets), f"{start} to {end} of {len(octets)} octets"
    return octets[start:end]
