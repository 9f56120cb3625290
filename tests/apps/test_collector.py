from __future__ import annotations

import asyncio
import errno
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from running import CONFIG, attack, prepare, until
from script_files import write
from tidegate.apps.collector import Receiving, collector
from tidegate.apps.config import Config, RestText, ScriptText, SflowConfig
from tidegate.apps.pipeline import build_analyzer
from tidegate.errors import SourceError
from tidegate.io.client import Client
from tidegate.io.clock import SystemClock


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def flood(address: tuple[str, int], count: int) -> int:
    """Send without rest; return how many datagrams the kernel took."""
    sent = 0
    payloads = attack(50)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(count):
            try:
                sent += sock.sendto(payloads[number % 50], address) > 0
            except OSError as error:
                assert error.errno == errno.ENOBUFS  # noqa: PT017 - the rest are not sent, and not counted
    return sent


def test_what_comes_in_goes_out_or_is_counted_as_dropped() -> None:
    """A flood meets a small socket buffer and a queue of one megabyte; each datagram is found again."""
    sflow = SflowConfig(host="127.0.0.1", port=0, receive_buffer=1 << 16, queue_octets=1 << 20, block_size=64)
    config = msgspec.structs.replace(CONFIG, sflow=sflow)
    analyzer, shards = build_analyzer(config, shards=1, now_ns=SystemClock().time_ns)
    receiving = Receiving(config, shards, SystemClock())
    (receiver,), (shard,) = receiving.receivers, shards
    with receiving.run():
        sent = flood(receiver.address, 20_000)
        until(lambda: receiver.statistics().datagrams + (receiver.statistics().kernel_dropped or 0) == sent)
        counts = receiving.statistics()
        assert sorted(counts) == [
            "queues",
            "receivers",
            "sFlowDatagramsDroppedByKernel",
            "sFlowDatagramsDroppedByQueue",
            "shards",
        ]
    received, (queue,), done = receiver.statistics(), [one.statistics() for one in receiving.queues], shard.statistics()
    assert sent == received.datagrams + (received.kernel_dropped or 0)
    assert received.datagrams == queue.rows_in == queue.rows_out + queue.rows_dropped
    assert queue.rows_waiting == 0
    assert queue.rows_out == done.datagrams + done.failed_datagrams
    assert (done.failed_datagrams, done.flow_samples) == (0, 6 * done.datagrams)
    decoded = shard.decoder.statistics().counts
    assert decoded["datagrams"] == done.datagrams
    (agent,) = analyzer.agents().values()
    assert agent.sFlowDatagramsReceived == done.datagrams
    assert agent.sFlowFlowSamples == done.flow_samples


def test_several_workers_lose_nothing_at_rest() -> None:
    config = msgspec.structs.replace(CONFIG, sflow=SflowConfig(host="127.0.0.1", port=0, workers=3))
    analyzer, shards = build_analyzer(config, shards=3, now_ns=SystemClock().time_ns)
    receiving = Receiving(config, shards, SystemClock())
    assert len({receiver.address for receiver in receiving.receivers}) == 1
    with receiving.run():
        for _ in range(8):
            assert flood(receiving.receivers[0].address, 10) == 10
        until(lambda: sum(shard.statistics().datagrams for shard in shards) == 80)
    assert sum(one.sFlowDatagramsReceived for one in analyzer.agents().values()) == 80


def config_of(*scripts: Path, **more: Any) -> Config:  # noqa: ANN401 - fields of the configuration
    config = Config(
        sflow=SflowConfig(host="127.0.0.1", port=0),
        rest=RestText(port=0),
        scripts=tuple(ScriptText(str(path)) for path in scripts),
    )
    return msgspec.structs.replace(config, **more)


def test_a_script_may_ask_the_instance_it_runs_in(tmp_path: Path) -> None:
    text = """
    def setup(rt):
        rt.on_http(lambda call: "here")
        async def ask():
            reply = await rt.http("/agents/json")
            rt.shared.set("reply", reply.status)
        rt.after(0, ask)
    """

    async def run() -> object:
        async with collector(config_of(write(tmp_path, "s.py", text)), clock=SystemClock()) as running:
            assert running.rest_url is not None
            return await asyncio.to_thread(Client(running.rest_url).get, "scripts", "json")

    status = asyncio.run(run())
    assert isinstance(status, dict)
    assert status["s.py"]["alive"]


def test_rest_that_listens_everywhere_is_reached_on_loopback() -> None:
    async def run() -> str | None:
        rest = RestText(host="0.0.0.0", port=0)  # noqa: S104 - what is tested
        async with collector(config_of(rest=rest), clock=SystemClock()) as running:
            return running.rest_url

    url = asyncio.run(run())
    assert url is not None
    assert url.startswith("http://127.0.0.1:")


def test_rest_can_be_off() -> None:
    async def run() -> str | None:
        async with collector(config_of(rest=RestText(enabled=False)), clock=SystemClock()) as running:
            return running.rest_url

    assert asyncio.run(run()) is None


def test_what_was_opened_is_closed_where_a_later_part_cannot_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.close()
        config = config_of(sflow=SflowConfig(host="127.0.0.1", port=port), rest=RestText(port=taken.getsockname()[1]))

        async def run() -> None:
            async with collector(config, clock=SystemClock()):
                pytest.fail("it started")

        with pytest.raises(SourceError, match="the port is in use"):
            asyncio.run(run())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", port))
