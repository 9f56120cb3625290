"""The speaker and the script host in the shapes that REST asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tidegate.apps import script_http
from tidegate.apps.script_host import ScriptHost
from tidegate.control.flowspec import flow_key, format_flow, parse_flow
from tidegate.control.unicast import format_unicast, parse_unicast, unicast_key
from tidegate.io.bgp import NeighborStatus, Speaker
from tidegate.web.backend import NeighborInfo, ScriptReply, ScriptRequest, ScriptStatus

__all__ = ["RestScripts", "RestSpeaker"]

_BAD_REQUEST, _UNAVAILABLE = 400, 503


class RestSpeaker:
    """`tidegate.web.backend.Announcer` over a speaker on the same event loop."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    def neighbors(self) -> list[NeighborInfo]:
        """Return the neighbours."""
        return [_neighbor(status) for status in self._speaker.neighbors()]

    def flows(self, router: str) -> list[dict[str, object]]:
        """Return the FlowSpec rules wanted at a neighbour."""
        return [dict(format_flow(flow)) for flow in self._speaker.flows(router)]

    def announce_flow(self, router: str, rule: Mapping[str, object]) -> None:
        """Want a FlowSpec rule."""
        self._speaker.announce(router, parse_flow(rule))

    def withdraw_flow(self, router: str, rule: Mapping[str, object]) -> bool:
        """Want a rule no more."""
        return self._speaker.withdraw(router, flow_key(rule))

    def routes(self, router: str) -> list[dict[str, object]]:
        """Return the unicast routes wanted at a neighbour."""
        return [dict(format_unicast(route)) for route in self._speaker.routes(router)]

    def announce_route(self, router: str, route: Mapping[str, object]) -> None:
        """Want a unicast route."""
        self._speaker.announce(router, parse_unicast(route))

    def withdraw_route(self, router: str, prefix: str) -> bool:
        """Want a route no more."""
        return self._speaker.withdraw(router, unicast_key(prefix))


def _neighbor(status: NeighborStatus) -> NeighborInfo:
    known = {name: getattr(status, name) for name in NeighborInfo.__struct_fields__ if hasattr(status, name)}
    return NeighborInfo(**known, hold_time=status.hold_time_s, uptime=round(status.uptime_s, 3))


class RestScripts:
    """`tidegate.web.backend.ScriptHost` over the script host, whose answers come from the scripts' own threads.

    REST is there before the scripts, which may ask for it: until `host` is set there are none.
    """

    def __init__(self) -> None:
        self.host: ScriptHost | None = None

    def scripts(self) -> dict[str, ScriptStatus]:
        """Return the scripts."""
        return {} if self.host is None else self.host.status()

    async def request(self, app: str, file: str, request: ScriptRequest) -> ScriptReply | None:
        """Ask a script's handler."""
        if self.host is None:
            return ScriptReply("the scripts are being loaded", _UNAVAILABLE)
        if request.error is not None:
            return ScriptReply(request.error, _BAD_REQUEST)
        call = script_http.HttpCall(
            request.method,
            request.path,
            {name: tuple(texts) for name, texts in request.query.items()},
            request.body,
            request.format,
        )
        try:
            value = await asyncio.wrap_future(self.host.ask(app, file, call))
        except script_http.HttpError as error:
            return ScriptReply(error.reason, error.status)
        return ScriptReply(value)
