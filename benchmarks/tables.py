"""Measure how fast a full table comes in, what it takes to hold, and how fast addresses are looked up in it.

Method: a feeder process sends one made-up table (1,000,000 IPv4 prefixes and 200,000 IPv6 ones with lengths as in the
Internet's table, 5.5 prefixes an UPDATE on average, paths of 2 to 6 ASes, 1 to 7 communities, nearly every UPDATE with
attributes of its own) over TCP on loopback to a speaker, and End-of-RIB behind it. The clock runs from its first octet
to the moment when the table counts all prefixes. Speaker and feeder are processes of their own; memory is that of the
speaker's process, with interpreter, libraries and compiled kernels, and what it was before the session. The longest
gap of the speaker's event loop is the longest time between two turns of a task that only yields.

Beside it, fed by the same feeder in the same run, BIRD and GoBGP where they are installed: their clocks stop when
their own command line says that all prefixes are there, asked every fifth of a second.

Lookups: random addresses over the space that the prefixes come from, by `RibIn.lookup` (all columns that keys need, for
batches of 4,096) and by the longest match alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import multiprocessing
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from tidegate.data import route_found, route_kernels
from tidegate.io.bgp import Hooks, PeerConfig, Speaker
from tidegate.kernel import compile_kernels
from tidegate.units import Asn
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.constants import Family, MessageType
from tidegate.wire.bgp.message import KEEPALIVE, frame
from tidegate.wire.bgp.open import Capabilities, Negotiated, Open, encode_open
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update_scan import scan_run

IPV4, IPV6 = 1_000_000, 200_000
LENGTHS4 = dict(
    zip(range(8, 25), (1, 2, 4, 8, 16, 30, 50, 80, 300, 150, 250, 400, 500, 550, 1100, 1000, 6000), strict=True)
)
LENGTHS6 = {20: 1, 24: 2, 28: 5, 29: 10, 32: 60, 36: 10, 40: 20, 44: 20, 48: 100}
FEEDER_AS, OUR_AS = 65010, 65001
FAMILIES = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)
BATCH = 4096
LOOKUPS = 1_000_000
PATIENCE_S = 90.0
METHOD = f"{IPV4:,} IPv4 and {IPV6:,} IPv6 routes from one peer over loopback"

Prefix = tuple[int, int]


def _prefixes(count: int, bits: int, lengths: dict[int, int], address: Callable[[random.Random], int]) -> list[Prefix]:
    draw = random.Random(1)  # noqa: S311 - the same table in every run
    found: dict[Prefix, None] = {}
    while len(found) < count:
        for length in draw.choices(list(lengths), list(lengths.values()), k=count - len(found)):
            found[address(draw) >> bits - length << bits - length, length] = None
    return list(found)


def ipv4_prefixes() -> list[Prefix]:
    """Return the IPv4 half of the table."""
    return _prefixes(IPV4, 32, LENGTHS4, lambda draw: draw.randrange(1 << 24, 223 << 24))


def ipv6_prefixes() -> list[Prefix]:
    """Return the IPv6 half of the table."""

    def address(draw: random.Random) -> int:
        head = draw.choice((0x2001, 0x2400, 0x2600, 0x2A00))
        return head << 112 | draw.getrandbits(28) << 84 | draw.getrandbits(16) << 80

    return _prefixes(IPV6, 128, LENGTHS6, address)


def _nlri(prefixes: Sequence[Prefix], width: int) -> bytes:
    return b"".join(
        bytes((length,)) + address.to_bytes(width, "big")[: (length + 7) // 8] for address, length in prefixes
    )


def _attribute(flags: int, code: int, value: bytes) -> bytes:
    if len(value) > 255:
        return bytes((flags | 0x10, code)) + len(value).to_bytes(2, "big") + value
    return bytes((flags, code, len(value))) + value


def _update(block: bytes, nlri: bytes = b"") -> bytes:
    return frame(MessageType.UPDATE, b"\0\0" + len(block).to_bytes(2, "big") + block + nlri)


def make_stream() -> bytes:
    """Return the UPDATEs of the whole table, and End-of-RIB for both families."""
    draw = random.Random(2)  # noqa: S311 - the same table in every run
    messages: list[bytes] = []
    for prefixes, width in ((ipv4_prefixes(), 4), (ipv6_prefixes(), 16)):
        start = 0
        while start < len(prefixes):
            part = prefixes[start : start + min(int(draw.expovariate(1 / 5)) + 1, 60)]
            start += len(part)
            path = [FEEDER_AS, *(draw.randrange(100_000, 400_000) for _ in range(draw.randrange(1, 6)))]
            octets = b"".join(asn.to_bytes(4, "big") for asn in path)
            common = _attribute(0x40, 1, b"\0") + _attribute(0x40, 2, bytes((2, len(path))) + octets)
            communities = _attribute(0xC0, 8, draw.randbytes(4 * draw.randrange(1, 8)))
            nlri = _nlri(part, width)
            if width == 4:
                block = common + _attribute(0x40, 3, bytes((192, 0, 2, 9))) + communities
                messages.append(_update(block, nlri))
            else:
                hop = bytes.fromhex("20010db8") + bytes(11) + b"\x09"
                reach = _attribute(0x80, 14, b"\0\2\1\x10" + hop + b"\0" + nlri)
                messages.append(_update(reach + common + communities))
    messages += [_update(b""), _update(_attribute(0x80, 15, b"\0\2\1"))]
    return b"".join(messages)


def feed(address: tuple[str, int], stream: bytes, started: Any) -> None:  # noqa: ANN401 - a pipe's end
    """Be the router: connect from 127.0.0.9, say the table, and stay until killed."""
    while True:
        try:
            connection = socket.create_connection(address, source_address=("127.0.0.9", 0))
            break
        except OSError:
            time.sleep(0.1)
    capabilities = Capabilities(FAMILIES, asn4=Asn(FEEDER_AS))
    connection.sendall(encode_open(Open(Asn(FEEDER_AS), 240, 9, capabilities)))
    heard = b""
    while KEEPALIVE not in heard:
        heard += connection.recv(4096)
    connection.sendall(KEEPALIVE)
    time.sleep(1.0)  # the other side may do what comes with a new session
    threading.Thread(target=_read_all, args=(connection,), daemon=True).start()
    started.send(time.monotonic())
    connection.sendall(stream)
    while True:
        time.sleep(30)
        connection.sendall(KEEPALIVE)


def _read_all(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def _status(pid: int | str, field: str) -> float:
    """Return a size of a process in MB, as the kernel counts it."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.findall(rf"{field}:\s+(\d+) kB", text)[0]) / 1000


