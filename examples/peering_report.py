"""Which networks traffic goes to, and whom to peer with: by AS path, by community and by prefix, from a router's table.

    tidegate run --config tidegate.toml --script examples/peering_report.py
    tidegate replay capture.pcap --rib rib.20240101.0000.bz2 --script examples/peering_report.py

Samples need no gateway records: the paths are those of the table of `router`, a BGP neighbour of the configuration
file, or of `--rib` with `router` left empty. Each `seconds` the log has one line on what the largest prefixes cover and
one for each network behind a path of two hops or more that takes at least `min_share` of all traffic. Traffic of a
community in `marked`, such as that of a transit provider, is told when it passes `marked_bits_per_s`.
"""

# ruff: noqa: G004 - rt.log takes one text; it is no logging.Logger

from __future__ import annotations

from collections import defaultdict

import msgspec

from tidegate.apps.script import Event, Runtime


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The script's settings in the configuration file."""

    router: str = ""  # whose table, such as 192.0.2.1 or bmp:192.0.2.1; empty: that of --rib
    seconds: float = 60.0  # between two reports, and over which rates are averaged
    prefixes: int = 100  # how many of the largest are looked at
    min_share: float = 0.01  # of all traffic
    marked: str = ""  # a community, such as 64500:100
    marked_bits_per_s: float = 1e9


def setup(rt: Runtime) -> None:
    """Measure by AS path and by community, and report."""
    settings = msgspec.convert(rt.config, Settings)
    router = settings.router or "rib"
    rt.bgp.add_source("ALL", router, t=settings.seconds)
    rt.set_flow("as_path", {"keys": "bgpdestinationaspath", "value": "bytes", "t": settings.seconds})
    if settings.marked:
        matching = f"bgpcommunities~(.*-)?{settings.marked}(-.*)?"
        rt.set_flow("marked", {"keys": "bgpnexthop", "value": "bytes", "filter": matching, "t": 2})
        limit = settings.marked_bits_per_s / 8
        rt.set_threshold("marked", {"metric": "marked", "value": limit, "byFlow": True, "timeout": 60})

    def on_event(event: Event) -> None:
        rt.log.warning(f"{event.value * 8 / 1e6:.0f} Mbit/s of {settings.marked} by way of {event.flow_key}")

    def report() -> None:
        top = rt.bgp.top_prefixes(router, settings.prefixes, prune_covered=True)
        if not top.value_total:
            return
        listed, covered = len(top.top_prefixes), top.value_percent_coverage
        rt.log.info(
            f"{listed} of {top.n_prefixes} prefixes take {covered:.0f} % of {top.value_total * 8 / 1e6:.1f} Mbit/s"
        )
        behind: defaultdict[str, float] = defaultdict(float)
        for flow in rt.active_flows("as_path", max_flows=1000, agg_mode="sum"):
            hops = flow.key.split("-")
            if len(hops) > 1:
                behind[hops[-1]] += flow.value
        total = sum(flow.value for flow in rt.active_flows("as_path", max_flows=1000, agg_mode="sum"))
        for network, value in sorted(behind.items(), key=lambda row: -row[1])[:10]:
            if value >= settings.min_share * total:
                rt.log.info(f"AS {network}: {value * 8 / 1e6:.1f} Mbit/s, {100 * value / total:.0f} %, not a neighbour")

    rt.on_event(on_event, thresholds=["marked"])
    rt.every(settings.seconds, report)
