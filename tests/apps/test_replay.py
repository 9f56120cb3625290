from __future__ import annotations

import random
import socket
from pathlib import Path

import msgspec
import pytest

import captures
from running import CONFIG, SECOND, START_NS, Heard, attack, datagrams_of, prepare, until, write_capture, write_payloads
from script_files import write
from tidegate.apps.collector import Receiving
from tidegate.apps.config import Config, ScriptText
from tidegate.apps.pipeline import build_analyzer
from tidegate.apps.replay import Replayed, Told, describe_replay, replay
from tidegate.data.block import Block, part_of_block
from tidegate.errors import ConfigError, SourceError
from tidegate.io.clock import SystemClock
from tidegate.io.pcap import Capture, CaptureStats
from tidegate.wire.sflow.columns import DecoderStatistics

CAPTURE = captures.HERE / "overflowd-two-port-1000.pcap"
REACT = """
def setup(rt):
    rt.set_flow("hit", {"keys": "ipdestination", "value": "frames", "filter": "udpsourceport=53", "t": 1})
    rt.set_threshold("hit", {"metric": "hit", "value": 1000, "byFlow": True, "timeout": 1})

    def announce(event):
        rule = {"match": {"destination": event.flow_key, "protocol": "=17"}, "then": {"traffic-rate": 0}}
        rt.bgp.announce_flow(None, rule)
        rt.after(0.5, lambda: rt.bgp.withdraw_flow(None, rule))

    rt.on_event(announce, thresholds=["hit"])
    rt.every(0.7, lambda: rt.log.info(str([(flow.key, flow.value) for flow in rt.active_flows("hit")])))
"""


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


