"""Large TCP flows, to the log: when one begins to be large, and how much it has brought when it ends.

    tidegate run --script examples/elephants.py

A connection is an elephant from `bits_per_s` on. The flow records of the same definition give the total of a large
connection when it ends, and each minute while it lasts.
"""

# ruff: noqa: G004 - rt.log takes one text; it is no logging.Logger

from __future__ import annotations

import msgspec

from tidegate.apps.script import Event, FlowRecord, Runtime

FLOWS = {"elephant": ("ipsource", "ipdestination"), "elephant6": ("ip6source", "ip6destination")}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The script's settings in the configuration file."""

    bits_per_s: float = 100_000_000.0  # from this rate on a flow is large
    min_octets: float = 100_000_000.0  # records of less are left out
    t: float = 2.0  # seconds over which the rate is smoothed


def ends(keys: str) -> str:
    """Return `source port n → destination port n` of a flow's key."""
    source, destination, source_port, destination_port = keys.split(",")
    return f"{source} port {source_port} → {destination} port {destination_port}"


def setup(rt: Runtime) -> None:
    """Measure TCP connections, in both families."""
    settings = msgspec.convert(rt.config, Settings)
    for name, (source, destination) in FLOWS.items():
        keys = f"{source},{destination},tcpsourceport,tcpdestinationport"
        rt.set_flow(name, {"keys": keys, "value": "bytes", "n": 20, "t": settings.t, "log": True})
        rt.set_threshold(name, {"metric": name, "value": settings.bits_per_s / 8, "byFlow": True, "timeout": 2})

    def on_event(event: Event) -> None:
        rt.log.info(f"large flow {ends(event.flow_key or '')}: {event.value * 8 / 1e6:.0f} Mbit/s at {event.agent}")

    def on_flow(record: FlowRecord) -> None:
        if record.value >= settings.min_octets:
            seconds = (record.end - record.start) / 1000
            rt.log.info(f"flow {ends(record.flow_keys)}: {record.value / 1e6:.0f} MB in {seconds:.0f} s")

    rt.on_event(on_event, thresholds=list(FLOWS))
    rt.on_flow(on_flow, names=list(FLOWS))
