"""The router of the demonstration: GoBGP where it is installed, else a second tidegate that only listens."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from tidegate.control.flowspec import format_flow
from tidegate.errors import SourceError
from tidegate.io.bgp import Speaker
from tidegate.io.bgp_link import Hooks
from tidegate.wire.bgp.flowspec import FlowRule
from tidegate.wire.bgp.peer import PeerConfig
from tidegate.wire.bgp.routes import FlowRoute, RouteKey, route_key
from tidegate.wire.bgp.update import RouteGroup, Update

__all__ = ["LOCAL_AS", "PEER_AS", "DemoPeer", "demo_peer"]

LOCAL_AS, PEER_AS = 65010, 65020
_SELF = "127.0.0.1"  # the collector's end; the peer is at its own loopback address
_ADDRESS = "127.0.0.2"
_GOBGP = """\
[global.config]
as = {peer_as}
router-id = "10.99.0.2"
port = {port}
local-address-list = ["{address}"]
[[neighbors]]
[neighbors.config]
neighbor-address = "{collector}"
peer-as = {local_as}
[neighbors.transport.config]
local-address = "{address}"
passive-mode = true
[neighbors.ebgp-multihop.config]
enabled = true
multihop-ttl = 5
[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "ipv4-flowspec"
"""


class DemoPeer(Protocol):
    """A router that was told rules."""

    name: str
    title: str  # its name, and what there is to say of it
    address: str
    port: int

    async def rules(self) -> list[str]:
        """Return the FlowSpec rules that it holds, as it prints them."""


@asynccontextmanager
async def demo_peer(folder: Path) -> AsyncIterator[DemoPeer]:
    """Run a peer until the block ends, its files in `folder`."""
    if shutil.which("gobgpd") and shutil.which("gobgp"):
        async with _gobgp(folder) as peer:
            yield peer
        return
    listener = _Tidegate()
    config = PeerConfig(
        address=_SELF, local_as=PEER_AS, router_id="10.99.0.2", peer_as=LOCAL_AS, passive=True, local_address=_ADDRESS
    )
    async with Speaker([config], port=0, listen=[_ADDRESS], hooks=Hooks(update=listener.update)) as speaker:
        listener.port = speaker.ports[0]
        yield listener


def _free_port(address: str) -> int:
    with socket.socket() as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            advice = "the demonstration's router needs this address; on Linux loopback has all of 127.0.0.0/8"
            raise SourceError(address, f"{error.strerror}; {advice}") from None
        return int(sock.getsockname()[1])


class _GoBgp:
    """gobgpd, asked by gobgp."""

    name = title = "GoBGP"
    address = _ADDRESS

    def __init__(self, port: int, api_port: int) -> None:
        self.port = port
        self._api_port = api_port

    async def ask(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "gobgp", "-u", _ADDRESS, "-p", str(self._api_port), *words,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        output, _ = await process.communicate()
        return output.decode() if process.returncode == 0 else ""

    async def rules(self) -> list[str]:
        output = await self.ask("global", "rib", "-a", "ipv4-flowspec", "-j")
        return sorted(json.loads(output)) if output.strip() else []


@asynccontextmanager
async def _gobgp(folder: Path) -> AsyncIterator[_GoBgp]:
    peer = _GoBgp(_free_port(_ADDRESS), _free_port(_ADDRESS))
    path = folder / "gobgpd.toml"
    path.write_text(
        _GOBGP.format(peer_as=PEER_AS, local_as=LOCAL_AS, port=peer.port, address=_ADDRESS, collector=_SELF)
    )
    with (folder / "gobgpd.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "gobgpd", "-f", str(path), "--api-hosts", f"{_ADDRESS}:{peer._api_port}",  # noqa: SLF001 - same module
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            await _answering(peer, process, folder)
            yield peer
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _answering(peer: _GoBgp, process: asyncio.subprocess.Process, folder: Path) -> None:
    for _ in range(100):
        if process.returncode is not None:
            break
        if await peer.ask("global"):
            return
        await asyncio.sleep(0.1)
    raise SourceError("gobgpd", f"it does not answer; see {folder / 'gobgpd.log'}")


class _Tidegate:
    """A speaker that keeps what it is told."""

    name = "the second tidegate"
    title = "a second tidegate (gobgpd is not installed)"
    address = _ADDRESS
    port = 0

    def __init__(self) -> None:
        self._held: dict[RouteKey, FlowRoute] = {}

    def update(self, _peer: str, update: Update) -> None:
        """Note what an UPDATE says."""
        for rule in _rules_of(update.withdrawn):
            self._held.pop(route_key(FlowRoute(rule)), None)
        for rule in _rules_of(update.announced):
            route = FlowRoute(rule, update.attributes.extended)
            self._held[route_key(route)] = route

    async def rules(self) -> list[str]:
        return [json.dumps(format_flow(route)) for route in self._held.values()]


def _rules_of(groups: tuple[RouteGroup, ...]) -> list[FlowRule]:
    return [place for group in groups for place in group.destinations if isinstance(place, FlowRule)]
