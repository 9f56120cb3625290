"""What of a Host sFlow configuration has been read so far, and how its values are read.

In go settings, out come values; what cannot be read is a `TextError` that shows the line, what cannot be kept as it is
becomes a note.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec

from tidegate.agent.config import CollectorConfig, Source
from tidegate.agent.hsflowd_syntax import Block, Item, Setting, Token, wrong

__all__ = [
    "NOTHING_CORRESPONDS",
    "Draft",
    "Note",
    "address_of",
    "exact_number",
    "glob_of",
    "number_of",
    "prefix_of",
    "switch_of",
]

NOTHING_CORRESPONDS = "nothing here corresponds to it"
_NUMBER = re.compile(r"([0-9]{1,15})([kmgt]?)", re.IGNORECASE | re.ASCII)
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SWITCHES = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}
_PATTERN = re.compile(r"(\^?)((?:[\w:@-]|\.\*?)*)(\$?)", re.ASCII)  # what a glob can say, too


class Note(msgspec.Struct, frozen=True):
    """A setting that becomes something else here, or nothing."""

    line: int
    setting: str
    outcome: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.setting}: {self.outcome}"


class Draft:
    """What was read so far."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}  # of AgentConfig, as they will be
        self.notes: list[Note] = []
        self.collectors: list[CollectorConfig] = []
        self.prefixes: list[str] = []
        self.by_interface: dict[str, int] = {}
        self.by_speed: dict[str, int] = {}
        self.named: list[tuple[str, Setting]] = []  # interfaces to sample
        self.every_port = False
        self.sources: list[tuple[Source, Block]] = []
        self.told: dict[str, Setting] = {}  # settings that say what they mean only together
        self.group, self.ingress, self.egress = 1, True, False  # of psample

    def note(self, item: Item, outcome: str, *, inside: str = "") -> None:
        """Tell what becomes of a setting or a block."""
        name = f"{inside}.{item.name}" if inside else item.name
        shown = f"{name} = {item.value}" if isinstance(item, Setting) else name
        self.notes.append(Note(item.at.line, shown, outcome))


def number_of(draft: Draft, setting: Setting, *, least: int, most: int) -> int:
    """Return a number, with K, M, G or T behind it; one outside its bounds becomes the nearest within, with a note."""
    number = _number(setting.at)
    taken = min(max(number, least), most)
    if taken != number:
        draft.note(setting, f"{taken} is taken: {least} to {most} is possible here")
    return taken


def exact_number(token: Token, *, least: int, most: int) -> int:
    """Return a number where no other will do."""
    number = _number(token)
    if not least <= number <= most:
        raise wrong(token, f"{number} is not within {least} to {most}")
    return number


def switch_of(setting: Setting) -> bool:
    """Return whether something is on."""
    found = _SWITCHES.get(setting.value.lower())
    if found is None:
        raise wrong(setting.at, f"{setting.value} is neither on nor off")
    return found


def address_of(token: Token) -> str:
    """Return an IPv4 or IPv6 address."""
    try:
        return str(ipaddress.ip_address(token.text))
    except ValueError:
        raise wrong(token, f"{token.text} is no IP address", "names of hosts are not looked up") from None


def prefix_of(token: Token) -> str:
    """Return a prefix, with `!` in front where it was there."""
    try:
        network = ipaddress.ip_network(token.text.removeprefix("!"), strict=False)
    except ValueError:
        raise wrong(token, f"{token.text} is no prefix such as 10.0.0.0/8") from None
    return f"{'!' if token.text.startswith('!') else ''}{network}"


def glob_of(token: Token) -> str | None:
    """Return the pattern of names that matches exactly what a regular expression finds, None where there is none."""
    found = _PATTERN.fullmatch(token.text)
    if found is None:
        return None
    start, letters, end = found.groups()
    pattern = ("" if start else "*") + letters.replace(".*", "*").replace(".", "?") + ("" if end else "*")
    return re.sub(r"\*+", "*", pattern)


def _number(token: Token) -> int:
    found = _NUMBER.fullmatch(token.text)
    if found is None:
        raise wrong(token, f"{token.text} is no number")
    return int(found[1]) * _FACTORS[found[2].lower()]
