"""The instance's own counters for Prometheus: `/prometheus/analyzer/txt`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from litestar import get

from tidegate.web.inject import Instance

__all__ = ["HANDLERS", "format_analyzer"]

_PREFIX: Final = "sflow_analyzer_"
_WORDS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# names that dashboards ask for; other counters are named after themselves
_NAMES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sFlowAgents": ("agents", "agent_count"),
        "sFlowDatagramsReceived": ("received_datagrams",),
        "sFlowBytesReceived": ("received_bytes",),
        "sFlowDatagramsDiscarded": ("discarded_datagrams",),
        "heapUsed": ("heap_used_bytes",),
        "heapMax": ("heap_max_bytes",),
        "cpuLoadProcess": ("cpu_load_process",),
        "cpuLoadSystem": ("cpu_load_system",),
        "uptime": ("uptime_milliseconds",),
    }
)
_COUNTERS: Final = ("Received", "Discarded", "Total", "Errors", "Lost", "Generated", "Sent", "UnsupportedVersion")


@get(
    "/prometheus/analyzer/txt",
    tags=["server"],
    summary="Counters for Prometheus",
    media_type="text/plain; version=0.0.4",
    sync_to_thread=False,
)
def read_analyzer_text(backend: Instance) -> str:
    """Return the instance's own counters in Prometheus's text format."""
    return format_analyzer(backend.analyzer())


def format_analyzer(analyzer: Mapping[str, object]) -> str:
    """Return the numbers of `/analyzer/json` in Prometheus's text format."""
    return "".join(line for name, value in analyzer.items() for line in _lines(name, value))


def _lines(name: str, value: object) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    kind = "counter" if name.endswith(_COUNTERS) else "gauge"
    plain = _WORDS.sub("_", name.removeprefix("sFlow")).lower()
    for spelled in _NAMES.get(name, (re.sub(r"[^a-z0-9_]", "_", plain),)):
        yield f"# TYPE {_PREFIX}{spelled} {kind}\n{_PREFIX}{spelled} {value!r}\n"


HANDLERS: Final = (read_analyzer_text,)
