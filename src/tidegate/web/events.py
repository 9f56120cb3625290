"""Events and flow records, both by long-poll: `/events` and `/flows`.

Without an id a request returns at once what there is; with one it waits until there is something newer.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from litestar import Request, get
from litestar.params import QueryParameter

from tidegate.engine.events import Event, FlowRecord
from tidegate.web.inject import Instance, Waiting
from tidegate.web.replies import split_list

__all__ = ["HANDLERS"]

_MOST: Final = 1000
_TIMEOUT_S: Final = 60.0

Timeout: TypeAlias = Annotated[float, QueryParameter(ge=0, description="seconds to wait, at most 3600")]


@get("/events/json", tags=["events"], summary="Events")
async def read_events(  # noqa: PLR0913 - the parameters of the interface
    request: Request[Any, Any, Any],
    backend: Instance,
    polls: Waiting,
    *,
    event_id: Annotated[
        int | None, QueryParameter(name="eventID", description="wait for events behind this one; -1: any")
    ] = None,
    threshold_id: Annotated[
        list[str] | None, QueryParameter(name="thresholdID", description="of these thresholds")
    ] = None,
    max_events: Annotated[int, QueryParameter(name="maxEvents", ge=1)] = _MOST,
    timeout: Timeout = _TIMEOUT_S,  # noqa: ASYNC109 - the interface's name; how long the client is ready to wait
) -> list[Event]:
    """Return events, newest first. With `eventID` the request waits until there are some with a larger id."""
    after = -1 if event_id is None else event_id
    names = _names(threshold_id)

    def read() -> list[Event]:
        return backend.events(after, most=min(max_events, _MOST), thresholds=names)

    return await polls.read(read, request.receive, timeout_s=0.0 if event_id is None else timeout)


@get("/flows/json", tags=["events"], summary="Flow records")
async def read_flow_records(  # noqa: PLR0913 - the parameters of the interface
    request: Request[Any, Any, Any],
    backend: Instance,
    polls: Waiting,
    *,
    flow_id: Annotated[
        int | None, QueryParameter(name="flowID", description="wait for records behind this one; -1: any")
    ] = None,
    name: Annotated[list[str] | None, QueryParameter(description="of these definitions")] = None,
    max_flows: Annotated[int, QueryParameter(name="maxFlows", ge=1)] = _MOST,
    timeout: Timeout = _TIMEOUT_S,  # noqa: ASYNC109 - the interface's name; how long the client is ready to wait
) -> list[FlowRecord]:
    """Return records of definitions with `log`, newest first. With `flowID` the request waits as that of events."""
    after = -1 if flow_id is None else flow_id
    names = _names(name)

    def read() -> list[FlowRecord]:
        return backend.flow_records(after, most=min(max_flows, _MOST), names=names)

    return await polls.read(read, request.receive, timeout_s=0.0 if flow_id is None else timeout)


def _names(lists: list[str] | None) -> list[str]:
    return [name for text in lists or () for name in split_list(text)]


HANDLERS: Final = (read_events, read_flow_records)
