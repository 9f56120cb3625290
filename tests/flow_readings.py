"""An engine and its specification side by side: the same packets for both, and what both then say of them."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import pytest

from flow_batches import Packet
from naive import NaiveFlows, Sample
from tidegate.engine.engine import Engine


def timed(gaps: list[Packet], start: int) -> list[Packet]:
    """Return packets whose times are the sums of the gaps drawn."""
    ends = [start + sum(packet.time_ns for packet in gaps[: place + 1]) for place in range(len(gaps))]
    return [msgspec.structs.replace(packet, time_ns=end) for packet, end in zip(gaps, ends, strict=True)]


def cut(packets: list[Packet], cuts: list[int]) -> list[list[Packet]]:
    """Return the packets in batches that end at the cuts."""
    ends = sorted({cut % (len(packets) + 1) for cut in cuts} | {0, len(packets)})
    return [packets[start:end] for start, end in pairwise(ends)]


def readings(engine: Engine, now: float) -> dict[tuple[str, str], list[float | None]]:
    """Return the engine's flows as the specification tells them."""
    flow = engine.flows["f"]
    found = flow.table.readings(now)
    shown = {}
    for place, key in enumerate(found.keys.tolist()):
        agent, source = engine.sources.place_of(key[0])
        numbers = [None if math.isnan(number) else number for number in found.values[:, place].tolist()]
        shown[f"{agent}:{source}", flow.key_text(tuple(key[1:]))] = numbers
    return shown


def told_by(naive: NaiveFlows, now: float) -> dict[tuple[str, str], list[float | None]]:
    return {flow: found for flow in naive.flows if (found := naive.at(flow, now)) != [None] * len(found)}


def numbers_of(found: list[float | None]) -> list[float]:
    return [math.nan if number is None else number for number in found]


def same(found: dict[tuple[str, str], list[float | None]], expected: dict[tuple[str, str], list[float | None]]) -> None:
    """Compare; a flow all of whose values are gone may still be there, with none."""
    known = {flow: numbers for flow, numbers in found.items() if numbers != [None] * len(numbers)}
    assert known.keys() == expected.keys()
    for flow, numbers in expected.items():
        assert numbers_of(known[flow]) == pytest.approx(numbers_of(numbers), rel=1e-6, nan_ok=True)


def seconds_of(packets: list[Packet], time_ns: int) -> float:
    """Return seconds since midnight before the first packet, as the engine counts them."""
    return (time_ns - packets[0].time_ns // 86_400_000_000_000 * 86_400_000_000_000) / 1e9


def sample_of_first(packets: list[Packet], packet: Packet) -> Sample:
    seconds = seconds_of(packets, packet.time_ns)
    return Sample(seconds, f"{packet.agent}:{packet.source}", packet.rate, packet.row, packet.dropped)