class Fed:
    """A feeder process, from its start to its end."""

    def __init__(self, address: tuple[str, int], stream: bytes) -> None:
        self._here, there = multiprocessing.Pipe(duplex=False)
        self._process = multiprocessing.get_context("fork").Process(target=feed, args=(address, stream, there))

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def started(self) -> float:
        """Return when its first octet was sent, by the clock that all processes share."""
        return float(self._here.recv())


def speak(port: int, results: Any) -> None:  # noqa: ANN401 - a pipe's end
    """Be the speaker, in a process that has nothing else in it."""
    list(compile_kernels((*route_kernels.KERNELS, *route_found.KERNELS, *update_scan.KERNELS)))
    results.send(asyncio.run(_speak(port, results)))


async def _speak(port: int, results: Any) -> dict[str, float]:  # noqa: ANN401 - a pipe's end
    config = PeerConfig("127.0.0.9", OUR_AS, "192.0.2.1", peer_as=FEEDER_AS, passive=True, families=FAMILIES)
    up = asyncio.Event()
    async with Speaker([config], port=port, listen=["127.0.0.1"], hooks=Hooks(up=lambda _peer: up.set())) as speaker:
        before = _status("self", "VmRSS")
        results.send(speaker.ports[0])
        await up.wait()
        rib = speaker.peer("127.0.0.9").rib_in
        cpu, longest, last = time.process_time(), 0.0, time.monotonic()
        while rib.count(FAMILIES[0]) < IPV4 or rib.count(FAMILIES[1]) < IPV6:
            await asyncio.sleep(0)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        done, cpu = time.monotonic(), time.process_time() - cpu
        memory = _status("self", "VmHWM")
        await asyncio.sleep(0.2)
        kept = _status("self", "VmRSS")
    return {"done": done, "cpu": cpu, "longest": longest, "peak": memory, "before": before, "kept": kept}


