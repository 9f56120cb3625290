"""Daemons that tell what they learn: by BMP to a station in the lab, and in MRT files."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from interop.frr import Frr
from interop.lab import OURS, THEIR_AS, Lab, _enter
from tidegate.io.bmp import BmpStation, StationConfig

T = TypeVar("T")
PORT = 11019


class StationThread:
    """A station on a loop of its own, in a thread that has moved into the lab's namespace."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._station = BmpStation(StationConfig(allow=("127.0.0.0/8",), listen=(OURS[4],), port=PORT))
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="station")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def call(self, function: Callable[[BmpStation], T]) -> T:
        """Call something with the station, on its loop."""

        async def call() -> T:
            return function(self._station)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def _main(self) -> None:
        try:
            _enter(self._lab.name)
            asyncio.run(self._listen())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the test's own thread
            self._error = error
            self._ready.set()

    async def _listen(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self._station:
            self._ready.set()
            await self._stop.wait()


class MonitoredFrr(Frr):
    """FRR with its module for BMP."""

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:
        spawn = self._lab.spawn
        self._lab.spawn = lambda *arguments, **how: spawn(*arguments, "-M", "bmp", **how)  # type: ignore[method-assign]
        try:
            return super().start(recovering=recovering)
        finally:
            self._lab.spawn = spawn  # type: ignore[method-assign]


def tell_frr(lab: Lab, *views: str) -> None:
    """Have FRR tell a station, in these views."""
    kept = "".join(  # without it FRR tells each route as withdrawn before policy
        f" address-family {family} unicast\n  neighbor {OURS[4]} soft-reconfiguration inbound\n exit-address-family\n"
        for family in ("ipv4", "ipv6")
    )
    monitor = "\n".join(f"  bmp monitor {family} unicast {view}" for family in ("ipv4", "ipv6") for view in views)
    _append(
        lab.folder / "frr.conf",
        f"""
router bgp {THEIR_AS}
{kept} bmp targets lab
  bmp connect {OURS[4]} port {PORT} min-retry 200 max-retry 500
{monitor}
  bmp stats interval 300
  bmp mirror
 exit
exit
""",
    )


def tell_gobgp(lab: Lab, view: str) -> None:
    """Have GoBGP tell a station."""
    _append(
        lab.folder / "gobgpd.toml",
        f"""
[[bmp-servers]]
[bmp-servers.config]
address = "{OURS[4]}"
port = {PORT}
route-monitoring-policy = "{view}"
statistics-timeout = 15
""",
    )


def dump_folder(lab: Lab) -> Path:
    """Return a folder that daemons may write to after they have given up root."""
    folder = lab.folder / "dump"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def dump_frr(lab: Lab) -> Path:
    """Have FRR write its table each second, and what it hears."""
    folder = dump_folder(lab)
    _append(
        lab.folder / "frr.conf", f"\ndump bgp routes-mrt {folder}/table-%s.mrt 1\ndump bgp all-et {folder}/heard.mrt\n"
    )
    return folder


def dump_bird(lab: Lab) -> Path:
    """Have BIRD write its tables each second, and what it hears."""
    folder = dump_folder(lab)
    config = lab.folder / "bird.conf"
    tables = "".join(
        f'protocol mrt m{version} {{ table master{version}; filename "{folder}/table{version}-%s.mrt"; period 1; }}\n'
        for version in (4, 6)
    )
    config.write_text(f'mrtdump "{folder}/heard.mrt";\nmrtdump protocols all;\n{config.read_text()}\n{tables}')
    return folder


def dump_openbgpd(lab: Lab) -> Path:
    """Have OpenBGPD write its table each second in its three formats, and what it hears."""
    folder = dump_folder(lab)
    formats = "".join(f'dump {name} "{folder}/{name}-%s.mrt" 1\n' for name in ("table-v2", "table-mp", "table"))
    _append(lab.folder / "openbgpd.conf", f'{formats}dump all in "{folder}/heard.mrt"\n')
    return folder


def _append(config: Path, text: str) -> None:
    config.write_text(config.read_text() + text)
