"""User scripts: how they do, and requests to their handlers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from litestar import MediaType, Request, Response, get, route
from litestar.params import RawBody

from tidegate.errors import EncodeError, TextError
from tidegate.web.access import RestConfig
from tidegate.web.answers import Reply, answer_of, refusal
from tidegate.web.backend import ScriptHost, ScriptRequest, ScriptStatus
from tidegate.web.inject import Config, Scripts, Segment, Waiting
from tidegate.web.polls import Polls, StoppedError
from tidegate.web.replies import not_found, parse_body

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
async def ask_script(  # noqa: PLR0913, PLR0917 - injected by name
    request: Request[Any, Any, Any],
    app: Segment,
    rest: Segment,
    body: RawBody,
    scripts: Scripts,
    config: Config,
    polls: Waiting,
) -> Response[bytes]:
    """Ask the handler of an application's script: `/app/{app}/scripts/{file}/{p1}/…/json` or `/txt`."""
    return await _ask(request, app, rest, body, scripts=scripts, config=config, polls=polls)


@route(
    "/script/{rest:path}",
    http_method=["GET", "POST", "PUT", "DELETE"],
    tags=["scripts"],
    summary="Ask a script that belongs to no application",
    status_code=200,
)
async def ask_plain_script(
    request: Request[Any, Any, Any], rest: Segment, body: RawBody, scripts: Scripts, config: Config, polls: Waiting
) -> Response[bytes]:
    """Ask the handler of a script that belongs to no application: `/script/{file}/{p1}/…/json` or `/txt`."""
    return await _ask(request, "", rest, body, scripts=scripts, config=config, polls=polls)


async def _ask(  # noqa: PLR0913 - what the two ways to ask have in common
    request: Request[Any, Any, Any],
    app: str,
    rest: str,
    body: bytes,
    *,
    scripts: ScriptHost | None,
    config: RestConfig,
    polls: Polls,
) -> Response[bytes]:
    parts = rest.strip("/").split("/")
    if scripts is None or len(parts) < 2 or parts[-1] not in {"json", "txt"}:
        raise not_found(f"script {app}{rest}")
    file, *path, kind = parts
    asked = _request(request, body, path=tuple(path), kind=kind)
    try:
        async with asyncio.timeout(config.script_timeout_s):
            reply = await polls.outcome(scripts.request(app, file, asked))
    except StoppedError:
        return _response(refusal(503, "the collector is about to stop"))
    except TimeoutError:
        text = f"the script {file} did not answer within {config.script_timeout_s:g} s"
        return _response(refusal(503, text))
    if reply is None:
        raise not_found(f"handler of requests in {app}/{file}")
    if reply.status != 200:
        return _response(refusal(reply.status, "error" if reply.value is None else str(reply.value)))
    try:
        return _response(answer_of(reply.value, kind))
    except EncodeError as error:
        text = f"the script {file} {error}"
        _LOG.error("%s: %s", text, error.__cause__)
        return _response(refusal(500, text))


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


def _response(reply: Reply) -> Response[bytes]:
    kind = reply.content_type.partition(";")[0]  # litestar adds the character set
    return Response(reply.body, status_code=reply.status, media_type=kind)


HANDLERS: Final = (read_scripts, read_status, read_app_status, ask_script, ask_plain_script)
