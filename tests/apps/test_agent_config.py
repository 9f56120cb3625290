from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from script_files import write
from tidegate.agent.config import (
    AgentConfig,
    CollectorConfig,
    DiscardsConfig,
    NflogConfig,
    Placement,
    PsampleConfig,
    Setup,
    Source,
)
from tidegate.apps.agent_config import AgentFlags, agent_config, replay_kind
from tidegate.apps.agent_replay import Recorded
from tidegate.errors import ConfigError, SourceError, TidegateError
from tidegate.io.clock import SystemClock

FILE = """
[agent]
address = "192.0.2.1"
source = "nflog"
interfaces = ["swp*"]
sampling = 500
polling_s = 20
[[agent.collectors]]
address = "192.0.2.10"
[agent.nflog]
groups = [5]
[agent.discards]
per_second = 7
"""
CONF = """
sflow {
  collector { ip = 192.0.2.1 }
  psample { group = 5 }
  tcp {}
}
"""
AUTO = "rev_start=1\nsampling=400\npolling=20\nagentIP=192.0.2.7\ncollector=192.0.2.1 6344\nrev_end=1\n"


class WritingClock(SystemClock):
    """Where somebody would sleep a file is written instead."""

    def __init__(self, path: Path, *texts: str) -> None:
        self._path = path
        self._texts = list(texts)
        self.naps = 0

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds < 1
        self.naps += 1
        if self._texts:
            self._path.write_text(self._texts.pop(0))


def loaded(path: Path | None = None, hsflowd: Path | None = None, **flags: object) -> AgentConfig:
    return agent_config(path, hsflowd, AgentFlags(**flags), clock=SystemClock())  # type: ignore[arg-type] # as click gives them


def refused(path: Path | None = None, hsflowd: Path | None = None, **flags: object) -> str:
    with pytest.raises(TidegateError) as caught:
        loaded(path, hsflowd, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_file_and_flags_all_is_as_it_is() -> None:
    assert loaded() == AgentConfig()


def test_a_file_says_what_the_agent_does_and_flags_say_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path, "tidegate.toml", FILE)
    config = AgentConfig(
        address="192.0.2.1",
        source=Source.NFLOG,
        interfaces=("swp*",),
        sampling=500,
        polling_s=20,
        collectors=(CollectorConfig(address="192.0.2.10"),),
        nflog=NflogConfig(groups=(5,)),
        discards=DiscardsConfig(per_second=7),
    )
    assert loaded(path) == config
    assert loaded(
        path,
        collectors=("192.0.2.9", "[2001:db8::9]:6344"),
        interfaces=("eth0", "eth1"),
        source="packet",
        sampling=0,
        polling=0,
        agent_address="lo",
        discards=True,
    ) == AgentConfig(
        address="lo",
        source=Source.PACKET,
        interfaces=("eth0", "eth1"),
        sampling=0,
        polling_s=0,
        collectors=(CollectorConfig(address="192.0.2.9"), CollectorConfig(address="2001:db8::9", port=6344)),
        nflog=NflogConfig(groups=(5,)),
        discards=DiscardsConfig(enabled=True, per_second=7),
    )


@pytest.mark.parametrize(
    ("file", "flags", "source", "setup"),
    [
        ('setup = "tc"', {}, Source.AUTO, Setup.TC),
        ('setup = "tc"', {"source": "packet"}, Source.PACKET, Setup.NONE),
        ('setup = "tc"', {"source": "psample"}, Source.PSAMPLE, Setup.NONE),
        ('setup = "tc"', {"source": "nflog", "setup": "nft"}, Source.NFLOG, Setup.NFT),
        ('setup = "tc"', {"setup": "nft"}, Source.AUTO, Setup.NFT),
        ('source = "packet"', {"setup": "nft"}, Source.AUTO, Setup.NFT),
        ('source = "packet"', {"source": "auto"}, Source.AUTO, Setup.NONE),
        ('source = "packet"', {}, Source.PACKET, Setup.NONE),
        ("", {"source": "psample", "setup": "tc"}, Source.PSAMPLE, Setup.TC),
    ],
)
def test_of_the_files_source_and_setup_none_stays_beside_a_flag(
    file: str, flags: dict[str, Any], source: Source, setup: Setup, tmp_path: Path
) -> None:
    config = loaded(write(tmp_path, "tidegate.toml", f"[agent]\n{file}\n"), **flags)
    assert (config.source, config.setup) == (source, setup)


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 6343),
        ("192.0.2.1:9995", "192.0.2.1", 9995),
        ("switch.example", "switch.example", 6343),
        ("switch.example:1", "switch.example", 1),
        ("2001:db8::1", "2001:db8::1", 6343),
        ("::1", "::1", 6343),
        ("[2001:db8::1]", "2001:db8::1", 6343),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("fe80::1%eth0", "fe80::1%eth0", 6343),
        ("[fe80::1%eth0]:9995", "fe80::1%eth0", 9995),
    ],
)
def test_collectors_are_addresses_with_ports_or_without(text: str, address: str, port: int) -> None:
    assert loaded(collectors=(text,)).collectors == (CollectorConfig(address=address, port=port),)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":6343", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.1:-1",
        "192.0.2.1: 9", "192.0.2.1:6343:1", "192.0.2.1 9", "192.0.2.0/24", "[2001:db8::1", "2001:db8::1]",
        "[2001:db8::1]9", "[2001:db8::1]:", "[]:9", "[]", "[[::1]]:9", "[switch.example]:9", "2001:db8::x",
        "1:2:3", "host:\uff11",
    ],
)  # fmt: skip
def test_what_is_no_collector_is_told_as_it_was_written(text: str) -> None:
    assert refused(collectors=("192.0.2.1", text)) == f"--collector: {text!r} is no address, or address:port"


