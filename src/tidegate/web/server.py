"""The instance itself: `/version`, `/license`, `/analyzer`, `/agents`, `/health`."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import MediaType, get
from litestar.params import QueryParameter

from tidegate.web.access import PUBLIC
from tidegate.web.backend import AgentInfo
from tidegate.web.inject import Instance
from tidegate.web.replies import split_list

__all__ = ["HANDLERS"]


@get("/version", tags=["server"], summary="Version", media_type=MediaType.TEXT, sync_to_thread=False)
def read_version(backend: Instance) -> str:
    """Return `major.minor-build`."""
    return backend.version()


@get("/license/json", tags=["server"], summary="Licence", sync_to_thread=False)
def read_license() -> dict[str, dict[str, object]]:
    """Return an object that says that nothing is limited: clients of other analyzers ask for it."""
    limits = {"max_bps": 0, "max_bps_ok": True, "expires": 0, "expires_ok": True}
    names = {"type": "production", "license": "Apache-2.0", "account": "", "product": "tidegate"}
    return {"license": {**names, "host": "", "host_ok": True, **limits}, "analyzer": {"host": "", "bps": 0}}


@get("/analyzer/json", tags=["server"], summary="Counters of the instance", sync_to_thread=False)
def read_analyzer(backend: Instance) -> dict[str, object]:
    """Return the instance's own counters."""
    return {name: value for name, value in backend.analyzer().items() if value is not None}


@get("/agents/json", tags=["server"], summary="Agents", sync_to_thread=False)
def read_agents(
    backend: Instance,
    agent: Annotated[list[str] | None, QueryParameter(description="only these; may be repeated")] = None,
) -> dict[str, AgentInfo]:
    """Return the agents by address, with what was received from each and what was lost."""
    names = [name for text in agent or () for name in split_list(text)]
    return backend.agents(None if not names or "ALL" in names else names)


@get("/health", tags=["server"], summary="Does it answer", opt=PUBLIC, media_type=MediaType.TEXT, sync_to_thread=False)
def read_health() -> str:
    """Return `OK`: the event loop answers."""
    return "OK"


HANDLERS: Final = (read_version, read_license, read_analyzer, read_agents, read_health)
