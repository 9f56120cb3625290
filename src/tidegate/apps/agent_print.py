"""`tidegate agent --print`: samples as lines of text, as they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from tidegate.data.block import Block
from tidegate.data.names import DROP_REASONS
from tidegate.errors import DecodeError
from tidegate.wire.sflow.decode import decode_datagram
from tidegate.wire.sflow.view import datagram_json

__all__ = ["DatagramPrinter", "sample_line"]

_ITSELF = 0x3FFFFFFF
_PACKET_KEYS = (("ipsource", "ipdestination"), ("ip6source", "ip6destination"), ("macsource", "macdestination"))
_PORT_KEYS = (("tcpsourceport", "tcpdestinationport"), ("udpsourceport", "udpdestinationport"))


class DatagramPrinter:
    """Prints the samples of datagrams; `names` tells interfaces by ifIndex."""

    def __init__(self, names: Callable[[], Mapping[int, str]] = dict) -> None:
        self.names = names

    def __call__(self, blocks: Sequence[Block]) -> None:
        """Print a line a sample."""
        names = self.names()
        for payload in _payloads(blocks):
            try:
                shown = datagram_json(decode_datagram(payload))
            except DecodeError as error:
                click.echo(f"a datagram that cannot be read: {error}")
                continue
            for sample in shown["samples"]:
                click.echo(sample_line(sample, names))


def sample_line(sample: Mapping[str, Any], names: Mapping[int, str]) -> str:
    """Return one sample, as `datagram_json` has it, as a line."""
    source = _source(sample, names)
    if sample["sample_type"].startswith("counters_sample"):
        return f"counters {source} {', '.join(record['record_type'] for record in sample['counter_records'])}"
    if sample["sample_type"] == "discarded_packet":
        reason = DROP_REASONS.get(sample["reason"], sample["reason"])
        taken_in = _interface(sample["input_ifindex"], names)
        return f"discard {reason} input {taken_in} drops {sample['drops']} {_packet(sample)}"
    way = f"{_interface(sample['input']['value'], names)} > {_interface(sample['output']['value'], names)}"
    rate = f"1 in {sample['sampling_rate']}"
    return f"flow {source} {way} {rate} pool {sample['sample_pool']} drops {sample['drops']} {_packet(sample)}"


def _payloads(blocks: Sequence[Block]) -> Iterator[bytes]:
    for block in blocks:
        for row in range(len(block)):
            start = int(block.offset[row])
            yield block.data[start : start + int(block.length[row])].tobytes()


def _source(sample: Mapping[str, Any], names: Mapping[int, str]) -> str:
    kind, index = sample["source_id"]["source_id_type"], sample["source_id"]["source_id_index"]
    return names.get(index, f"0:{index}") if kind == 0 else f"{kind}:{index}"


def _interface(index: int, names: Mapping[int, str]) -> str:
    if index == _ITSELF:
        return "here"
    return names.get(index, str(index)) if index else "?"


def _packet(sample: Mapping[str, Any]) -> str:
    """Return what the packet is: octets, layers, addresses and ports."""
    fields = sample.get("fields", {})
    parts = [f"{fields.get('bytes', '?')} octets", str(fields.get("stack", ""))]
    ends = next(((fields[one], fields[two]) for one, two in _PACKET_KEYS if one in fields and two in fields), None)
    if ends is not None:
        ports = next(((fields[one], fields[two]) for one, two in _PORT_KEYS if one in fields and two in fields), None)
        parts.append(" > ".join(ends if ports is None else map(_with_port, ends, ports)))
    return " ".join(part for part in parts if part)


def _with_port(address: str, port: str) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
