"""Received netlink messages to rows of sampled packets: one kernel over many messages.

In go datagrams as they came from a netlink socket, of one message or several; out comes a row a sampled packet. What a
message says is read by `psample.py` and `nflog.py`. A message that does not fit its datagram ends the reading of that
datagram, and is counted; so is every message that gives no row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidegate.data.block import Block
from tidegate.data.sampled import Packets, Row
from tidegate.kernel import I64, U8, kernel
from tidegate.octets import ne16, ne32
from tidegate.wire.netlink.nflog import NFLOG, fill_nflog
from tidegate.wire.netlink.psample import fill_psample
from tidegate.wire.netlink.told import Told

__all__ = ["KERNELS", "SampleReader", "read_samples"]

_SAMPLES, _OTHER, _BROKEN = int(Told.SAMPLES), int(Told.OTHER), int(Told.BROKEN)
_NONE = -1
_ROWS = 1024
_FIRST_TYPE = 16  # NLMSG_MIN_TYPE: numbers below are netlink's own


@kernel("Tuple((i8,i8,i8))(Array(u1,1,'C',readonly=True), i8[::1], i8[::1], i8, i8, i8, i8[:,::1], i8[::1])")
def read_samples(
    data: U8, offset: I64, length: I64, family: int, datagram: int, skip: int, rows: I64, tally: I64
) -> tuple[int, int, int]:
    """Read messages from octet `skip` of a datagram on, until `rows` is full or there are no more.

    `family` is the message type to read: `NFLOG`, or that of psample, which 0 takes all others for. `rows` is (n, Row),
    `tally` (Told,) is added to. Returned are the number of rows, and the datagram and octet to go on from: where all is
    read, the number of datagrams.
    """
    count = 0
    while datagram < offset.size:
        at = offset[datagram] + skip
        end = offset[datagram] + length[datagram]
        while at + 16 <= end:
            if count == rows.shape[0]:
                return count, datagram, at - offset[datagram]
            size, kind = ne32(data, at), ne16(data, at + 4)
            if size < 16 or at + size > end:
                break
            told = _OTHER
            if kind < _FIRST_TYPE:  # such as the DONE that closes a batch
                told = _NONE
            elif kind == NFLOG:
                if family == NFLOG:
                    told = fill_nflog(data, at + 16, at + size, rows, count)
            elif family in (0, kind):
                told = fill_psample(data, at + 16, at + size, rows, count)
            if told != _NONE:
                tally[told] += 1
            count += 1 if told == _SAMPLES else 0
            at += (size + 3) & ~3
        if at < end:
            tally[_BROKEN] += 1
        datagram += 1
        skip = 0
    return count, datagram, 0


KERNELS = (read_samples,)


class SampleReader:
    """Reads blocks of messages of one family, see `read_samples`, and counts what became of them."""

    def __init__(self, family: int) -> None:
        self.family = family
        self._tally = np.zeros(len(Told), np.int64)

    def read(self, block: Block) -> Iterator[Packets]:
        """Yield the sampled packets of received datagrams, in batches of bounded size."""
        datagram = skip = 0
        while datagram < len(block):
            rows = np.empty((_ROWS, len(Row)), np.int64)
            count, datagram, skip = read_samples(
                block.data, block.offset, block.length, self.family, datagram, skip, rows, self._tally
            )
            if count:
                yield Packets(block.data, rows, count)

    def told(self) -> dict[str, int]:
        """Return how many messages became what."""
        return {told.name.lower(): int(self._tally[told]) for told in Told}