def test_a_source_that_there_is_not_is_told_with_those_that_there_are() -> None:
    assert refused(source="pcap") == "--source: 'pcap' is none of auto, psample, nflog, packet, none"


def test_one_file_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path, "tidegate.toml", FILE)
    assert refused(path, path) == "--hsflowd: give one file: this, or --config"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[agent]\npolling = 1\n", "agent.polling: unknown key; did you mean polling_s?"),
        ("[agent]\npolling_s = 301\n", "agent.polling_s: "),
        ('[agent]\nsource = "pcap"\n', "agent.source: "),
        ("[agent]\ncollectors = [{port = 1}]\n", "agent.collectors"),
        ("[agent\n", ""),
    ],
)
def test_what_a_file_gets_wrong_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    assert refused(write(tmp_path, "tidegate.toml", text)).startswith(words)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.conf"
    assert refused(missing) == f"{missing}: No such file or directory"
    assert refused(None, missing) == f"{missing}: No such file or directory"
    assert refused(None, tmp_path) == f"{tmp_path}: Is a directory"


def test_a_file_of_host_sflow_is_read_and_what_has_no_equal_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, "hsflowd.conf", CONF)
    with caplog.at_level(logging.WARNING):
        config = loaded(None, path, collectors=("192.0.2.9",), polling=5)
    assert config == AgentConfig(
        collectors=(CollectorConfig(address="192.0.2.9"),),
        source=Source.PSAMPLE,
        polling_s=5,
        psample=PsampleConfig(ingress_groups=(5,), egress_groups=(), ignored_groups=(6,)),
    )
    told = [record.getMessage() for record in caplog.records]
    assert f"{path}: line 5: tcp: samples carry no round-trip times" in told
    assert all(line.startswith(f"{path}: line ") for line in told)


def test_filters_that_host_sflow_would_set_up_are_not_where_the_source_is_another(tmp_path: Path) -> None:
    path = write(tmp_path, "hsflowd.conf", "sflow {\n dent { sw = off ingress = on }\n}\n")
    config = loaded(None, path)
    assert (config.source, config.setup, config.placement) == (Source.PSAMPLE, Setup.TC, Placement.HARDWARE)
    config = loaded(None, path, source="packet")
    assert (config.source, config.setup) == (Source.PACKET, Setup.NONE)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("hsflowd.conf", "sflow {\n polling = often\n}\n", "line 2"),
        ("hsflowd.conf", "", "line 1: no sflow"),
        ("hsflowd.auto", "rev_start=1\nsampling=many\nrev_end=1\n", "line 2"),
    ],
)
def test_what_a_file_of_host_sflow_gets_wrong_is_told_by_line(name: str, text: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, text)
    said = refused(None, path)
    assert said.startswith(f"{path}: ")
    assert words in said


@pytest.mark.parametrize("name", ["hsflowd.auto", "copied"])
def test_hsflowd_auto_is_known_by_its_name_or_its_beginning(name: str, tmp_path: Path) -> None:
    config = loaded(None, write(tmp_path, name, AUTO))
    assert config.collectors == (CollectorConfig(address="192.0.2.1", port=6344),)
    assert config.address == "192.0.2.7"


def test_a_file_that_is_being_written_is_read_again(tmp_path: Path) -> None:
    half, other = AUTO.replace("rev_end=1", ""), AUTO.replace("rev_end=1", "rev_end=2")
    path = write(tmp_path, "hsflowd.auto", half)
    clock = WritingClock(path, other, half, AUTO)
    assert agent_config(None, path, AgentFlags(), clock=clock).address == "192.0.2.7"
    assert clock.naps == 3


def test_a_file_that_is_never_written_to_its_end_is_an_error_after_a_while(tmp_path: Path) -> None:
    path = write(tmp_path, "hsflowd.auto", AUTO.replace("rev_end=1", ""))
    clock = WritingClock(path)
    with pytest.raises(SourceError) as caught:
        agent_config(None, path, AgentFlags(), clock=clock)
    assert str(caught.value) == f"{path}: is being written: read it again"
    assert 5 <= clock.naps <= 50


@pytest.mark.parametrize("kind", list(Recorded))
def test_recordings_are_of_what_is_said(kind: Recorded) -> None:
    assert replay_kind(kind.value) is kind


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "--source: say what the recording holds: psample, nflog, dropmon"),
        ("packet", "--source: 'packet' is none of psample, nflog, dropmon"),
    ],
)
def test_a_recording_of_what_nobody_said_is_refused(text: str | None, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        replay_kind(text)
    assert str(caught.value) == words
