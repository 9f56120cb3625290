"""A private network namespace with real BGP daemons in it, and this project's speaker beside them.

Every daemon has its own loopback address, so all use one port and none touches the host. What a test made is removed
with it: processes by their pid, then the namespace.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest

from interop.heard import Heard, held
from tidegate.io.bgp import Hooks, NeighborStatus, PeerConfig, PeerRange, Speaker
from tidegate.wire.bgp.routes import Route, RouteKey

T = TypeVar("T")
OURS = {4: "127.0.0.2", 6: "fd00::2"}
OUR_AS = 65001
THEIRS = {4: "127.0.0.3", 6: "fd00::3"}
THEIR_AS = 65010
_CLONE_NEWNET = 0x40000000
_PATIENCE_S = 40.0


def peer_config(
    version: int = 4, *, passive: bool = False, md5: str | None = None, local_as: int = OUR_AS
) -> PeerConfig:
    """Return how this project's side of a session is configured; `version` is the transport's."""
    return PeerConfig(
        THEIRS[version],
        local_as,
        "10.99.0.2",
        peer_as=THEIR_AS,
        local_address=OURS[version],
        passive=passive,
        md5_key=md5,
        connect_retry_s=1.0,
    )


def need(*programs: str) -> None:
    """Skip where a program is missing or this is not root; under CI a missing program is a failure."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"under CI these must be installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")


def wait_for(
    condition: Callable[[], object], what: str, *, show: Callable[[], object] = str, patience_s: float = _PATIENCE_S
) -> None:
    """Ask again and again until the condition holds; fail with `what`, and what `show` says, at the deadline."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"never happened: {what}\n{show()}")
        time.sleep(0.05)


class Lab:
    """The namespace. `folder` may be entered by daemons that give up root."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._at_end: list[Callable[[], None]] = []

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command inside and return what it printed, errors included; a failure is in the text."""
        command = ["ip", "netns", "exec", self.name, *arguments]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False, input=stdin.encode())
        return (done.stdout + done.stderr).decode(errors="replace")

    def spawn(self, *arguments: str, log: str | None = None) -> subprocess.Popen[bytes]:
        """Start a program inside; its output goes to a file named after it, or as `log` says."""
        with self._log(log or arguments[0]).open("ab") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *arguments], stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        self._running.append(process)
        return process

    def printed(self, program: str) -> str:
        """Return what a program that was started here has printed so far."""
        return self._log(program).read_text(errors="replace")

    def _log(self, program: str) -> Path:
        return self.folder / f"{Path(program).name}.log"

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill one program that was started here, as a crash would."""
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        self._running.remove(process)

    def at_end(self, function: Callable[[], None]) -> None:
        """Call this once everything has been killed."""
        self._at_end.append(function)

    def close(self) -> None:
        """Kill what still runs."""
        for process in list(self._running):
            self.kill(process)
        for function in self._at_end:
            function()


@contextmanager
def open_lab() -> Iterator[Lab]:
    """Make a namespace with a loopback interface and both addresses of each family; remove it at the end."""
    name = f"tidegate-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    folder.chmod(0o755)
    lab = Lab(name, folder)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True, timeout=10)
        for address in (OURS[4] + "/8", THEIRS[4] + "/8", OURS[6] + "/128", THEIRS[6] + "/128"):
            command = ["ip", "-n", name, "addr", "add", address, "dev", "lo", *(["nodad"] if ":" in address else [])]
            subprocess.run(command, check=True, timeout=10)
        yield lab
    finally:
        lab.close()
        subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)
        shutil.rmtree(folder)


class SpeakerThread:
    """A speaker on a loop of its own, in a thread that has moved into the lab's namespace."""

    def __init__(self, lab: Lab, peers: Sequence[PeerConfig | PeerRange], *, port: int | None) -> None:
        self._lab = lab
        self.heard = Heard()
        self.sent: Counter[RouteKey] = Counter()
        hooks = Hooks(update=self.heard.take, down=self.heard.forget, sent=lambda _, key, __: self.sent.update([key]))
        self._speaker = Speaker(peers, port=port, listen=list(OURS.values()), hooks=hooks)
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="speaker")

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the speaker in good order."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def announce(self, *routes: Route, peer: str | None = None) -> None:
        """Announce to one peer, or to all."""

        def announce(speaker: Speaker) -> None:
            for route in routes:
                speaker.announce(peer, route)

        self.call(announce)

    def withdraw(self, key: RouteKey) -> bool:
        """Withdraw from all peers."""
        return self.call(lambda speaker: speaker.withdraw(None, key))

    def neighbor(self, peer: str | None = None) -> NeighborStatus:
        """Return how a peer stands, or the first one."""
        return next(status for status in self.neighbors() if peer in {None, status.address})

    def neighbors(self) -> list[NeighborStatus]:
        """Return how all peers stand."""
        return self.call(Speaker.neighbors)

    def held(self, peer: str) -> set[Route]:
        """Return what the table of a peer holds."""
        return self.call(lambda speaker: held(speaker._link(peer).peer.rib_in))

    def is_up(self, peer: str | None = None) -> bool:
        """Tell whether the session with a peer, or with the first one, is established."""
        return self.neighbor(peer).state == "established"

    def call(self, function: Callable[[Speaker], T]) -> T:
        """Call something with the speaker, on its loop."""

        async def call() -> T:
            return function(self._speaker)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def begin(self, function: Callable[[Speaker], Coroutine[Any, Any, T]]) -> Future[T]:
        """Begin something that takes a while, on the speaker's loop."""
        return asyncio.run_coroutine_threadsafe(function(self._speaker), self._loop)

    def _main(self) -> None:
        try:
            _enter(self._lab.name)
            asyncio.run(self._speak())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the test's own thread
            self._error = error
            self._ready.set()

    async def _speak(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with self._speaker:
            self._ready.set()
            await self._stop.wait()


def wait_to_hear(speaker: SpeakerThread, wanted: set[Route], what: str, peer: str = THEIRS[4]) -> None:
    """Wait until a peer announces exactly these routes, and its table holds them."""

    def difference() -> str:
        heard = speaker.heard.routes(peer)
        lines = ["never came:", *map(str, wanted - heard), "came unasked for:", *map(str, heard - wanted)]
        return "\n".join([*lines[:12], str(speaker.neighbor(peer))])

    wait_for(lambda: speaker.heard.routes(peer) == wanted, what, show=difference)
    assert speaker.held(peer) == wanted


def _enter(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/run/netns/{name}").open("rb") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")
