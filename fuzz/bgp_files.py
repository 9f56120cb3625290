"""Fuzz what tells of other routers: `.venv/bin/python fuzz/bgp_files.py fuzz/corpus/bgp_files -max_total_time=600`.

The first octet of an input says whether the rest is a BMP stream or an MRT file, as it is or as kinds, lengths and
bodies of messages or records. What comes of a BMP stream is the same however it is cut, and no more of it is kept than
one message; a file is read, or refused with a sentence.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
KERNELS = [
    "tidegate.octets",
    "tidegate.data",
    "tidegate.wire.bgp.update_scan",
    "tidegate.wire.bgp.mrt_walk",
]  # instrumented, kernels would not compile

with atheris.instrument_imports(include=["tidegate"], exclude=KERNELS):
    from bgp_streams import Table, table_of
    from bmp_messages import HEADER, initiation, message, peer_header, peer_up
    from mrt_files import record
    from tidegate.data import route_kernels
    from tidegate.errors import SourceError
    from tidegate.io.mrt import MrtFile
    from tidegate.io.mrt_rib import count_routes, describe_rib, load_rib
    from tidegate.kernel import compile_kernels
    from tidegate.units import Seconds
    from tidegate.wire.bgp import mrt_walk, update_scan
    from tidegate.wire.bgp.bmp_session import BmpConfig, BmpSession, Routes
    from tidegate.wire.bgp.update_scan import UpdateRun
    from tidegate.wire.cursor import Reader

NOW = Seconds(1.0)
ROUTERS = ("a router", "FRRouting 10.1")  # the second one's UPDATEs are put right
CONFIG = BmpConfig(max_peers=4, max_message_octets=4096)
MRT_KINDS = (
    (13, 1),
    (13, 2),
    (13, 4),
    (13, 8),
    (13, 10),
    (12, 1),
    (12, 2),
    (16, 1),
    (16, 4),
    (17, 9),
    (16, 5),
    (11, 0),
)
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-mrt-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108


def check(condition: object, what: object = "") -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError(what)


def bmp_stream(reader: Reader, router: str) -> bytes:
    """Return messages made of kinds, lengths and bodies, after the router's name and one peer that has come up."""
    out = initiation("edge", router) + peer_up()
    while len(reader) > 2:
        kind, length = reader.u8(), reader.u8()
        body = reader.take(min(length, len(reader)))
        out += message(kind % 8, (peer_header(HEADER) if kind < 128 else b"") + body)
    return out


def listened(pieces: list[bytes]) -> tuple[list[str], object, list[Table]]:
    """Feed a BMP session; return what happened, how it stands, and its tables."""
    session, happened = BmpSession(CONFIG), []
    for piece in pieces:
        for effect in session.receive(piece, NOW):
            many = (
                effect.update.updates() if isinstance(effect, Routes) and isinstance(effect.update, UpdateRun) else ()
            )
            happened += [str(update) for update in many] or [str(getattr(effect, "update", effect))]
        check(len(session._buffer) < CONFIG.max_message_octets)  # noqa: SLF001 - a fuzzer looks inside
        while session.busy:
            session.work(NOW)
    tables = [table_of(rib) for rib in session.tables().values()]
    status = structs.replace(session.status(), octets=0)  # what comes after the end of a stream is not counted
    session.close("over", NOW)
    check(not session.tables())
    return happened, status, tables


def bmp(stream: bytes, seed: int) -> None:
    """Feed a stream at once and in pieces."""
    size = 1 + seed
    whole, pieces = listened([stream]), listened([stream[at : at + size] for at in range(0, len(stream), size)])
    check(whole == pieces, (whole, pieces))


def mrt_file(reader: Reader) -> bytes:
    """Return records made of kinds, lengths and bodies."""
    out = b""
    while len(reader) > 2:
        kind, length = reader.u8(), reader.u8()
        out += record(*MRT_KINDS[kind % len(MRT_KINDS)], reader.take(min(length, len(reader))))
    return out


def mrt(octets: bytes) -> None:
    """Read a file in each way."""
    path = FOLDER / "fuzz.mrt"
    path.write_bytes(octets)
    try:
        source = MrtFile(path)
    except SourceError:
        return
    records = list(source)
    check(source.statistics().records >= len(records))
    count_routes(path)
    try:
        loaded = load_rib(path)
    except SourceError:
        return
    check(describe_rib(loaded))
    check(sum(loaded.routes.values()) == sum(map(loaded.rib.count, loaded.routes)))
    table_of(loaded.rib)


def one_input(data: bytes) -> None:
    """Read a stream or a file."""
    if len(data) < 3:
        return
    reader = Reader(data)
    choice, seed = reader.u8(), reader.u8()
    if choice & 1:
        bmp(bmp_stream(reader, ROUTERS[choice >> 2 & 1]) if choice & 2 else reader.rest(), seed)
    else:
        mrt(mrt_file(reader) if choice & 2 else reader.rest())


if __name__ == "__main__":
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS, *mrt_walk.KERNELS)))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
