"""The specification of the engine, slow and plain: one sample at a time, texts in, texts and numbers out.

A sample is a row of texts by field name (absent: missing), with its time, data source and sampling rate. The engine's
array code is compared with these functions; what they do is told by `tidegate.engine.definition`
and docs/reference/definitions.md. Not modelled: the size of tables, top-n, and data source filters of thresholds.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from typing import assert_never

import msgspec

from naive_rib import NaiveRouting, routed_row
from tidegate.data.address import format_address, parse_address
from tidegate.data.forms import FORMS, Form
from tidegate.engine.definition import (
    And,
    AsnOf,
    BitsOf,
    Compare,
    ConcatOf,
    CountryOf,
    EqOf,
    Expr,
    FilterExpr,
    FirstOf,
    FlowDefinition,
    GroupOf,
    HostOf,
    IfOf,
    Key,
    LinkOf,
    MapOf,
    MaskOf,
    NullOf,
    Op,
    Or,
    OrOf,
    OuiAttribute,
    OuiOf,
    PrefixOf,
    RangeOf,
    Statistic,
    SuffixOf,
    Threshold,
    Unknown,
    UriOf,
    ValueExpr,
    form_of,
)
from tidegate.engine.uri import uri_part

Row = Mapping[str, str]
Prefixes = Mapping[str, str]  # CIDR or address to label

LIFE = 10.0  # a flow without samples for this many times its t is gone
_BITS = (Form.BITS2, Form.BITS3, Form.BITS8, Form.BITS9)


class Env(msgspec.Struct, frozen=True):
    """What functions look up; `countries` and `systems` give a pair of texts for a prefix."""

    groups: Mapping[str, Prefixes] = {}
    maps: Mapping[str, Mapping[str, str]] = {}
    countries: Mapping[str, tuple[str, str]] = {}
    systems: Mapping[str, tuple[str, str]] = {}
    hosts: Mapping[str, Mapping[str, str]] = {}
    vendors: Mapping[str, str] = {}  # six digits to name
    routing: NaiveRouting | None = None


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(format_address(*parse_address(text)))  # a mapped address is IPv4
    except ValueError:
        return None


def longest(prefixes: Mapping[str, object], text: str) -> object:
    """Return what stands beside the longest prefix around the address, None without one."""
    address = address_of(text)
    networks = {ipaddress.ip_network(cidr): found for cidr, found in prefixes.items()}
    around = [network for network in networks if address is not None and address in network]
    return networks[max(around, key=lambda network: network.prefixlen)] if around else None


def pair_text(pair: object, attribute: str, first: str) -> str | None:
    """Return the first, the second or both of a pair of texts."""
    if not isinstance(pair, tuple):
        return None
    wanted = pair if attribute == "both" else pair[:1] if attribute == first else pair[1:]
    return " ".join(text for text in wanted if text) or None


def masked(text: str, bits: int) -> str | None:
    address = address_of(text)
    if address is None:
        return None
    network = ipaddress.ip_network((address, min(bits, address.max_prefixlen)), strict=False)
    return str(network).upper()


def number_of(expr: Expr, text: str | None) -> int | None:
    form = form_of(expr)
    if text is None:
        return None
    if form in _BITS:
        return int(text, 2) if set(text) <= {"0", "1"} and text else None
    if form not in (Form.NUMBER, Form.INTERFACE, Form.TEXT) or not re.fullmatch("0|[1-9][0-9]{0,19}", text):
        return None
    return int(text) if int(text) < 1 << 64 else None


def evaluate_expr(expr: Expr, row: Row, env: Env) -> str | None:  # noqa: PLR0911 - one case a function
    """Return the text of an expression, None where it is missing."""

    def text(of: Expr) -> str | None:
        return evaluate_expr(of, row, env)

    match expr:
        case Key(field):
            return row.get(str(field))
        case Unknown() | LinkOf():
            return None
        case NullOf(of, default):
            found = text(of)
            return default if found is None else found
        case OrOf(of):
            return next((found for found in map(text, of) if found is not None), None)
        case IfOf(condition, value, then, otherwise):
            return text(then if equals(condition, text(condition), value) else otherwise)
        case EqOf(left, right):
            pair = text(left), text(right)
            return None if None in pair else boolean(pair[0] == pair[1])
        case ConcatOf(separator, of):
            parts = [text(part) for part in of]
            return None if None in parts else separator.join(part for part in parts if part is not None)
        case _:
            found = text(expr.of)
            return None if found is None else apply(expr, found, env)


def apply(expr: Expr, text: str, env: Env) -> str | None:  # noqa: C901, PLR0911, PLR0912 - one case a function
    """Return what a function of one present text gives."""
    match expr:
        case GroupOf(_, groups):
            labels = [longest(env.groups.get(group, {}), text) for group in groups]
            return next((str(label) for label in labels if label is not None), None)
        case MapOf(_, name):
            return env.maps.get(name, {}).get(text)
        case CountryOf(_, attribute):
            return pair_text(longest(env.countries, text), attribute.value, "code")
        case AsnOf(_, attribute):
            return pair_text(longest(env.systems, text), attribute.value, "number")
        case OuiOf(_, attribute):
            vendor = text[:6] if re.fullmatch("[0-9A-F]{12}", text) else ""
            return (vendor or None) if attribute is OuiAttribute.NUMBER else env.vendors.get(vendor)
        case HostOf(_, attribute):
            return env.hosts.get(text, {}).get(attribute.value)
        case PrefixOf(_, delimiter, count):
            return delimiter.join(text.split(delimiter)[:count])
        case SuffixOf(_, delimiter, count):
            return delimiter.join(text.split(delimiter)[-count:])
        case FirstOf(_, delimiter, tokens):
            return next((token for token in text.split(delimiter) if token in tokens), None)
        case MaskOf(_, bits):
            return masked(text, bits)
        case RangeOf(of, low, high):
            number = number_of(of, text)
            if number is None:
                return None
            return boolean((low is None or number >= low) and (high is None or number <= high))
        case BitsOf(of, mask):
            number = number_of(of, text)
            return None if number is None else str(number & mask)
        case UriOf(_, attribute):
            return uri_part(text, attribute)
        case _:
            raise AssertionError(expr)


def boolean(value: object) -> str:
    return "true" if value else "false"


def equals(expr: Expr, text: str | None, wanted: str) -> bool:
    """Tell whether `expr=wanted` where the expression's text is `text`."""
    if text is None:
        return wanted == "null"
    form = FORMS[form_of(expr)]
    words = form.parse(wanted)
    return text == wanted or (words is not None and form.format(words) == text)


