"""Batches: the columnar currency between decoding and analytics, one row a sample.

The classes are the schema. What every sample has is an attribute; fields of the catalogue that somebody asked for are
in `columns`. Rows are in the order of the wire. A stage never keeps a view of a batch that it gave on.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegate.data.fields import FieldRef
from tidegate.data.forms import Form

__all__ = ["Column", "CounterBatch", "DatagramBatch", "FlowBatch"]


class Column(msgspec.Struct, frozen=True, eq=False):
    """One field of every row: its words, and where it is present.

    Text is held as a hash of its octets (`words`) and the place of the octets themselves (`start`, `stop`).
    """

    form: Form
    words: NDArray[np.uint64]  # (width of the form, n); 0 where not present
    present: NDArray[np.bool_]  # (n,)
    start: NDArray[np.int64] | None = None  # text: first octet in FlowBatch.data
    stop: NDArray[np.int64] | None = None  # text: behind its last octet


class DatagramBatch(msgspec.Struct, frozen=True, eq=False):
    """Datagrams of version 5 in order of arrival, arrays of n rows: what loss accounting needs."""

    time_ns: NDArray[np.int64]  # when it was received, nanoseconds since 1970 UTC
    source_high: NDArray[np.uint64]  # UDP source address, see data/address.py
    source_low: NDArray[np.uint64]
    agent_high: NDArray[np.uint64]
    agent_low: NDArray[np.uint64]
    sub_agent: NDArray[np.uint64]
    sequence: NDArray[np.int64]
    uptime_ms: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time_ns)


class CounterBatch(msgspec.Struct, frozen=True, eq=False):
    """Counters samples, arrays of n rows; their records stand in `data`, from the count word on."""

    datagram: NDArray[np.int64]  # row of the DatagramBatch
    source: NDArray[np.uint64]  # type << 32 | index
    sequence: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    data: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.datagram)


class FlowBatch(msgspec.Struct, frozen=True, eq=False):
    """Packet samples and discarded packet samples of many datagrams; arrays of n rows."""

    time_ns: NDArray[np.int64]  # when the datagram was received, nanoseconds since 1970 UTC
    datagram: NDArray[np.int64]  # row of the DatagramBatch
    agent_high: NDArray[np.uint64]  # agent address, see data/address.py
    agent_low: NDArray[np.uint64]
    sub_agent: NDArray[np.uint64]
    source: NDArray[np.uint64]  # data source: type << 32 | index (sFlow version 5, section 4.1)
    sequence: NDArray[np.int64]
    pool: NDArray[np.int64]  # sample_pool: packets that could have been sampled; 0 in discarded packet samples
    drops: NDArray[np.int64]
    rate: NDArray[np.float64]  # packets that the sample stands for; 1 for discarded packets
    octets: NDArray[np.float64]  # length of the packet; 0 where the sample does not tell
    dropped: NDArray[np.bool_]  # a discarded packet sample
    data: NDArray[np.uint8]  # what text columns point into
    columns: dict[FieldRef, Column]

    def __len__(self) -> int:
        return len(self.time_ns)
