"""What the engine tells: thresholds crossed, and flow records. Field names in JSON are those of the flow language."""

from __future__ import annotations

import msgspec

__all__ = ["ActiveFlow", "Event", "FlowRecord"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A threshold crossed, at the sample that crossed it."""

    event_id: int = msgspec.field(name="eventID")
    timestamp: int  # milliseconds since 1970 UTC
    threshold_id: str = msgspec.field(name="thresholdID")
    metric: str
    threshold: float
    value: float  # reading at the crossing
    agent: str
    data_source: str
    flow_key: str | None = None  # of flows with keys
    values: tuple[float | None, ...] | None = None  # of flows with further values
    samples: float | None = None  # that the reading rests on, decaying as it does
    interval: float | None = None  # half of the 95 % interval of the value
    time_ns: int = 0  # when the datagram of the sample was received, nanoseconds since 1970 UTC


class FlowRecord(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A flow that ended, began, or has lasted for its active timeout."""

    flow_id: int = msgspec.field(name="flowID")
    name: str
    flow_keys: str
    value: float  # total over the record, not a rate
    start: int  # milliseconds since 1970 UTC
    end: int
    agent: str
    data_source: str


class ActiveFlow(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One key of a flow definition, merged over data sources."""

    key: str
    value: float
    agent: str  # where the largest reading is
    data_source: str
    flow_n: int = msgspec.field(name="flowN")  # data sources that report it
    values: tuple[float | None, ...] | None = None
    samples: float | None = None  # that the value rests on, decaying as it does
    interval: float | None = None  # half of the 95 % interval of the value