def measure_ours(stream: bytes) -> dict[str, float]:
    """Return seconds, processor seconds, memory and the longest gap of our speaker."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=speak, args=(0, there))
    process.start()
    with Fed(("127.0.0.1", here.recv()), stream) as feeder:
        begin = feeder.started()
        result: dict[str, float] = here.recv()
    process.join()
    return {**result, "seconds": result["done"] - begin}


@contextlib.contextmanager
def _running(*command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, check=False, text=True).stdout


def _free_port(address: str) -> int:
    with socket.socket() as sock:
        sock.bind((address, 0))
        return int(sock.getsockname()[1])


def _until(all_there: Callable[[], bool]) -> float:
    deadline = time.monotonic() + PATIENCE_S
    while not all_there():
        if time.monotonic() > deadline:
            return float("nan")
        time.sleep(0.2)
    return time.monotonic()


def measure_bird(stream: bytes) -> dict[str, float]:
    """Return seconds and memory of BIRD, nothing where it is not installed."""
    if shutil.which("bird") is None:
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), _free_port("127.0.0.5")
        (folder / "bird.conf").write_text(
            f"router id 10.99.0.5;\nprotocol device {{ }}\nprotocol bgp feed {{\n"
            f"  local 127.0.0.5 port {port} as {OUR_AS};\n  neighbor 127.0.0.9 as {FEEDER_AS};\n"
            "  multihop 5; strict bind on; passive on;\n  ipv4 { import all; export none; };\n"
            "  ipv6 { import all; export none; };\n}\n"
        )
        control = str(folder / "control")
        with _running("bird", "-f", "-c", str(folder / "bird.conf"), "-s", control, folder=folder) as process:

            def all_there() -> bool:
                counts = [int(count) for count in re.findall(r"(\d+) of \d+ routes", _birdc(control))]
                return sum(counts) >= IPV4 + IPV6

            with Fed(("127.0.0.5", port), stream) as feeder:
                begin = feeder.started()
                return {"seconds": _until(all_there) - begin, "kept": _status(process.pid, "VmRSS")}


def _birdc(control: str) -> str:
    return _output("birdc", "-s", control, "show", "route", "count")


def measure_gobgp(stream: bytes) -> dict[str, float]:
    """Return seconds and memory of GoBGP, nothing where it is not installed."""
    if shutil.which("gobgpd") is None:
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder, port, api = Path(name), _free_port("127.0.0.6"), _free_port("127.0.0.6")
        families = "".join(
            f'[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "{family}-unicast"\n'
            for family in ("ipv4", "ipv6")
        )
        (folder / "gobgpd.toml").write_text(
            f'[global.config]\nas = {OUR_AS}\nrouter-id = "10.99.0.6"\nport = {port}\n'
            'local-address-list = ["127.0.0.6"]\n[[neighbors]]\n[neighbors.config]\n'
            f'neighbor-address = "127.0.0.9"\npeer-as = {FEEDER_AS}\n'
            "[neighbors.transport.config]\npassive-mode = true\n"
            f"[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 5\n{families}"
        )
        command = ("gobgpd", "-f", str(folder / "gobgpd.toml"), "--api-hosts", f"127.0.0.6:{api}")
        with _running(*command, folder=folder) as process:

            def all_there() -> bool:
                printed = [
                    _output("gobgp", "-u", "127.0.0.6", "-p", str(api), "global", "rib", "summary", "-a", family)
                    for family in ("ipv4", "ipv6")
                ]
                counts = [int(count) for text in printed for count in re.findall(r"Destination: (\d+)", text)]
                return sum(counts) >= IPV4 + IPV6

            with Fed(("127.0.0.6", port), stream) as feeder:
                begin = feeder.started()
                return {"seconds": _until(all_there) - begin, "kept": _status(process.pid, "VmRSS")}


def measure_lookups(stream: bytes) -> tuple[float, float, float]:
    """Return lookups a second: the longest match in the IPv4 half and in the IPv6 half, and all columns of batches."""
    list(compile_kernels((*route_kernels.KERNELS, *route_found.KERNELS, *update_scan.KERNELS)))
    rib = _filled(stream)
    draw = np.random.default_rng(3)
    addresses = draw.integers(1 << 24, 223 << 24, LOOKUPS).astype(np.uint64)
    high4, low4 = np.zeros(LOOKUPS, np.uint64), addresses | np.uint64(0xFFFF << 32)
    inside = np.array([address >> 64 for address, _ in ipv6_prefixes()], np.uint64)
    high6 = inside[draw.integers(0, len(inside), LOOKUPS)] | draw.integers(0, 1 << 12, LOOKUPS).astype(np.uint64)
    low6 = draw.integers(0, 1 << 62, LOOKUPS).astype(np.uint64)
    ipv4, ipv6 = (rib.tables[family] for family in FAMILIES)
    found = np.empty(LOOKUPS, np.int64)
    rates = []
    for table, high, low in ((ipv4, high4, low4), (ipv6, high6, low6)):
        seconds = []
        for _ in range(5):
            begin = time.perf_counter()
            table.match(high, low, found)
            seconds.append(time.perf_counter() - begin)
        rates.append(LOOKUPS / min(seconds))
    begin = time.perf_counter()
    for start in range(0, LOOKUPS, BATCH):
        rib.lookup(high4[start : start + BATCH], low4[start : start + BATCH])
    return rates[0], rates[1], LOOKUPS / (time.perf_counter() - begin)


def _filled(stream: bytes) -> RibIn:
    negotiated = Negotiated(Asn(OUR_AS), Asn(FEEDER_AS), 9, 90, frozenset(FAMILIES))
    rib, at = RibIn(), 0
    while (run := scan_run(stream[at : at + (1 << 20)], 0, negotiated)) is not None:
        rib.take_run(run)
        rib.finish()
        at += run.stop
    return rib


def run() -> list[dict[str, Any]]:
    """Return the results in the form of `tidegate bench`."""
    stream = make_stream()
    ours = min((measure_ours(stream) for _ in range(3)), key=lambda result: result["seconds"])
    beside = {"BIRD": measure_bird(stream), "GoBGP": measure_gobgp(stream)}
    ipv4, ipv6, columns = measure_lookups(stream)

    def others(field: str, unit: str) -> dict[str, float]:
        return {
            f"{name}, {unit}": round(found[field], 1)
            for name, found in beside.items()
            if found and not math.isnan(found["seconds"])
        }

    return [
        _result(
            "tables: full table in", ours["seconds"], "s", "<= 6", beside=others("seconds", "s"),
            method=f"{METHOD}, best of 3",
        ),
        _result("tables: processor time of that", ours["cpu"], "s", None),
        _result("tables: memory of the process, peak", ours["peak"], "MB", "<= 350", beside=others("kept", "MB")),
        _result("tables: memory that the table added", ours["kept"] - ours["before"], "MB", None),
        _result("tables: longest gap of the event loop", ours["longest"] * 1e3, "ms", "<= 50"),
        _result("tables: IPv4 longest match", ipv4 / 1e6, "M lookups/s", ">= 5", method="random addresses, best of 5"),
        _result("tables: IPv6 longest match", ipv6 / 1e6, "M lookups/s", ">= 5", method="random addresses, best of 5"),
        _result(
            "tables: lookups with all columns", columns / 1e6, "M lookups/s", None,
            method=f"random IPv4 addresses, batches of {BATCH}",
        ),
    ]  # fmt: skip


def _result(
    name: str, value: float, unit: str, bar: str | None, *, method: str = METHOD, beside: dict[str, float] | None = None
) -> dict[str, Any]:
    return {
        "name": name, "value": round(value, 2), "unit": unit, "bar": bar, "method": method, "beside": beside or {},
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
