"""Speakers with a state file: what a peer sees over crashes, upgrades and orderly stops."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pytest

from bgp_raw import KEEPALIVE, Raw, Seen, dial, greeting, rule, run, until
from tidegate.errors import SourceError
from tidegate.io.bgp import Hooks, PeerConfig, PeerRange, Restored, Speaker, StateFile
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.open import Negotiated, Open, decode_open
from tidegate.wire.bgp.routes import route_key
from tidegate.wire.bgp.update import Update, decode_update

PEER = PeerConfig("127.0.0.1", 65001, "192.0.2.1", peer_as=65002, passive=True)
FAR = time.time() + 3600


def speaker(path: Path, *, keep_on_stop: bool = False, peers: tuple[PeerConfig | PeerRange, ...] = (PEER,)) -> Speaker:
    return Speaker(peers, port=0, listen=["127.0.0.1"], state=StateFile(str(path), keep_on_stop))


async def connect(to: Speaker) -> tuple[Raw, Open]:
    """Establish a session and return it with the OPEN that came."""
    raw = await dial(to)
    raw.writer.write(greeting(restart_s=60) + KEEPALIVE)
    message = await raw.message()
    assert message is not None
    return raw, decode_open(message.body)


async def updates(raw: Raw, families: int = len(Family)) -> list[Update]:
    """Return the UPDATEs up to the End-of-RIB of the last family."""
    found: list[Update] = []
    agreed = Negotiated(PEER.local_as, 65002, 1, 90, frozenset(Family))  # type: ignore[arg-type]
    while families:
        message = await raw.message()
        assert message is not None
        if message.type == 2:
            found.append(decode_update(message.body, agreed))
            families -= found[-1].end_of_rib is not None
    return found


def rules(found: list[Update]) -> set[object]:
    return {one for update in found for group in update.announced for one in group.destinations}


def test_after_an_upgrade_all_is_said_again_before_the_end_of_rib(tmp_path: Path) -> None:
    async def test() -> None:
        async with speaker(tmp_path / "state", keep_on_stop=True) as first:
            raw, opening = await connect(first)
            assert opening.capabilities.graceful_restart is not None
            assert not opening.capabilities.graceful_restart.restarted
            first.announce(None, rule(1))
            first.announce("127.0.0.1", rule(2), expires=FAR)
            first.announce("127.0.0.1", rule(3), expires=time.time() + 0.2)
            await updates(raw)
        assert await raw.notification() is None
        await raw.close()
        await asyncio.sleep(0.2)  # until the third is over
        async with speaker(tmp_path / "state") as second:
            raw, opening = await connect(second)
            assert opening.capabilities.graceful_restart is not None
            assert opening.capabilities.graceful_restart.restarted
            assert set(opening.capabilities.graceful_restart.kept) == set(Family)
            found = await updates(raw)
            assert rules(found[:-4]) == {rule(1).rule, rule(2).rule}
            assert set(second.restored()) == {Restored(None, rule(1), None), Restored("127.0.0.1", rule(2), FAR)}
            second.announce(None, rule(1))
            assert second.restored() == (Restored("127.0.0.1", rule(2), FAR),)
            assert second.withdraw("127.0.0.1", route_key(rule(2)))
            assert second.restored() == ()
        assert await raw.notification() is not None
        await raw.close()
        async with speaker(tmp_path / "state") as third:
            raw, opening = await connect(third)
            assert opening.capabilities.graceful_restart is not None
            assert not opening.capabilities.graceful_restart.restarted
            assert rules(await updates(raw)) == set()
            await raw.close()

    run(test)


CHILD = """
import asyncio, sys, time
sys.path[:0] = {path!r}
from bgp_raw import rule
from tidegate.io.bgp import Hooks, PeerConfig, Speaker, StateFile

async def main():
    told = lambda *_: print("sent", flush=True)
    peer = PeerConfig("127.0.0.1", 65001, "192.0.2.1", port={port}, connect_retry_s=0.1)
    async with Speaker([peer], port=None, state=StateFile({state!r}), hooks=Hooks(sent=told)) as speaker:
        if {announce}:
            for number in range(100):
                speaker.announce(None, rule(number), expires=time.time() + 3600)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def child(port: int, state: Path, *, announce: bool) -> asyncio.subprocess.Process:
    paths = [str(Path(__file__).parent.parent), *sys.path]
    text = CHILD.format(path=paths, port=port, state=str(state), announce=announce)
    return await asyncio.create_subprocess_exec(sys.executable, "-c", text, stdout=asyncio.subprocess.PIPE)


def test_a_killed_speaker_comes_back_and_the_peer_never_loses_a_rule(tmp_path: Path) -> None:
    async def test() -> None:
        seen = Seen()
        state = tmp_path / "state"
        passive = PeerConfig("127.0.0.1", 65002, "192.0.2.2", passive=True)
        async with Speaker([passive], port=0, listen=["127.0.0.1"], hooks=seen.hooks()) as peer:

            def held() -> tuple[int, int]:
                (status,) = peer.neighbors()
                return status.prefixes["ipv4-flowspec"], status.stale.get("ipv4-flowspec", 0)

            first = await child(peer.ports[0], state, announce=True)
            await until(lambda: held() == (100, 0))
            assert first.stdout is not None
            for _ in range(100):
                await first.stdout.readline()
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
            await until(lambda: held() == (100, 100))
            second = await child(peer.ports[0], state, announce=False)
            least = 100
            while held()[1]:
                least = min(least, held()[0])
                await asyncio.sleep(0)
            assert (least, held()) == (100, (100, 0))
            second.terminate()
            await second.wait()

    run(test)


