"""Flow definitions, thresholds, groups and maps as frozen types: what the texts of `tidegate.engine.syntax` mean.

An expression gives one text for a sample, or is missing. `Expr`, `FilterExpr` and `Argument` kinds are closed unions:
match them and end with `assert_never`. The classes of key functions are named after the function (`mask` is `MaskOf`),
their fields stand in the order of the function's arguments; `tidegate.engine.functions` is the table of both.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

import msgspec

from tidegate.data.address import Words
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.data.forms import Form
from tidegate.data.geo import AsnAttribute, CountryAttribute

__all__ = [
    "AggMode",
    "And",
    "AsnAttribute",
    "AsnOf",
    "BitsOf",
    "Compare",
    "ConcatOf",
    "CountryAttribute",
    "CountryOf",
    "EqOf",
    "Expr",
    "FilterExpr",
    "FirstOf",
    "FlowDefinition",
    "GroupOf",
    "GroupTable",
    "HostAttribute",
    "HostOf",
    "IfOf",
    "Key",
    "LinkOf",
    "MapOf",
    "MapTable",
    "MaskOf",
    "NullOf",
    "Op",
    "Or",
    "OrOf",
    "OuiAttribute",
    "OuiOf",
    "PrefixOf",
    "RangeOf",
    "Statistic",
    "SuffixOf",
    "Threshold",
    "Unknown",
    "UriAttribute",
    "UriOf",
    "ValueExpr",
    "compares",
    "expressions",
    "form_of",
    "subexpressions",
]


class OuiAttribute(Enum):
    """What `oui` prints."""

    NUMBER = "number"
    NAME = "name"


class HostAttribute(Enum):
    """What `host` prints."""

    HOST_NAME = "host_name"
    MACHINE_TYPE = "machine_type"
    OS_NAME = "os_name"
    OS_RELEASE = "os_release"
    UUID = "uuid"
    VIR_HOST_NAME = "vir_host_name"


class UriAttribute(Enum):
    """Which part of a URL `uri` prints."""

    NORMALIZED = "normalized"
    SCHEME = "scheme"
    USER = "user"
    AUTHORITY = "authority"
    HOST = "host"
    PORT = "port"
    PATH = "path"
    FILE = "file"
    EXTENSION = "extension"
    QUERY = "query"
    FRAGMENT = "fragment"
    ISABSOLUTE = "isabsolute"
    ISOPAQUE = "isopaque"


class Key(msgspec.Struct, frozen=True):
    """A field of the catalogue."""

    field: FieldRef


class Unknown(msgspec.Struct, frozen=True):
    """A name that the catalogue does not have; always missing (custom attributes may bear any name)."""

    name: str


class GroupOf(msgspec.Struct, frozen=True):
    """Label of the longest matching prefix in the first of `groups` that has one."""

    of: Expr
    groups: tuple[str, ...]


class MapOf(msgspec.Struct, frozen=True):
    """Label of the value in `map`."""

    of: Expr
    map: str


class CountryOf(msgspec.Struct, frozen=True):
    """Country of an address."""

    of: Expr
    attribute: CountryAttribute = CountryAttribute.CODE


class AsnOf(msgspec.Struct, frozen=True):
    """Autonomous system of an address."""

    of: Expr
    attribute: AsnAttribute = AsnAttribute.NUMBER


class OuiOf(msgspec.Struct, frozen=True):
    """Vendor part of a MAC: six hexadecimal digits, or the vendor's name."""

    of: Expr
    attribute: OuiAttribute = OuiAttribute.NUMBER


class HostOf(msgspec.Struct, frozen=True):
    """Attribute of the host that owns an address."""

    of: Expr
    attribute: HostAttribute


class PrefixOf(msgspec.Struct, frozen=True):
    """First `count` tokens, joined again."""

    of: Expr
    delimiter: str
    count: int


class SuffixOf(msgspec.Struct, frozen=True):
    """Last `count` tokens, joined again."""

    of: Expr
    delimiter: str
    count: int


class FirstOf(msgspec.Struct, frozen=True):
    """First token that is one of `tokens`."""

    of: Expr
    delimiter: str
    tokens: tuple[str, ...]


class MaskOf(msgspec.Struct, frozen=True):
    """Address with all but the first `bits` bits cleared, as `10.0.0.0/24`; IPv4 has at most 32."""

    of: Expr
    bits: int


class NullOf(msgspec.Struct, frozen=True):
    """The value, or `text` where it is missing."""

    of: Expr
    text: str = "null"


class OrOf(msgspec.Struct, frozen=True):
    """The first that is present."""

    of: tuple[Expr, ...]


class EqOf(msgspec.Struct, frozen=True):
    """`true` where both are present and equal, `false` where they differ."""

    left: Expr
    right: Expr


class RangeOf(msgspec.Struct, frozen=True):
    """`true` where the number lies within the bounds, both inclusive, None for open."""

    of: Expr
    low: int | None
    high: int | None = None


class IfOf(msgspec.Struct, frozen=True):
    """`then` where `condition=value` (as in a filter, `null` for missing), else `otherwise`."""

    condition: Expr
    value: str
    then: Expr
    otherwise: Expr


class ConcatOf(msgspec.Struct, frozen=True):
    """All parts joined by `separator`; missing where one is."""

    separator: str
    of: tuple[Expr, ...]


class BitsOf(msgspec.Struct, frozen=True):
    """The number AND `mask`, not shifted, decimal."""

    of: Expr
    mask: int


class UriOf(msgspec.Struct, frozen=True):
    """Part of a URL."""

    of: Expr
    attribute: UriAttribute


class LinkOf(msgspec.Struct, frozen=True):
    """Name of the topology link of an interface; there is no topology yet, so it is always missing."""

    of: Expr


