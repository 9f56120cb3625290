"""Batches made of rows of texts, and the engine's tables made of the specification's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from naive import Env, Row, pair_text
from naive_rib import routing_of
from tidegate.data.address import parse_address, parse_prefix
from tidegate.data.batch import Column, DatagramBatch, FlowBatch
from tidegate.data.fields import FIELDS, FieldRef, field_ref
from tidegate.data.forms import FORMS
from tidegate.data.geo import AsnAttribute, CountryAttribute, GeoTable
from tidegate.data.hash import hash_text
from tidegate.data.prefixes import PrefixTable
from tidegate.engine.definition import HostAttribute
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.events import Event, FlowRecord
from tidegate.engine.labels import parse_group, parse_map
from tidegate.engine.lookups import Lookups

START_NS = 1_700_000_000_000_000_000
SMALL = EngineConfig(table_size=64, max_sources=16, max_agents=16, texts=256, text_octets=1 << 14)


class Packet(msgspec.Struct, frozen=True):
    """A sample; `row` holds its fields as texts."""

    row: Row
    time_ns: int = START_NS
    agent: str = "10.0.0.1"
    source: int = 3
    rate: float = 100.0
    dropped: bool = False
    sequence: int = 1
    pool: int = 0
    drops: int = 0
    sub_agent: int = 0


def flow_batch(packets: Sequence[Packet], needs: Iterable[FieldRef], seed: int = 0) -> FlowBatch:
    """Return the batch; texts point into its data."""
    data = bytearray()
    columns = {ref: _column([_text(packet, ref) for packet in packets], ref, data, seed) for ref in needs}
    agents = [parse_address(packet.agent) for packet in packets]

    def whole(name: str) -> list[int]:
        return [getattr(packet, name) for packet in packets]

    return FlowBatch(
        time_ns=np.array(whole("time_ns"), np.int64),
        datagram=np.arange(len(packets)),
        agent_high=np.array([high for high, _ in agents], np.uint64),
        agent_low=np.array([low for _, low in agents], np.uint64),
        sub_agent=np.array(whole("sub_agent"), np.uint64),
        source=np.array(whole("source"), np.uint64),
        sequence=np.array(whole("sequence"), np.int64),
        pool=np.array(whole("pool"), np.int64),
        drops=np.array(whole("drops"), np.int64),
        rate=np.array(whole("rate"), np.float64),
        octets=np.array([float(packet.row.get("bytes", "0")) for packet in packets]),
        dropped=np.array(whole("dropped"), np.bool_),
        data=np.frombuffer(bytes(data) or b"\0", np.uint8),
        columns=columns,
    )


def _text(packet: Packet, ref: FieldRef) -> str | None:
    return "1" if ref.name == "frames" else packet.row.get(str(ref))


def _column(texts: list[str | None], ref: FieldRef, data: bytearray, seed: int) -> Column:
    form = FIELDS[ref.name].form
    traits = FORMS[form]
    words = np.zeros((traits.width, len(texts)), np.uint64)
    places = np.zeros((2, len(texts)), np.int64)
    for row, text in enumerate(texts):
        if text is not None and traits.spelling is not None:
            octets = traits.spelling.octets(text)
            assert octets is not None, text
            words[0, row] = hash_text(octets, seed)
            places[:, row] = len(data), len(data) + len(octets)
            data += octets
        elif text is not None:
            parsed = traits.parse(text)
            assert parsed is not None, (form, text)
            words[:, row] = parsed
    present = np.array([text is not None for text in texts], np.bool_)
    spelled = traits.spelling is not None
    return Column(form, words, present, places[0] if spelled else None, places[1] if spelled else None)


def datagrams_of(packets: Sequence[Packet]) -> DatagramBatch:
    """Return one datagram for each sample."""
    agents = [parse_address(packet.agent) for packet in packets]
    zeros = np.zeros(len(packets), np.uint64)
    return DatagramBatch(
        time_ns=np.array([packet.time_ns for packet in packets], np.int64),
        source_high=zeros,
        source_low=zeros,
        agent_high=np.array([high for high, _ in agents], np.uint64),
        agent_low=np.array([low for _, low in agents], np.uint64),
        sub_agent=np.array([packet.sub_agent for packet in packets], np.uint64),
        sequence=np.array([packet.sequence for packet in packets], np.int64),
        uptime_ms=np.zeros(len(packets), np.int64),
    )


def step(engine: Engine, packets: Sequence[Packet]) -> list[Event | FlowRecord]:
    """Give one batch to an engine."""
    batch = flow_batch(packets, engine.needs(), engine.texts.seed)
    return engine.step(datagrams_of(packets), batch)


def last_second(engine: Engine) -> float:
    """Return the engine's time at its last sample."""
    return engine.seconds(0)


def refs(*names: str) -> list[FieldRef]:
    found = [field_ref(name) for name in names]
    return [ref for ref in found if ref is not None]


def lookups_of(env: Env) -> Lookups:
    """Return the tables that the specification's environment describes."""
    lookups = Lookups(
        vendors=env.vendors,
        hosts={
            address: {HostAttribute(name): text for name, text in told.items()} for address, told in env.hosts.items()
        },
    )
    for name, prefixes in env.groups.items():
        lookups = lookups.with_group(name, parse_group(name, _by_label(prefixes)))
    for name, values in env.maps.items():
        lookups = lookups.with_map(name, parse_map(name, _by_label(values)))
    for country in CountryAttribute:
        lookups = lookups.with_countries(country, _geo_table(env.countries, country.value, "code"))
    for system in AsnAttribute:
        lookups = lookups.with_systems(system, _geo_table(env.systems, system.value, "number"))
    return lookups.with_routing(None if env.routing is None else routing_of(env.routing))


def _by_label(labels: Mapping[str, str]) -> dict[str, list[str]]:
    return {label: [text for text, own in labels.items() if own == label] for label in dict.fromkeys(labels.values())}


def _geo_table(pairs: Mapping[str, tuple[str, str]], attribute: str, first: str) -> GeoTable:
    rows: list[tuple[tuple[int, int], int, int]] = []
    labels: list[str] = []
    for cidr, pair in pairs.items():
        label = pair_text(pair, attribute, first)
        if label is not None:
            rows.append((*parse_prefix(cidr), len(labels)))
            labels.append(label)
    return GeoTable(PrefixTable.build(rows), tuple(labels))
