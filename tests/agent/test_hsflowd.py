from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import pages
from tidegate.agent.config import (
    AgentConfig,
    CollectorConfig,
    Direction,
    DiscardsConfig,
    PsampleConfig,
    Setup,
    Source,
)
from tidegate.agent.hsflowd import parse_hsflowd_auto, parse_hsflowd_conf
from tidegate.errors import SourceError, TextError

SWITCH = """\
# /etc/hsflowd.conf of a switch
sflow {
  agent.CIDR = 10.0.0.0/8        # prefer
  agent.cidr = !10.9.0.0/16
  polling = 20 ; sampling = 1000
  sampling.10G=10K  Sampling.100m = 100
  headerBytes 64
  collector { ip = 192.0.2.1 }
  collector { ip=2001:db8::1 UDPPort=6344 dev=mgmt0 }
  psample { group=5 egress=on }
  dropmon { limit=50 sw=on hw=off }
  tcp {}
}
"""


def test_a_switch_moves_over() -> None:
    config, notes = parse_hsflowd_conf(SWITCH)
    assert config == AgentConfig(
        collectors=(
            CollectorConfig(address="192.0.2.1"),
            CollectorConfig(address="2001:db8::1", port=6344, interface="mgmt0"),
        ),
        address_prefixes=("10.0.0.0/8", "!10.9.0.0/16"),
        source=Source.PSAMPLE,
        sampling_by_speed={"10G": 10_000, "100M": 100},
        sampling_unknown_speed=1000,
        polling_s=20,
        header_octets=64,
        psample=PsampleConfig(ingress_groups=(5,), egress_groups=(6,)),
        discards=DiscardsConfig(enabled=True, hardware=False, per_second=50),
    )
    assert list(map(str, notes)) == [
        "line 5: sampling = 1000: the speed of an interface decides, as it did; this where it is not known",
        "line 10: psample: samples of further groups are read, too: `ignored_groups` leaves them out",
        "line 12: tcp: samples carry no round-trip times",
    ]


def _parsed(inner: str) -> tuple[AgentConfig, list[str]]:
    config, notes = parse_hsflowd_conf(f"sflow {{ {inner} }}")
    return config, [f"{note.setting}: {note.outcome}" for note in notes]


@pytest.mark.parametrize(
    ("text", "sampling", "ratio"),
    [
        ("", None, 1_000_000),
        ("sampling=400", None, 1_000_000),
        ("sampling=100", None, 1_000_000),
        ("sampling=100 sampling.bps_ratio=0", 100, 0),
        ("sampling.bps_ratio=0", 400, 0),
        ("sampling.bps_ratio=1G sampling=400", None, 1_000_000_000),
    ],
)
def test_speed_decides_the_rate_unless_it_is_told_not_to(text: str, sampling: int | None, ratio: int) -> None:
    config, _ = _parsed(text)
    assert (config.sampling, config.speed_ratio) == (sampling, ratio)


def test_what_is_in_the_way_of_a_rate_is_noted() -> None:
    assert _parsed("sampling.bps_ratio=2M sampling=9 sampling.http=50 polling.app.mail=20")[1] == [
        "sampling.http = 50: applications are not told of",
        "polling.app.mail = 20: applications are not told of",
        "sampling.bps_ratio = 2M: taken; rates by speed are at least 100",
        "sampling = 9: the speed of an interface decides, as it did; this where it is not known",
    ]


def test_an_address_goes_before_an_interface() -> None:
    assert _parsed("agent=eth0")[0].address == "eth0"
    assert _parsed("agentIP=192.0.2.7 agent=eth0")[0].address == "192.0.2.7"
    with pytest.raises(TextError, match="eth0 is no IP address"):
        _parsed("agentIP=eth0")


def test_bounds_are_kept_with_a_note() -> None:
    config, notes = _parsed("datagramBytes=200 polling=1K header=8")
    assert (config.datagram_octets, config.polling_s, config.header_octets) == (512, 300, 16)
    assert len(notes) == 3


def test_tc_is_set_up_where_dent_did_it() -> None:
    config, _ = _parsed("dent { switchport=^swp.* egress=on } psample { group=3 }")
    assert (config.setup, config.source, config.direction) == (Setup.TC, Source.PSAMPLE, Direction.BOTH)
    assert (config.interfaces, config.psample.ingress_groups, config.psample.egress_groups) == (("swp*",), (3,), (4,))
    assert _parsed("dent { ingress=off egress=on }")[0].direction is Direction.EGRESS
    assert _parsed("dent { }")[0].direction is Direction.INGRESS


def test_packet_sockets_see_both_directions() -> None:
    config, _ = _parsed("pcap { dev=eth0 }")
    assert (config.source, config.interfaces, config.direction) == (Source.PACKET, ("eth0",), Direction.BOTH)
    config, _ = _parsed("pcap { dev=eth0 } psample { }")
    assert (config.source, config.direction) == (Source.PSAMPLE, Direction.INGRESS)


def test_groups_that_are_off_are_not_read() -> None:
    assert _parsed("psample { }")[0].psample == PsampleConfig((1,), (), (2,))
    assert _parsed("psample { group=8 ingress=off }")[0].psample == PsampleConfig((), (), (8, 9))
    assert _parsed("nflog { group=1 }")[0].psample == PsampleConfig()


