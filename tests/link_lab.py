"""Private network namespaces with interfaces in them, for tests of what the kernel says of interfaces.

Names are drawn, so that runs beside each other do not meet; all is removed at the end.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_CLONE_NEWNET = 0x40000000


class LinkLab:
    """Two namespaces: `here`, which is looked at, and `far`, where traffic goes to."""

    def __init__(self) -> None:
        self.here, self.far = (f"tidegate-{part}-{uuid.uuid4().hex[:8]}" for part in ("here", "far"))

    def ip(self, *arguments: str, far: bool = False) -> str:
        """Run `ip` inside; a failure ends the test."""
        command = ["ip", "-n", self.far if far else self.here, *arguments]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.decode()}"
        return done.stdout.decode()

    def batch(self, commands: Iterable[str]) -> None:
        """Run many commands of `ip` inside."""
        text = "\n".join((*commands, ""))
        subprocess.run(["ip", "-n", self.here, "-batch", "-"], input=text.encode(), check=True, timeout=60)

    def can(self, *arguments: str) -> bool:
        """Tell whether `ip` did it, as a kernel that has the module does."""
        return not subprocess.run(["ip", "-n", self.here, *arguments], capture_output=True, check=False).returncode

    def told(self, *arguments: str) -> list[dict[str, Any]]:
        """Return what `ip -json` prints."""
        found: list[dict[str, Any]] = json.loads(self.ip("-j", *arguments) or "[]")
        return [one for one in found if one]

    def pair(self, name: str, *, number: int) -> None:
        """Make a veth, up at both ends: `name` with 10.9.`number`.1 here, `name`f with .2 there; no IPv6, no ARP."""
        self.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}f", "netns", self.far)
        macs = (f"02:00:00:00:{number:02x}:01", f"02:00:00:00:{number:02x}:02")
        for far, own, other in ((False, 1, 2), (True, 2, 1)):
            end = f"{name}f" if far else name
            self.ip("link", "set", end, "address", macs[own - 1], "addrgenmode", "none", "up", far=far)
            self.ip("addr", "add", f"10.9.{number}.{own}/24", "dev", end, far=far)
            neighbour = ["neigh", "add", f"10.9.{number}.{other}", "lladdr", macs[other - 1], "dev", end]
            self.ip(*neighbour, "nud", "permanent", far=far)

    def send(self, address: str, sizes: Sequence[int], *, far: bool = False) -> None:
        """Send UDP datagrams to a port where nobody listens."""
        with entered(self.far if far else self.here), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for size in sizes:
                sock.sendto(bytes(size), (address, 9))


@contextmanager
def link_lab() -> Iterator[LinkLab]:
    """Make the namespaces; skip where this is not root."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    lab = LinkLab()
    for name in (lab.here, lab.far):
        subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
    try:
        for far in (False, True):
            lab.ip("link", "set", "lo", "up", far=far)
        yield lab
    finally:
        for name in (lab.here, lab.far):
            subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Let this thread be in a namespace; sockets opened there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(handle: int) -> None:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {name}")

    with Path("/proc/thread-self/ns/net").open("rb") as before, Path(f"/run/netns/{name}").open("rb") as inside:
        enter(inside.fileno())
        try:
            yield
        finally:
            enter(before.fileno())
