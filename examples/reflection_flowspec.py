"""UDP reflection attacks: found by victim and source port, filtered with FlowSpec at the router, released in time.

    tidegate run --script examples/reflection_flowspec.py

A reflection attack (DNS, NTP, SSDP, …) brings large UDP packets from one source port to one address. When their rate
crosses the threshold, two rules are announced: one for the victim, UDP and the source port, and one for the victim's
later UDP fragments, which have no ports and would pass the first. After `hold_s` the rules are withdrawn, unless the
threshold is still triggered; then they are looked at again every `recheck_s`.

As it stands the script only logs what it would do. Set `enforce = true` to announce.
"""

# ruff: noqa: G004 - rt.log takes one text; it is no logging.Logger

from __future__ import annotations

from typing import Any

import msgspec

from tidegate.apps.script import Event, Runtime

PORT_FLOWS = {"reflection": ("ipsource", "ipdestination"), "reflection6": ("ip6source", "ip6destination")}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The script's settings in the configuration file."""

    enforce: bool = False  # announce rules; else log what would be announced
    peer: str | None = None  # address of the BGP peer; None for all
    frames: float = 100_000.0  # packets a second from one port to one address that are an attack
    t: float = 2.0  # seconds over which the rate is smoothed
    min_bytes: int = 200  # smaller frames are no amplification and are not counted
    trusted: tuple[str, ...] = ()  # prefixes of sources that are not counted, such as your own resolvers
    protect: tuple[str, ...] = ("0.0.0.0/0", "::/0")  # prefixes of addresses to protect
    rate: float = 0.0  # octets a second that may pass; 0 drops
    hold_s: float = 600.0  # how long a rule stands at least
    recheck_s: float = 60.0  # how often it is looked at after that
    max_rules: int = 200  # at one time


class Attack(msgspec.Struct):
    """An attack under way, and every place where it was seen."""

    address: str
    port: str
    events: dict[tuple[str, str], Event]


def port_rule(address: str, port: str, rate: float) -> dict[str, Any]:
    """Return the rule for UDP from a source port to an address."""
    return {
        "match": {"destination": address, "protocol": "=17", "source-port": f"={port}"},
        "then": {"traffic-rate": rate},
    }


def fragment_rule(address: str, rate: float) -> dict[str, Any]:
    """Return the rule for later fragments of UDP to an address."""
    return {"match": {"destination": address, "protocol": "=17", "fragment": "I"}, "then": {"traffic-rate": rate}}


class Filters:
    """The rules that stand, and why."""

    def __init__(self, rt: Runtime, settings: Settings) -> None:
        self.rt = rt
        self.settings = settings
        self.attacks: dict[str, Attack] = {}

    def on_event(self, event: Event) -> None:
        """Filter a new attack; note one more place of a known one."""
        key = event.flow_key or ""
        address, port = key.split(",")
        attack = self.attacks.get(key)
        if attack is None:
            if 2 * (len(self.attacks) + 1) > self.settings.max_rules:
                self.rt.log.error(f"{address} port {port}: no rule, {self.settings.max_rules} stand already")
                return
            attack = self.attacks[key] = Attack(address, port, {})
            self.rt.log.warning(f"UDP reflection on {address} from port {port}: {event.value:.0f} packets/s")
            self.announce(port_rule(address, port, self.settings.rate))
            self.announce(fragment_rule(address, self.settings.rate))
            self.rt.after(self.settings.hold_s, lambda: self.review(key))
        attack.events[event.agent, event.data_source] = event

    def review(self, key: str) -> None:
        """Withdraw the rules of an attack that is over; come back to one that lasts."""
        attack = self.attacks[key]
        if any(self.rt.threshold_triggered(event) for event in attack.events.values()):
            self.rt.after(self.settings.recheck_s, lambda: self.review(key))
            return
        del self.attacks[key]
        self.withdraw(port_rule(attack.address, attack.port, self.settings.rate))
        if all(other.address != attack.address for other in self.attacks.values()):
            self.withdraw(fragment_rule(attack.address, self.settings.rate))

    def announce(self, rule: dict[str, Any]) -> None:
        """Announce a rule, or say what would be announced."""
        if not self.settings.enforce:
            self.rt.log.info(f"observe only, would announce {rule}")
            return
        self.rt.bgp.announce_flow(self.settings.peer, rule)
        self.rt.log.info(f"announced {rule}")

    def withdraw(self, rule: dict[str, Any]) -> None:
        """Withdraw a rule, or say what would be withdrawn."""
        if not self.settings.enforce:
            self.rt.log.info(f"observe only, would withdraw {rule['match']}")
            return
        self.rt.bgp.withdraw_flow(self.settings.peer, rule)
        self.rt.log.info(f"withdrew {rule['match']}")


def setup(rt: Runtime) -> None:
    """Measure UDP by victim and source port, in both families."""
    settings = msgspec.convert(rt.config, Settings)
    rt.set_group("reflection_trusted", {"trusted": list(settings.trusted)})
    rt.set_group("reflection_protect", {"protect": list(settings.protect)})
    for name, (source, destination) in PORT_FLOWS.items():
        conditions = [
            f"range:bytes:{settings.min_bytes}=true",
            f"group:{source}:reflection_trusted!=trusted",
            f"group:{destination}:reflection_protect=protect",
        ]
        rt.set_flow(
            name,
            {
                "keys": f"{destination},udpsourceport",
                "value": "frames",
                "filter": "&".join(conditions),
                "n": 20,
                "t": settings.t,
            },
        )
        rt.set_threshold(name, {"metric": name, "value": settings.frames, "byFlow": True, "timeout": 10})
    filters = Filters(rt, settings)
    rt.on_event(filters.on_event, thresholds=list(PORT_FLOWS))
    rt.on_http(lambda _call: sorted(filters.attacks))
