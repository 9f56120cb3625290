"""Parts of a URL as the key function `uri` names them.

Answers for: RFC 3986 appendix B (splitting), section 5.2.4 (removal of dot segments, for `normalized`). Any text
splits; a part that is not there or empty is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from tidegate.engine.definition import UriAttribute

__all__ = ["uri_part"]

Url: TypeAlias = re.Match[str]  # of _SPLIT

_SPLIT = re.compile(r"(?:(?P<scheme>[^:/?#]+):)?(?://(?P<authority>[^/?#]*))?(?P<path>[^?#]*)"
                    r"(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?", re.DOTALL)  # fmt: skip
_AUTHORITY = re.compile(r"(?:(?P<user>.*)@)?(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>.*))?", re.DOTALL)


def uri_part(text: str, attribute: UriAttribute) -> str | None:
    """Return a part of the URL `text`, or None where it has none."""
    url = _SPLIT.fullmatch(text)
    return (url and _PARTS[attribute](url)) or None


def _opaque(url: Url) -> bool:
    return bool(url["scheme"]) and url["authority"] is None and not url["path"].startswith("/")


def _path(url: Url) -> str:
    return "" if _opaque(url) else url["path"]


def _file(url: Url) -> str:
    return _path(url).rpartition("/")[2]


def _extension(url: Url) -> str:
    _, dot, extension = _file(url).rpartition(".")
    return extension if dot else ""


def _inside_authority(url: Url, name: str) -> str | None:
    found = _AUTHORITY.fullmatch(url["authority"] or "")
    return found and found[name]


def _normalized(url: Url) -> str:
    if _opaque(url):
        return url.string
    start, stop = url.span("path")
    return url.string[:start] + _plain(url["path"]) + url.string[stop:]


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


_PARTS: Final[Mapping[UriAttribute, Callable[[Url], str | None]]] = MappingProxyType(
    {
        UriAttribute.NORMALIZED: _normalized,
        UriAttribute.SCHEME: lambda url: url["scheme"],
        UriAttribute.USER: lambda url: _inside_authority(url, "user"),
        UriAttribute.AUTHORITY: lambda url: url["authority"],
        UriAttribute.HOST: lambda url: _inside_authority(url, "host"),
        UriAttribute.PORT: lambda url: _inside_authority(url, "port"),
        UriAttribute.PATH: _path,
        UriAttribute.FILE: _file,
        UriAttribute.EXTENSION: _extension,
        UriAttribute.QUERY: lambda url: url["query"],
        UriAttribute.FRAGMENT: lambda url: url["fragment"],
        UriAttribute.ISABSOLUTE: lambda url: "true" if url["scheme"] else "false",
        UriAttribute.ISOPAQUE: lambda url: "true" if _opaque(url) else "false",
    }
)
