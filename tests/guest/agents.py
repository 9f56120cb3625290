"""An agent in the guest and all that it sends: started, told something else, stopped; datagrams kept as they are."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guest.lab import quiet

TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
LIMIT_S = 60.0
_RCVBUFFORCE = 33  # linux/socket.h
_ALL_SENT_S = 0.5  # no sample waits longer than a tenth of a second
_LOADED = "the configuration was loaded again"


class Collector:
    """A socket that takes what agents send; a file holds each datagram behind its length in four octets."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 64 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._file = path.open("wb")
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()
        self.address = "{}:{}".format(*self._socket.getsockname())
        self.count = 0

    def settle(self) -> int:
        """Wait until nothing more comes; return how many datagrams there were until now."""
        quiet(lambda: self.count, for_s=_ALL_SENT_S)
        return self.count

    def close(self) -> None:
        """End it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()
        self._file.close()

    def _take(self) -> None:
        while octets := self._socket.recv(1 << 16):
            self._file.write(struct.pack("=I", len(octets)) + octets)
            self.count += 1


class Agent:
    """A running agent; its folder has the files that it is told by, and those that it writes."""

    def __init__(self, folder: Path, name: str, collector: Collector) -> None:
        self._config = folder / f"{name}.toml"
        self._status = folder / f"{name}.status"
        self._log = folder / f"{name}.log"
        self._collector = collector
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, text: str) -> None:
        """Start it with what `[agent]` is to hold, and wait until it samples."""
        self._write(text)
        words = [TIDEGATE, "agent", "--config", str(self._config), "--collector", self._collector.address]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.until("sFlow to")

    def reload(self, text: str) -> None:
        """Tell it something else, and wait until it has taken that."""
        before = self.log.count(_LOADED)
        self._write(text)
        self.send_signal(signal.SIGHUP)
        until(lambda: self.log.count(_LOADED) > before, _LOADED)

    def until(self, words: str) -> None:
        """Wait until the log has some words."""
        until(lambda: words in self.log or self._ended(), words)
        if words not in self.log:
            raise RuntimeError(f"the agent ended: {self.log}")

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and return its status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(LIMIT_S)

    def close(self) -> None:
        """End it where it still runs."""
        if self._process is not None and not self._ended():
            self._process.kill()
            self._process.wait()

    @property
    def log(self) -> str:
        """What it said."""
        return self._log.read_text()

    @property
    def status(self) -> dict[str, Any]:
        """Its own counters, as it wrote them last: every ten seconds, and at its end."""
        return dict(json.loads(self._status.read_text()))

    def _ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _write(self, text: str) -> None:
        self._config.write_text(f'[agent]\naddress = "192.0.2.1"\nstatus_file = "{self._status}"\n{text}')


@contextmanager
def collecting(path: Path) -> Iterator[Collector]:
    """Have a collector for a while."""
    collector = Collector(path)
    try:
        yield collector
    finally:
        collector.close()


@contextmanager
def running(folder: Path, name: str, collector: Collector, text: str) -> Iterator[Agent]:
    """Have an agent running; one that has not been stopped at the end is killed."""
    agent = Agent(folder, name, collector)
    try:
        agent.start(text)
        yield agent
    finally:
        agent.close()


def until(ask: Callable[[], object], what: str) -> None:
    """Ask until the answer is true."""
    deadline = time.monotonic() + LIMIT_S
    while not ask():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen: {what}")
        time.sleep(0.05)


def shown(*words: str) -> str:
    """Return what a command prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def own_folder(name: str) -> Path:
    """Return a new folder for the files of a scenario, which the tests on it find below `guest_folder`."""
    folder = Path(name).resolve()
    folder.mkdir()
    return folder
