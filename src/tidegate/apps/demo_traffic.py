"""The traffic of the demonstration: a DNS reflection attack as a switch would sample it."""

from __future__ import annotations

import ipaddress
import random
import struct

from tidegate.wire.sflow.encode import encode_datagram
from tidegate.wire.sflow.flow_records import SampledHeader
from tidegate.wire.sflow.samples import Datagram, DataSource, FlowSample, InterfaceWord

__all__ = ["AGENT", "RATE", "SAMPLES", "VICTIM", "attack_datagram"]

AGENT = "192.0.2.250"
VICTIM = "203.0.113.7"
RATE = 1000  # one packet in so many is sampled
SAMPLES = 6  # a datagram
_UPLINK, _CUSTOMER = 1, 7  # ifIndexes
_DNS, _UDP = 53, 17
_ANSWER = 1400  # octets of a large DNS answer
_ETHERNET = bytes.fromhex("0200c0000201 0200c00002fe 0800")


def _packet(draw: random.Random) -> bytes:
    """Return the first 128 octets of a DNS answer that nobody asked for."""
    source = ipaddress.IPv4Address(f"198.51.100.{draw.randrange(1, 255)}").packed
    total = 28 + _ANSWER
    ip = struct.pack(">BBHHHBBH", 0x45, 0, total, draw.randrange(65536), 0, 56, _UDP, 0) + source
    udp = struct.pack(">HHHH", _DNS, draw.randrange(1024, 65536), total - 20, 0)
    dns = struct.pack(">HHHHHH", draw.randrange(65536), 0x8180, 1, 20, 0, 0) + b"\x07example\x03com\x00\x00\xff\x00\x01"
    return (_ETHERNET + ip + ipaddress.IPv4Address(VICTIM).packed + udp + dns).ljust(128, b"\x00")


def attack_datagram(number: int, draw: random.Random) -> bytes:
    """Return the datagram with `SAMPLES` samples of the attack that is sent as the `number`th, from 0."""
    samples = []
    for place in range(SAMPLES):
        sequence = number * SAMPLES + place + 1
        header = SampledHeader(protocol=1, frame_length=14 + 28 + _ANSWER + 4, stripped=4, header=_packet(draw))
        samples.append(
            FlowSample(
                sequence_number=sequence,
                source_id=DataSource(0, _UPLINK),
                sampling_rate=RATE,
                sample_pool=sequence * RATE & 0xFFFFFFFF,
                drops=0,
                input=InterfaceWord(0, _UPLINK),
                output=InterfaceWord(0, _CUSTOMER),
                records=(header,),
            )
        )
    agent = ipaddress.IPv4Address(AGENT).packed
    return encode_datagram(Datagram(agent, 0, number + 1, 10_000 + number * 10, tuple(samples)))