def evaluate_filter(filter_expr: FilterExpr | None, row: Row, env: Env) -> bool:
    match filter_expr:
        case None:
            return True
        case And(terms):
            return all(evaluate_filter(term, row, env) for term in terms)
        case Or(terms):
            return any(evaluate_filter(term, row, env) for term in terms)
        case Compare(lhs, op, values):
            text = evaluate_expr(lhs, row, env)
            equal = any(equals(lhs, text, value) for value in values)
            matched = text is not None and any(re.fullmatch(value, text, re.DOTALL) for value in values)
            return {Op.EQUAL: equal, Op.NOT_EQUAL: not equal, Op.MATCH: matched, Op.NOT_MATCH: not matched}[op]
        case _:
            assert_never(filter_expr)


class Sample(msgspec.Struct, frozen=True):
    """One sample; `bytes` and the rest are in the row, `frames` is always 1."""

    time: float  # seconds
    source: str  # agent and data source
    rate: float  # sampling rate
    row: Row
    dropped: bool = False


class Reading:
    """One statistic of one flow at one data source."""

    def __init__(self, statistic: Statistic, t: float) -> None:
        self._statistic = statistic
        self._t = t
        self._sums = [0.0, 0.0]  # at the time of the last sample: of weights, of weighted numbers
        self._seen: list[tuple[float, float | str]] = []  # period and item of samples of two periods, oldest first
        self._last = -math.inf

    def add(self, time: float, rate: float, item: float | str) -> None:
        """Take one sample: a number, or the text that is counted."""
        aged = math.exp((self._last - time) / self._t) if time < self._last + LIFE * self._t else 0.0
        weighted = item * rate if isinstance(item, float) else 0.0
        self._sums = [self._sums[0] * aged + rate, self._sums[1] * aged + weighted]
        period = math.floor(time / self._t)
        self._seen = [*((at, old) for at, old in self._seen if at >= period - 1), (period, item)]
        self._last = time

    def at(self, now: float) -> float | None:
        """Return the value at `now`, not before the last sample; None without one."""
        if now >= self._last + LIFE * self._t:
            return None
        window = [item for period, item in self._seen if period >= math.floor(now / self._t) - 1]
        numbers = [item for item in window if isinstance(item, float)]
        match self._statistic:
            case Statistic.RATE:
                return self._sums[1] / self._t * math.exp((self._last - now) / self._t)
            case Statistic.AVG:
                return self._sums[1] / self._sums[0]
            case Statistic.MIN:
                return min(numbers, default=None)
            case Statistic.MAX:
                return max(numbers, default=None)
            case Statistic.COUNT:
                return float(len(set(window))) if window else None

    def above_until(self, limit: float) -> float:
        """Return from when on the value stays at or below the limit if no further sample comes."""
        end = self._last + LIFE * self._t
        match self._statistic:
            case Statistic.RATE:
                value = self._sums[1] / self._t
                return min(end, self._last + self._t * math.log(value / limit)) if limit > 0 else end
            case Statistic.AVG:
                return end
            case Statistic.MIN | Statistic.MAX | Statistic.COUNT:
                period = math.floor(self._last / self._t)
                left = self.at((period + 1.5) * self._t)
                return (period + (2 if left is not None and left > limit else 1)) * self._t


