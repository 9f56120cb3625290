"""The self-test of a dialect, against peers that take the rule, do not, or do not care."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bgp_raw import GREETING, KEEPALIVE, Raw, Seen, dial, greeting, passive_speaker, rule, run, until
from tidegate.errors import ConfigError
from tidegate.io.bgp import PeerConfig, SelfTest, Speaker
from tidegate.io.bgp_self_test import harmless_rule
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import Notification, encode_notification
from tidegate.wire.bgp.routes import route_key

WAIT_S = 0.05
NAME = "127.0.0.1"


def run_with(test: Callable[[Speaker, Raw], object], *, opening: bytes = GREETING) -> None:
    """Run a test with a speaker and an established peer that reads nothing by itself."""

    async def whole() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            raw = await dial(speaker)
            raw.writer.write(opening + KEEPALIVE)
            await seen.up.get()
            done = test(speaker, raw)
            assert asyncio.iscoroutine(done)
            await done
            assert speaker.flows(None) == ()
            await raw.close()

    run(whole)


def verdicts(found: SelfTest) -> list[tuple[str, bool | None]]:
    return [(one.family, one.passed) for one in found.families]


def test_a_peer_that_takes_the_rules_passes() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        found = await speaker.self_test(NAME, wait_s=WAIT_S)
        assert found.passed
        assert verdicts(found) == [("ipv4-flowspec", True), ("ipv6-flowspec", True)]
        assert "the session stayed up for 0.05 s, and the rule was withdrawn" in found.text
        assert found.profile == "safe"

    run_with(test)


def test_a_family_that_was_not_agreed_to_is_not_tried() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        found = await speaker.self_test(NAME, wait_s=WAIT_S)
        assert found.passed
        assert verdicts(found) == [("ipv4-flowspec", True), ("ipv6-flowspec", None)]
        assert "ipv6-flowspec: the peer did not agree to this family" in found.text

    run_with(test, opening=greeting((Family.IPV4_UNICAST, Family.IPV4_FLOWSPEC)))


def test_a_peer_without_rules_passes_nothing() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        found = await speaker.self_test(NAME, wait_s=WAIT_S)
        assert not found.passed
        assert verdicts(found) == [("ipv4-flowspec", None), ("ipv6-flowspec", None)]

    run_with(test, opening=greeting((Family.IPV4_UNICAST,)))


def test_a_peer_that_resets_fails_with_its_words() -> None:
    async def test(speaker: Speaker, raw: Raw) -> None:
        testing = asyncio.create_task(speaker.self_test(NAME, wait_s=5.0))
        while (message := await raw.message()) is not None and b"\xc0\x00\x02" not in message.body[10:]:
            pass
        raw.writer.write(encode_notification(Notification(3, 1)))
        found = await testing
        assert not found.passed
        assert verdicts(found) == [("ipv4-flowspec", False), ("ipv6-flowspec", None)]
        assert "the session fell over the rule: the peer closed: malformed attribute list (3/1)" in found.text
        assert "ipv6-flowspec: the session is not up" in found.text

    run_with(test)


def test_a_cancelled_one_withdraws() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        testing = asyncio.create_task(speaker.self_test(NAME, wait_s=60.0))
        await until(lambda: bool(speaker.flows(NAME)))
        testing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await testing

    run_with(test)


def test_two_at_a_time_are_one_too_many() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        testing = asyncio.create_task(speaker.self_test(NAME, wait_s=WAIT_S))
        await asyncio.sleep(0)
        with pytest.raises(ConfigError, match="a self-test of this peer is running"):
            await speaker.self_test(NAME)
        assert (await testing).passed

    run_with(test)


def test_a_peer_that_is_removed_meanwhile_fails() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        testing = asyncio.create_task(speaker.self_test(NAME, wait_s=5.0))
        await until(lambda: bool(speaker.flows(NAME)))
        speaker.remove_peer(NAME)
        assert not (await testing).passed

    run_with(test)


def test_one_that_is_not_up_or_has_the_rule_already_is_told_so() -> None:
    async def test() -> None:
        async with passive_speaker() as speaker:
            found = await speaker.self_test(NAME)
            assert verdicts(found) == [("ipv4-flowspec", None), ("ipv6-flowspec", None)]
            assert "the session is not up (active)" in found.text
            with pytest.raises(ConfigError, match="no such peer"):
                await speaker.self_test("192.0.2.99")

    run(test)


def test_a_rule_of_the_users_own_is_left_alone() -> None:
    async def test(speaker: Speaker, _: Raw) -> None:
        own = harmless_rule(Family.IPV4_FLOWSPEC)
        speaker.announce(None, own)
        found = await speaker.self_test(NAME, wait_s=WAIT_S)
        assert verdicts(found) == [("ipv4-flowspec", None), ("ipv6-flowspec", True)]
        assert speaker.flows(NAME) == (own,)
        speaker.withdraw(None, route_key(own))

    run_with(test)


def test_a_peer_that_cannot_be_told_is_told_so() -> None:
    async def test() -> None:
        config = PeerConfig(NAME, 65001, "192.0.2.1", passive=True, max_routes=1)
        seen = Seen()
        async with Speaker([config], port=0, listen=[NAME], hooks=seen.hooks()) as speaker:
            speaker.announce(None, rule(1))
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            await seen.up.get()
            found = await speaker.self_test(NAME, wait_s=WAIT_S)
            assert not found.passed
            assert "cannot say the rule: peer 127.0.0.1 cannot express more than 1 routes" in found.text
            await raw.close()

    run(test)
