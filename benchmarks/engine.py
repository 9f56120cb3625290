"""Measure the flow engine alone: memory of a full table, a flood of random keys, time a sample.

Method: columns are drawn at random and held in memory, so that decoding costs nothing; time is processor time of one
thread, the best of several passes, because other work on the machine can only add to it. Keys are many (16 M
addresses), which is hard on caches; real traffic is kinder. Memory is the growth of the resident set of a process of
its own while a table of 2^20 keys fills with one million.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tidegate.apps.kernels import ALL_KERNELS
from tidegate.data.batch import Column, DatagramBatch, FlowBatch
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.engine.definition import Statistic
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.lookups import Lookups
from tidegate.engine.rows import Items, Rows
from tidegate.engine.syntax import parse_definition, parse_threshold
from tidegate.engine.table import FlowTable, Shape
from tidegate.kernel import F64, U64, Flags, compile_kernels

ROWS = 4096  # of a batch
BATCHES = 20
MILLION = 1_000_000
ADDRESSES = 1 << 24
MAPPED = np.uint64(0xFFFF << 32)
START_NS = 1_700_000_000_000_000_000

FOUR_COLUMNS = {"f0": {"keys": "ipsource,ipdestination,tcpsourceport,tcpdestinationport", "value": "bytes"}}
DDOS = {
    "udp_amplification": {"keys": "ipdestination,udpsourceport", "value": "frames", "filter": "ipprotocol=17"},
    "syn_ack": {"keys": "ipdestination,tcpsourceport", "value": "frames", "filter": "tcpflags=000010010"},
    "icmp_flood": {"keys": "ipdestination", "value": "frames", "filter": "ipprotocol=1"},
    "ip_flood": {"keys": "ipdestination,ipprotocol", "value": "bytes"},
    "total": {"keys": "ipdestination", "value": "bytes"},
    "udp6_amplification": {"keys": "ip6destination,udpsourceport", "value": "frames"},
    "ip_fragmentation": {"keys": "ipdestination", "value": "frames", "filter": "ipflags=001"},
    "pairs": {"keys": "ipsource,ipdestination", "value": "bytes", "filter": "direction=ingress"},
    "ports": {"keys": "inputifindex,ethernetprotocol", "value": "frames"},
    "syn_flood": {"keys": "ipdestination,tcpdestinationport", "value": "frames", "filter": "tcpflags=000000010"},
}
METHOD = f"random columns, {ADDRESSES} addresses, batches of {ROWS}, processor time of one thread, best of 5 passes"


def run() -> list[dict[str, Any]]:
    """Return the figures; takes about half a minute."""
    list(compile_kernels(ALL_KERNELS))
    one, ten = _nanoseconds(FOUR_COLUMNS, limited=False), _nanoseconds(DDOS, limited=True)
    seconds, share, grown = _flood()
    flood = "one table of 2^18 keys, 1.05 M samples of random keys, one percent of them of one key"
    return [
        _result("engine: four columns", one, "ns/sample", None, method=METHOD),
        _result("engine: ten definitions, ten thresholds", ten, "ns/sample", "<= 600", method=METHOD),
        _result(
            "engine: one million active keys of four columns",
            _in_process("memory"),
            "MB",
            "<= 150",
            method="resident set of a process of its own, after minus before",
        ),
        _result("engine: random keys", MILLION / seconds / 1e6, "M keys/s", ">= 1", method=flood),
        _result(
            "engine: reading of a key with one percent, of its true rate", 100 * share, "%", "100 +- 5", method=flood
        ),
        _result("engine: memory grown by the second half of the flood", grown, "MB", "<= 0.1", method=flood),
    ]


def _result(name: str, value: float, unit: str, bar: str | None, *, method: str) -> dict[str, Any]:
    return {"name": name, "value": round(value, 2), "unit": unit, "bar": bar, "method": method, "beside": {}}


def _nanoseconds(definitions: dict[str, dict[str, Any]], *, limited: bool) -> float:
    """Return processor time a sample."""
    analytics = Engine(EngineConfig(), Lookups())
    for name, spec in definitions.items():
        analytics.set_flow(parse_definition(name, spec))
        if limited:
            limit = {"metric": name, "value": 1e12, "byFlow": True, "timeout": 2}
            analytics.set_threshold(parse_threshold(name, limit))
    rng = np.random.default_rng(1)
    batches = [_batch(rng, START_NS + turn * 5_000_000) for turn in range(BATCHES)]
    datagrams = _no_datagrams()

    def once() -> None:
        for batch in batches:
            analytics.step(datagrams, batch)

    return min(_processor_time(once) for _ in range(5)) / (BATCHES * ROWS) * 1e9


def _processor_time(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _batch(rng: np.random.Generator, start_ns: int) -> FlowBatch:
    """Return samples of 48 interfaces, seven to a datagram, half of them UDP and half TCP."""
    udp = rng.random(ROWS) < 0.5
    everywhere, nowhere = np.ones(ROWS, np.bool_), np.zeros(ROWS, np.bool_)
    zeros, counted = np.zeros(ROWS, np.uint64), np.arange(ROWS, dtype=np.int64)

    def number(most: int) -> U64:
        return rng.integers(0, most, (1, ROWS)).astype(np.uint64)

    def address() -> U64:
        return np.array([zeros, MAPPED | rng.integers(0, ADDRESSES, ROWS).astype(np.uint64)])

    def fixed(word: int) -> U64:
        return np.full((1, ROWS), word, np.uint64)

    columns: list[tuple[str, U64, Flags]] = [
        ("ipsource", address(), everywhere),
        ("ipdestination", address(), everywhere),
        ("ip6destination", np.zeros((2, ROWS), np.uint64), nowhere),
        ("udpsourceport", number(65536), udp),
        ("tcpsourceport", number(65536), ~udp),
        ("tcpdestinationport", number(1000), ~udp),
        ("ipprotocol", np.where(udp, fixed(17), fixed(6)), everywhere),
        ("tcpflags", np.where(rng.random(ROWS) < 0.3, fixed(2), fixed(16)), ~udp),
        ("ipflags", fixed(2), everywhere),
        ("direction", fixed(0), everywhere),
        ("inputifindex", number(48), everywhere),
        ("ethernetprotocol", fixed(2048), everywhere),
    ]
    return FlowBatch(
        time_ns=start_ns + counted // 7 * 1000,
        datagram=counted // 7,
        agent_high=zeros,
        agent_low=zeros + MAPPED,
        sub_agent=zeros,
        source=number(48)[0],
        sequence=counted,
        pool=counted * 1000,
        drops=np.zeros(ROWS, np.int64),
        rate=np.full(ROWS, 1000.0),
        octets=np.full(ROWS, 800.0),
        dropped=nowhere,
        data=np.zeros(1, np.uint8),
        columns={
            FieldRef(name): Column(FIELDS[name].form, np.where(present, words, np.uint64(0)), present)
            for name, words, present in columns
        },
    )


def _no_datagrams() -> DatagramBatch:
    whole, words = np.empty(0, np.int64), np.empty(0, np.uint64)
    return DatagramBatch(
        time_ns=whole, source_high=words, source_low=words, agent_high=words, agent_low=words, sub_agent=words,
        sequence=whole, uptime_ms=whole,
    )  # fmt: skip


def _table(capacity: int) -> FlowTable:
    """Return a table for the keys of four columns: two addresses and two ports are six words."""
    return FlowTable(Shape(words=6, t=2.0, statistics=(Statistic.RATE,), capacity=capacity, sources=1 << 16))


def _rows(keys: U64, times: F64) -> Rows:
    count = len(keys)
    items = Items(np.full(count, 1000.0), np.empty(0, np.uint64), np.ones(count, np.bool_))
    return Rows(keys=keys, times=times, sources=np.zeros(count, np.int64), rates=np.ones(count), items=(items,))


def _random_rows(rng: np.random.Generator, count: int, second: float, length: float) -> Rows:
    keys = np.zeros((count, 7), np.uint64)
    keys[:, [2, 4, 5, 6]] = rng.integers(0, 1 << 32, (count, 4))
    return _rows(keys, second + np.sort(rng.random(count)) * length)


def _flood() -> tuple[float, float, float]:
    """Return seconds for a million random keys, the reading of a key beside its true one, and megabytes grown."""
    table, rng = _table(1 << 18), np.random.default_rng(2)
    spent, truth, resident = 0.0, 0.0, 0
    turns = MILLION // ROWS
    for turn in range(turns):
        rows = _random_rows(rng, ROWS, 100.0 + turn / turns, 1 / turns)
        mine = rng.random(ROWS) < 0.01
        rows.keys[mine] = 7
        truth += float(np.exp((rows.times[mine] - 101.0) / 2.0).sum()) * 1000.0 / 2.0
        started = time.thread_time()
        table.add(rows)
        spent += time.thread_time() - started
        if turn == turns // 2:
            resident = _resident()
    reading = table.reading((7,) * 7, 101.0) or 0.0
    return spent, reading / truth, (_resident() - resident) / 1e6


def _resident() -> int:
    """Return the octets of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _in_process(question: str) -> float:
    """Answer a question in a process of its own."""
    found = subprocess.run([sys.executable, __file__, question], check=True, capture_output=True, text=True)
    return float(found.stdout)


def _memory() -> float:
    """Return the megabytes that one million keys of four columns add."""
    list(compile_kernels(ALL_KERNELS))
    rng = np.random.default_rng(3)
    _table(1 << 10).add(_random_rows(rng, 10, 0.0, 1.0))
    before = _resident()
    table = _table(1 << 20)
    for turn in range(MILLION // 10_000):
        table.add(_random_rows(rng, 10_000, 100.0 + turn, 1.0))
    if len(table) != MILLION:
        raise AssertionError(len(table))
    return (_resident() - before) / 1e6


if __name__ == "__main__":
    if sys.argv[1:] == ["memory"]:
        print(_memory())
    else:
        for result in run():
            print(result)
