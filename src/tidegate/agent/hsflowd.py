"""What a configuration of Host sFlow means here.

In goes the text of hsflowd.conf or hsflowd.auto, out come an `AgentConfig` and a note for each setting that becomes
something else, or nothing: none is passed over in silence. Values are those that Host sFlow would act on: where the
speed of an interface decides its rate, `sampling` does not.

hsflowd.auto tells what is in force and is written in place: while its two revisions differ it must be read again, which
is the one cause of a `SourceError` here. Of its lines that are no settings (hostname, ds_index) there is no note.

Answers for: Host sFlow 2.1's hsflowd.conf and hsflowd.auto.
"""

from __future__ import annotations

import re

from tidegate.agent.config import AgentConfig, Direction, PsampleConfig, Setup, Source
from tidegate.agent.hsflowd_draft import NOTHING_CORRESPONDS, Draft, Note, address_of, number_of, prefix_of, switch_of
from tidegate.agent.hsflowd_modules import choose_source, finish_interfaces, take_block, take_collector_line
from tidegate.agent.hsflowd_syntax import Block, Item, Setting, parse_blocks, parse_lines, wrong
from tidegate.errors import SourceError, TextError

__all__ = ["Note", "parse_hsflowd_auto", "parse_hsflowd_conf"]

_DEFAULT_RATE = 400
_MOST = 0xFFFFFFFF
_SPEED = re.compile(r"sampling\.([0-9]+[kmgt]?)", re.IGNORECASE | re.ASCII)
_NUMBERS = {  # field of AgentConfig, bounds
    "polling": ("polling_s", 0, 300),
    "headerbytes": ("header_octets", 16, 512),
    "header": ("header_octets", 16, 512),
    "datagrambytes": ("datagram_octets", 512, 8192),
    "datagram": ("datagram_octets", 512, 8192),
}
_TOGETHER = {"sampling", "sampling.bps_ratio", "agent", "agentip"}
_NO_SETTINGS = {"rev_start", "rev_end", "hostname", "ds_index"}
_OUTCOMES = {
    "syncpolling": "polls are spread over the interval",
    "refreshadaptors": "interfaces are followed as they change",
    "checkadaptors": "interfaces are followed as they change",
    "refreshvms": "virtual machines and containers are not told of",
    "forgetvms": "virtual machines and containers are not told of",
    "jsonport": "applications cannot hand in samples",
    "dns-sd": "nothing is looked up in DNS: name collectors and settings",
    "dnssd": "nothing is looked up in DNS: name collectors and settings",
}


def parse_hsflowd_conf(text: str) -> tuple[AgentConfig, tuple[Note, ...]]:
    """Return what a hsflowd.conf says; `TextError` with its line where it says nothing that can be understood."""
    items = parse_blocks(text)
    if not items:
        raise TextError(text.partition("\n")[0], 0, "line 1: no sflow { … } in it")
    draft = Draft()
    for number, block in enumerate(items):
        if number or not isinstance(block, Block) or block.name != "sflow":
            raise wrong(block.at, "one sflow { … } is expected, and nothing beside it")
        for item in block.items:
            _take(draft, item)
    choose_source(draft)
    return _finished(draft)


def parse_hsflowd_auto(text: str) -> tuple[AgentConfig, tuple[Note, ...]]:
    """Return what a hsflowd.auto says; `SourceError` where it is being written and must be read again; `TextError`."""
    revisions = re.findall(r"^\s*rev_(start|end)\s*=\s*(\S+)\s*$", text, re.MULTILINE | re.IGNORECASE)
    told = {name.lower(): revision for name, revision in revisions}
    if "start" not in told or told["start"] != told.get("end"):
        raise SourceError("hsflowd.auto", "is being written: read it again")
    draft = Draft()
    for setting in parse_lines(text):
        if setting.name not in _NO_SETTINGS:
            _take(draft, setting)
    return _finished(draft)


def _take(draft: Draft, item: Item) -> None:
    if isinstance(item, Block):
        take_block(draft, item)
    elif item.name in _NUMBERS:
        field, least, most = _NUMBERS[item.name]
        draft.fields[field] = number_of(draft, item, least=least, most=most)
    elif item.name in _TOGETHER:
        draft.told[item.name] = item
    elif item.name == "agent.cidr":
        draft.prefixes.append(prefix_of(item.at))
    elif item.name == "collector":
        take_collector_line(draft, item)
    elif speed := _SPEED.fullmatch(item.name):
        draft.by_speed[speed[1].upper()] = number_of(draft, item, least=0, most=_MOST)
    else:
        _note_other(draft, item)


def _note_other(draft: Draft, setting: Setting) -> None:
    if setting.name in {"dnssd", "dns-sd"} and not switch_of(setting):
        return
    if setting.name.startswith(("sampling.", "polling.")):
        draft.note(setting, "applications are not told of")
        return
    draft.note(setting, _OUTCOMES.get(setting.name, NOTHING_CORRESPONDS))


def _finished(draft: Draft) -> tuple[AgentConfig, tuple[Note, ...]]:
    _finish_rates(draft)
    _finish_address(draft)
    _finish_groups(draft)
    finish_interfaces(draft)
    config = AgentConfig(
        collectors=tuple(draft.collectors),
        address_prefixes=tuple(draft.prefixes),
        sampling_by_interface=draft.by_interface,
        sampling_by_speed=draft.by_speed,
        **draft.fields,
    )
    return config, tuple(sorted(draft.notes, key=lambda note: note.line))


def _finish_rates(draft: Draft) -> None:
    """Settle the rate: of an interface whose speed is known that decides, unless it is told not to."""
    sampling, ratio = draft.told.get("sampling"), draft.told.get("sampling.bps_ratio")
    rate = _DEFAULT_RATE if sampling is None else number_of(draft, sampling, least=0, most=_MOST)
    bits = None if ratio is None else number_of(draft, ratio, least=0, most=_MOST)
    if bits == 0:
        draft.fields |= {"sampling": rate, "speed_ratio": 0}
        return
    if ratio is not None:
        draft.fields["speed_ratio"] = bits
        draft.note(ratio, "taken; rates by speed are at least 100")
    if sampling is not None and rate != _DEFAULT_RATE:
        draft.fields["sampling_unknown_speed"] = rate
        draft.note(sampling, "the speed of an interface decides, as it did; this where it is not known")


def _finish_address(draft: Draft) -> None:
    agent, address = draft.told.get("agent"), draft.told.get("agentip")
    if address is not None:
        draft.fields["address"] = address_of(address.at)
    elif agent is not None:
        draft.fields["address"] = agent.value


def _finish_groups(draft: Draft) -> None:
    """Settle what psample's groups mean: the next group is that of egress, and Host sFlow reads no others."""
    group = draft.group
    ingress, egress = (group,) if draft.ingress else (), (group + 1,) if draft.egress else ()
    ignored = tuple(one for one in (group, group + 1) if one not in {*ingress, *egress})
    if any(source is Source.PSAMPLE for source, _ in draft.sources):
        draft.fields["psample"] = PsampleConfig(ingress_groups=ingress, egress_groups=egress, ignored_groups=ignored)
    if draft.fields.get("setup") is Setup.TC:
        directions = {(True, True): Direction.BOTH, (False, True): Direction.EGRESS}
        draft.fields["direction"] = directions.get((draft.ingress, draft.egress), Direction.INGRESS)
