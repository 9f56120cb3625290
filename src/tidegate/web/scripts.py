"""User scripts: how they do, and requests to their handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import MediaType, Request, Response, get, route
from litestar.params import RawBody

from tidegate.errors import TextError
from tidegate.web.access import RestConfig
from tidegate.web.backend import ScriptHost, ScriptReply, ScriptRequest, ScriptStatus
from tidegate.web.inject import Config, Scripts, Segment
from tidegate.web.replies import ErrorReply, not_found, parse_body

__all__ = ["HANDLERS", "ask_plain_script", "ask_script"]

_LOG: Final = logging.getLogger(__name__)


def _statuses(scripts: ScriptHost | None) -> dict[str, ScriptStatus]:
    return {} if scripts is None else scripts.scripts()


@get("/scripts/json", tags=["scripts"], summary="Scripts", sync_to_thread=False)
def read_scripts(scripts: Scripts) -> dict[str, ScriptStatus]:
    """Return how each script does, by `application/file`."""
    return _statuses(scripts)


@get("/status", tags=["scripts"], summary="Do all scripts run", media_type=MediaType.TEXT, sync_to_thread=False)
def read_status(scripts: Scripts) -> Response[str]:
    """Return `OK` where every script runs or has ended without an error, else 503 and `UNAVAILABLE`."""
    return _status(_statuses(scripts))


@get(
    "/app/{app:str}/status",
    tags=["scripts"],
    summary="Do an application's scripts run",
    media_type=MediaType.TEXT,
    sync_to_thread=False,
)
def read_app_status(app: Segment, scripts: Scripts) -> Response[str]:
    """Return `OK` where every script of an application runs or has ended without an error, else 503."""
    own = {name: status for name, status in _statuses(scripts).items() if name.partition("/")[0] == app}
    if not own:
        raise not_found(f"application {app!r}")
    return _status(own)


def _status(scripts: Mapping[str, ScriptStatus]) -> Response[str]:
    good = all(status.well for status in scripts.values())
    return Response("OK" if good else "UNAVAILABLE", status_code=200 if good else 503, media_type=MediaType.TEXT)


@route(
    "/app/{app:str}/scripts/{rest:path}",
    http_method=["GET", "POST", "PUT", "DELETE"],
    tags=["scripts"],
    summary="Ask a script",
    status_code=200,
)
async def ask_script(
    request: Request[Any, Any, Any], app: Segment, rest: Segment, body: RawBody, scripts: Scripts, config: Config
) -> Response[bytes]:
    """Ask the handler of an application's script: `/app/{app}/scripts/{file}/{p1}/…/json` or `/txt`."""
    return await _ask(request, app, rest, body, scripts=scripts, config=config)


@route(
    "/script/{rest:path}",
    http_method=["GET", "POST", "PUT", "DELETE"],
    tags=["scripts"],
    summary="Ask a script that belongs to no application",
    status_code=200,
)
async def ask_plain_script(
    request: Request[Any, Any, Any], rest: Segment, body: RawBody, scripts: Scripts, config: Config
) -> Response[bytes]:
    """Ask the handler of a script that belongs to no application: `/script/{file}/{p1}/…/json` or `/txt`."""
    return await _ask(request, "", rest, body, scripts=scripts, config=config)


async def _ask(
    request: Request[Any, Any, Any],
    app: str,
    rest: str,
    body: bytes,
    *,
    scripts: ScriptHost | None,
    config: RestConfig,
) -> Response[bytes]:
    parts = rest.strip("/").split("/")
    if scripts is None or len(parts) < 2 or parts[-1] not in {"json", "txt"}:
        raise not_found(f"script {app}{rest}")
    file, *path, kind = parts
    asked = _request(request, body, path=tuple(path), kind=kind)
    try:
        async with asyncio.timeout(config.script_timeout_s):
            reply = await scripts.request(app, file, asked)
    except TimeoutError:
        return _failed(503, f"the script {file} did not answer within {config.script_timeout_s:g} s")
    if reply is None:
        raise not_found(f"handler of requests in {app}/{file}")
    try:
        return _reply(reply, asked.format)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        _LOG.error("the script %s returned what JSON cannot say: %s", file, error)
        return _failed(500, f"the script {file} returned what JSON cannot say")


def _request(request: Request[Any, Any, Any], body: bytes, *, path: tuple[str, ...], kind: str) -> ScriptRequest:
    query: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        query.setdefault(name, []).append(str(value))
    parsed, problem = None, None
    try:
        parsed = parse_body(body)
    except TextError as error:
        problem = str(error)
    return ScriptRequest(request.method, path, query, kind, parsed, problem)


def _failed(status: int, text: str) -> Response[bytes]:
    return Response(msgspec.json.encode(ErrorReply(text)), status_code=status, media_type=MediaType.JSON)


def _reply(reply: ScriptReply, kind: str) -> Response[bytes]:
    if reply.status != 200:
        return _failed(reply.status, "error" if reply.value is None else str(reply.value))
    if reply.value is None:
        return Response(b"", status_code=204)
    if kind == "txt":
        return Response(str(reply.value).encode("utf-8", "replace"), media_type=MediaType.TEXT)
    return Response(_encode(reply.value), media_type=MediaType.JSON)


def _encode(value: object) -> bytes:
    """Return a value as JSON; a text that is an object or array in JSON is sent as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            msgspec.json.decode(value)
        except msgspec.DecodeError:
            pass
        else:
            return value.encode()
    return msgspec.json.encode(value)


HANDLERS: Final = (read_scripts, read_status, read_app_status, ask_script, ask_plain_script)
