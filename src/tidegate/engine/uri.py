"""Parts of a URL as the key function `uri` names them.

Answers for: RFC 3986 appendix B (splitting), section 5.2.4 (removal of dot segments, for `normalized`). Any text
splits; a part that is not there or empty is missing.
"""

from __future__ import annotations

import re
from typing import assert_never

from tidegate.engine.definition import UriAttribute

__all__ = ["uri_part"]

_SPLIT = re.compile(r"(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
                    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?", re.DOTALL)  # fmt: skip
_AUTHORITY = re.compile(r"(?:(?P<user>.*)@)?(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?", re.DOTALL)


def uri_part(text: str, attribute: UriAttribute) -> str | None:
    """Return a part of the URL `text`, or None where it has none."""
    match = _SPLIT.fullmatch(text)
    parts = match.groupdict() if match else {}
    path = parts.get("path") or ""
    file = path.rpartition("/")[2]
    opaque = bool(parts.get("scheme")) and parts.get("authority") is None and not path.startswith("/")
    match attribute:
        case UriAttribute.SCHEME | UriAttribute.AUTHORITY | UriAttribute.QUERY | UriAttribute.FRAGMENT:
            part = parts.get(attribute.value)
        case UriAttribute.USER | UriAttribute.HOST | UriAttribute.PORT:
            authority = _AUTHORITY.fullmatch(parts.get("authority") or "")
            part = authority.group(attribute.value) if authority else None
        case UriAttribute.PATH:
            part = None if opaque else path
        case UriAttribute.FILE:
            part = None if opaque else file
        case UriAttribute.EXTENSION:
            part = None if opaque or "." not in file else file.rpartition(".")[2]
        case UriAttribute.NORMALIZED:
            part = (
                text
                if opaque or match is None
                else text[: match.start("path")] + _plain(path) + text[match.end("path") :]
            )
        case UriAttribute.ISABSOLUTE:
            part = "true" if parts.get("scheme") else "false"
        case UriAttribute.ISOPAQUE:
            part = "true" if opaque else "false"
        case _:
            assert_never(attribute)
    return part or None


def _plain(path: str) -> str:
    """Remove the segments `.` and `..`; what would lead above the start of a relative path stays."""
    absolute = path.startswith("/")
    segments = path[absolute:].split("/")
    kept: list[str] = []
    for segment in segments:
        if segment == ".." and kept and kept[-1] != "..":
            kept.pop()
        elif segment != "." and not (segment == ".." and absolute):
            kept.append(segment)
    if segments[-1] in (".", "..") and kept and kept[-1] != "..":
        kept.append("")  # the path of a folder ends with a slash
    plain = "/".join(kept)
    if absolute:
        return f"/{plain}"
    return f"./{plain}" if plain.startswith("/") else plain  # a relative path stays one
