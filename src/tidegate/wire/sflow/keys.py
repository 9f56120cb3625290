"""What a packet sample says, in the names of the key catalogue.

Written plainly and apart from the column kernels, because it is their specification: a property test holds both to the
same answers. `flow_words` gives words as in `tidegate.data.forms` (of text its octets), `flow_fields` their text.

Answers for: docs/concepts/dissection.md, "Where a field has several sources", and docs/reference/keys.md.
"""

from __future__ import annotations

from tidegate.data.address import words_of_bytes
from tidegate.data.fields import FIELDS
from tidegate.data.forms import FORMS, INTERNAL, Interface
from tidegate.data.names import Layer
from tidegate.wire.packet.headers import PacketLayer, dissect
from tidegate.wire.packet.window import Fields, present
from tidegate.wire.sflow.decode import sampled_header
from tidegate.wire.sflow.flow_records import SampledEthernet, SampledIpv4, SampledIpv6
from tidegate.wire.sflow.record_fields import record_fields
from tidegate.wire.sflow.samples import Datagram, DiscardedPacket, FlowSample, InterfaceWord, first

__all__ = ["PacketSample", "field_text", "flow_fields", "flow_words", "packet_bytes", "sample_layers"]

PacketSample = FlowSample | DiscardedPacket

_ITSELF = 0x3FFFFFFF  # the device itself: no interface


def flow_fields(datagram: Datagram, sample: PacketSample) -> dict[str, str]:
    """Return the text of every field that the sample carries; a layer suffix (`.1`) marks inner headers."""
    return {name: field_text(name, value) for name, value in flow_words(datagram, sample).items()}


def field_text(name: str, value: tuple[int, ...] | bytes) -> str:
    """Return the text of a field of the catalogue; `name` may carry a layer suffix."""
    traits = FORMS[FIELDS[name.partition(".")[0]].form]
    if isinstance(value, bytes) and traits.spelling is not None:
        return traits.spelling.text(value)
    return traits.format(tuple(value))


def flow_words(datagram: Datagram, sample: PacketSample) -> Fields:
    """Return the words of every field that the sample carries, of text its octets."""
    layers = sample_layers(sample)
    words = _sample_words(datagram, sample) | _layer_words(layers)
    for name, value in record_fields(sample.records).items():
        words.setdefault(name, value)
    header = sampled_header(sample.records)
    words |= present(stripped=header.stripped if header else None, bytes=packet_bytes(sample))
    return words


def sample_layers(sample: PacketSample) -> list[PacketLayer]:
    """Return the layers of a sample's sampled header, outermost first."""
    header = sampled_header(sample.records)
    return dissect(header.protocol, header.header) if header and header.protocol and header.header else []


def _layer_words(layers: list[PacketLayer]) -> Fields:
    """Return the fields of all layers, the n-th occurrence of a header with suffix `.n` from the second on."""
    words: Fields = {}
    seen: dict[Layer, int] = {}
    for layer in layers:
        depth = seen.get(layer.name, 0)
        seen[layer.name] = depth + 1
        suffix = f".{depth}" if depth else ""
        words |= {f"{name}{suffix}": value for name, value in layer.fields.items()}
    if layers:
        words["stack"] = (sum(layer.name << 5 * place for place, layer in enumerate(layers)),)
    return words


def _sample_words(datagram: Datagram, sample: PacketSample) -> Fields:
    """Return what stands outside the records."""
    words = present(
        agent=words_of_bytes(datagram.agent_address or bytes(4)),
        subagent=datagram.sub_agent_id,
        frames=1,
    )
    if isinstance(sample, FlowSample):
        incoming, outgoing = _interface(sample, sample.input), _interface(sample, sample.output)
        words |= present(samplingrate=sample.sampling_rate)
    else:
        incoming, outgoing = _plain_interface(sample.input_ifindex), _plain_interface(sample.output_ifindex)
        words |= present(samplingrate=1, reason=sample.reason)  # notifications are not sampled
    return words | present(
        inputifindex=incoming, outputifindex=outgoing, direction=_direction(sample, incoming, outgoing)
    )


def _interface(sample: FlowSample, interface: InterfaceWord) -> int:
    """Return the canonical word of an interface (sFlow version 5 section 5.3, erratum on 0xFFFFFFFF)."""
    if interface.format == 0:
        itself = (_ITSELF, 0xFFFFFFFF) if sample.expanded else (_ITSELF,)
        return INTERNAL if interface.value in itself else interface.value
    return {1: Interface.DISCARD, 2: Interface.MULTIPLE}.get(interface.format, Interface.UNKNOWN)


def _plain_interface(value: int) -> int:
    """Return the word of an interface of a discarded packet: an ifIndex, whatever agents make of it."""
    if value == _ITSELF:
        return INTERNAL
    return Interface.UNKNOWN if value >> 31 else value


def _direction(sample: PacketSample, incoming: int, outgoing: int) -> int | None:
    """Return 0 for ingress, 1 for egress, None where the data source is neither interface (or ifIndex 0, no one)."""
    source = sample.source_id
    if source.type != 0 or source.index == 0:
        return None
    if source.index == incoming:
        return 0
    return 1 if source.index == outgoing else None


def packet_bytes(sample: PacketSample) -> int | None:
    """Return the length of the packet in octets, None where the sample does not tell."""
    header = sampled_header(sample.records)
    if header is not None and header.frame_length is not None:
        return max(header.frame_length, _length_by_ip(header.header or b"", sample_layers(sample)))
    ethernet, ipv4 = first(sample.records, SampledEthernet), first(sample.records, SampledIpv4)
    ipv6 = first(sample.records, SampledIpv6)
    lengths = (
        ethernet.length if ethernet else None,
        ipv4.length if ipv4 else None,
        ipv6.length if ipv6 else None,
    )
    return next((length for length in lengths if length is not None), None)


def _length_by_ip(header: bytes, layers: list[PacketLayer]) -> int:
    """Return the octets up to the end of the outermost IP packet as its header tells them, 0 where it does not.

    A total length that is less than the header's own says nothing, and neither does one behind a bad header length.
    """
    outer = next((layer for layer in layers if layer.name in {Layer.IP, Layer.IP6}), None)
    if outer is None:
        return 0
    if outer.name == Layer.IP6:
        payload = _word(outer, "ip6bytes")
        return 0 if payload is None else outer.offset + 40 + payload
    own = 4 * (header[outer.offset] & 15)
    total = _word(outer, "ipbytes") or 0
    return outer.offset + total if total >= own >= 20 else 0


def _word(layer: PacketLayer, name: str) -> int | None:
    value = layer.fields.get(name)
    return int(value[0]) if value else None