class NaiveFlows:
    """The flows of one definition, by data source and key."""

    def __init__(self, definition: FlowDefinition, env: Env) -> None:
        self.definition = definition
        self.flows: dict[tuple[str, str], list[Reading]] = {}  # the value, then the values
        self._env = env
        self._values = (definition.value, *definition.values)

    def update(self, sample: Sample) -> tuple[str, str] | None:
        """Take one sample; return the flow it belongs to, None where it belongs to none."""
        row = {"frames": "1", **routed_row(sample.row, sample.source.rpartition(":")[0], self._env.routing)}
        keys = [evaluate_expr(key, row, self._env) for key in self.definition.keys]
        items = [self._item(value, row) for value in self._values]
        wanted = sample.dropped == self.definition.dropped and evaluate_filter(self.definition.filter, row, self._env)
        if not wanted or None in keys or items[0] is None:
            return None
        flow = sample.source, self.definition.fs.join(key for key in keys if key is not None)
        fresh = [Reading(value.statistic, self.definition.t) for value in self._values]
        for reading, item in zip(self.flows.setdefault(flow, fresh), items, strict=True):
            if item is not None:
                reading.add(sample.time, sample.rate, item)
        return flow

    def _item(self, value: ValueExpr, row: Row) -> float | str | None:
        text = evaluate_expr(value.of, row, self._env)
        if value.statistic is Statistic.COUNT:
            return text
        number = number_of(value.of, text)
        return None if number is None else float(number) * value.factor

    def at(self, flow: tuple[str, str], now: float) -> list[float | None]:
        """Return the value, then the values of a flow at `now`, None for each that there is none of."""
        readings = self.flows.get(flow)
        return [reading.at(now) for reading in readings] if readings else [None] * len(self._values)


class NaiveEvent(msgspec.Struct, frozen=True):
    """A threshold crossed; `key` is that of the largest flow."""

    time: float
    source: str
    key: str
    value: float


class NaiveThreshold:
    """One threshold on the flows of one definition; time is continuous.

    An event when a sample lifts the reading over the limit while armed. Armed again once the reading has stayed at or
    below the limit for `timeout`, counted from the very moment at which it fell to the limit. Not by flow, a source
    waits for all its flows, and for each as long as what it was last seen above could last without further samples: a
    sample that lowers an average or a minimum does not shorten the wait.
    """

    def __init__(self, threshold: Threshold, flows: NaiveFlows) -> None:
        self.events: list[NaiveEvent] = []
        self._threshold = threshold
        self._flows = flows
        self._above_until: dict[tuple[str, str], float] = {}
        self._triggered: set[tuple[str, ...]] = set()

    def _state(self, flow: tuple[str, str]) -> tuple[str, ...]:
        return flow if self._threshold.by_flow else flow[:1]

    def triggered(self, state: tuple[str, ...], now: float) -> bool:
        """Tell whether a source, or a source and key, is triggered at `now`; times must not go back."""
        falls = [until for flow, until in self._above_until.items() if self._state(flow) == state]
        if state in self._triggered and max(falls) + self._threshold.timeout <= now:
            self._triggered.discard(state)
        return state in self._triggered

    def observe(self, sample: Sample) -> None:
        """Give a sample to the flows, and judge what it does."""
        before = {state for state in [*self._triggered] if self.triggered(state, sample.time)}
        flow = self._flows.update(sample)
        if flow is None:
            return
        limit, state = self._threshold.value, self._state(flow)
        value = self._flows.at(flow, sample.time)[0]
        if value is None or value <= limit:
            if self._threshold.by_flow:
                self._above_until[flow] = min(self._above_until.get(flow, -math.inf), sample.time)
            return
        until = self._flows.flows[flow][0].above_until(limit)
        kept = -math.inf if self._threshold.by_flow else self._above_until.get(flow, -math.inf)
        self._above_until[flow] = max(kept, until)
        if state not in before:
            self._triggered.add(state)
            self.events.append(self._event(flow, sample.time))

    def _event(self, flow: tuple[str, str], now: float) -> NaiveEvent:
        """Return the event of this flow, or of the largest at its source."""
        rivals = [other for other in self._flows.flows if self._state(other) == self._state(flow)]
        readings = [(self._flows.at(other, now)[0], other == flow, other) for other in rivals]
        value, _, (source, key) = max((value, own, other) for value, own, other in readings if value is not None)
        return NaiveEvent(now, source, key, value)