Expr = (
    Key
    | Unknown
    | GroupOf
    | MapOf
    | CountryOf
    | AsnOf
    | OuiOf
    | HostOf
    | PrefixOf
    | SuffixOf
    | FirstOf
    | MaskOf
    | NullOf
    | OrOf
    | EqOf
    | RangeOf
    | IfOf
    | ConcatOf
    | BitsOf
    | UriOf
    | LinkOf
)


class Op(Enum):
    """How a filter compares."""

    EQUAL = "="
    NOT_EQUAL = "!="
    MATCH = "~"
    NOT_MATCH = "!~"


class Compare(msgspec.Struct, frozen=True):
    """`lhs op values`.

    `=` is true where the text equals one of the values, or is missing and one of them is `null`; boolean fields take
    `yes` and `no` as well. `~` is true where one of the values, as a regular expression, matches the whole text.
    `!=` and `!~` are the negations.
    """

    lhs: Expr
    op: Op
    values: tuple[str, ...]


class And(msgspec.Struct, frozen=True):
    """All of at least two terms."""

    terms: tuple[FilterExpr, ...]


class Or(msgspec.Struct, frozen=True):
    """One of at least two terms."""

    terms: tuple[FilterExpr, ...]


FilterExpr = And | Or | Compare


class Statistic(Enum):
    """What is made of the values of many samples."""

    RATE = "rate"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"


class ValueExpr(msgspec.Struct, frozen=True):
    """A statistic of an expression.

    RATE: sum of number * sampling rate * `factor`, a second. AVG: mean weighted by sampling rate. MIN, MAX: extremes.
    COUNT: number of distinct texts. But for COUNT the text must be a decimal number, or the sample adds nothing.
    """

    statistic: Statistic
    of: Expr
    factor: int = 1


class AggMode(Enum):
    """How tables of several data sources become one."""

    MAX = "max"
    SUM = "sum"
    AVG = "avg"
    EDGE = "edge"
    CORE = "core"
    AGENT = "AGENT"


class FlowDefinition(msgspec.Struct, frozen=True):
    """A named query over samples; the `_text` fields are what the user wrote."""

    name: str
    keys: tuple[Expr, ...]
    value: ValueExpr
    values: tuple[ValueExpr, ...] = ()
    filter: FilterExpr | None = None
    n: int = 5  # top flows reported a data source
    t: float = 2.0  # seconds, smoothing
    fs: str = ","
    log: bool = False
    flow_start: bool = False
    active_timeout: float = 60.0  # seconds
    dropped: bool = False
    agg_mode: AggMode | None = None
    ipfix_collectors: tuple[str, ...] = ()
    keys_text: str = ""
    value_text: str = ""
    values_text: str = ""
    filter_text: str = ""


class Threshold(msgspec.Struct, frozen=True):
    """A limit on a metric or a flow."""

    name: str
    metric: str
    value: float
    by_flow: bool = False
    timeout: float = 0.0  # seconds at or below the value before it is armed again
    filter: tuple[tuple[str, tuple[str, ...]], ...] = ()  # data source attributes: one of the values, for each name


class GroupTable(msgspec.Struct, frozen=True):
    """Labels of prefixes; `prefixes` holds words, length and index into `labels`, each prefix once."""

    name: str
    labels: tuple[str, ...]
    prefixes: tuple[tuple[Words, int, int], ...]
    texts: tuple[tuple[str, ...], ...]  # what the user wrote, one row a label


class MapTable(msgspec.Struct, frozen=True):
    """Labels of values, compared as printed text; one row of `values` a label, each value once."""

    name: str
    labels: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]


def form_of(expr: Expr) -> Form:  # noqa: PLR0911 - one case a function
    """Return what the texts of an expression mean, which tells how a filter compares them and which are numbers.

    A filter's text matches where it equals the expression's text, or means the same in this form (`yes` for `true`,
    `fe80::0:1` for `FE80::1`). Texts are numbers where the form is NUMBER, INTERFACE or TEXT and the text is a decimal
    number without leading zeros, and where the form is one of BITS (a binary number); others are missing as numbers.
    """
    match expr:
        case Key(ref):
            return FIELDS[ref.name].form
        case EqOf() | RangeOf():
            return Form.BOOLEAN
        case BitsOf():
            return Form.NUMBER
        case NullOf(of):
            return form_of(of)
        case OrOf(of):
            return _common(of)
        case IfOf(_, _, then, otherwise):
            return _common((then, otherwise))
        case _:
            return Form.TEXT


def _common(exprs: tuple[Expr, ...]) -> Form:
    forms = {form_of(expr) for expr in exprs}
    return forms.pop() if len(forms) == 1 else Form.TEXT


_NO_EXPRESSIONS = (str, int, Enum, type(None), FieldRef)


def subexpressions(expr: Expr) -> Iterator[Expr]:
    """Yield the expression, then all inside it, outermost first."""
    yield expr
    for part in msgspec.structs.astuple(expr):
        for inner in part if isinstance(part, tuple) else (part,):
            if not isinstance(inner, _NO_EXPRESSIONS):
                yield from subexpressions(inner)


def compares(filter_expr: FilterExpr | None) -> Iterator[Compare]:
    """Yield every comparison of a filter, from left to right."""
    match filter_expr:
        case None:
            return
        case Compare():
            yield filter_expr
        case And(terms) | Or(terms):
            for term in terms:
                yield from compares(term)


def expressions(definition: FlowDefinition) -> Iterator[Expr]:
    """Yield every expression of a definition, inner ones included; some more than once."""
    tops = [
        *definition.keys,
        *(value.of for value in (definition.value, *definition.values)),
        *(compare.lhs for compare in compares(definition.filter)),
    ]
    for top in tops:
        yield from subexpressions(top)
