"""Asking a running instance over REST: what `tidegate flows`, `events`, `agents` and `bgp` print."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from tidegate.errors import SourceError

__all__ = ["Client"]

_TIMEOUT_S = 10.0


class Client:
    """One instance, by its URL."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._token = token

    def get(self, *path: str, wait_s: float = 0.0, **query: object) -> object:
        """Return the JSON at a path; `SourceError` says what went wrong where."""
        known = {name: value for name, value in query.items() if value is not None}
        text = urlencode(known, doseq=True)
        return self._send(
            "GET", f"/{'/'.join(quote(part, safe=',;') for part in path)}{'?' + text if text else ''}", wait_s
        )

    def put(self, *path: str, body: Mapping[str, object]) -> None:
        """Put an object."""
        self._send("PUT", f"/{'/'.join(quote(part) for part in path)}", 0.0, json.dumps(body).encode())

    def delete(self, *path: str) -> None:
        """Delete what is at a path."""
        self._send("DELETE", f"/{'/'.join(quote(part) for part in path)}", 0.0)

    def _send(self, method: str, target: str, wait_s: float, body: bytes | None = None) -> object:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(self._url + target, body, headers, method=method)  # noqa: S310 - http by default
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S + wait_s) as reply:  # noqa: S310 - as above
                data = reply.read()
        except urllib.error.HTTPError as error:
            raise SourceError(self._url, _reason(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            advice = "is `tidegate run` running, and is this its REST address? See --url"
            raise SourceError(self._url, f"{reason}; {advice}") from None
        try:
            return json.loads(data) if data else None
        except ValueError:
            raise SourceError(self._url, f"{target} answered no JSON; is this tidegate?") from None


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        told = json.loads(error.read())
    except (OSError, ValueError):
        told = None
    text = told.get("error") if isinstance(told, dict) else None
    return f"{error.code} {text or error.reason}"
