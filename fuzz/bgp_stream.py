"""Fuzz a whole BGP peer: `.venv/bin/python fuzz/bgp_stream.py fuzz/corpus/bgp_stream -max_total_time=600`.

The first octet of an input says in which state the peer is and how it was opened, the second how the stream is cut, the
third whether the rest is the stream as it is, or bodies of messages, each after its type and the length of its body.
Nothing may be raised, and what comes of a stream is the same however it is cut. Compiled code has no coverage to guide
the fuzzer, but its twins have.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
KERNELS = [
    "tidegate.octets",
    "tidegate.data",
    "tidegate.wire.bgp.update_scan",
]  # instrumented, kernels would not compile

with atheris.instrument_imports(include=["tidegate"], exclude=KERNELS):
    from bgp_streams import KINDS, outcome, peer_in
    from tidegate.data import route_kernels
    from tidegate.kernel import compile_kernels
    from tidegate.wire.bgp import update_scan
    from tidegate.wire.bgp.constants import EXTENDED_LIMIT, HEADER_OCTETS, MARKER
    from tidegate.wire.bgp.session import State
    from tidegate.wire.cursor import Reader

STATES = (State.ESTABLISHED, State.ESTABLISHED, State.OPEN_CONFIRM, State.OPEN_SENT, State.ACTIVE, State.CONNECT)
STREAM_OCTETS = 4096


def check(condition: object, what: object = "") -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError(what)


def framed(reader: Reader) -> bytes:
    """Return messages made of types, lengths and bodies."""
    out = b""
    while len(reader) > 2:
        kind, length = reader.u8(), reader.u8()
        body = reader.take(min(length, len(reader)))
        out += MARKER + (HEADER_OCTETS + len(body)).to_bytes(2, "big") + bytes((kind,)) + body
    return out


def cut(stream: bytes, seed: int) -> list[bytes]:
    """Cut a stream into pieces whose lengths the seed tells: 0 octet by octet."""
    sizes = [1] if not seed else [1 + seed % 23, 1 + seed // 4, 1 + seed % 7]
    pieces, at, turn = [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        pieces.append(stream[at : at + size])
        at, turn = at + size, turn + 1
    return pieces


def one_input(data: bytes) -> None:
    """Feed one peer the stream at once, and another the pieces."""
    if len(data) < 3 or len(data) > STREAM_OCTETS:
        return
    reader = Reader(data)
    choice, seed, form = reader.u8(), reader.u8(), reader.u8()
    state = STATES[choice % len(STATES)]
    kind = list(KINDS)[choice // len(STATES) % len(KINDS)]
    stream = framed(reader) if form & 1 else reader.rest()
    check(len(stream) < EXTENDED_LIMIT)
    whole = outcome(peer_in(state, kind), [stream])
    pieces = outcome(peer_in(state, kind), cut(stream, seed))
    check(pieces == whole, (whole, pieces))


if __name__ == "__main__":
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
