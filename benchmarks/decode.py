"""Measure from capture to keys: replay decoding with one definition, beside pmacct's sfacctd on the same file.

Method: a published capture (1,000 datagrams, 5,855 flow samples) is repeated a hundred times in one file, its times
moved on. tidegate reads that file, decodes it and keeps one table of four columns (`ipsource,ipdestination,
tcpsourceport,tcpdestinationport`, bytes), in one thread; sfacctd reads it by `pcap_savefile` and aggregates on the same
columns in its print plugin. Figures are processor time a flow sample, user and system, of everything either of them
starts, the best of several rounds that take turns. In its turn tidegate reads the file several times, so that both
work about as long; a first time is left out, as the processor is slow for a moment after the pause. Of sfacctd the time
it needs for a capture of one datagram is taken off, of tidegate compiling is. Bias: the traffic is few keys, kind to
the tables of both; tidegate also keeps rates, intervals and sequence gaps; sfacctd is the Debian build. sflowtool is in
no Debian package and is not measured.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tidegate.apps.kernels import ALL_KERNELS
from tidegate.data.block import Block
from tidegate.data.fields import FieldRef
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.lookups import Lookups
from tidegate.engine.syntax import parse_definition, parse_threshold
from tidegate.io.memory import keep_freed_memory
from tidegate.io.pcap import Capture
from tidegate.kernel import compile_kernels
from tidegate.wire.sflow.columns import Decoded, Decoder

T = TypeVar("T")

CAPTURE = Path(__file__).resolve().parents[1] / "tests" / "data" / "sflow" / "overflowd-two-port-1000.pcap"
COPIES = 100
ROUNDS = 5
TIMES = 6  # that tidegate reads the capture in a round, after one time that does not count
KEYS = "ipsource,ipdestination,tcpsourceport,tcpdestinationport"
ONE = {"pairs": {"keys": KEYS, "value": "bytes"}}
TEN = {  # what a watch for attacks asks, each with a threshold by flow
    "reflection": {"keys": "ipdestination,udpsourceport", "value": "frames", "filter": "ipprotocol=17"},
    "syn": {"keys": "ipdestination,tcpdestinationport", "value": "frames", "filter": "tcpflags=000000010"},
    "synack": {"keys": "ipdestination,tcpsourceport", "value": "frames", "filter": "tcpflags=000010010"},
    "icmp": {"keys": "ipdestination", "value": "frames", "filter": "ipprotocol=1"},
    "fragments": {"keys": "ipdestination", "value": "frames", "filter": "ipflags=001|range:ipfragoffset:1=true"},
    "protocols": {"keys": "ipdestination,ipprotocol", "value": "bytes"},
    "hosts": {"keys": "ipdestination", "value": "bytes"},
    "hosts6": {"keys": "ip6destination,udpsourceport", "value": "frames"},
    "pairs": {"keys": "ipsource,ipdestination", "value": "bytes", "filter": "direction=ingress"},
    "types": {"keys": "inputifindex,ethernetprotocol", "value": "frames"},
}
SFACCTD = """\
daemonize: false
pcap_savefile: {capture}
plugins: print[p]
aggregate[p]: src_host, dst_host, src_port, dst_port
print_output_file[p]: {output}
print_refresh_time[p]: 3600
"""
METHOD = f"{CAPTURE.name} {COPIES} times in one file, processor time a flow sample, best of {ROUNDS} rounds"
# Adopts what its child leaves behind, so that the processor time of every process counts.
ADOPT = """
import ctypes, os, resource, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""


def run() -> list[dict[str, Any]]:
    """Return the figures; takes about a minute. Empty where the capture is absent."""
    if not CAPTURE.is_file():
        return []
    keep_freed_memory()  # as `tidegate replay` does
    list(compile_kernels(ALL_KERNELS))
    with tempfile.TemporaryDirectory() as folder:
        capture, tiny = Path(folder) / "looped.pcap", Path(folder) / "tiny.pcap"
        _loop(capture, COPIES)
        _loop(tiny, 0)
        return _figures(capture, tiny)


def _figures(capture: Path, tiny: Path) -> list[dict[str, Any]]:
    stages, peers = _rounds(capture, tiny)
    ours = min(map(sum, zip(*stages.values(), strict=True)))
    ten = min(_whole(capture, TEN) for _ in range(ROUNDS))
    beside = {"sfacctd": min(peers)} if peers else {}
    found = [
        _result("decode: replay, decode and key one definition", ours, "ns/sample", None, beside=beside),
        _result("decode: samples a second", 1000 / ours, "M samples/s", ">= 3", beside={}),
        _result(
            "decode: samples a second, ten definitions and thresholds", 1000 / ten, "M samples/s", ">= 1", beside={}
        ),
        *(
            _result(f"decode: {name} alone", min(values), "ns/sample", None, beside={})
            for name, values in stages.items()
        ),
    ]
    if peers:
        ratio = min(peers) / ours
        found.append(_result("decode: processor time of sfacctd beside ours", ratio, "ratio", ">= 8", beside={}))
    return found


