"""REST: the paths, shapes and relaxed input of docs/reference/rest.md, as one ASGI application.

Handlers are functions of what they are given (`inject`), in one module a resource; each answers in milliseconds on the
event loop, those that rank flows on a thread, and polls (`polls`) without one. The OpenAPI document is made when it is
first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler

from tidegate.web import bgp as bgp_routes
from tidegate.web import bgp_tables, definitions, events, flows, metrics, prometheus, server
from tidegate.web import scripts as script_routes
from tidegate.web.access import RestConfig, access_guard, add_security_headers
from tidegate.web.backend import Announcer, Backend, ScriptHost
from tidegate.web.document import document_handler
from tidegate.web.pages import page_handlers
from tidegate.web.polls import Polls
from tidegate.web.replies import ERROR_HANDLERS, MAX_BODY

__all__ = ["RestConfig", "create_app", "end_polls"]

_HANDLERS: Final[tuple[HTTPRouteHandler, ...]] = (
    *server.HANDLERS,
    *flows.HANDLERS,
    *definitions.HANDLERS,
    *events.HANDLERS,
    *metrics.HANDLERS,
    *bgp_routes.HANDLERS,
    *bgp_tables.HANDLERS,
    *script_routes.HANDLERS,
    *prometheus.HANDLERS,
)

T = TypeVar("T")


def create_app(
    backend: Backend,
    *,
    scripts: ScriptHost | None = None,
    bgp: Announcer | None = None,
    config: RestConfig | None = None,
) -> Litestar:
    """Return the ASGI application for an instance.

    Its lifespan must run on the event loop that serves it. Call `end_polls` before the server is stopped, so that
    requests that wait for events or for a script end then.
    """
    config = config or RestConfig()
    polls = Polls(backend.watch)
    given: Mapping[str, object] = {
        "backend": backend,
        "scripts": scripts,
        "bgp": bgp,
        "config": config,
        "polls": polls,
    }
    dependencies = {name: Provide(_always(part), sync_to_thread=False) for name, part in given.items()}
    document = document_handler(_HANDLERS, dependencies, version=backend.version())
    origins = list(config.cors_origins)
    app = Litestar(
        (*_HANDLERS, *page_handlers(), document),
        dependencies=dependencies,
        guards=[access_guard(config)],
        exception_handlers=ERROR_HANDLERS,
        before_send=[add_security_headers],
        lifespan=[polls.running],
        cors_config=CORSConfig(allow_origins=origins) if origins else None,
        openapi_config=None,
        logging_config=None,
        request_max_body_size=MAX_BODY,
    )
    app.state["polls"] = polls
    return app


def _always(part: T) -> Callable[[], T]:
    return lambda: part


def end_polls(app: Litestar) -> None:
    """End the requests that wait for events or for a script; called on the loop, before its server is stopped."""
    polls: Polls = app.state["polls"]
    polls.stop()
