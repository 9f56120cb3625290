"""Groups, maps and thresholds: `/group`, `/map`, `/threshold`."""

from __future__ import annotations

from typing import Final, TypeVar

from litestar import delete, get, put
from litestar.params import RawBody

from tidegate.web.inject import Instance, Segment
from tidegate.web.replies import not_found, parse_object

__all__ = ["DEFAULT_GROUP", "HANDLERS"]

T = TypeVar("T")

DEFAULT_GROUP: Final = "default"  # the one that a PUT without a name means


@get(["/group/json", "/groups/json"], tags=["groups"], summary="Groups", sync_to_thread=False)
def read_groups(backend: Instance) -> dict[str, dict[str, list[str]]]:
    """Return the groups by name, as they were put."""
    return backend.groups()


@put(
    ["/group/json", "/groups/json"],
    tags=["groups"],
    summary="Define the default group",
    status_code=204,
    sync_to_thread=False,
)
def put_default_group(body: RawBody, backend: Instance) -> None:
    """Create or replace the group `default`."""
    backend.set_group(DEFAULT_GROUP, parse_object(body))


@get("/group/{name:str}/json", tags=["groups"], summary="A group", sync_to_thread=False)
def read_group(name: Segment, backend: Instance) -> dict[str, list[str]]:
    """Return a group as it was put."""
    return _named(backend.groups(), "group", name)


@put("/group/{name:str}/json", tags=["groups"], summary="Define a group", status_code=204, sync_to_thread=False)
def put_group(name: Segment, body: RawBody, backend: Instance) -> None:
    """Create or replace a group: labels, each with a list of prefixes or addresses."""
    backend.set_group(name, parse_object(body))


@delete("/group/{name:str}/json", tags=["groups"], summary="Remove a group", sync_to_thread=False)
def delete_group(name: Segment, backend: Instance) -> None:
    """Remove a group, if there is one."""
    backend.clear_group(name)


@get("/map/json", tags=["maps"], summary="Maps", sync_to_thread=False)
def read_maps(backend: Instance) -> dict[str, dict[str, list[str]]]:
    """Return the maps by name, as they were put."""
    return backend.maps()


@get("/map/{name:str}/json", tags=["maps"], summary="A map", sync_to_thread=False)
def read_map(name: Segment, backend: Instance) -> dict[str, list[str]]:
    """Return a map as it was put."""
    return _named(backend.maps(), "map", name)


@put("/map/{name:str}/json", tags=["maps"], summary="Define a map", status_code=204, sync_to_thread=False)
def put_map(name: Segment, body: RawBody, backend: Instance) -> None:
    """Create or replace a map: labels, each with a list of values."""
    backend.set_map(name, parse_object(body))


@delete("/map/{name:str}/json", tags=["maps"], summary="Remove a map", sync_to_thread=False)
def delete_map(name: Segment, backend: Instance) -> None:
    """Remove a map, if there is one."""
    backend.clear_map(name)


@get("/threshold/json", tags=["thresholds"], summary="Thresholds", sync_to_thread=False)
def read_thresholds(backend: Instance) -> dict[str, dict[str, object]]:
    """Return the thresholds by name, defaults filled in."""
    return backend.thresholds()


@get("/threshold/{name:str}/json", tags=["thresholds"], summary="A threshold", sync_to_thread=False)
def read_threshold(name: Segment, backend: Instance) -> dict[str, object]:
    """Return a threshold, defaults filled in."""
    return _named(backend.thresholds(), "threshold", name)


@put(
    "/threshold/{name:str}/json", tags=["thresholds"], summary="Set a threshold", status_code=204, sync_to_thread=False
)
def put_threshold(name: Segment, body: RawBody, backend: Instance) -> None:
    """Create or replace a threshold; the same again changes nothing."""
    backend.set_threshold(name, parse_object(body))


@delete("/threshold/{name:str}/json", tags=["thresholds"], summary="Remove a threshold", sync_to_thread=False)
def delete_threshold(name: Segment, backend: Instance) -> None:
    """Remove a threshold, if there is one."""
    backend.clear_threshold(name)


def _named(objects: dict[str, T], kind: str, name: str) -> T:
    found = objects.get(name)
    if found is None:
        raise not_found(f"{kind} {name!r}")
    return found


HANDLERS: Final = (
    read_groups,
    put_default_group,
    read_group,
    put_group,
    delete_group,
    read_maps,
    read_map,
    put_map,
    delete_map,
    read_thresholds,
    read_threshold,
    put_threshold,
    delete_threshold,
)
