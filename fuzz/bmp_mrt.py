"""Fuzz the readers of BMP and MRT: `.venv/bin/python fuzz/bmp_mrt.py fuzz/corpus/bmp_mrt -max_total_time=60`.

The first octet of an input picks the reader, the rest is what it reads. A stream is heard or ends with a reason, whole
or in pieces; a record is read or refused; the kernel counts what the decoder finds.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tidegate"]):
    import numpy as np

    from tidegate.errors import DecodeError
    from tidegate.units import Seconds
    from tidegate.wire.bgp import mrt, mrt_walk
    from tidegate.wire.bgp.bmp_session import BmpSession
    from tidegate.wire.bgp.constants import Family
    from tidegate.wire.bgp.feed import feed
    from tidegate.wire.bgp.mrt_routes import Batch, Form
    from tidegate.wire.bgp.ribin import RibIn
    from tidegate.wire.cursor import Reader


def check(condition: object) -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError


def heard(data: bytes, step: int) -> BmpSession:
    """Return a session that has heard a stream in pieces of some octets."""
    session = BmpSession()
    for start in range(0, len(data), step):
        session.receive(data[start : start + step], Seconds(0.0))
        while session.busy:
            session.work(Seconds(0.0))
    return session


def stream(data: bytes) -> None:
    """Hear a stream whole and in pieces."""
    whole, pieces = heard(data, len(data) or 1).status(), heard(data, 7).status()
    check(whole.ended == pieces.ended)
    check(whole.routes == pieces.routes)
    check(whole.messages == pieces.messages)


def decoded(raw: mrt.RawRecord) -> int:
    """Return how many entries of a table a record has; none if it is damaged."""
    try:
        found = mrt.decode(raw)
    except DecodeError:
        return 0
    return len(found.entries) if isinstance(found, mrt.RibRecord) else 0


def records(data: bytes) -> None:
    """Read records, and put what tables hold into one."""
    reader, entries = Reader(data), 0
    try:
        while (raw := mrt.maybe_record(reader)) is not None:
            if raw.type != mrt.MrtType.TABLE_DUMP_V2 or raw.subtype not in mrt.RIB_SUBTYPES:
                decoded(raw)
                break
            entries += decoded(raw)
    except DecodeError:
        pass
    counts, state = np.zeros((2, mrt_walk.PEERS), np.int64), np.zeros(5, np.int64)
    rows, wanted = np.empty((mrt_walk.PEERS, mrt_walk.ROW_COLUMNS), np.int64), np.ones((2, mrt_walk.PEERS), np.uint8)
    mrt_walk.walk_rib(np.frombuffer(bytearray(data), np.uint8), wanted, counts, rows, state)
    check(int(counts.sum()) == entries)
    batch, rib = Batch(), RibIn()
    mrt_walk.add_rows(data, rows[: state[1]], batch)
    for batched in batch.flush():
        check(len(batched.messages) == len(batched.routes))
        list(feed(rib, batched.messages, batched.negotiated))
    rib.finish()


def attributes(data: bytes) -> None:
    """Make UPDATEs of any attributes."""
    for form in (Form(Family.IPV4_UNICAST), Form(Family.IPV6_UNICAST, four_octet_as=False)):
        batch, rib = Batch(), RibIn()
        batch.add(form, data, b"\x08\x0a")
        for batched in batch.flush():
            list(feed(rib, batched.messages, batched.negotiated))
        rib.finish()


TARGETS = (stream, records, attributes)


def one_input(data: bytes) -> None:
    """Read one input."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
