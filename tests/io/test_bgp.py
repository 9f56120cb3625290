"""The speaker on real loopback sockets: with another one, and with peers that misbehave."""

from __future__ import annotations

import asyncio
import logging
import socket

import msgspec
import pytest

from bgp_raw import GREETING, Raw, Seen, dial, need_address, need_md5, passive_speaker, rule, run, until
from net_namespace import in_namespace, shell
from tidegate.errors import ConfigError, Inexpressible, SourceError
from tidegate.io.bgp import Hooks, PeerConfig, Speaker
from tidegate.io.bgp_socket import any_addresses, dial_socket
from tidegate.units import Asn
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import KEEPALIVE, Notification, encode_notification
from tidegate.wire.bgp.open import Capabilities, Open, encode_open
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import UnicastRoute, route_key


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("secured", [{}, {"md5_key": "a secret"}, {"gtsm_hops": 1}], ids=["plain", "md5", "gtsm"])
def test_two_speakers(address: str, secured: dict[str, object]) -> None:
    need_address(address)
    if "md5_key" in secured:
        need_md5()

    async def test() -> None:
        here, there = Seen(), Seen()
        theirs = PeerConfig(address, 65002, "192.0.2.2", passive=True, **secured)  # type: ignore[arg-type]
        async with Speaker([theirs], port=0, listen=[address], hooks=there.hooks()) as other:
            ours = PeerConfig(address, 65001, "192.0.2.1", port=other.ports[0], **secured)  # type: ignore[arg-type]
            async with Speaker([ours], port=None, hooks=here.hooks()) as speaker:
                speaker.announce(None, rule(1))
                peer, key, wall_ns = await here.sent.get()
                assert (peer, key) == (address, route_key(rule(1)))
                assert wall_ns > 1_700_000_000_000_000_000
                assert (await there.route()).announced[0].destinations == (rule(1).rule,)
                assert speaker.withdraw(address, key)
                assert not speaker.withdraw(None, key)
                assert (await there.route()).withdrawn[0].destinations == (rule(1).rule,)
                (status,) = speaker.neighbors()
                assert (status.state, status.peer_as, status.router_id) == ("established", 65002, "192.0.2.2")
                assert (status.wanted, status.waiting, status.failures) == (0, 0, 0)
                assert "ipv4-flowspec" in status.families
                assert (status.local_as, status.hold_time_s, status.flaps) == (65001, 90, 0)
                assert (status.local_address, status.remote_port) == (address, other.ports[0])
                assert min(status.octets_in, status.octets_out, status.local_port, status.uptime_s) > 0
                assert await here.up.get() == address
            assert await there.down.get() == address
            (left,) = other.neighbors()
            said = "hard reset (6/9): administrative shutdown (6/2)"  # else what was announced would be kept
            assert left.last_error.startswith(f"the peer closed: {said}")
            assert left.notification_received.startswith(said)
            assert (left.flaps, left.uptime_s, left.remote_port) == (1, 0.0, 0)

    run(test)


def test_a_peer_with_another_key_is_not_heard() -> None:
    need_md5()

    async def test() -> None:
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", passive=True, md5_key="one")
        async with Speaker([config], port=0, listen=["127.0.0.1"]) as speaker:
            wrong = socket.socket()
            wrong.setblocking(False)  # noqa: FBT003 - the standard library takes it so
            with wrong, pytest.raises(TimeoutError):
                await asyncio.wait_for(
                    asyncio.get_running_loop().sock_connect(wrong, ("127.0.0.1", speaker.ports[0])), 0.3
                )

    run(test)


def test_unknown_peers_are_closed_without_an_answer() -> None:
    async def test() -> None:
        async with passive_speaker() as speaker:
            raw = await dial(speaker, "127.0.0.9")
            assert await raw.message() is None
            await raw.close()

    run(test)


