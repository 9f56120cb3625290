"""The start page and its parts: a closed table of files that are read when the application is made."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import Any, Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from tidegate.web.access import PUBLIC
from tidegate.web.inject import Segment
from tidegate.web.replies import not_found

__all__ = ["page_handlers"]

_FILES: Final[Mapping[str, str]] = MappingProxyType(
    {"index.html": "text/html", "start.css": "text/css", "start.js": "text/javascript"}
)


@get("/", opt=PUBLIC, include_in_schema=False, status_code=302, sync_to_thread=False)
def go_to_start() -> Response[bytes]:
    """Send browsers to the start page, relative so that it works below any path of a proxy."""
    return Response(b"", status_code=302, headers={"Location": "./html/index.html"})


def page_handlers() -> tuple[HTTPRouteHandler, ...]:
    """Return the handlers of the pages, with the files in memory: no path of a request ever reaches a file system."""
    folder = resources.files("tidegate.web") / "static"
    files = {name: (folder / name).read_bytes() for name in _FILES}

    @get("/html/{name:str}", opt=PUBLIC, include_in_schema=False, sync_to_thread=False)
    def read_page(name: Segment) -> Response[Any]:
        """Return a file of the start page."""
        if name not in files:
            raise not_found(f"page {name!r}")
        return Response(files[name], media_type=_FILES[name])

    return (go_to_start, read_page)