class JumpingClock:
    """A clock on which sleeping takes no time."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def time_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND)


def played(
    *paths: Path, config: Config = CONFIG, scripts: tuple[Path, ...] = (), speed: float | None = None
) -> tuple[list[str], Replayed]:
    heard = Heard()
    told = Told(event=heard.one, record=heard.one, progress=lambda _done, _total: None)
    result = replay(paths, config, scripts=scripts, speed=speed, clock=JumpingClock(), told=told)
    return heard.lines, result


def mixed() -> list[bytes]:
    """Return a real capture with an attack in the middle of it, and a wait at its end."""
    payloads = captures.datagrams(CAPTURE.name)[:400]
    random.Random(1).shuffle(payloads)  # noqa: S311 - made-up traffic
    return [*payloads[:200], *attack(100), *payloads[200:]]


def test_a_live_run_and_its_recording_give_the_same_events_and_records(tmp_path: Path) -> None:
    heard, taken = Heard(), list[Block]()
    analyzer, shards = build_analyzer(CONFIG, shards=1, now_ns=SystemClock().time_ns)
    analyzer.deliver_to(heard.deliver)
    receiving = Receiving(CONFIG, shards, SystemClock(), seen=taken.append)
    payloads = mixed()
    with receiving.run(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for payload in payloads:
            sock.sendto(payload, receiving.receivers[0].address)
        until(lambda: shards[0].statistics().datagrams == len(payloads), "all datagrams were worked off")
    analyzer.finish()
    path = write_capture(tmp_path / "live.pcap", [one for block in taken for one in datagrams_of(block)])
    again, result = played(path)
    assert again == heard.lines
    assert result.events > 10
    assert result.flow_records > 10


def test_records_that_close_in_silence_come_as_in_a_live_run(tmp_path: Path) -> None:
    """One flow ends after the other while only a counter ticks: in the order of their ends, whatever slot they have."""
    payloads = [*attack(1), *captures.datagrams(CAPTURE.name)[:3], *attack(1, first=1)]
    heard = Heard()
    analyzer, (shard,) = build_analyzer(CONFIG, shards=1, now_ns=lambda: START_NS)
    analyzer.deliver_to(heard.deliver)
    path = write_payloads(tmp_path / "c.pcap", payloads, step_ns=9 * SECOND)
    taken = _blocks_of(path)
    for number, block in enumerate(taken):
        shard.take(block)
        for second in range(9) if number < len(taken) - 1 else ():  # what the ticks of a live run do
            analyzer.advance((int(block.time_ns[-1]) // SECOND + second) * SECOND)
    analyzer.finish()
    lines, result = played(path)
    assert lines == heard.lines
    assert result.flow_records > 3


def _blocks_of(path: Path) -> list[Block]:

    capture = Capture(path)
    found = [part_of_block(block, row, row + 1) for block in capture for row in range(len(block))]
    capture.close()
    return found


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    payloads = mixed()
    return write_payloads(tmp_path_factory.mktemp("replay") / "mixed.pcap", payloads, step_ns=SECOND // 50)


@pytest.mark.parametrize("speed", [0.5, 10.0, 100000.0])
def test_speed_changes_nothing(recording: Path, tmp_path: Path, speed: float) -> None:
    script = write(tmp_path, "react.py", REACT)
    at_once, first = played(recording, scripts=(script,))
    paced, second = played(recording, scripts=(script,), speed=speed)
    assert at_once == paced
    assert first.changes == second.changes
    assert [change.what for change in first.changes][:2] == ["announce", "withdraw"]
    assert not first.script_errors


def test_a_rule_is_noted_at_the_time_of_its_event(recording: Path, tmp_path: Path) -> None:
    lines, result = played(recording, scripts=(write(tmp_path, "react.py", REACT),))
    events = [msgspec.json.decode(line) for line in lines]
    at = next(event["timeNs"] for event in events if event.get("thresholdID") == "hit")
    assert result.changes[0].time == pytest.approx(at / 1e9, abs=1e-6)


def test_files_are_replayed_one_after_the_other_even_back_in_time(tmp_path: Path) -> None:
    later = write_payloads(tmp_path / "b.pcap", attack(50, first=50), step_ns=SECOND // 100, start_ns=START_NS)
    early = write_payloads(tmp_path / "a.pcap", attack(50), step_ns=SECOND // 100, start_ns=START_NS - 3600 * SECOND)
    _, result = played(later, early, scripts=(write(tmp_path, "react.py", REACT),))
    assert result.flow_samples == 600
    assert len(result.captures) == 2
    assert not result.script_errors


def test_years_between_two_datagrams_take_no_time(tmp_path: Path) -> None:
    path = write_payloads(tmp_path / "c.pcap", attack(3), step_ns=400 * 86400 * SECOND)
    text = "def setup(rt):\n    rt.on_event(print)\n    rt.after(86400, lambda: rt.store.set('day', 1))"
    _, result = played(path, scripts=(write(tmp_path, "s.py", text),))
    assert result.flow_samples == 18


def test_nothing_recorded_is_no_error(tmp_path: Path) -> None:
    _, result = played(write_payloads(tmp_path / "c.pcap", [], step_ns=1))
    assert (result.flow_samples, result.events, result.first_ns) == (0, 0, 0)


def test_a_script_that_fails_is_told_even_where_nothing_was_recorded(tmp_path: Path) -> None:
    path = write_payloads(tmp_path / "c.pcap", [], step_ns=1)
    _, result = played(path, scripts=(write(tmp_path, "bad.py", "raise ValueError('no')"),))
    assert "bad.py, line 1: ValueError: no" in result.script_errors["bad.py"]


def test_a_script_that_fails_leaves_the_others(recording: Path, tmp_path: Path) -> None:
    scripts = (write(tmp_path, "bad.py", "def setup(rt:"), write(tmp_path, "react.py", REACT))
    _, result = played(recording, scripts=scripts)
    assert "SyntaxError" in result.script_errors["bad.py"]
    assert result.changes


def test_a_file_that_is_missing_stops_before_anything_is_replayed(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        played(recording, tmp_path / "none.pcap")


def test_a_capture_cut_in_the_middle_is_replayed_as_far_as_it_goes(recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(recording.read_bytes()[:-100])
    _, result = played(path)
    assert result.decoder.counts["datagrams"] == 499
    assert result.captures[0].damage


def test_a_folder_that_cannot_be_written_is_told(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = msgspec.structs.replace(CONFIG, store=str(tmp_path / "file" / "store"))
    with pytest.raises(SourceError, match="set `store` to a folder"):
        played(recording, config=config)


def test_two_scripts_of_one_name_are_refused(recording: Path, tmp_path: Path) -> None:
    path = write(tmp_path, "react.py", REACT)
    with pytest.raises(ConfigError, match=r"two scripts are called react\.py"):
        played(recording, config=msgspec.structs.replace(CONFIG, scripts=(ScriptText(str(path)),)), scripts=(path,))


def test_a_replay_is_summed_up() -> None:
    counts = dict.fromkeys(("datagrams", "bad_version", "bad_address"), 3) | {"bad_address": 0}
    decoder = msgspec.convert({**_empty(DecoderStatistics), "counts": counts}, DecoderStatistics)
    stats = msgspec.convert({**_empty(CaptureStats), "name": "[c].pcap"}, CaptureStats)
    result = Replayed((stats,), decoder, 1000, 2, 3, 4, 10**9, 3 * 10**9, (), {"s.py": "s.py, line 1: [x]"})
    said = " ".join(describe_replay(result))
    assert "[c].pcap: 0 datagrams" in said
    assert "1,000 flow samples, 2 counters samples over 2.0 s: 3 events, 4 flow records" in said
    assert "not decoded whole: bad_version 3" in said
    assert "bad_address" not in said
    assert "script s.py: s.py, line 1: [x]" in said


def _empty(kind: type[msgspec.Struct]) -> dict[str, object]:
    """Return a value for each field that must have one."""
    empty = {int: 0, str: "", float: 0.0}
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.required:
            found[field.name] = empty.get(
                field.type, {} if "ict" in str(field.type) or "apping" in str(field.type) else ()
            )
    return found