STAGES = {"opensent": b"", "openconfirm": GREETING, "established": GREETING + KEEPALIVE}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
def test_garbage_at_every_stage_gets_a_notification(stage: bytes) -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            raw = await dial(speaker)
            raw.writer.write(stage + b"GET / HTTP/1.1\r\n\r\n" * 100)
            found = await raw.notification()
            assert found is not None
            assert (found.code, found.subcode) == (1, 1)
            await raw.close()
            again = await dial(speaker)
            again.writer.write(GREETING + KEEPALIVE)
            while await seen.up.get() != "127.0.0.1":
                pass
            assert speaker.neighbors()[0].received["open"] >= 1
            await again.close()

    run(test)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES.keys())
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "close"])
def test_a_peer_may_close_at_every_stage(stage: bytes, *, reset: bool) -> None:
    async def test() -> None:
        async with passive_speaker() as speaker:
            raw = await dial(speaker)
            raw.writer.write(stage)
            assert await raw.message() is not None
            if reset:
                raw.writer.transport.abort()
            await raw.close()
            await until(lambda: speaker.neighbors()[0].state == "active")
            assert speaker.neighbors()[0].last_error

    run(test)


def test_a_silent_peer_does_not_hold_up_the_end() -> None:
    async def test() -> None:
        async with asyncio.timeout(10):
            async with passive_speaker() as speaker:
                raw = await dial(speaker)
                assert await raw.message() is not None
            found = await raw.notification()
            assert found is not None
            assert (found.code, found.subcode) == (6, 2)
            await raw.close()

    run(test)


def test_a_peer_that_does_not_read_grows_no_memory_and_gets_all_later() -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", speaker.ports[0]))
            sock.sendall(GREETING + KEEPALIVE)
            await seen.up.get()
            link = speaker._links["127.0.0.1"]
            (connection,) = link._connections.values()
            connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            count = 2000
            for number in range(count):
                speaker.announce(None, rule(number))
            await until(lambda: connection.paused)
            for _ in range(100):
                await asyncio.sleep(0)
            assert connection.transport.get_write_buffer_size() <= 16384 + 4096
            assert speaker.neighbors()[0].waiting > 0
            reader, writer = await asyncio.open_connection(sock=sock)
            raw = Raw(reader, writer)
            updates = 0
            while updates < count + len(Family):
                message = await raw.message()
                assert message is not None
                updates += message.type == 2
            assert speaker.neighbors()[0].waiting == 0
            await raw.close()

    run(test)


def test_a_refused_connection_is_told_in_words() -> None:
    async def test() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=port)
            async with Speaker([config], port=None) as speaker:
                await until(lambda: bool(speaker.neighbors()[0].last_error))
                assert speaker.neighbors()[0].state == "active"
                expected = f"connecting to 127.0.0.1 port {port}: Connection refused"
                assert speaker.neighbors()[0].last_error == expected

    run(test)


def test_a_peer_that_comes_later_is_found() -> None:
    async def test() -> None:
        seen = Seen()
        with socket.socket() as later:
            later.bind(("127.0.0.1", 0))
            port = later.getsockname()[1]
            config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=port, connect_retry_s=0.01)
            async with Speaker([config], port=None, hooks=seen.hooks()) as speaker:
                await until(lambda: "refused" in speaker.neighbors()[0].last_error)
                later.listen()
                later.setblocking(False)  # noqa: FBT003 - the standard library takes it so
                accepted, _ = await asyncio.get_running_loop().sock_accept(later)
                raw = Raw(*await asyncio.open_connection(sock=accepted))
                raw.writer.write(GREETING + KEEPALIVE)
                assert await seen.up.get() == "127.0.0.1"
                await raw.close()

    run(test)


def test_a_local_address_that_is_not_here_is_told_in_words() -> None:
    async def test() -> None:
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", local_address="192.0.2.77")
        async with Speaker([config], port=None) as speaker:
            await until(lambda: bool(speaker.neighbors()[0].last_error))
            assert "Cannot assign requested address" in speaker.neighbors()[0].last_error

    run(test)


def test_an_end_while_dialling() -> None:
    async def test() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            port = full.getsockname()[1]
            fillers = [socket.socket() for _ in range(3)]
            for filler in fillers:  # the backlog is full: further connections get no answer
                filler.setblocking(False)  # noqa: FBT003 - the standard library takes it so
                filler.connect_ex(("127.0.0.1", port))
            async with Speaker([PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=port)], port=None) as speaker:
                await asyncio.sleep(0)
                assert speaker.neighbors()[0].state == "connect"
            for filler in fillers:
                filler.close()

    run(test)


