from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec
import pytest

from running import CONFIG, SECOND, START_NS, Heard, attack, blocks, prepare, until
from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import Config
from tidegate.apps.demo_traffic import AGENT, VICTIM
from tidegate.apps.pipeline import build_analyzer
from tidegate.apps.shard import Shard
from tidegate.data.block import Block
from tidegate.errors import TextError
from tidegate.io.queue import BoundedQueue
from tidegate.web.backend import Backend

KEY = f"{VICTIM},53"


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def made(config: Config = CONFIG, *, shards: int = 1) -> tuple[Analyzer, list[Shard]]:
    return build_analyzer(config, shards=shards, now_ns=lambda: START_NS + SECOND)


@pytest.fixture
def attacked() -> Analyzer:
    """Return an analyzer whose two shards have seen an attack, the first twice as much as the second."""
    analyzer, shards = made(shards=2)
    for number, block in enumerate(blocks(attack(60), step_ns=SECOND // 100, size=20)):
        shards[number % 2].take(block)
    return analyzer


def test_it_is_what_rest_asks_for() -> None:
    backend: Backend = made()[0]
    assert backend.version() == "0.1-0"


def test_the_shards_are_one(attacked: Analyzer) -> None:
    (agent,) = attacked.agents().items()
    assert (agent[0], agent[1].sFlowDatagramsReceived, agent[1].sFlowFlowSamples) == (AGENT, 60, 360)
    assert attacked.agents([AGENT, "192.0.2.9"]).keys() == {AGENT}
    (largest,) = attacked.active_flows("ALL", "udp") or []
    (total,) = attacked.active_flows("ALL", "udp", agg_mode="sum") or []
    (mean,) = attacked.active_flows("ALL", "udp", agg_mode="avg") or []
    assert (largest.key, largest.flow_n, total.flow_n) == (KEY, 2, 2)
    assert total.value == pytest.approx(2 * mean.value)
    assert largest.value < total.value < 2 * largest.value
    assert [flow.value for flow in attacked.flow_locations("ALL", "udp", KEY) or []] == [
        largest.value, pytest.approx(total.value - largest.value),
    ]  # fmt: skip
    assert len(attacked.top_keys("ALL", "udp") or []) == 2
    numbers = attacked.analyzer()
    assert (numbers["sFlowDatagramsReceived"], numbers["sFlowFlowSamples"], numbers["sFlowAgents"]) == (60, 360, 1)
    assert {"ipdestination", "udpsourceport"} <= attacked.flow_keys().keys()


def test_agents_are_chosen(attacked: Analyzer) -> None:
    assert len(attacked.active_flows(AGENT, "udp") or []) == 1
    assert attacked.active_flows("192.0.2.9", "udp") == []
    assert attacked.active_flows("TOPOLOGY", "udp") == []
    assert len(attacked.active_flows(f"192.0.2.9;{AGENT}", "udp") or []) == 1
    with pytest.raises(TextError, match="nonsense is no agent address"):
        attacked.active_flows("nonsense", "udp")


def test_names_that_are_unknown_have_no_flows(attacked: Analyzer) -> None:
    assert attacked.active_flows("ALL", "none") is None
    assert attacked.flow_locations("ALL", "none", "k") is None
    assert attacked.top_keys("ALL", "none") is None
    assert attacked.flow_locations("ALL", "udp", "none") == []
    assert attacked.data_source(AGENT, "9") is None
    assert attacked.data_source("nonsense", "1") is None


def test_data_sources_and_thresholds_are_found(attacked: Analyzer) -> None:
    source = attacked.data_source(AGENT, "1")
    assert source is not None
    assert source.samplingRate == 1000
    assert attacked.threshold_triggered("udp", AGENT, "1.udp", KEY)
    assert not attacked.threshold_triggered("udp", AGENT, "1.udp", "198.51.100.1,53")
    assert not attacked.threshold_triggered("udp", AGENT, "2.udp", KEY)
    assert not attacked.threshold_triggered("udp", "nonsense", "1.udp", KEY)


def test_definitions_are_put_described_and_removed_in_every_shard() -> None:
    analyzer, shards = made(Config(), shards=2)
    analyzer.set_flow("a", {"keys": "ipsource", "value": "bytes"})
    analyzer.set_threshold("b", {"metric": "a", "value": 1})
    analyzer.set_group("c", {"lab": ["10.0.0.0/8"]})
    analyzer.set_map("d", {"web": ["80"]})
    assert analyzer.flows()["a"]["keys"] == "ipsource"
    assert (analyzer.thresholds()["b"]["metric"], analyzer.groups()["c"]) == ("a", {"lab": ["10.0.0.0/8"]})
    assert analyzer.maps()["d"] == {"web": ["80"]}
    assert [list(shard.engine.flows) for shard in shards] == [["a"], ["a"]]
    clears = [analyzer.clear_flow, analyzer.clear_threshold, analyzer.clear_group, analyzer.clear_map]
    for clear, name in zip(clears, "abcd", strict=True):
        assert clear(name)
        assert not clear(name)
    assert [list(shard.engine.flows) for shard in shards] == [[], []]


def test_what_cannot_be_parsed_changes_nothing() -> None:
    analyzer, _ = made()
    before = analyzer.flows()
    with pytest.raises(TextError):
        analyzer.set_flow("udp", {"keys": "ipsource", "value": "bytes", "filter": "&"})
    assert analyzer.flows() == before


def test_events_and_records_are_numbered_kept_and_told() -> None:
    analyzer, (shard,) = made()
    heard, changes = Heard(), list[int]()
    analyzer.deliver_to(heard.deliver)
    end = analyzer.watch(lambda: changes.append(1))
    for block in blocks(attack(60), step_ns=SECOND // 100, size=60):
        shard.take(block)
    assert len(changes) == 1
    end()
    analyzer.finish()
    assert len(changes) == 1
    events, records = analyzer.events(), analyzer.flow_records()
    assert [event.event_id for event in events] == list(range(len(events), 0, -1))
    assert {record.name for record in records} == {"udp", "tcp"} & {record.name for record in records}
    assert len(heard.lines) == len(events) + len(records)
    assert analyzer.events(thresholds=["udp"], most=1)[0].threshold_id == "udp"
    assert analyzer.events(after=events[0].event_id) == []
    assert analyzer.flow_records(names=["none"]) == []


def test_the_log_is_bounded() -> None:
    analyzer, (shard,) = made(msgspec.structs.replace(CONFIG, events_kept=2))
    for place in range(6):
        (block,) = blocks(
            attack(30, first=30 * place), step_ns=SECOND // 100, size=30, start_ns=START_NS + place * 9 * SECOND
        )
        shard.take(block)
    assert len(analyzer.events()) == 2
    assert analyzer.events()[0].event_id > 4


def test_any_thread_may_ask_and_change_while_traffic_runs() -> None:  # noqa: C901 - its threads' work is inside
    analyzer, shards = made(shards=2)
    waiting: list[BoundedQueue[Block]] = [BoundedQueue(shard.name, 1 << 20) for shard in shards]
    for shard, line in zip(shards, waiting, strict=True):
        shard.start(line)
    errors: list[BaseException] = []
    ending = threading.Event()

    def change() -> None:
        analyzer.set_flow("x", {"keys": "ipsource", "value": "bytes"})
        analyzer.set_threshold("x", {"metric": "x", "value": 1})
        analyzer.set_group("g", {"lab": ["10.0.0.0/8"]})
        analyzer.clear_flow("x")
        analyzer.clear_threshold("x")

    def ask() -> None:
        for name in ("udp", "x"):
            analyzer.active_flows("ALL", name, agg_mode="sum")
            analyzer.top_keys("ALL", name)
            analyzer.flow_locations("ALL", name, KEY)
        analyzer.analyzer()
        analyzer.events()
        analyzer.flow_keys()
        analyzer.advance(START_NS)
        analyzer.watch(lambda: None)()

    def hammer(work: Callable[[], None]) -> None:
        try:
            while not ending.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test tells
            errors.append(error)

    threads = [threading.Thread(target=hammer, args=(work,)) for work in (change, change, ask, ask, ask)]
    for thread in threads:
        thread.start()
    for number, block in enumerate(blocks(attack(4000), step_ns=SECOND // 1000, size=10)):
        waiting[number % 2].put(block)
    until(lambda: errors or sum(shard.statistics().datagrams for shard in shards) == 4000)
    ending.set()
    for thread in threads:
        thread.join()
    for shard, line in zip(shards, waiting, strict=True):
        line.close()
        shard.join()
    assert not errors
    assert sum(shard.statistics().failed_blocks for shard in shards) == 0
    assert [sorted(shard.engine.flows) for shard in shards] == [sorted(analyzer.flows())] * 2


def test_an_unknown_key_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    analyzer, _ = build_analyzer(Config(), shards=1, now_ns=lambda: 0)
    analyzer.set_flow("typo", {"keys": "ipdestinatio", "value": "bytes"})
    assert [record.getMessage() for record in caplog.records] == [
        "flow typo: no packet has a key called ipdestinatio (did you mean ipdestination?)"
    ]


def test_there_is_a_bound_on_what_is_defined() -> None:
    analyzer, _ = build_analyzer(Config(), shards=1, now_ns=lambda: 0)
    for number in range(1000):
        analyzer.set_map(f"m{number}", {"web": ["80"]})
    with pytest.raises(TextError, match="there are 1000 already"):
        analyzer.set_map("one-more", {"web": ["80"]})
    analyzer.set_map("m0", {"web": ["443"]})
    assert analyzer.clear_map("m1")
    analyzer.set_map("one-more", {"web": ["80"]})
