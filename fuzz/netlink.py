"""Fuzz the agent's data path: `python fuzz/netlink.py fuzz/corpus/netlink -max_total_time=600`.

The first octet of an input says whose messages the rest are: psample's, NFLOG's or the drop monitor's, in one datagram
or cut into several. The kernels must say what their twins say; what they say becomes flow samples in datagrams that the
readable decoder reads without a note, one a packet. Alerts become discarded packets or are counted. Compiled code has
no coverage to guide the fuzzer, but its twins have. Kernels check their indices: a wrong bound is an IndexError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
KERNELS = [
    "tidegate.octets",
    "tidegate.wire.netlink.samples",
    "tidegate.wire.netlink.psample",
    "tidegate.wire.netlink.nflog",
    "tidegate.wire.sflow.pack",
    "tidegate.agent.sampling_kernels",
]
TWINS = ["tidegate.wire", "tidegate.agent", "netlink_twins"]

with atheris.instrument_imports(include=TWINS, exclude=KERNELS):  # instrumented, kernels would not compile
    from netlink_twins import expected, found
    from tidegate.agent import sampling_kernels
    from tidegate.agent.config import AgentConfig, DiscardsConfig, Source
    from tidegate.agent.exporter import Exporter
    from tidegate.data.block import block_of
    from tidegate.errors import DecodeError
    from tidegate.kernel import compile_kernels
    from tidegate.wire.netlink import samples
    from tidegate.wire.netlink.message import split_messages
    from tidegate.wire.netlink.nflog import NFLOG
    from tidegate.wire.netlink.samples import SampleReader
    from tidegate.wire.sflow import pack
    from tidegate.wire.sflow.decode import decode_datagram
    from tidegate.wire.sflow.samples import BadReason, BadSample

CONFIG = AgentConfig(most_samples=10_000_000, discards=DiscardsConfig(per_second=100_000))
SMALL = AgentConfig(most_samples=10_000_000, header_octets=512, datagram_octets=512)


def check(condition: object, what: object = "") -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError(what)


def several(data: bytes) -> list[bytes]:
    """Cut octets into eight datagrams at most, of a size that the first octet tells."""
    size = 4 * (4 + data[0]) if data else 16
    return [data[at : at + size] for at in range(0, min(len(data), 8 * size), size)]


def packets(datagrams: list[bytes], family: int, config: AgentConfig) -> None:
    """Read sampled packets, and send them."""
    wanted = expected(datagrams, family)
    told = found(datagrams, family)
    check(told == wanted, (told, wanted))
    source = Source.NFLOG if family == NFLOG else Source.PSAMPLE
    exporter = Exporter(config, source=source, agent_address=bytes(4), seed=1, started_ns=0)
    for batch in SampleReader(family).read(block_of(datagrams, [0] * len(datagrams))):
        exporter.learn(batch)
        exporter.packets(batch, 0)
    check(sent(exporter, config) == len(wanted[0]))


def alerts(octets: bytes, config: AgentConfig) -> None:
    """Read alerts, and send them."""
    exporter = Exporter(config, source=Source.NONE, agent_address=bytes(16), seed=1, started_ns=0)
    count = 0
    try:
        for message in split_messages(octets):
            count += len(exporter.alerts([message], 0))
    except DecodeError:
        pass
    check(sent(exporter, config) == count)


def sent(exporter: Exporter, config: AgentConfig) -> int:
    """Return how many samples are in the datagrams of an agent, which the decoder must read without a note."""
    count = 0
    for block in exporter.take(0, all_of_them=True):
        for start, length in zip(block.offset.tolist(), block.length.tolist(), strict=True):
            check(length <= config.datagram_octets)
            datagram = decode_datagram(block.data[start : start + length].tobytes())
            check(not datagram.notes, datagram)
            bad = {sample.reason for sample in datagram.samples if isinstance(sample, BadSample)}
            check(bad <= {BadReason.FRAME_TOO_LONG}, datagram)  # which is the packet's own
            count += len(datagram.samples)
    return count


TARGETS: tuple[Callable[[bytes], None], ...] = (
    lambda data: packets([data], 0, CONFIG),
    lambda data: packets([data], NFLOG, CONFIG),
    lambda data: alerts(data, CONFIG),
    lambda data: packets(several(data), 0, SMALL),
    lambda data: packets(several(data), NFLOG, SMALL),
    lambda data: alerts(data, SMALL),
)


def one_input(data: bytes) -> None:
    """Run what the first octet picks."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:])


if __name__ == "__main__":
    list(compile_kernels((*samples.KERNELS, *sampling_kernels.KERNELS, *pack.KERNELS)))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
