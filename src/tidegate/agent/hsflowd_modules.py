"""What the blocks of a hsflowd.conf mean here: collectors, and the modules that packets and drops come from.

In goes a block, and the draft says afterwards what it means; modules without an equivalent leave a note each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tidegate.agent.config import CollectorConfig, Direction, DiscardsConfig, NflogConfig, Placement, Setup, Source
from tidegate.agent.hsflowd_draft import (
    NOTHING_CORRESPONDS,
    Draft,
    address_of,
    exact_number,
    glob_of,
    number_of,
    switch_of,
)
from tidegate.agent.hsflowd_syntax import Block, Setting, Token, wrong

__all__ = ["choose_source", "finish_interfaces", "take_block", "take_collector_line"]

_PORT = 6343
_MOST = 0xFFFFFFFF
_EVERY_SPEED = re.compile(r"[01]-(1t)?", re.IGNORECASE | re.ASCII)
_NAMESPACE = "it is sent to from the agent's own network namespace: start the agent in that one"
_DNS = "nothing is looked up in DNS: name collectors and settings"
_PROMISCUOUS = "interfaces keep the mode they are in"
_GUESTS = "virtual machines and containers are not told of"
_SWITCH = "the agent takes no settings from the switch system: name them, and let it set its own rates"
# Modules without an equivalent.
_MODULES = {
    **dict.fromkeys(("kvm", "xen", "docker", "containerd", "k8s", "podman", "systemd"), _GUESTS),
    **dict.fromkeys(("eapi", "sonic", "cumulus", "opx", "vpp"), _SWITCH),
    "tcp": "samples carry no round-trip times",
    "nlroute": "samples carry no routes",
    "nvml": "graphics processors are not told of",
    "json": "applications cannot hand in samples",
    "ovs": "Open vSwitch's own agent is left as it is",
    "ulog": "kernels have NFLOG in its place: nflog",
    "dbus": "the agent's own counters are in its status file",
}

Takers = Mapping[str, Callable[[Setting], object]]


def take_block(draft: Draft, block: Block) -> None:
    """Enter a block of the outermost level into the draft."""
    take = _BLOCKS.get(block.name)
    if take is None:
        draft.note(block, _MODULES.get(block.name, NOTHING_CORRESPONDS))
    else:
        take(draft, block)


def take_collector_line(draft: Draft, setting: Setting) -> None:
    """Enter IP, IP PORT or IP/PORT/DEV/NAMESPACE, as hsflowd.auto has it."""
    parts = setting.value.split("/") if "/" in setting.value else setting.value.split()
    if not 1 <= len(parts) <= 4:
        raise wrong(setting.at, "a collector is IP, IP PORT or IP/PORT/DEV/NAMESPACE")
    address, port, interface, namespace = (*(part.strip() for part in parts), "", "", "")[:4]
    if namespace:
        draft.note(setting, _NAMESPACE)
    at = setting.at
    number = exact_number(_part(at, port), least=1, most=65535) if port else _PORT
    draft.collectors.append(CollectorConfig(address=address_of(_part(at, address)), port=number, interface=interface))


def choose_source(draft: Draft) -> None:
    """Take the first of psample, NFLOG and packet sockets: several at a time would count packets twice."""
    there = {source for source, _ in draft.sources}
    order = (Source.PSAMPLE, Source.NFLOG, Source.PACKET)
    chosen = next((source for source in order if source in there), Source.NONE)
    draft.fields["source"] = chosen
    for source, block in draft.sources:
        if source is not chosen:
            draft.note(block, f"not read: packets come from {chosen.value} alone")
    if chosen is Source.PACKET:
        draft.fields["direction"] = Direction.BOTH  # what a packet socket sees


def finish_interfaces(draft: Draft) -> None:
    """Settle which interfaces are sampled; those that are named beside all ports need a word."""
    if not draft.every_port:
        draft.fields["interfaces"] = tuple(dict.fromkeys(name for name, _ in draft.named))
        return
    for _, setting in draft.named:
        draft.note(setting, "all ports are sampled, bridges and tunnels only where all of `interfaces` are named")


def _take_collector(draft: Draft, block: Block) -> None:
    told: dict[str, Setting] = {}
    takers = {name: lambda one: told.update({one.name: one}) for name in ("ip", "udpport", "dev")}
    _take_all(draft, block, takers, {"namespace": _NAMESPACE})
    if "ip" not in told:
        raise wrong(block.at, "a collector without ip")
    port = exact_number(told["udpport"].at, least=1, most=65535) if "udpport" in told else _PORT
    interface = told["dev"].value if "dev" in told else ""
    draft.collectors.append(CollectorConfig(address=address_of(told["ip"].at), port=port, interface=interface))


def _take_dns(draft: Draft, block: Block) -> None:
    draft.note(block, _DNS)


def _take_psample(draft: Draft, block: Block) -> None:
    draft.sources.append((Source.PSAMPLE, block))
    draft.note(block, "samples of further groups are read, too: `ignored_groups` leaves them out")
    _take_all(draft, block, _psample_takers(draft), {})


def _take_dent(draft: Draft, block: Block) -> None:
    """`dent` sets the rates of ports by tc, as the agent does."""
    draft.sources.append((Source.PSAMPLE, block))
    draft.fields |= {"setup": Setup.TC, "placement": Placement.HARDWARE}
    takers: Takers = {
        **_psample_takers(draft),
        "switchport": lambda one: _name_pattern(draft, one, inside=block.name),
        "sw": lambda one: draft.fields.update(placement=Placement.ANY if switch_of(one) else Placement.HARDWARE),
    }
    _take_all(draft, block, takers, {})
    if not draft.ingress and not draft.egress:
        raise wrong(block.at, "neither ingress nor egress is on")


def _psample_takers(draft: Draft) -> Takers:
    return {
        "group": lambda one: setattr(draft, "group", exact_number(one.at, least=0, most=_MOST - 1)),
        "ingress": lambda one: setattr(draft, "ingress", switch_of(one)),
        "egress": lambda one: setattr(draft, "egress", switch_of(one)),
    }


def _take_nflog(draft: Draft, block: Block) -> None:
    draft.sources.append((Source.NFLOG, block))
    told: dict[str, int] = {"rate": 1}
    takers: Takers = {
        "group": lambda one: told.update(group=exact_number(one.at, least=0, most=65535)),
        "probability": lambda one: told.update(rate=_rate_of_probability(draft, one)),
    }
    _take_all(draft, block, takers, {})
    if "group" not in told:
        raise wrong(block.at, "nflog without a group")
    draft.fields["nflog"] = NflogConfig(groups=(told["group"],), rate=told["rate"])


def _rate_of_probability(draft: Draft, setting: Setting) -> int:
    try:
        probability = float(setting.value)
    except ValueError:
        probability = 0.0
    if not 1 / _MOST <= probability <= 1:
        raise wrong(setting.at, f"{setting.value} is no probability above 0 and up to 1")
    rate = round(1 / probability)
    if abs(rate * probability - 1) > 1e-6:
        draft.note(setting, f"taken as 1 in {rate}", inside="nflog")
    return rate


def _take_pcap(draft: Draft, block: Block) -> None:
    draft.sources.append((Source.PACKET, block))
    before = len(draft.named)
    rates: list[int] = []
    takers: Takers = {
        "dev": lambda one: draft.named.append((one.value, one)),
        "dev.pattern": lambda one: _name_pattern(draft, one, inside=block.name),
        "speed": lambda one: _take_speed(draft, one),
        "sampling": lambda one: rates.append(number_of(draft, one, least=0, most=_MOST)),
    }
    _take_all(draft, block, takers, {"promisc": _PROMISCUOUS})
    names = [name for name, _ in draft.named[before:]]
    draft.every_port |= not names
    if rates:
        draft.by_interface |= dict.fromkeys(names or ["*"], rates[-1])


def _take_speed(draft: Draft, setting: Setting) -> None:
    if not _EVERY_SPEED.fullmatch(setting.value):
        draft.note(setting, "all ports are sampled, whatever their speed: name them in `interfaces`", inside="pcap")


def _name_pattern(draft: Draft, setting: Setting, *, inside: str) -> None:
    pattern = glob_of(setting.at)
    if pattern is None:
        draft.note(setting, "a pattern of names cannot say this: name ports in `interfaces`", inside=inside)
    else:
        draft.named.append((pattern, setting))


def _take_dropmon(draft: Draft, block: Block) -> None:
    told: dict[str, Any] = {}
    takers: Takers = {
        "limit": lambda one: told.update(per_second=number_of(draft, one, least=1, most=100_000)),
        "sw": lambda one: told.update(software=switch_of(one)),
        "hw": lambda one: told.update(hardware=switch_of(one)),
    }
    outcomes = {
        "start": "drop monitoring is started where it does not run yet",
        "rn": "reasons are told always",
        "group": "the group of the kernel's drop monitor is taken",
    }
    _take_all(draft, block, takers, outcomes)
    draft.fields["discards"] = DiscardsConfig(enabled=True, **told)


def _take_all(draft: Draft, block: Block, takers: Takers, outcomes: Mapping[str, str]) -> None:
    """Hand each setting to its taker; the others leave a note, from `outcomes` where they are there."""
    for item in block.items:
        taker = takers.get(item.name) if isinstance(item, Setting) else None
        if taker is None or not isinstance(item, Setting):
            draft.note(item, outcomes.get(item.name, NOTHING_CORRESPONDS), inside=block.name)
        else:
            taker(item)


def _part(at: Token, text: str) -> Token:
    """Return a part of a value, in its place."""
    return Token(text, at.line, at.column + max(at.text.find(text), 0), at.whole)


_BLOCKS: dict[str, Callable[[Draft, Block], None]] = {
    "collector": _take_collector,
    "dns-sd": _take_dns,
    "dnssd": _take_dns,
    "psample": _take_psample,
    "dent": _take_dent,
    "nflog": _take_nflog,
    "pcap": _take_pcap,
    "epcap": _take_pcap,
    "dropmon": _take_dropmon,
}
