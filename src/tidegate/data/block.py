"""A block: many datagrams as they came, before anybody has looked inside."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "block_of", "octets_of_block", "part_of_block"]

_OVERHEAD = 2048  # octets of seven array objects and one struct around the rows of a block, measured with tracemalloc


class Block(msgspec.Struct, frozen=True, eq=False):
    """Datagrams in order of arrival; row i is `data[offset[i] : offset[i] + length[i]]`.

    Arrays of n rows unless said otherwise. A block is read only from the moment it is handed on.
    """

    data: NDArray[np.uint8]  # payloads, any number of octets, gaps allowed
    offset: NDArray[np.int64]  # octets from the start of `data`
    length: NDArray[np.int64]  # octets
    time_ns: NDArray[np.int64]  # when it was received, nanoseconds since 1970 UTC
    source_high: NDArray[np.uint64]  # UDP source address, see data/address.py
    source_low: NDArray[np.uint64]
    source_port: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offset)


def block_of(payloads: list[bytes], times_ns: list[int]) -> Block:
    """Return a block of datagrams held in memory, from an unknown source; for tests and small inputs."""
    lengths = np.array([len(payload) for payload in payloads], np.int64)
    ends = np.cumsum(lengths)
    count = len(payloads)
    return Block(
        data=np.frombuffer(b"".join(payloads), np.uint8),
        offset=(ends - lengths).astype(np.int64),
        length=lengths,
        time_ns=np.array(times_ns, np.int64),
        source_high=np.zeros(count, np.uint64),
        source_low=np.zeros(count, np.uint64),
        source_port=np.zeros(count, np.int64),
    )


def part_of_block(block: Block, first: int, stop: int) -> Block:
    """Return rows of a block as a block; it shares the payloads' memory."""
    rows = slice(first, stop)
    return Block(
        data=block.data,
        offset=block.offset[rows],
        length=block.length[rows],
        time_ns=block.time_ns[rows],
        source_high=block.source_high[rows],
        source_low=block.source_low[rows],
        source_port=block.source_port[rows],
    )


def octets_of_block(block: Block) -> int:
    """Return the memory that a block holds on to; a weight for queues of blocks."""
    return block.data.nbytes + 56 * len(block) + _OVERHEAD