def test_nothing_is_passed_over_in_silence() -> None:
    _, notes = _parsed(
        "syncPolling=on refreshAdaptors=180 DNSSD=on dnssd=off dns-sd=off DNS-SD { } odd=3 odder { a=1 }"
    )
    assert notes == [
        "syncpolling = on: polls are spread over the interval",
        "refreshadaptors = 180: interfaces are followed as they change",
        "dnssd = on: nothing is looked up in DNS: name collectors and settings",
        "dns-sd: nothing is looked up in DNS: name collectors and settings",
        "odd = 3: nothing here corresponds to it",
        "odder: nothing here corresponds to it",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "line 1: no sflow { … } in it"),
        ("\n# nothing\n", "line 1: no sflow { … } in it"),
        ("polling = 20", "line 1: one sflow { … } is expected, and nothing beside it at column 11"),
        ("sflow { }\nsflow { }", "line 2: one sflow { … } is expected"),
        ("sflow {\n polling = soon\n}", "line 2: soon is no number at column 12:  polling = ⟶soon"),
        ("sflow = 3", "line 1: one sflow"),
    ],
)
def test_wrong_texts_are_shown_with_their_line(text: str, line: str) -> None:
    with pytest.raises(TextError) as caught:
        parse_hsflowd_conf(text)
    assert str(caught.value).startswith(line)


AUTO = """\
# WARNING: Do not edit this file. It is generated automatically by hsflowd.
rev_start=7
hostname=leaf1
sampling=400
header=128
datagram=1400
polling=30
sampling.10G=10000
agentIP=10.0.0.1
agent=eth0
ds_index=1
collector=192.0.2.1
collector=192.0.2.2 6344
collector=192.0.2.3/6343/mgmt/
rev_end=7
"""


def test_what_is_in_force_is_read() -> None:
    config, notes = parse_hsflowd_auto(AUTO)
    assert config == AgentConfig(
        collectors=(
            CollectorConfig(address="192.0.2.1"),
            CollectorConfig(address="192.0.2.2", port=6344),
            CollectorConfig(address="192.0.2.3", interface="mgmt"),
        ),
        address="10.0.0.1",
        sampling_by_speed={"10G": 10_000},
    )
    assert notes == ()


def test_without_collectors_nothing_is_sent() -> None:
    assert parse_hsflowd_auto("rev_start=1\nrev_end=1\n") == (AgentConfig(), ())


@pytest.mark.parametrize("cut", range(len(AUTO) - 1))
def test_a_file_that_is_being_written_is_to_be_read_again(cut: int) -> None:
    """Whatever of the new text is there already, over the old one or in a file cut short."""
    old = AUTO.replace("=7", "=6")
    for text in (AUTO[:cut], AUTO[:cut] + old[cut:]):
        if text != old and "rev_start=6" not in text:
            with pytest.raises(SourceError, match=r"hsflowd.auto: is being written: read it again"):
                parse_hsflowd_auto(text)


def test_a_line_that_is_none_is_shown() -> None:
    with pytest.raises(TextError, match="line 2: not name=value"):
        parse_hsflowd_auto("rev_start=1\npolling 30\nrev_end=1\n")


NAMES = [
    "sflow",
    "sampling",
    "sampling.10G",
    "sampling.bps_ratio",
    "sampling.http",
    "polling",
    "agent",
    "agentIP",
    "agent.cidr",
    "headerBytes",
    "datagramBytes",
    "collector",
    "ip",
    "udpport",
    "dev",
    "namespace",
    "psample",
    "nflog",
    "pcap",
    "dent",
    "dropmon",
    "group",
    "ingress",
    "egress",
    "probability",
    "speed",
    "switchport",
    "limit",
    "sw",
    "DNS-SD",
    "tcp",
    "what",
]
VALUES = [
    "0",
    "1",
    "400",
    "5G",
    "99999999999",
    "on",
    "off",
    "eth0",
    "10.0.0.1",
    "::1",
    "10.0.0.0/8",
    "!::/0",
    "0.0025",
    "x.*",
]
PARTS = st.sampled_from([*NAMES, *VALUES, "{", "}", "{ }", "=", "\n", "#"])


@given(st.lists(PARTS, max_size=25), st.booleans())
def test_any_text_is_read_or_refused(parts: list[str], wrapped: bool) -> None:  # noqa: FBT001 - drawn
    text = " ".join(parts)
    _read_or_refused(f"sflow {{ {text} \n}}" if wrapped else text)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=8))
def test_any_settings_give_a_configuration_that_could_have_been_written(settings: list[tuple[str, str]]) -> None:
    text = " ".join(f"{name}={value}" for name, value in settings)
    for module in ("", "psample", "pcap", "dropmon", "nflog", "dent", "collector"):
        _read_or_refused(f"sflow {{ {module} {{ {text} }} {text} }}" if module else f"sflow {{ {text} }}")
    _read_or_refused("\n".join(f"{name}={value}" for name, value in settings), auto=True)


def _read_or_refused(text: str, *, auto: bool = False) -> None:
    try:
        config, notes = parse_hsflowd_auto(f"rev_start=1\n{text}\nrev_end=1") if auto else parse_hsflowd_conf(text)
    except TextError as error:
        lines = [str(error)]
    else:
        assert msgspec.convert(msgspec.to_builtins(config), AgentConfig) == config
        lines = [str(note) for note in notes]
    assert all(line.startswith("line ") and "\n" not in line for line in lines)


def test_the_guide_says_the_same_twice() -> None:
    (page,) = (page for page in pages() if page.path.name == "from-host-sflow.md")
    (_, written), *_ = page.blocks("")
    (_, ours), *_ = page.blocks("toml")
    config, notes = parse_hsflowd_conf(written)
    assert msgspec.toml.decode(ours, type=dict[str, AgentConfig])["agent"] == config
    assert [note.setting for note in notes] == ["psample"]