def test_a_port_in_use_is_told_with_advice() -> None:
    async def test() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(SourceError, match=f"port {port}: another program has the port"):
                async with Speaker(port=port, listen=["127.0.0.1"]):
                    pass

    run(test)


def test_hooks_that_raise_are_logged_and_end_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def wrong(*_: object) -> None:
        raise RuntimeError("a user's mistake")

    async def test() -> None:
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", passive=True)
        hooks = Hooks(up=wrong, down=wrong, sent=wrong, update=wrong)
        async with Speaker([config], port=0, listen=["127.0.0.1"], hooks=hooks) as speaker:
            speaker.announce(None, rule(1))
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            kinds: list[int] = []
            while kinds.count(2) < 5:
                message = await raw.message()
                assert message is not None
                kinds.append(int(message.type))
            assert speaker.neighbors()[0].state == "established"
            await raw.close()

    with caplog.at_level(logging.ERROR):
        run(test)
    assert "a user's mistake" in caplog.text


def test_an_address_has_one_peer() -> None:
    with pytest.raises(ConfigError, match="already"):
        Speaker([PeerConfig(address, 65001, "192.0.2.1") for address in ("2001:db8::1", "2001:DB8:0::1")])


def test_what_is_announced_before_it_runs_is_kept() -> None:
    speaker = Speaker([PeerConfig("192.0.2.9", 65001, "192.0.2.1", families=(Family.IPV4_UNICAST,))])
    route = UnicastRoute(parse_prefix("192.0.2.66"), parse_address("192.0.2.1"))
    speaker.announce(None, route)
    assert speaker.routes("192.0.2.9") == (route,)
    assert speaker.withdraw("192.0.2.9", route_key(route))
    with pytest.raises(Inexpressible, match="ipv4-flowspec"):
        speaker.announce(None, rule(1))
    with pytest.raises(Inexpressible, match="ipv4-flowspec"):
        speaker.announce("192.0.2.9", rule(1))
    with pytest.raises(ConfigError, match=r"no such peer \(known: 192.0.2.9\)"):
        speaker.announce("192.0.2.10", route)


def test_one_peer_that_cannot_be_told_does_not_keep_it_from_the_others() -> None:
    full = PeerConfig("192.0.2.8", 65001, "192.0.2.1", max_routes=1)
    speaker = Speaker([full, PeerConfig("192.0.2.9", 65001, "192.0.2.1")])
    speaker.announce(None, rule(1))
    with pytest.raises(Inexpressible, match="more than 1 routes"):
        speaker.announce(None, rule(2))
    assert speaker.flows("192.0.2.9") == (rule(1), rule(2))
    assert speaker.flows("192.0.2.8") == (rule(1),)


def test_by_default_every_address_is_listened_on() -> None:
    async def test() -> None:
        async with Speaker(port=0) as speaker:
            assert len(speaker.ports) == len(any_addresses())

    run(test)


def test_a_name_is_no_address_to_listen_on() -> None:
    async def test() -> None:
        with pytest.raises(SourceError, match="BGP listener nowhere: this is no address"):
            async with Speaker(port=0, listen=["nowhere"]):
                pass

    run(test)


def test_one_that_is_cancelled_says_so_to_its_peers() -> None:
    async def test() -> None:
        seen = Seen()
        speaker = passive_speaker(seen)

        async def speak() -> None:
            async with speaker:
                await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(speak())
        await until(lambda: bool(speaker.ports))
        raw = await dial(speaker)
        raw.writer.write(GREETING + KEEPALIVE)
        await seen.up.get()
        task.cancel()
        found = await raw.notification()
        assert found is not None
        assert (found.code, found.subcode) == (6, 2)
        with pytest.raises(asyncio.CancelledError):
            await task
        await raw.close()

    run(test)


def states(seen: Seen) -> list[str]:
    return [text.partition(":")[0] for _, text in seen.changed if " to " in text.partition(":")[0]]


