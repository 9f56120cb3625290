"""The pages of docs/reference that are made from the program's own tables, as Markdown.

Each page is a function of a table; `pages` lists them by file name. The README's figures are made from the report of
`tidegate bench --json`. `scripts/make_reference.py` writes all, and a test compares them with what is written.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec

from tidegate.apps.bench import Figure, Report, meets
from tidegate.apps.config import Config
from tidegate.data.fields import FIELDS, MAX_LAYER
from tidegate.data.forms import Form
from tidegate.engine.functions import FUNCTIONS, UNSUPPORTED, Argument, Function
from tidegate.wire.sflow.formats import COUNTER_RECORDS, FLOW_RECORDS, SAMPLES, Format, Tag
from tidegate.wire.sflow.xdr import layout

__all__ = ["pages", "with_figures"]

_MADE = "<!-- made by scripts/make_reference.py; edit the table it is made from -->"

_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)

# What the text of a form looks like; forms of function results alone are left out.
_FORM_TEXTS: dict[Form, str] = {
    Form.NUMBER: "decimal number",
    Form.ADDRESS: "IPv4 `192.0.2.1` or IPv6 `2001:db8::1`",
    Form.MAC: "12 hexadecimal digits, `0200C0000201`",
    Form.BOOLEAN: "`true` or `false`",
    Form.BITS2: "2 binary digits",
    Form.BITS3: "3 binary digits",
    Form.BITS8: "8 binary digits",
    Form.BITS9: "9 binary digits",
    Form.INTERFACE: "ifIndex, or `internal`, `discard`, `multiple`",
    Form.DIRECTION: "`ingress` or `egress`",
    Form.REASON: "name of the drop reason, `host_unreachable`, or its number",
    Form.DSCP: "name and number, `ef(46)`",
    Form.DNS_TYPE: "name of the type, `AAAA`, or its number",
    Form.IB_OPCODE: "name of the operation, `RC_SEND_Only`, or its number",
    Form.IB_TRANSPORT: "name of the transport, `RC`, or its number",
    Form.STACK: "names joined by `.`, `eth.ip.udp`",
    Form.HEADERS: "numbers joined by `-`",
    Form.PREFIX: "IPv4 `192.0.2.0/24` or IPv6 `2001:db8::/32`",
    Form.TEXT: "text",
    Form.DNS_NAME: "name without its last dot, `example.com`",
    Form.AS_PATH: "AS numbers joined by `-`",
    Form.COMMUNITIES: "communities joined by `-`, `65000:666-65535:65281`",
}


def pages() -> dict[str, str]:
    """Return the text of every generated page by its file name."""
    makers: dict[str, Callable[[], str]] = {
        "keys.md": _keys,
        "functions.md": _functions,
        "records.md": _records,
        "configuration.md": _configuration,
        "api.md": _api,
    }
    return {name: f"{_MADE}\n{make()}" for name, make in makers.items()}


def _keys() -> str:
    rows = [
        (f"`{field.name}`" + (" ⋯" if field.layered else ""), field.form.value, field.about)
        for field in FIELDS.values()
    ]
    forms = [(form.value, text) for form, text in _FORM_TEXTS.items()]
    return f"""# Keys

Every field of a sample that a flow definition, a filter or a key function can name. Where the bytes come from is told
in [From a sample to its fields](../concepts/dissection.md), and so is what a routing table says.

A key marked ⋯ can be followed by a layer from `.1` to `.{MAX_LAYER}`: `ipsource` is the source of the outermost IPv4
header, `ipsource.1` that of the next one inside. A key that a sample does not carry leaves the sample out of the
definition; `null:KEY` keeps it in.

{_table(("key", "form", "meaning"), rows)}

## Forms

{_table(("form", "text"), forms)}
"""


def _functions() -> str:
    rows = [(f"`{_usage(function)}`", function.about + _words(function)) for function in FUNCTIONS.values()]
    kinds = [(f"`{kind.name}`", kind.value) for kind in Argument]
    later = "\n".join(f"* `{name}`: {why}" for name, why in UNSUPPORTED.items())
    return f"""# Key functions

A function stands wherever a key can. Arguments are separated by colons; `[:…]` may be left out, `…` may be repeated. An
argument that is itself a function stands in square brackets: `country:[null:ipsource:0.0.0.0]`. A backslash makes the
next character an ordinary one.

{_table(("function", "result"), rows)}

## Arguments

{_table(("argument", "what it is"), kinds)}

## Not there yet

{later}
"""


def _usage(function: Function) -> str:
    names = [argument.name if isinstance(argument, Argument) else "WORD" for argument in function.arguments]
    parts = [f":{name}" if place < function.required else f"[:{name}]" for place, name in enumerate(names)]
    return function.name + "".join(parts) + ("[:…]" if function.many else "")


def _words(function: Function) -> str:
    kinds = [argument for argument in function.arguments if not isinstance(argument, Argument)]
    return "".join(f"; a word of {', '.join(f'`{member.value}`' for member in kind)}" for kind in kinds)


def _records() -> str:
    return f"""# sFlow structures

The structures that are decoded, by enterprise and format number, with their fields under the specification's names and
in its order. Others are skipped and counted by number.

## Samples

{_formats(SAMPLES)}

## Flow records

{_formats(FLOW_RECORDS)}

## Counter records

