from __future__ import annotations

from pathlib import Path

import pytest

from running import attack, blocks, prepare
from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import Config, GeoConfig, ScriptText, SflowConfig
from tidegate.apps.pipeline import build_analyzer, script_files, store_folder
from tidegate.errors import ConfigError, SourceError, TextError


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def built(config: Config) -> Analyzer:
    return build_analyzer(config, shards=1, now_ns=lambda: 0)[0]


@pytest.mark.parametrize(
    ("agents", "heard"),
    [
        ((), 3),
        (("192.0.2.250",), 3),
        (("192.0.2.0/24", "::1"), 3),
        (("192.0.2.249",), 0),
        (("0.0.0.0/0",), 3),
        (("::/128",), 0),
    ],
)
def test_agents_that_are_not_named_are_not_heard(agents: tuple[str, ...], heard: int) -> None:
    analyzer, (shard,) = build_analyzer(Config(sflow=SflowConfig(agents=agents)), shards=1, now_ns=lambda: 0)
    for block in blocks(attack(3), step_ns=1, size=3):
        shard.take(block)
    assert sum(one.sFlowDatagramsReceived for one in analyzer.agents().values()) == heard
    assert analyzer.analyzer()["sFlowDatagramsDiscarded"] == 3 - heard


def test_an_agent_that_is_no_address_names_its_key() -> None:
    with pytest.raises(ConfigError, match=r"sflow\.agents: .*router1"):
        built(Config(sflow=SflowConfig(agents=("::1", "router1"))))


def test_a_database_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.mmdb: "):
        built(Config(geo=GeoConfig(country=str(tmp_path / "none.mmdb"))))


def test_what_is_configured_is_there() -> None:
    config = Config(
        flows={"a": {"keys": "ipsource", "value": "bytes"}},
        thresholds={"b": {"metric": "a", "value": 1}},
        groups={"c": {"lab": ["10.0.0.0/8"]}},
        maps={"d": {"web": ["80"]}},
    )
    analyzer = built(config)
    names = [list(part) for part in (analyzer.flows(), analyzer.thresholds(), analyzer.groups(), analyzer.maps())]
    assert names == [["a"], ["b"], ["c"], ["d"]]
    with pytest.raises(TextError):
        built(Config(flows={"a": {"kyes": "ipsource"}}))


def test_scripts_of_the_file_come_first() -> None:
    files = script_files(Config(scripts=(ScriptText("a.py", "app", {"x": 1}),)), (Path("b.py"),))
    assert [(str(one.path), one.app, dict(one.config)) for one in files] == [
        ("a.py", "app", {"x": 1}),
        ("b.py", "", {}),
    ]


def test_the_store_is_made_where_it_is_missing(tmp_path: Path) -> None:
    assert store_folder(Config()) is None
    folder = store_folder(Config(store=str(tmp_path / "a" / "b")))
    assert folder == tmp_path / "a" / "b"
    assert not list(folder.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="set `store` to a folder that can be written"):
        store_folder(Config(store=str(tmp_path / "file")))