def _rounds(capture: Path, tiny: Path) -> tuple[dict[str, list[float]], list[float]]:
    """Return nanoseconds a sample, one figure a round: of each stage of ours, and of sfacctd where there is one."""
    ours: dict[str, list[float]] = {"read": [], "decode": [], "key": []}
    peer: list[float] = []
    start = _sfacctd(tiny) if shutil.which("sfacctd") else 0.0
    for _ in range(ROUNDS):
        turns = [_replay(capture, ONE) for _ in range(1 + TIMES)][1:]
        samples = turns[0][1]
        for name, found in ours.items():
            found.append(sum(parts[name] for parts, _ in turns) / TIMES / samples)
        if shutil.which("sfacctd"):
            peer.append(1e9 * (_sfacctd(capture) - start) / samples)
    return ours, peer


def _whole(capture: Path, definitions: dict[str, dict[str, str]]) -> float:
    """Return nanoseconds of processor time a flow sample."""
    parts, samples = _replay(capture, definitions)
    return sum(parts.values()) / samples


def _replay(capture: Path, definitions: dict[str, dict[str, str]]) -> tuple[dict[str, int], int]:
    """Return nanoseconds of processor time of each stage, and the number of flow samples."""
    decoder, engine = Decoder(), Engine(EngineConfig(), Lookups())
    for name, spec in definitions.items():
        engine.set_flow(parse_definition(name, spec))
        if len(definitions) > 1:
            limit = {"metric": name, "value": 1e12, "byFlow": True, "timeout": 2}
            engine.set_threshold(parse_threshold(name, limit))
    needs = engine.needs()
    spent = {"read": 0, "decode": 0, "key": 0}
    samples = 0
    blocks = iter(Capture(capture))
    while (block := _timed(spent, "read", lambda: next(blocks, None))) is not None:
        samples += _take(block, decoder, engine, needs, spent)
    return spent, samples


def _take(block: Block, decoder: Decoder, engine: Engine, needs: frozenset[FieldRef], spent: dict[str, int]) -> int:
    found = _timed(spent, "decode", lambda: decoder.decode(block, needs))
    _timed(spent, "key", lambda: _step(engine, found))
    return len(found.flows)


def _step(engine: Engine, found: Decoded) -> None:
    engine.take_counters(found.counters, found.datagrams)
    engine.step(found.datagrams, found.flows)


def _timed(spent: dict[str, int], name: str, work: Callable[[], T]) -> T:
    start = time.thread_time_ns()
    result = work()
    spent[name] += time.thread_time_ns() - start
    return result


def _sfacctd(capture: Path) -> float:
    """Return seconds of processor time that sfacctd takes for a capture."""
    settings = capture.with_suffix(".conf")
    settings.write_text(SFACCTD.format(capture=capture, output=capture.with_suffix(".txt")))
    command = [sys.executable, "-c", ADOPT, "sfacctd", "-f", str(settings)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _loop(path: Path, copies: int) -> None:
    """Write the capture that many times, each copy later by its own length; 0: its first datagram alone."""
    data = CAPTURE.read_bytes()
    packets = []
    place = 24
    while place < len(data):
        seconds, micros, size, _ = struct.unpack_from("<IIII", data, place)
        packets.append((seconds, micros, data[place + 8 : place + 16 + size]))
        place += 16 + size
    span = packets[-1][0] - packets[0][0] + 1
    with path.open("wb") as file:
        file.write(data[:24])
        for copy in range(max(copies, 1)):
            for seconds, micros, rest in packets if copies else packets[:1]:
                file.write(struct.pack("<II", seconds + copy * span, micros) + rest)
        os.fsync(file.fileno())


def _result(name: str, value: float, unit: str, bar: str | None, *, beside: dict[str, float]) -> dict[str, Any]:
    rounded = {peer: round(figure, 1) for peer, figure in beside.items()}
    return {"name": name, "value": round(value, 2), "unit": unit, "bar": bar, "method": METHOD, "beside": rounded}


def main() -> None:
    """Print the figures."""
    for result in run():
        beside = "".join(f"; {peer}: {figure}" for peer, figure in result["beside"].items())
        print(f"{result['name']}: {result['value']} {result['unit']} (bar {result['bar']}{beside})")


if __name__ == "__main__":
    main()
