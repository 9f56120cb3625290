from __future__ import annotations

import logging
import threading

import msgspec
import numpy as np
import pytest

from running import CONFIG, SECOND, Heard, attack, blocks, prepare, until
from tidegate.apps.analyzer import Analyzer
from tidegate.apps.pipeline import build_analyzer
from tidegate.apps.shard import Shard
from tidegate.data.block import Block
from tidegate.io.queue import BoundedQueue


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def made(heard: Heard) -> tuple[Analyzer, Shard]:
    analyzer, (shard,) = build_analyzer(CONFIG, shards=1, now_ns=lambda: 0)
    analyzer.deliver_to(heard.deliver)
    return analyzer, shard


def broken() -> Block:
    """Return a block that no receiver makes: its datagrams lie outside of its data."""
    (block,) = blocks(attack(3), step_ns=1, size=3)
    return Block(
        data=block.data[:10], offset=block.offset, length=block.length, time_ns=block.time_ns,
        source_high=block.source_high, source_low=block.source_low, source_port=block.source_port,
    )  # fmt: skip


def test_a_block_by_hand_and_one_by_thread_cause_the_same(heard: Heard, made: tuple[Analyzer, Shard]) -> None:
    _, shard = made
    for block in blocks(attack(40), step_ns=SECOND // 100, size=7):
        shard.take(block)
    other_heard = Heard()
    other, (threaded,) = build_analyzer(CONFIG, shards=1, now_ns=lambda: 0)
    other.deliver_to(other_heard.deliver)
    waiting: BoundedQueue[Block] = BoundedQueue("q", 1 << 20)
    threaded.start(waiting)
    for block in blocks(attack(40), step_ns=SECOND // 100, size=11):
        waiting.put(block)
    waiting.close()
    threaded.join()
    assert other_heard.lines == heard.lines != []


def test_an_error_in_one_block_drops_that_block_alone(
    heard: Heard, made: tuple[Analyzer, Shard], caplog: pytest.LogCaptureFixture
) -> None:
    _, shard = made
    waiting: BoundedQueue[Block] = BoundedQueue("q", 1 << 20)
    shard.start(waiting)
    with caplog.at_level(logging.ERROR):
        waiting.put(broken())
        for block in blocks(attack(40), step_ns=SECOND // 100, size=40):
            waiting.put(block)
        waiting.close()
        shard.join()
    counts = shard.statistics()
    assert (counts.failed_blocks, counts.failed_datagrams, counts.blocks, counts.datagrams) == (1, 3, 1, 40)
    assert "shard 0 dropped a block of 3 datagrams" in caplog.text
    assert heard.lines


def test_questions_are_answered_between_blocks_in_an_idle_shard_and_after_the_end(made: tuple[Analyzer, Shard]) -> None:
    _, shard = made
    assert shard.ask(lambda engine: sorted(engine.flows)) == ["talkers", "tcp", "udp"]
    waiting: BoundedQueue[Block] = BoundedQueue("q", 1 << 20)
    shard.start(waiting)
    assert shard.ask(lambda _: threading.current_thread().name) == "shard 0"
    with pytest.raises(ZeroDivisionError):
        shard.ask(lambda _: 1 // 0)
    waiting.close()
    until(lambda: shard.ask(lambda _: threading.current_thread().name) != "shard 0", "the end of the thread")
    shard.join()
    assert shard.ask(lambda engine: len(engine.flows)) == 3


def test_whoever_asks_while_the_shard_ends_is_answered(made: tuple[Analyzer, Shard]) -> None:
    _, shard = made
    waiting: BoundedQueue[Block] = BoundedQueue("q", 1 << 20)
    shard.start(waiting)
    answers: list[int] = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            answers.append(shard.ask(lambda engine: len(engine.flows)))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answers) > 100)
    waiting.close()
    shard.join()
    before = len(answers)
    until(lambda: len(answers) > before + 100)
    ending.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {3}


def test_an_empty_block_is_nothing(heard: Heard, made: tuple[Analyzer, Shard]) -> None:
    _, shard = made
    (block,) = blocks(attack(1), step_ns=1, size=1)
    none = np.zeros(0, np.int64)
    words = np.zeros(0, np.uint64)
    shard.take(Block(block.data, none, none, none, words, words, none))
    assert shard.statistics().datagrams == 0
    assert not heard.lines


def test_data_sources_without_room_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    config = msgspec.structs.replace(
        CONFIG, engine=msgspec.structs.replace(CONFIG.engine, max_sources=16, max_agents=16)
    )
    analyzer, (shard,) = build_analyzer(config, shards=1, now_ns=lambda: 0)
    made_up = [payload[:8] + number.to_bytes(4, "big") + payload[12:] for number, payload in enumerate(attack(20), 1)]
    with caplog.at_level(logging.WARNING):
        for block in blocks(made_up, step_ns=1, size=5):
            shard.take(block)
    counts = shard.statistics()
    assert (counts.datagrams, counts.refused_datagrams) == (20, 4)
    assert counts.refused_samples == analyzer.analyzer()["sFlowSamplesDiscarded"] == counts.flow_samples // 5
    assert [line.count("[sflow] agents") for line in caplog.messages] == [1]


def test_while_blocks_wait_readings_are_of_the_moment_they_begin_at(made: tuple[Analyzer, Shard]) -> None:
    analyzer, shard = made
    moments: list[int] = []
    analyzer.deliver_to(lambda _events, _records: moments.append(shard.ask_at(1 << 62, lambda _engine, at: at)))
    waiting: BoundedQueue[Block] = BoundedQueue("q", 1 << 20)
    first, second = blocks(attack(40), step_ns=SECOND // 100, size=20)
    waiting.put(first)
    waiting.put(second)
    waiting.close()
    shard.start(waiting)
    shard.join()
    assert int(second.time_ns[0]) in moments
    assert set(moments) <= {int(second.time_ns[0]), 1 << 62}
    assert shard.ask_at(7, lambda _engine, at: at) == 7
