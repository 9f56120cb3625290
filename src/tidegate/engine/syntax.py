"""What users put by REST, script or file, parsed into frozen types: definitions, thresholds, groups and maps.

Attributes, defaults and limits are those of the flow language; numbers and booleans may come as text. Every error is a
`TextError` whose text is the user's for that attribute and whose reason begins with the attribute's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from tidegate.data.fields import FIELDS
from tidegate.engine.coerce import Spec, array, boolean, number, seconds, shown, text, text_list, within, wrong
from tidegate.engine.definition import AggMode, FlowDefinition, Threshold, Unknown, expressions
from tidegate.engine.expressions import parse_keys, parse_value, parse_values
from tidegate.engine.filters import parse_filter
from tidegate.engine.labels import describe_group, describe_map, parse_group, parse_map
from tidegate.engine.scanner import nearest
from tidegate.errors import TextError

__all__ = [
    "MAX_N",
    "describe_definition",
    "describe_group",
    "describe_map",
    "describe_threshold",
    "parse_definition",
    "parse_group",
    "parse_map",
    "parse_threshold",
    "unknown_keys",
]

MAX_N = 100_000
_MAX_NAME = 256
_MAX_FS = 64

_DEFINITION = (
    "keys",
    "value",
    "values",
    "filter",
    "n",
    "t",
    "fs",
    "log",
    "flowStart",
    "activeTimeout",
    "dropped",
    "ipfixCollectors",
    "aggMode",
)
_THRESHOLD = ("metric", "value", "byFlow", "timeout", "filter")
_AGG_MODES = {mode.value.lower(): mode for mode in AggMode}


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > _MAX_NAME:
        raise TextError(shown(name), 0, f"a name is a text of 1 to {_MAX_NAME} characters")
    bad = next((at for at, letter in enumerate(name) if letter in "/,;?#%" or not letter.isprintable()), None)
    if bad is None:
        bad = next((at for at, letter in enumerate(name) if letter.isspace()), None)
    if bad is not None:
        raise TextError(name, bad, "this character cannot stand in a name", "letters, digits, - and _ can")
    return name


def _count(attribute: str, value: object) -> int:
    return int(min(max(number(attribute, value), 1), MAX_N))


def _separator(attribute: str, value: object) -> str:
    separator = text(attribute, value)
    if not 0 < len(separator) <= _MAX_FS:
        raise wrong(attribute, value, f"a text of 1 to {_MAX_FS} characters")
    return separator


def _agg_mode(attribute: str, value: object) -> AggMode | None:
    name = text(attribute, value).strip()
    if not name:
        return None
    if name.lower() not in _AGG_MODES:
        raise TextError(name[:100], 0, f"{attribute}: unknown mode", nearest(name.lower(), _AGG_MODES))
    return _AGG_MODES[name.lower()]


def parse_definition(name: str, spec: Mapping[str, object]) -> FlowDefinition:
    """Return the definition that `spec`, an object with the attributes of the language, describes."""
    read = Spec(spec, _DEFINITION)
    keys = read.read("keys", "", text_list)
    value = read.require("value", text)
    values = read.read("values", "", text_list)
    filter_text = read.read("filter", "", text)
    return FlowDefinition(
        name=_name(name),
        keys=read.parsed("keys", keys, parse_keys),
        value=read.parsed("value", value, parse_value),
        values=read.parsed("values", values, parse_values),
        filter=read.parsed("filter", filter_text, parse_filter),
        n=read.read("n", 5, _count),
        t=read.read("t", 2.0, within(0.1, 600)),
        fs=read.read("fs", ",", _separator),
        log=read.read("log", False, boolean),  # noqa: FBT003 - the default
        flow_start=read.read("flowStart", False, boolean),  # noqa: FBT003 - the default
        active_timeout=read.read("activeTimeout", 60.0, within(0.1, 86400)),
        dropped=read.read("dropped", False, boolean),  # noqa: FBT003 - the default
        agg_mode=read.read("aggMode", None, _agg_mode),
        ipfix_collectors=read.read("ipfixCollectors", (), array),
        keys_text=keys,
        value_text=value,
        values_text=values,
        filter_text=filter_text,
    )


def unknown_keys(definition: FlowDefinition) -> dict[str, str]:
    """Return the names that are no keys of the catalogue, each with a hint (or empty), for a warning to the user.

    `null` is not among them: it is how a function is told of something missing.
    """
    names = {expr.name for expr in expressions(definition) if isinstance(expr, Unknown)} - {"null"}
    return {name: nearest(name, FIELDS) for name in sorted(names)}


def describe_definition(definition: FlowDefinition) -> dict[str, object]:
    """Return the attributes of a definition as the user wrote them, defaults filled in."""
    described: dict[str, object] = {
        "keys": definition.keys_text,
        "value": definition.value_text,
        "values": definition.values_text,
        "filter": definition.filter_text,
        "n": definition.n,
        "t": definition.t,
        "fs": definition.fs,
        "log": definition.log,
        "flowStart": definition.flow_start,
        "activeTimeout": definition.active_timeout,
        "dropped": definition.dropped,
    }
    if definition.agg_mode is not None:
        described["aggMode"] = definition.agg_mode.value
    if definition.ipfix_collectors:
        described["ipfixCollectors"] = list(definition.ipfix_collectors)
    return {name: value for name, value in described.items() if value != "" or name == "value"}


def _attribute_filter(attribute: str, value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """`{name: [values]}`, or the text of a query in which repeated names are alternatives."""
    wanted: dict[str, list[str]] = {}
    if isinstance(value, str):
        for name, wish in parse_qsl(value, keep_blank_values=True):
            wanted.setdefault(name, []).append(wish)
    elif isinstance(value, Mapping):
        for name, texts in value.items():
            items = texts if isinstance(texts, list | tuple) else [texts]
            wanted[str(name)] = [text(f"{attribute} {name}", item) for item in items]
    else:
        raise wrong(attribute, value, "an object of attribute names and values")
    return tuple((name, tuple(texts)) for name, texts in wanted.items())


def parse_threshold(name: str, spec: Mapping[str, object]) -> Threshold:
    """Return the threshold that `spec` describes."""
    read = Spec(spec, _THRESHOLD)
    return Threshold(
        name=_name(name),
        metric=read.require("metric", text),
        value=read.require("value", number),
        by_flow=read.read("byFlow", False, boolean),  # noqa: FBT003 - the default
        timeout=read.read("timeout", 0.0, seconds),
        filter=read.read("filter", (), _attribute_filter),
    )


def describe_threshold(threshold: Threshold) -> dict[str, object]:
    """Return the attributes of a threshold, defaults filled in."""
    described: dict[str, object] = {
        "metric": threshold.metric,
        "value": threshold.value,
        "byFlow": threshold.by_flow,
        "timeout": threshold.timeout,
    }
    if threshold.filter:
        described["filter"] = {name: list(values) for name, values in threshold.filter}
    return described
