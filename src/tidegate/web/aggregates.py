"""Many readings of a metric as one: see "Metrics" in docs/reference/rest.md.

Variance is that of a sample (n - 1); quartiles are interpolated linearly.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

__all__ = ["AGGREGATES", "PICKS", "Quartiles", "quartiles_of"]


class Quartiles(msgspec.Struct, frozen=True):
    """The five-number summary of readings."""

    min: float
    q1: float
    med: float
    q3: float
    max: float


def quartiles_of(values: Sequence[float]) -> Quartiles:
    """Return the quartiles of one or more values."""
    q1, med, q3 = statistics.quantiles(values, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Quartiles(min(values), q1, med, q3, max(values))


def _variance(values: Sequence[float]) -> float:
    return statistics.variance(values) if len(values) > 1 else 0.0


# operators that pick one of the readings, by the place of the reading they pick
PICKS: Final[Mapping[str, Callable[[Sequence[float]], int]]] = MappingProxyType(
    {
        "max": lambda values: max(range(len(values)), key=values.__getitem__),
        "min": lambda values: min(range(len(values)), key=values.__getitem__),
        "any": lambda _: 0,
    }
)

# operators that make one value of all; those of quartiles also report the summary
AGGREGATES: Final[Mapping[str, Callable[[Sequence[float]], float]]] = MappingProxyType(
    {
        "sum": math.fsum,
        "avg": statistics.fmean,
        "var": _variance,
        "sdev": lambda values: math.sqrt(_variance(values)),
        "med": lambda values: quartiles_of(values).med,
        "q1": lambda values: quartiles_of(values).q1,
        "q2": lambda values: quartiles_of(values).med,
        "q3": lambda values: quartiles_of(values).q3,
        "iqr": lambda values: quartiles_of(values).q3 - quartiles_of(values).q1,
    }
)
