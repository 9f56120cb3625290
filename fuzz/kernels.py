"""Fuzz the column kernels: `python fuzz/kernels.py fuzz/corpus/sflow -max_total_time=600`.

Any octets are decoded as one datagram, as a block of several (cut where the first octets say), and as the header of a
packet sample; each time the kernels must say what the readable decoder says. Compiled code has no coverage to guide the
fuzzer, but its readable twin has. Kernels check their indices: a wrong bound is an IndexError, hence a finding.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris
import msgspec

KERNELS = ["tidegate.wire.sflow.index", "tidegate.wire.sflow.columns", "tidegate.wire.packet.columns"]

with atheris.instrument_imports(include=["tidegate.wire"], exclude=KERNELS):  # instrumented, they would not compile
    from tidegate.kernel import compile_kernels
    from tidegate.wire.sflow import columns
    from tidegate.wire.sflow.columns import Decoder
    from tidegate.wire.sflow.encode import encode_datagram
    from tidegate.wire.sflow.flow_records import SampledHeader
    from tidegate.wire.sflow.keys import flow_words  # noqa: F401 - for its instrumented module
    from tidegate.wire.sflow.samples import Datagram, DataSource, FlowSample, InterfaceWord

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from twins import SEED, block_with_gaps, differences  # noqa: E402 - the tests' comparison

DECODER = Decoder(seed=SEED)  # one for all inputs: nothing may leak from block to block
SAMPLE = FlowSample(1, DataSource(0, 1), 10, 20, 0, InterfaceWord(0, 1), InterfaceWord(0, 2))
PROTOCOLS = (1, 1, 7, 11, 13)


def several(data: bytes) -> list[bytes]:
    """Cut octets into eight datagrams at most, of a size that the first octet tells."""
    size = 1 + data[0] * 4 if data else 1
    return [data[at : at + size] for at in range(0, min(len(data), 8 * size), size)]


def sampled(data: bytes) -> bytes:
    """Return a datagram whose only sample has the octets as its header."""
    header = SampledHeader(PROTOCOLS[len(data) % len(PROTOCOLS)], len(data), 0, data[:1024])
    return encode_datagram(Datagram(bytes(4), 0, 1, 1, (msgspec.structs.replace(SAMPLE, records=(header,)),)))


def check(data: bytes) -> None:
    """Run one input, its length picks how; any difference is a finding."""
    match len(data) % 4:
        case 0:
            found = differences([data], decoder=DECODER)
        case 1:
            found = differences(several(data), decoder=DECODER)
        case 2:
            payloads = [data, *several(data[::-1])]
            found = differences(payloads, block_with_gaps(payloads), DECODER)
        case _:
            found = differences([sampled(data)], decoder=DECODER)
    if found:
        raise AssertionError(found[:5])


if __name__ == "__main__":
    list(compile_kernels(columns.KERNELS))
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