def test_every_change_and_notification_is_told_in_words(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        seen = Seen()
        async with passive_speaker(seen) as speaker:
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            await seen.up.get()
            assert states(seen) == ["idle to opensent", "opensent to openconfirm", "openconfirm to established"]
            raw.writer.write(encode_notification(Notification(6, 4)))
            await seen.down.get()
            await raw.close()
            assert states(seen)[3:] == ["established to idle"]
            told = [text for _, text in seen.changed if text.startswith("NOTIFICATION received: ")]
            assert told[0].startswith("NOTIFICATION received: administrative reset (6/4)")
            (status,) = speaker.neighbors()
            assert told == [f"NOTIFICATION received: {status.notification_received}"]
            assert (status.flaps, status.messages_in, status.messages_out > 2) == (1, 3, True)

    with caplog.at_level(logging.INFO):
        run(test)
    assert [(record.levelname, record.message.partition(":")[0]) for record in caplog.records] == [
        ("INFO", "127.0.0.1"),
        ("WARNING", "127.0.0.1"),
    ]


def test_why_a_peer_cannot_be_reached_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        seen = Seen()
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=unused.getsockname()[1], connect_retry_s=0.001)
            async with Speaker([config], port=None, hooks=seen.hooks()):
                await until(lambda: len(seen.changed) > 20)

    with caplog.at_level(logging.INFO):
        run(test)
    lines = [record.message for record in caplog.records]
    assert len(lines) == len(set(lines)) <= 2  # on a slow machine it also is one that does not answer in time
    assert "Connection refused" in caplog.text


def test_a_peer_near_its_number_of_routes_is_warned_of() -> None:
    async def test() -> None:
        seen = Seen()
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", passive=True, max_prefixes=10)
        async with Speaker([config], port=0, listen=["127.0.0.1"], hooks=seen.hooks()) as speaker:
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            raw.announce(9)
            await until(lambda: speaker.neighbors()[0].prefixes["ipv4-unicast"] == 9)
            await until(lambda: len(seen.warned) == 1)
            assert "ipv4-unicast" in seen.warned[0][1]
            await raw.close()

    run(test)


@pytest.mark.parametrize("secured", [{}, {"md5_key": "a secret"}], ids=["plain", "md5"])
def test_peers_come_and_go_while_it_runs(secured: dict[str, str]) -> None:
    if secured:
        need_md5()

    async def test() -> None:
        here, there = Seen(), Seen()
        async with (
            Speaker(port=0, listen=["127.0.0.1"], hooks=there.hooks()) as other,
            Speaker(port=0, listen=["127.0.0.1"], hooks=here.hooks()) as speaker,
        ):
            assert speaker.neighbors() == []
            with pytest.raises(Inexpressible, match="any peer"):
                speaker.announce(None, rule(1))
            speaker.add_peer(PeerConfig("127.0.0.9", 65001, "192.0.2.1", passive=True))
            speaker.announce(None, rule(1))
            there_config = PeerConfig("127.0.0.1", 65002, "192.0.2.2", passive=True, **secured)  # type: ignore[arg-type]
            other.add_peer(there_config)
            ours = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port=other.ports[0], **secured)  # type: ignore[arg-type]
            speaker.add_peer(ours)
            assert (await there.route()).announced[0].destinations == (rule(1).rule,)
            with pytest.raises(ConfigError, match="already"):
                speaker.add_peer(ours)
            speaker.remove_peer("127.0.0.1")
            await there.down.get()
            assert "(6/3)" in other.neighbors()[0].notification_received
            assert [status.address for status in speaker.neighbors()] == ["127.0.0.9"]
            with pytest.raises(ConfigError, match=r"no such peer \(known: 127.0.0.9\)"):
                speaker.remove_peer("127.0.0.1")
            other.remove_peer("127.0.0.1")
            other.add_peer(msgspec.structs.replace(there_config, md5_key=None))
            speaker.add_peer(msgspec.structs.replace(ours, md5_key=None))
            assert (await there.route()).announced[0].destinations == (rule(1).rule,)

    run(test)


def test_what_was_announced_at_a_peer_is_forgotten_with_it() -> None:
    async def test() -> None:
        config = PeerConfig("127.0.0.9", 65001, "192.0.2.1", passive=True)
        async with Speaker([config], port=None) as speaker:
            speaker.announce("127.0.0.9", rule(1))
            speaker.remove_peer("127.0.0.9")
            speaker.add_peer(config)
            assert speaker.flows("127.0.0.9") == ()

    run(test)


