"""Does a router stand the rules it would be sent? One that can hit nothing is announced, watched and withdrawn.

The rule discards UDP to port 9 (discard) of 192.0.2.0/24 or 2001:db8::/32, which RFC 5737 and RFC 3849 keep for
documents. It is withdrawn whatever happens, also where the caller is cancelled, and it expires by itself where this
program dies meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import msgspec

from tidegate.errors import ConfigError, EncodeError, Inexpressible
from tidegate.io.bgp_link import Link
from tidegate.wire.bgp.communities import TrafficRateBytes
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.flowspec import (
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
)
from tidegate.wire.bgp.prefix import parse_prefix
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, route_key
from tidegate.wire.bgp.session import Down

__all__ = ["FamilyTest", "SelfTest", "harmless_rule", "self_test"]

_HARMLESS: Final = {Family.IPV4_FLOWSPEC: "192.0.2.0/24", Family.IPV6_FLOWSPEC: "2001:db8::/32"}
_GRACE_S: Final = 60.0  # after which the rule goes by itself
_UDP, _DISCARD = 17, 9


class FamilyTest(msgspec.Struct, frozen=True):
    """What came of one family's rule; `passed` None means that it was not sent."""

    family: str
    passed: bool | None
    text: str


class SelfTest(msgspec.Struct, frozen=True):
    """What came of a self-test; `passed` where a rule was sent and none did harm."""

    peer: str
    profile: str
    passed: bool
    families: tuple[FamilyTest, ...]

    @property
    def text(self) -> str:
        """All of it in words."""
        return "; ".join(f"{one.family}: {one.text}" for one in self.families)


class _Speaks(Protocol):
    def announce(self, peer: str | None, route: Route, *, expires: float | None = None) -> None: ...

    def withdraw(self, peer: str | None, key: RouteKey) -> bool: ...


def harmless_rule(family: Family) -> FlowRoute:
    """Return the rule of a FlowSpec family."""
    prefix = PrefixComponent(ComponentType.DESTINATION, parse_prefix(_HARMLESS[family]))
    numbers = ((ComponentType.PROTOCOL, _UDP), (ComponentType.DESTINATION_PORT, _DISCARD))
    equal = (NumericComponent(kind, (NumericOp(Comparison.EQ, number, 1),)) for kind, number in numbers)
    afi = Afi.IPV4 if family is Family.IPV4_FLOWSPEC else Afi.IPV6
    return FlowRoute(FlowRule(afi, (prefix, *equal)), (TrafficRateBytes(0.0),))


async def self_test(speaker: _Speaks, link: Link, *, wait_s: float) -> SelfTest:
    """Send each family's rule in its turn and watch the session for `wait_s` seconds; `ConfigError` while one runs."""
    config = link.peer.config
    if link.watch is not None:
        raise ConfigError(f"bgp.peers.{config.address}", "a self-test of this peer is running")
    found = []
    for family in _HARMLESS:
        refusal = _refusal(link, family)
        if refusal is not None:
            found.append(FamilyTest(family.label, None, refusal))
        else:
            found.append(await _try(speaker, link, family, wait_s=wait_s))
    verdicts = [one.passed for one in found if one.passed is not None]
    return SelfTest(config.address, config.profile.name, bool(verdicts) and all(verdicts), tuple(found))


def _refusal(link: Link, family: Family) -> str | None:
    """Return why no rule of a family can be sent, or None."""
    status = link.peer.status()
    if family not in link.peer.config.families:
        return "not among the families of this peer's configuration"
    if link.peer.established is None or status.negotiated is None:
        return f"the session is not up ({status.state.value}{': ' if status.last_error else ''}{status.last_error})"
    if family not in status.negotiated.families:
        return "the peer did not agree to this family"
    if route_key(harmless_rule(family)) in link.peer.rib.wanted:
        return "the rule is announced already: withdraw it first"
    return None


async def _try(speaker: _Speaks, link: Link, family: Family, *, wait_s: float) -> FamilyTest:
    route = harmless_rule(family)
    key = route_key(route)
    peer = link.peer.config.address
    fate = _Fate(key)
    link.watch = fate.hear
    try:
        speaker.announce(peer, route, expires=time.time() + wait_s + _GRACE_S)
        passed, text = await fate.verdict(wait_s)
        if passed:
            speaker.withdraw(peer, key)
            passed, text = await fate.verdict_of_withdrawal(wait_s)
    except (Inexpressible, EncodeError) as error:
        return FamilyTest(family.label, None, f"the profile cannot say the rule: {error}")
    finally:
        link.watch = None
        with contextlib.suppress(ConfigError):  # the peer itself was removed meanwhile
            speaker.withdraw(peer, key)
    return FamilyTest(family.label, passed, text)


class _Fate:
    """What becomes of one rule."""

    def __init__(self, key: RouteKey) -> None:
        self._key = key
        self._written = asyncio.Event()
        self._down = asyncio.Event()
        self._reason = ""

    def hear(self, news: RouteKey | Down) -> None:
        if isinstance(news, Down):
            self._reason = news.reason
            self._down.set()
        elif news == self._key:
            self._written.set()

    async def verdict(self, wait_s: float) -> tuple[bool, str]:
        """Wait for the rule to be written, then as long again for what the peer makes of it."""
        if not await self._happens(wait_s):
            return False, self._failure("the rule", wait_s)
        if await _within(wait_s, self._down.wait):
            return False, f"the session fell over the rule: {self._reason}"
        self._written.clear()
        return True, ""

    async def verdict_of_withdrawal(self, wait_s: float) -> tuple[bool, str]:
        """Wait for the withdrawal to be written."""
        if not await self._happens(wait_s):
            return False, self._failure("its withdrawal", wait_s)
        return True, f"the rule was sent, the session stayed up for {wait_s:g} s, and the rule was withdrawn"

    async def _happens(self, wait_s: float) -> bool:
        """Tell whether the rule was written while the session was up."""
        either = asyncio.ensure_future(self._down.wait()), asyncio.ensure_future(self._written.wait())
        try:
            await asyncio.wait(either, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in either:
                one.cancel()
        return self._written.is_set() and not self._down.is_set()

    def _failure(self, what: str, wait_s: float) -> str:
        if self._down.is_set():
            return f"the session fell before {what} was sent: {self._reason}"
        return f"{what} was not written within {wait_s:g} s: the peer does not read"


async def _within(seconds: float, wait: Callable[[], Awaitable[object]]) -> bool:
    """Tell whether something comes to pass in time."""
    try:
        async with asyncio.timeout(seconds):
            await wait()
    except TimeoutError:
        return False
    return True
