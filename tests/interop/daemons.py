"""The five daemons, each in a module of its own: how it is configured, told what to announce, and asked what it knows.

`flow4`, `flow6` and `unicast` return what the daemon prints about what it has learnt: that text is what tests compare.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import msgspec

from interop.lab import OUR_AS, THEIR_AS, Lab
from tidegate.wire.bgp.communities import LargeCommunity
from tidegate.wire.bgp.routes import UnicastRoute


class Setup(msgspec.Struct, frozen=True):
    """How a daemon is to be configured. `ours` has our AS by the version of the transport: one session each.

    `restart_s` turns graceful restart on, `most` limits how many routes of a family are taken from us, and `add_path`
    has BIRD send several routes to one prefix.
    """

    ours: Mapping[int, int] = MappingProxyType({4: OUR_AS})
    passive: bool = True
    port: int = 1179
    md5: str | None = None
    restart_s: int = 0
    most: int = 0
    add_path: bool = False

    def is_external(self, version: int) -> bool:
        """Tell whether our side of this session is in another AS."""
        return self.ours[version] != THEIR_AS


class Daemon(Protocol):
    """What tests ask of a daemon."""

    programs: tuple[str, ...]

    def __init__(self, lab: Lab, setup: Setup) -> None: ...

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:
        """Start it, with nothing learnt; `recovering` after a crash, where it has to be told."""
        ...

    def flow4(self) -> str:
        """Return the IPv4 rules."""
        ...

    def flow6(self) -> str:
        """Return the IPv6 rules."""
        ...

    def unicast(self, prefix: str) -> str:
        """Return what is known of one prefix."""
        ...

    def announce(self, routes: Sequence[UnicastRoute]) -> None:
        """Announce these routes and no others. A daemon that is not running does so when it is started."""
        ...

    def ask_again(self) -> None:
        """Have it ask us for all our routes again."""
        ...

    def shut(self, reason: str) -> None:
        """Shut the session over IPv4 down, and tell us why."""
        ...

    def last_error(self) -> str:
        """Return the status or log that tells why the session over IPv4 ended."""
        ...


class FlowDaemon(Daemon, Protocol):
    """A daemon that has FlowSpec rules of its own."""

    def announce_rules(self, rules: Sequence[str]) -> None:
        """Announce these rules, in the daemon's own words, and no others."""
        ...


def is_running(process: subprocess.Popen[bytes] | None) -> bool:
    """Tell whether a daemon was started and has not been killed."""
    return process is not None and process.poll() is None


def community_text(value: int) -> str:
    """Return a standard community as all of them write it."""
    return f"{value >> 16}:{value & 0xFFFF}"


def large_text(value: LargeCommunity) -> str:
    """Return a large community as all of them write it."""
    return f"{value.administrator}:{value.data1}:{value.data2}"