def test_a_session_is_reset_and_routes_are_asked_for_again() -> None:
    async def test() -> None:
        seen = Seen()
        opening = encode_open(Open(Asn(65002), 90, 7, Capabilities(tuple(Family), route_refresh=True)))
        async with passive_speaker(seen) as speaker:
            assert speaker.request_refresh("127.0.0.1") == ()
            assert speaker.release("127.0.0.1") == 0
            raw = await dial(speaker)
            raw.writer.write(opening + KEEPALIVE)
            await seen.up.get()
            assert speaker.request_refresh("127.0.0.1") == tuple(Family)
            kinds: list[int] = []
            while kinds.count(5) < len(Family):
                message = await raw.message()
                assert message is not None
                kinds.append(int(message.type))
            speaker.reset_peer("127.0.0.1")
            found = await raw.notification()
            assert found is not None
            assert (found.code, found.subcode) == (6, 4)
            await raw.close()

    run(test)


@in_namespace
def test_link_local_peers() -> None:
    shell("ip link set lo up; ip address add fe80::1/64 dev lo nodad; ip address add fe80::2/64 dev lo nodad")

    async def test() -> None:
        here, there = Seen(), Seen()
        theirs = PeerConfig("fe80::2%1", 65002, "192.0.2.2", passive=True)
        async with Speaker([theirs], port=0, listen=["::"], hooks=there.hooks()) as other:
            local = "fe80::2%lo"
            ours = PeerConfig("fe80::1%lo", 65001, "192.0.2.1", port=other.ports[0], local_address=local)
            async with Speaker([ours], port=None, hooks=here.hooks()) as speaker:
                assert await here.up.get() == "fe80::1%lo"
                assert await there.up.get() == "fe80::2%1"
                assert speaker.withdraw("FE80::1%lo", route_key(rule(1))) is False
                with pytest.raises(ConfigError, match="no such peer"):
                    speaker.flows("fe80::1")

    run(test)


def test_an_interface_that_is_not_here_is_told_in_words() -> None:
    async def test() -> None:
        async with Speaker([PeerConfig("fe80::1%nowhere", 65001, "192.0.2.1")], port=None) as speaker:
            await until(lambda: bool(speaker.neighbors()[0].last_error))
            assert "connecting to fe80::1%nowhere port 179: no interface" in speaker.neighbors()[0].last_error

    run(test)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ttl": 2, "gtsm_hops": 1}, "ttl: GTSM sends with a time-to-live of 255"),
        ({"address": "fe80::1"}, "address: a link-local address needs its interface, such as fe80::1%eth0"),
        ({"address": "fe80::1%lo", "local_address": "fe80::2"}, "local_address: a link-local address needs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(more: dict[str, object], said: str) -> None:
    config = PeerConfig(**{"address": "127.0.0.1", "local_as": 1, "router_id": "192.0.2.1", **more})  # type: ignore[arg-type]
    with pytest.raises(ConfigError) as caught:
        Speaker([config])
    assert said in str(caught.value)


@pytest.mark.parametrize(("gtsm_hops", "heard"), [(1, False), (192, True), (191, False)])
def test_gtsm_drops_what_comes_from_too_far(gtsm_hops: int, *, heard: bool) -> None:
    async def test() -> None:
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", passive=True, gtsm_hops=gtsm_hops)
        seen = Seen()
        async with Speaker([config], port=0, listen=["127.0.0.1"], hooks=seen.hooks()) as speaker:
            raw = await dial(speaker)  # with the time-to-live of this machine, 64
            message = await raw.message()  # what the kernel lets out was not checked yet
            assert message is not None
            raw.writer.write(GREETING + KEEPALIVE)
            if heard:
                assert await seen.up.get() == "127.0.0.1"
            else:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(seen.up.get(), 0.3)
            raw.writer.transport.abort()
            await raw.close()

    run(test)


def test_a_time_to_live_is_that_of_both_directions() -> None:
    async def test() -> None:
        seen = Seen()
        config = PeerConfig("127.0.0.1", 65001, "192.0.2.1", passive=True, ttl=7)
        async with Speaker([config], port=0, listen=["127.0.0.1"], hooks=seen.hooks()) as speaker:
            raw = await dial(speaker)
            raw.writer.write(GREETING + KEEPALIVE)
            await seen.up.get()
            (connection,) = speaker._links["127.0.0.1"]._connections.values()
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7
            await raw.close()
        with dial_socket(config) as dialled:
            assert dialled.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7

    run(test)
