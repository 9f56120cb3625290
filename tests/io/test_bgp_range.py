"""Neighbours by prefix, on loopback sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

from bgp_raw import GREETING, Raw, Seen, dial, need_address, need_md5, rule, run, until
from tidegate.errors import ConfigError, Inexpressible
from tidegate.io.bgp import PeerConfig, PeerRange, Speaker
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import KEEPALIVE
from tidegate.wire.bgp.open import decode_open
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import UnicastRoute, route_key


def template(**more: Any) -> PeerConfig:  # noqa: ANN401 - the fields of a peer
    return PeerConfig("192.0.2.1", 65001, "192.0.2.1", **more)


def ranged(
    seen: Seen | None = None, *, prefix: str = "127.0.0.0/28", most: int = 64, linger_s: float = 60.0
) -> Speaker:
    peers = PeerRange(prefix, template(peer_as=65002), max_neighbors=most, linger_s=linger_s)
    return Speaker([peers], port=0, listen=["127.0.0.1"], hooks=seen.hooks() if seen else None)


async def come(speaker: Speaker, source: str) -> Raw:
    """Connect from an address and say what establishes a session."""
    raw = await dial(speaker, source)
    raw.writer.write(GREETING + KEEPALIVE)
    return raw


def names(speaker: Speaker) -> list[str]:
    return [status.address for status in speaker.neighbors()]


@pytest.mark.parametrize(
    ("prefix", "here", "there"),
    [("127.0.0.0/28", "127.0.0.1", ("127.0.0.2", "127.0.0.3")), ("::/120", "::1", ("::1",))],
)
@pytest.mark.parametrize("secured", [{}, {"md5_key": "a secret"}, {"gtsm_hops": 1}], ids=["plain", "md5", "gtsm"])
def test_whoever_connects_from_the_prefix_is_told_what_is_wanted_of_all(
    prefix: str, here: str, there: tuple[str, ...], secured: dict[str, Any]
) -> None:
    need_address(here)
    if "md5_key" in secured:
        need_md5()

    async def test() -> None:
        seen, others = Seen(), [Seen() for _ in there]
        peers = PeerRange(prefix, template(**secured))
        async with Speaker([peers], port=0, listen=[here], hooks=seen.hooks()) as speaker:
            assert speaker.neighbors() == []
            speaker.announce(None, rule(1))
            dialling = [
                PeerConfig(here, 65002, f"192.0.2.{place + 2}", port=speaker.ports[0], local_address=source, **secured)
                for place, source in enumerate(there)
            ]
            async with asyncio.TaskGroup() as group:
                ending = asyncio.Event()
                for config, other in zip(dialling, others, strict=True):
                    group.create_task(speak(config, other, ending))
                for other in others:
                    assert (await other.route()).announced[0].destinations == (rule(1).rule,)
                assert sorted(names(speaker)) == sorted(there)
                assert all(status.dynamic and status.state == "established" for status in speaker.neighbors())
                speaker.announce(there[0], rule(2))
                assert (await others[0].route()).announced[0].destinations == (rule(2).rule,)
                ending.set()

    run(test)


async def speak(config: PeerConfig, seen: Seen, ending: asyncio.Event) -> None:
    async with Speaker([config], port=None, hooks=seen.hooks()):
        await ending.wait()


def test_one_of_the_prefix_without_its_key_is_not_heard() -> None:
    need_md5()

    async def test() -> None:
        async with Speaker([PeerRange("127.0.0.0/28", template(md5_key="a"))], port=0, listen=["127.0.0.1"]) as speaker:
            wrong = socket.socket()
            wrong.setblocking(False)  # noqa: FBT003 - the standard library takes it so
            with wrong, pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    asyncio.get_running_loop().sock_connect(wrong, ("127.0.0.1", speaker.ports[0])), 0.3
                )

    run(test)


def test_strangers_are_refused_counted_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with ranged() as speaker:
            for last in range(20, 30):
                raw = await dial(speaker, f"127.0.0.{last}")
                assert await raw.message() is None
                await raw.close()
            assert speaker.refused == 10
            assert speaker.neighbors() == []

    with caplog.at_level(logging.WARNING):
        run(test)
    assert [record.message for record in caplog.records] == [
        "127.0.0.20: connection refused: no such peer is configured"
    ]


def test_a_full_prefix_refuses_more_until_one_has_gone(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        seen = Seen()
        async with ranged(seen, most=2) as speaker:
            first, second = await come(speaker, "127.0.0.2"), await come(speaker, "127.0.0.3")
            await seen.up.get()
            await seen.up.get()
            third = await come(speaker, "127.0.0.4")
            assert await third.message() is None
            await third.close()
            await first.close()
            await seen.down.get()
            await until(lambda: bool(gone(speaker)))  # once its back-off is over
            fourth = await come(speaker, "127.0.0.4")
            assert await seen.up.get() == "127.0.0.4"
            fifth = await come(speaker, "127.0.0.5")
            assert await fifth.message() is None
            assert names(speaker) == ["127.0.0.3", "127.0.0.4"]
            for raw in (second, fourth, fifth):
                await raw.close()

    with caplog.at_level(logging.WARNING):
        run(test)
    assert "127.0.0.4: connection refused: 127.0.0.0/28 has its 2 neighbours already" in caplog.text


def gone(speaker: Speaker) -> list[str]:
    """Return the neighbours that only are remembered."""
    (members,) = speaker._ranges.values()
    return [name for name, timer in members._gone.items() if timer is not None]


def test_one_that_is_gone_is_forgotten_after_a_while() -> None:
    async def test() -> None:
        seen = Seen()
        async with ranged(seen, linger_s=0.01) as speaker:
            raw = await come(speaker, "127.0.0.2")
            await seen.up.get()
            await raw.close()
            await seen.down.get()
            assert names(speaker) == ["127.0.0.2"]
            await until(lambda: names(speaker) == [])
            again = await come(speaker, "127.0.0.2")
            assert await seen.up.get() == "127.0.0.2"
            await again.close()

    run(test)


def test_one_with_rules_of_its_own_is_not_forgotten_and_may_be_yet_to_come() -> None:
    async def test() -> None:
        seen = Seen()
        async with ranged(seen, linger_s=0.0) as speaker:
            speaker.announce("127.0.0.7", rule(7))
            assert names(speaker) == ["127.0.0.7"]
            raw = await come(speaker, "127.0.0.7")
            assert (await seen.sent.get())[:2] == ("127.0.0.7", route_key(rule(7)))
            await raw.close()
            await seen.down.get()
            again = await come(speaker, "127.0.0.7")
            await seen.sent.get()
            await again.close()
            await seen.down.get()
            assert speaker.flows("127.0.0.7") == (rule(7),)
            assert speaker.withdraw("127.0.0.7", route_key(rule(7)))
            await until(lambda: names(speaker) == [])
            with pytest.raises(ConfigError, match=r"no such peer \(known: 127.0.0.0/28\)"):
                speaker.flows("127.0.0.7")

    run(test)


def test_one_that_was_shut_out_stays_out() -> None:
    async def test() -> None:
        seen = Seen()
        peers = PeerRange("127.0.0.0/28", template(max_prefixes=1), linger_s=0.0)
        async with Speaker([peers], port=0, listen=["127.0.0.1"], hooks=seen.hooks()) as speaker:
            raw = await come(speaker, "127.0.0.2")
            await seen.up.get()
            raw.announce(2)
            found = await raw.notification()
            assert found is not None
            assert (found.code, found.subcode) == (6, 1)
            await raw.close()
            for _ in range(3):
                again = await dial(speaker, "127.0.0.2")
                assert await again.message() is None
                await again.close()
            assert "more than 1 routes of ipv4-unicast" in seen.warned[-1][1]
            assert speaker.neighbors()[0].shut
            speaker.reset_peer("127.0.0.2")
            raw = await come(speaker, "127.0.0.2")
            assert await seen.up.get() == "127.0.0.2"
            await raw.close()

    run(test)


def test_a_peer_of_its_own_inside_a_prefix_is_no_neighbour_of_the_prefix() -> None:
    async def test() -> None:
        seen = Seen()
        own = PeerConfig("127.0.0.2", 65009, "192.0.2.1", passive=True)
        peers: list[PeerConfig | PeerRange] = [PeerRange("127.0.0.0/28", template()), own]
        async with Speaker(peers, port=0, listen=["127.0.0.1"], hooks=seen.hooks()) as speaker:
            raw = await dial(speaker, "127.0.0.2")
            message = await raw.message()
            assert message is not None
            assert decode_open(message.body).asn == 65009
            assert [status.dynamic for status in speaker.neighbors()] == [False]
            await raw.close()

    run(test)


def test_a_prefix_that_is_removed_parts_with_all_its_neighbours() -> None:
    async def test() -> None:
        seen = Seen()
        async with ranged(seen) as speaker:
            speaker.announce("127.0.0.3", rule(3))
            raw = await come(speaker, "127.0.0.2")
            await seen.up.get()
            speaker.remove_peer("127.0.0.0/28")
            found = await raw.notification()
            assert found is not None
            assert (found.code, found.subcode) == (6, 3)
            await raw.close()
            assert speaker.neighbors() == []
            stranger = await dial(speaker, "127.0.0.2")
            assert await stranger.message() is None
            await stranger.close()

    run(test)


def test_one_of_a_prefix_that_is_removed_may_come_again() -> None:
    async def test() -> None:
        seen = Seen()
        async with ranged(seen, most=1, linger_s=0.0) as speaker:
            raw = await come(speaker, "127.0.0.2")
            await seen.up.get()
            speaker.remove_peer("127.0.0.2")
            assert await raw.notification() is not None
            await raw.close()
            assert speaker.neighbors() == []
            raw = await come(speaker, "127.0.0.2")
            assert await seen.up.get() == "127.0.0.2"
            await raw.close()

    run(test)


def test_before_it_runs_rules_for_one_of_a_prefix_are_kept() -> None:
    async def test() -> None:
        seen = Seen()
        speaker = ranged(seen, most=1)
        speaker.announce("127.0.0.7", rule(7))
        speaker.announce("127.0.0.7", rule(8))
        assert speaker.withdraw("127.0.0.7", route_key(rule(8)))
        with pytest.raises(ConfigError, match=r"127\.0\.0\.0/28 has its 1 neighbours already"):
            speaker.announce("127.0.0.8", rule(7))
        async with speaker:
            raw = await come(speaker, "127.0.0.7")
            assert (await seen.sent.get())[:2] == ("127.0.0.7", route_key(rule(7)))
            await raw.close()

    run(test)


@pytest.mark.parametrize("name", ["router", "", "127.0.0.99", 7])
def test_what_names_no_peer_is_told_so(name: Any) -> None:  # noqa: ANN401 - a script may say anything
    speaker = ranged()
    calls: tuple[Callable[[], object], ...] = (
        lambda: speaker.remove_peer(name),
        lambda: speaker.flows(name),
        lambda: speaker.announce(name, rule(1)),
        lambda: speaker.withdraw(name, route_key(rule(1))),
        lambda: speaker.release(name),
    )
    for call in calls:
        with pytest.raises(ConfigError, match="no such peer"):
            call()


def test_what_the_neighbours_could_not_be_told_is_refused() -> None:
    config = template(families=(Family.IPV4_UNICAST,), max_routes=1)
    speaker = Speaker([PeerRange("192.0.2.0/24", config)], port=0)
    route, another = (UnicastRoute(parse_prefix(f"192.0.2.{last}"), parse_address("192.0.2.1")) for last in (1, 2))
    with pytest.raises(Inexpressible, match="ipv4-flowspec"):
        speaker.announce(None, rule(1))
    speaker.announce(None, route)
    with pytest.raises(Inexpressible, match="more than 1 routes"):
        speaker.announce(None, another)
    assert speaker.routes(None) == (route,)
    assert speaker.withdraw(None, route_key(route))
    assert speaker.routes(None) == ()


@pytest.mark.parametrize(
    ("peers", "said"),
    [
        ([PeerRange("192.0.2.1/24", template())], "bits beyond its length; is 192.0.2.0/24 meant"),
        ([PeerRange("router", template())], "neither an address nor a prefix"),
        ([PeerRange("192.0.2.0/24", template(), max_neighbors=0)], "max_neighbors: 0 is not from 1"),
        ([PeerRange("192.0.2.0/24", template(hold_time_s=1))], "hold_time_s"),
        ([PeerRange("192.0.2.0/24", template(ttl=1, gtsm_hops=1))], "leave out either ttl or gtsm_hops"),
        ([PeerRange("192.0.2.0/24", template())] * 2, "this prefix has a peer already"),
        (
            [PeerRange("192.0.2.0/24", template(md5_key="k")), PeerConfig("192.0.2.9", 1, "192.0.2.1")],
            "192.0.2.9.md5_key: needed, since 192.0.2.0/24 around it has one",
        ),
    ],
)
def test_prefixes_that_cannot_be_used_are_refused(peers: list[PeerConfig | PeerRange], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Speaker(peers, port=0)
    assert said in str(caught.value)


def test_a_prefix_needs_a_port() -> None:
    with pytest.raises(ConfigError, match="a prefix of peers needs a port to listen on"):
        Speaker([PeerRange("192.0.2.0/24", template())], port=None)