{_formats(COUNTER_RECORDS)}
"""


def _formats(table: Mapping[Tag, Format]) -> str:
    rows = [
        (f"{row.enterprise}:{row.format}", f"`{row.name}`", ", ".join(name for _, name, _ in layout(row.record)))
        for row in table.values()
    ]
    return _table(("number", "name", "fields"), rows)


def _configuration() -> str:
    sections = "\n\n".join(_section(title, struct) for title, struct in _sections(Config, ""))
    return f"""# Configuration

One TOML file, `tidegate run --config FILE`. Keys with a default may be left out, and so may the file. A key that is not
listed here is an error.

{sections}
"""


def _sections(struct: type[msgspec.Struct], name: str) -> Iterable[tuple[str, type[msgspec.Struct]]]:
    yield name, struct
    for field in msgspec.structs.fields(struct):
        below = f"{name}.{field.encode_name}".removeprefix(".")
        if _is_struct(field.type):
            yield from _sections(field.type, below)
        elif get_origin(field.type) is tuple and _is_struct(get_args(field.type)[0]):
            yield f"[{below}]", get_args(field.type)[0]


def _section(title: str, struct: type[msgspec.Struct]) -> str:
    about = _comments(struct)
    rows = [
        (f"`{field.encode_name}`", _type(field.type), _default(field), about.get(field.name, ""))
        for field in msgspec.structs.fields(struct)
        if not _is_struct(field.type) and not (get_args(field.type) and _is_struct(get_args(field.type)[0]))
    ]
    heading = f"## `[{title}]`" if title else "## At the top of the file"
    return f"{heading}\n\n{_table(('key', 'value', 'default', 'meaning'), rows)}"


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _comments(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the comment beside, else right above, each field, base classes included."""
    found: dict[str, str] = {}
    for base in reversed(struct.__mro__):
        if base.__module__.partition(".")[0] != "tidegate":
            continue
        above = ""
        for line in inspect.getsource(base).splitlines():
            if comment := re.match(r"\s+#\s*(.*)", line):
                above = f"{above} {comment[1]}".strip()
            elif field := re.match(r"\s+(\w+): [^#]*(?:#\s*(.*))?", line):
                beside = "" if (field[2] or "").startswith("noqa") else field[2] or ""
                found[field[1]] = beside or above or found.get(field[1], "")
                above = ""
    return found


def _type(kind: Any) -> str:  # noqa: ANN401 - an annotation
    """Return what a value of this type is called in TOML, with its bounds."""
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(_type(part) for part in get_args(kind) if part is not type(None))
    bounds = [meta for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    kind = kind.__origin__ if bounds else kind
    origin = get_origin(kind) or kind
    if origin is tuple:
        return f"list of {_type(get_args(kind)[0])}"
    if isinstance(origin, type) and issubclass(origin, Enum):
        return (
            "one of "
            + ", ".join(f"`{member.value}`" for member in origin if member.value)
            + ", or empty" * (any(not member.value for member in origin))
        )
    names = {str: "text", int: "number", float: "number", bool: "true or false", dict: "table"}
    name = names.get(origin, getattr(origin, "__name__", str(origin)))
    return name + "".join(_bounds(meta) for meta in bounds)


def _bounds(meta: msgspec.Meta) -> str:
    low = f" from {meta.ge:,}" if meta.ge is not None else f" above {meta.gt:,}" if meta.gt is not None else ""
    high = f" to {meta.le:,}" if meta.le is not None else f" below {meta.lt:,}" if meta.lt is not None else ""
    return low + high


def _default(field: Any) -> str:  # noqa: ANN401 - msgspec's FieldInfo
    if field.required:
        return "must be given"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None:
        return ""
    if isinstance(value, bool | dict | list | tuple | str | Enum):
        return f"`{msgspec.json.encode(value).decode()}`" if value or isinstance(value, bool) else ""
    return f"`{value}`"


def _api() -> str:
    root = importlib.import_module("tidegate")
    rows = [(f"`{name}`", _first_line(getattr(root, name))) for name in sorted(root.__all__)]
    return f"""# Python interface

What `import tidegate` promises. Everything else can be imported too, and may change in any version.

{_table(("name", "what it is"), rows)}
"""


def _first_line(thing: object) -> str:
    if isinstance(thing, str):
        return "the version of this package"
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def with_figures(readme: str, report: bytes) -> str:
    """Return the README with the figures of a report: those that have a bar, or another program's beside them."""
    decoded = msgspec.json.decode(report, type=Report)
    here = decoded.machine
    rows = [
        (f"`{figure.name}`", f"{_number(figure.value)} {figure.unit}", *_judged(figure), _beside(figure))
        for figure in decoded.results
        if figure.bar or figure.beside
    ]
    machine = f"{here.cpu}, {here.cores} cores, Linux {here.kernel}, Python {here.python}, {here.date[:10]}."
    text = f"{machine}\n\n{_table(('figure', 'value', 'bar', '', 'beside'), rows)}\n"
    return _FIGURES.sub(lambda _: text, readme)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _judged(figure: Figure) -> tuple[str, str]:
    return figure.bar or "", {True: "met", False: "**missed**", None: ""}[meets(figure)]


def _beside(figure: Figure) -> str:
    return ", ".join(f"{name}: {_number(value)}" for name, value in figure.beside.items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
