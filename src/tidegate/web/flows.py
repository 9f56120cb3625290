"""Flow definitions and what they measure: `/flow`, `/flowkeys`, `/activeflows`, `/flowvalue`, `/flowlocations`."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

import msgspec
from litestar import delete, get, put
from litestar.params import FromQuery, QueryParameter, RawBody

from tidegate.data.pattern import Pattern
from tidegate.engine.events import ActiveFlow
from tidegate.web.backend import Backend
from tidegate.web.inject import Instance, Segment
from tidegate.web.replies import bad_text, not_found, parse_object

__all__ = ["HANDLERS", "FlowLocation", "Merge"]

_MOST: Final = 100_000  # flows a reply has at most
_MAX_PATTERN: Final = 256  # characters; it runs on each key


class Merge(Enum):
    """How the data sources that see a flow are merged."""

    MAX = "max"
    SUM = "sum"
    AVG = "avg"
    EDGE = "edge"
    CORE = "core"


class FlowLocation(msgspec.Struct, frozen=True, rename="camel"):
    """A data source that sees a flow."""

    agent: str
    data_source: str
    value: float


@get("/flowkeys/json", tags=["flows"], summary="Keys seen in samples", sync_to_thread=False)
def read_flow_keys(backend: Instance) -> dict[str, int]:
    """Return the keys that were seen in samples, and how many milliseconds ago."""
    return backend.flow_keys()


@get("/flow/json", tags=["flows"], summary="Flow definitions", sync_to_thread=False)
def read_flows(backend: Instance) -> dict[str, dict[str, object]]:
    """Return the flow definitions by name, defaults filled in."""
    return backend.flows()


@get("/flow/{name:str}/json", tags=["flows"], summary="A flow definition", sync_to_thread=False)
def read_flow(name: Segment, backend: Instance) -> dict[str, object]:
    """Return a flow definition, defaults filled in."""
    definition = backend.flows().get(name)
    if definition is None:
        raise not_found(f"flow {name!r}")
    return definition


@put("/flow/{name:str}/json", tags=["flows"], summary="Define a flow", status_code=204, sync_to_thread=False)
def put_flow(name: Segment, body: RawBody, backend: Instance) -> None:
    """Create or replace a flow definition; the same again changes nothing."""
    backend.set_flow(name, parse_object(body))


@delete("/flow/{name:str}/json", tags=["flows"], summary="Remove a flow definition", sync_to_thread=False)
def delete_flow(name: Segment, backend: Instance) -> None:
    """Remove a flow definition, if there is one."""
    backend.clear_flow(name)


@get("/activeflows/{agents:str}/{name:str}/json", tags=["flows"], summary="Largest flows", sync_to_thread=True)
def read_active_flows(  # noqa: PLR0913 - the parameters of the interface
    agents: Segment,
    name: Segment,
    backend: Instance,
    *,
    max_flows: Annotated[int, QueryParameter(name="maxFlows", ge=0)] = 100,
    min_value: Annotated[float, QueryParameter(name="minValue")] = 0.0,
    agg_mode: Annotated[Merge, QueryParameter(name="aggMode")] = Merge.MAX,
    key_filter: Annotated[str, QueryParameter(name="filter")] = "",
) -> list[ActiveFlow]:
    """Return the largest flows of a definition, merged over data sources, largest first.

    `filter` is a regular expression that is searched for in the key.
    """
    pattern = _pattern(key_filter)
    asked = _MOST if key_filter else min(max_flows, _MOST)
    found = backend.active_flows(agents, name, max_flows=asked, min_value=min_value, agg_mode=agg_mode.value)
    if found is None:
        raise _unknown_flow(backend, name)
    return [flow for flow in found if pattern.found_in(flow.key)][:max_flows]


def _pattern(text: str) -> Pattern:
    if len(text) > _MAX_PATTERN:
        raise bad_text(text, f"filter: a regular expression here has at most {_MAX_PATTERN} characters")
    try:
        return Pattern(text)
    except ValueError as error:
        reason, part = error.args
        raise bad_text(text, f"filter: {reason}" + (f": {part}" if part else "")) from None


def _unknown_flow(backend: Backend, name: str) -> Exception:
    """Return the error of a measurement of no definition: the interface has 400 for it, not 404."""
    known = ", ".join(sorted(backend.flows())[:20]) or "none"
    return bad_text(name, "there is no such flow definition", f"known are: {known}")


@get("/flowlocations/{agents:str}/{name:str}/json", tags=["flows"], summary="Where a flow is", sync_to_thread=True)
def read_flow_locations(
    agents: Segment, name: Segment, backend: Instance, key: FromQuery[str] = ""
) -> list[FlowLocation]:
    """Return the data sources that see the flow with this key, largest first."""
    found = backend.flow_locations(agents, name, key)
    if found is None:
        raise _unknown_flow(backend, name)
    return [FlowLocation(flow.agent, flow.data_source, flow.value) for flow in found]


@get("/flowvalue/{agent:str}/{metric:str}/json", tags=["flows"], summary="Value of a flow", sync_to_thread=True)
def read_flow_value(agent: Segment, metric: Segment, backend: Instance, key: FromQuery[str] = "") -> float:
    """Return the value of one key at one data source; the path names `dataSource.flow`, such as `2.1.web`."""
    names = backend.flows()
    for at in (at for at, letter in enumerate(metric) if letter == "." and metric[at + 1 :] in names):
        for flow in backend.flow_locations(agent, metric[at + 1 :], key) or ():
            if flow.data_source == metric[:at]:
                return flow.value
    raise not_found(f"flow {metric!r} with this key at agent {agent!r}")


HANDLERS: Final = (
    read_flow_keys,
    read_flows,
    read_flow,
    put_flow,
    delete_flow,
    read_active_flows,
    read_flow_locations,
    read_flow_value,
)
