"""Flooded hosts: blackholed upstream with a route of one address, released after their time.

    tidegate run --script examples/blackhole.py

Remotely triggered blackholing gives the victim up to save the link: announce the victim's address with the blackhole
community (RFC 7999), and the neighbour drops all traffic to it. When the rate to one address crosses the threshold, its
host route is announced; after `hold_s` it is withdrawn, unless the flood is still seen. Addresses in `protected` are
never blackholed. Nothing outside `own` is, if you say what is yours.

As it stands the script only logs what it would do. Set `enforce = true` to announce.
"""

# ruff: noqa: G004 - rt.log takes one text; it is no logging.Logger

from __future__ import annotations

import ipaddress
from typing import Any

import msgspec

from tidegate.apps.script import Event, Runtime

VICTIM_FLOWS = {"flood": "ipdestination", "flood6": "ip6destination"}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The script's settings in the configuration file."""

    enforce: bool = False  # announce routes; else log what would be announced
    peer: str | None = None  # address of the BGP peer; None for all
    frames: float = 1_000_000.0  # packets a second to one address that are a flood
    own: tuple[str, ...] = ("0.0.0.0/0", "::/0")  # prefixes of addresses that may be blackholed
    protected: tuple[str, ...] = ()  # prefixes of addresses that never are
    nexthop: str = "192.0.2.1"  # next hop that your routers discard
    nexthop6: str = "100::1"
    communities: str = "65535:666-no-export"
    localpref: int | None = None
    hold_s: float = 900.0  # how long a blackhole stands at least
    recheck_s: float = 60.0  # how often it is looked at after that
    max_routes: int = 50  # at one time


def covers(prefixes: tuple[str, ...], address: str) -> bool:
    """Tell whether an address lies in one of the prefixes."""
    host = ipaddress.ip_address(address)
    return any(host in ipaddress.ip_network(prefix) for prefix in prefixes)


class Blackholes:
    """The routes that stand, and every place where each flood was seen."""

    def __init__(self, rt: Runtime, settings: Settings) -> None:
        self.rt = rt
        self.settings = settings
        self.floods: dict[str, dict[tuple[str, str], Event]] = {}

    def on_event(self, event: Event) -> None:
        """Blackhole a flooded host; note one more place of a known flood."""
        address = event.flow_key or ""
        if covers(self.settings.protected, address) or not covers(self.settings.own, address):
            self.rt.log.warning(f"{address}: {event.value:.0f} packets/s, but it is never blackholed")
            return
        places = self.floods.get(address)
        if places is None:
            if len(self.floods) >= self.settings.max_routes:
                self.rt.log.error(f"{address}: no blackhole, {self.settings.max_routes} stand already")
                return
            places = self.floods[address] = {}
            self.announce(address, event)
            self.rt.after(self.settings.hold_s, lambda: self.review(address))
        places[event.agent, event.data_source] = event

    def review(self, address: str) -> None:
        """Withdraw the route of a flood that is over; come back to one that lasts."""
        if any(self.rt.threshold_triggered(event) for event in self.floods[address].values()):
            self.rt.after(self.settings.recheck_s, lambda: self.review(address))
            return
        del self.floods[address]
        if not self.settings.enforce:
            self.rt.log.info(f"observe only, would withdraw {address}")
            return
        self.rt.bgp.withdraw_route(self.settings.peer, address)
        self.rt.log.warning(f"released {address}")

    def announce(self, address: str, event: Event) -> None:
        """Announce a host route, or say what would be announced."""
        route = self.route(address)
        if not self.settings.enforce:
            self.rt.log.info(f"observe only, would announce {route}")
            return
        self.rt.bgp.announce_route(self.settings.peer, route)
        self.rt.log.warning(f"blackholed {address}: {event.value:.0f} packets/s")

    def route(self, address: str) -> dict[str, Any]:
        """Return the blackhole route of a host."""
        return {
            "prefix": address,
            "nexthop": self.settings.nexthop6 if ":" in address else self.settings.nexthop,
            "communities": self.settings.communities,
            "localpref": self.settings.localpref,
        }


def setup(rt: Runtime) -> None:
    """Measure packets by destination, in both families."""
    settings = msgspec.convert(rt.config, Settings)
    rt.set_group("blackhole_own", {"own": list(settings.own)})
    rt.set_group("blackhole_protected", {"protected": list(settings.protected)})
    for name, destination in VICTIM_FLOWS.items():
        conditions = [
            f"group:{destination}:blackhole_own=own",
            f"group:{destination}:blackhole_protected!=protected",
        ]
        rt.set_flow(name, {"keys": destination, "value": "frames", "filter": "&".join(conditions), "n": 20})
        rt.set_threshold(name, {"metric": name, "value": settings.frames, "byFlow": True, "timeout": 10})
    blackholes = Blackholes(rt, settings)
    rt.on_event(blackholes.on_event, thresholds=list(VICTIM_FLOWS))
    rt.on_http(lambda _call: sorted(blackholes.floods))