def test_an_error_keeps_the_state_and_says_nothing_to_the_peers(tmp_path: Path) -> None:
    async def test() -> None:
        raws: list[Raw] = []

        async def fail() -> None:
            async with speaker(tmp_path / "state") as first:
                raws.append((await connect(first))[0])
                first.announce(None, rule(1))
                await updates(raws[0])
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        (raw,) = raws
        assert await raw.notification() is None
        await raw.close()
        async with speaker(tmp_path / "state") as second:
            assert second.flows("127.0.0.1") == (rule(1),)

    run(test)


def test_what_was_announced_before_the_start_stands_above_the_file(tmp_path: Path) -> None:
    async def test() -> None:
        async with speaker(tmp_path / "state", keep_on_stop=True) as first:
            first.announce(None, rule(1), expires=FAR)
        second = speaker(tmp_path / "state", keep_on_stop=True)
        second.announce(None, rule(1))
        second.announce(None, rule(2))
        async with second:
            assert second.restored() == ()
        async with speaker(tmp_path / "state") as third:
            assert {(route.route, route.expires) for route in third.restored()} == {(rule(1), None), (rule(2), None)}

    run(test)


def test_rules_of_peers_that_are_not_there_wait_for_them(tmp_path: Path) -> None:
    async def test() -> None:
        other = PeerConfig("127.0.0.9", 65001, "192.0.2.1", passive=True)
        neighbours = PeerRange("127.0.1.0/24", PEER)
        async with speaker(tmp_path / "state", keep_on_stop=True, peers=(PEER, other, neighbours)) as first:
            first.announce("127.0.0.9", rule(1))
            first.announce("127.0.1.7", rule(2))
            first.announce("127.0.0.9", rule(3))
        async with speaker(tmp_path / "state", peers=(PEER, neighbours)) as second:
            assert second.flows("127.0.0.1") == ()
            assert second.flows("127.0.1.7") == (rule(2),)
            assert second.withdraw("127.0.0.9", route_key(rule(3)))
            assert len(second.restored()) == 2
            second.add_peer(other)
            await until(lambda: second.flows("127.0.0.9") == (rule(1),))

    run(test)


def test_a_full_set_of_rules_goes_out_while_it_is_written(tmp_path: Path) -> None:
    async def test() -> None:
        count = 10_000
        async with speaker(tmp_path / "state", keep_on_stop=True) as first:
            raw, _ = await connect(first)
            await updates(raw)
            for number in range(count):
                first.announce(None, rule(number))
            got = 0
            while got < count:
                message = await raw.message()
                assert message is not None
                got += message.type == 2
            await raw.close()
        async with speaker(tmp_path / "state") as second:
            assert len(second.restored()) == count

    run(test)


def test_a_disk_that_is_full_stops_no_announcement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tidegate.io.bgp_store._put", full)

    async def test() -> None:
        async with speaker(tmp_path / "state") as first:
            raw, _ = await connect(first)
            await updates(raw)
            for number in range(10):
                first.announce(None, rule(number))
                message = await raw.message()
                assert message is not None
            await until(lambda: (status := first.state()) is not None and status.behind)
            status = first.state()
            assert status is not None
            assert status.failures == 1
            await raw.close()

    with caplog.at_level(logging.WARNING):
        run(test)
    assert caplog.text.count("the disk is full") == 1


def full(*_: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("notes")

    async def test() -> None:
        with pytest.raises(SourceError, match="this is no state file"):
            async with speaker(tmp_path / "state"):
                pass
        async with speaker(tmp_path / "other"):
            with pytest.raises(SourceError, match="another process has it"):
                async with speaker(tmp_path / "other"):
                    pass

    run(test)


def test_rules_that_expire_are_withdrawn(tmp_path: Path) -> None:
    async def test() -> None:
        seen = Seen()
        hooks: Hooks = seen.hooks()
        async with Speaker(
            [PEER], port=0, listen=["127.0.0.1"], hooks=hooks, state=StateFile(str(tmp_path / "s"))
        ) as one:
            one.announce(None, rule(0), expires=time.time() - 1)
            assert one.flows(None) == ()
            one.announce(None, rule(1), expires=time.time() + 3600)
            one.announce("127.0.0.1", rule(2), expires=time.time() + 0.05)
            one.announce(None, rule(3), expires=time.time() + 0.05)
            one.announce(None, rule(3))
            await until(lambda: one.flows("127.0.0.1") == (rule(1), rule(3)))
            one.announce(None, rule(1), expires=time.time() - 1)
            assert one.flows(None) == (rule(3),)

    run(test)
