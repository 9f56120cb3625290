"""The OpenAPI document, made when it is first asked for: what the handlers say, with bodies, examples and errors.

Bodies are read as relaxed JSON and checked by the flow language, so the document describes them by the tables below.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec
from litestar import Litestar, get
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import License

from tidegate.web.answers import ErrorReply
from tidegate.web.examples import EXAMPLES, Example
from tidegate.web.replies import MAX_BODY

__all__ = ["document_handler"]

_TITLE: Final = "tidegate"
_DESCRIPTION: Final = (
    "Real-time network telemetry. Bodies are JSON, also relaxed: names without quotes, texts in single quotes. "
    "Lists in paths are separated by `,` or `;`. Lists in replies are newest or largest first. "
    "Absent values are left out."
)
_ERRORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "400": "Something sent is wrong; `column` (from 0) points into `text`.",
        "401": "A token is needed.",
        "403": "The server is read-only, or the request comes from a page of another site.",
        "404": "There is no such thing.",
        "413": f"The body is longer than {MAX_BODY >> 20} MiB.",
    }
)
_SENDS: Final = frozenset({"put", "post", "delete"})
_METHODS: Final = ("get", "put", "post", "delete")


def document_handler(
    handlers: Sequence[HTTPRouteHandler], dependencies: Mapping[str, Provide], *, version: str
) -> HTTPRouteHandler:
    """Return the handler of `/api-docs`."""
    made: list[bytes] = []

    @get("/api-docs", include_in_schema=False, media_type="application/json", sync_to_thread=True)
    def read_document() -> bytes:
        """Return the OpenAPI document."""
        if not made:
            made.append(msgspec.json.encode(_describe(handlers, dependencies, version)))
        return made[0]

    return read_document


def _describe(
    handlers: Sequence[HTTPRouteHandler], dependencies: Mapping[str, Provide], version: str
) -> dict[str, Any]:
    config = OpenAPIConfig(
        title=_TITLE,
        version=version,
        description=_DESCRIPTION,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
    )
    app = Litestar(handlers, dependencies=dict(dependencies), openapi_config=config, logging_config=None)
    document: dict[str, Any] = app.openapi_schema.to_schema()
    document.pop("servers", None)  # paths are relative to wherever a proxy puts this server
    document["components"]["schemas"]["ErrorReply"] = _error_schema()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                _complete(item[method], method, EXAMPLES.get((method, path)))
    return document


def _error_schema() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([ErrorReply])
    return dict(components["ErrorReply"])


def _complete(operation: dict[str, Any], method: str, example: Example | None) -> None:
    """Add the body, the examples and the errors to one operation."""
    responses = operation["responses"]
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorReply"}}}
    for status, meaning in _ERRORS.items():
        responses[status] = {"description": meaning, "content": content}
    if method in _SENDS:
        operation["security"] = [{}, {"token": []}]
    if example is None:
        return
    if example.body is not None:
        described = {"schema": {"type": "object"}, "example": example.body}
        operation["requestBody"] = {"required": True, "content": {"application/json": described}}
    if example.reply is not None:
        for media in responses.get("200", {}).get("content", {}).values():
            media["example"] = example.reply
