from __future__ import annotations

import pytest

from tidegate.agent.config import CollectorConfig, DiscardsConfig, NflogConfig, Placement, Setup, Source
from tidegate.agent.hsflowd_draft import Draft
from tidegate.agent.hsflowd_modules import choose_source, finish_interfaces, take_block, take_collector_line
from tidegate.agent.hsflowd_syntax import Block, Setting, parse_blocks, parse_lines
from tidegate.errors import TextError


def _taken(text: str) -> Draft:
    draft = Draft()
    for block in parse_blocks(text):
        assert isinstance(block, Block)
        take_block(draft, block)
    return draft


def _notes(draft: Draft) -> list[str]:
    return [f"{note.setting}: {note.outcome}" for note in draft.notes]


def test_collectors() -> None:
    draft = _taken(
        "collector { ip=192.0.2.1 } collector { udpport=6344 IP=2001:db8::1 dev=Mgmt0 namespace=mgmt odd=1 }"
    )
    assert draft.collectors == [
        CollectorConfig(address="192.0.2.1"),
        CollectorConfig(address="2001:db8::1", port=6344, interface="Mgmt0"),
    ]
    assert _notes(draft) == [
        (
            "collector.namespace = mgmt: it is sent to from the agent's own network namespace: start the agent in that "
            "one"
        ),
        "collector.odd = 1: nothing here corresponds to it",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("collector { }", "a collector without ip"),
        ("collector { ip=a.example }", "a.example is no IP address"),
        ("collector { ip=192.0.2.1 udpport=70000 }", "70000 is not within 1 to 65535"),
        ("nflog { probability=0.1 }", "nflog without a group"),
        ("nflog { group=5 probability=0 }", "0 is no probability above 0 and up to 1"),
        ("nflog { group=5 probability=often }", "often is no probability"),
        ("psample { group=x }", "x is no number"),
        ("psample { egress=perhaps }", "perhaps is neither on nor off"),
        ("dent { ingress=off }", "neither ingress nor egress is on"),
    ],
)
def test_what_cannot_be_understood_is_refused(text: str, words: str) -> None:
    with pytest.raises(TextError, match=words):
        _taken(text)


def _line(text: str) -> Draft:
    draft = Draft()
    (setting,) = parse_lines(f"collector={text}")
    take_collector_line(draft, setting)
    return draft


def test_collectors_in_force() -> None:
    texts = ["192.0.2.1", "192.0.2.1 6344", "2001:db8::1/6344/eth1/", "192.0.2.1//eth1", "192.0.2.1/6343//red"]
    assert [_line(text).collectors for text in texts] == [
        [CollectorConfig(address="192.0.2.1")],
        [CollectorConfig(address="192.0.2.1", port=6344)],
        [CollectorConfig(address="2001:db8::1", port=6344, interface="eth1")],
        [CollectorConfig(address="192.0.2.1", interface="eth1")],
        [CollectorConfig(address="192.0.2.1")],
    ]
    assert "start the agent in that one" in _notes(_line(texts[-1]))[0]
    for text, column in (("", 10), ("192.0.2.1 x", 20), ("a/b/c/d/e", 10)):
        with pytest.raises(TextError) as caught:
            _line(text)
        assert caught.value.column == column


def test_psample_and_dent_name_groups() -> None:
    draft = _taken("psample { group=7 ingress=off egress=on }")
    assert (draft.group, draft.ingress, draft.egress) == (7, False, True)
    assert _notes(draft) == ["psample: samples of further groups are read, too: `ignored_groups` leaves them out"]
    draft = _taken("dent { sw=on switchport=^enp.* egress=on }")
    finish_interfaces(draft)
    assert draft.fields == {"setup": Setup.TC, "placement": Placement.ANY, "interfaces": ("enp*",)}
    assert _notes(draft) == []
    assert _taken("dent { }").fields["placement"] is Placement.HARDWARE
    assert _notes(_taken("dent { switchport=swp[0-9]+ }")) == [
        "dent.switchport = swp[0-9]+: a pattern of names cannot say this: name ports in `interfaces`"
    ]


def test_nflog_rates_are_probabilities() -> None:
    draft = _taken("nflog { group=5 probability=0.0025 }")
    assert draft.fields == {"nflog": NflogConfig(groups=(5,), rate=400)}
    assert _notes(draft) == []
    draft = _taken("nflog { group=5 probability=0.3 odd=1 }")
    assert draft.fields == {"nflog": NflogConfig(groups=(5,), rate=3)}
    assert _notes(draft) == [
        "nflog.probability = 0.3: taken as 1 in 3",
        "nflog.odd = 1: nothing here corresponds to it",
    ]


def test_packet_sockets_name_interfaces_and_rates() -> None:
    draft = _taken("pcap { dev=Eth0 promisc=on sampling=50 } pcap { dev=docker0 } epcap { dev.pattern=veth.* }")
    finish_interfaces(draft)
    assert draft.fields["interfaces"] == ("Eth0", "docker0", "*veth*")
    assert draft.by_interface == {"Eth0": 50}
    assert _notes(draft) == ["pcap.promisc = on: interfaces keep the mode they are in"]


def test_packet_sockets_by_speed_are_all_ports() -> None:
    draft = _taken("pcap { speed=1- sampling=7 }")
    finish_interfaces(draft)
    assert (draft.fields, draft.by_interface, _notes(draft)) == ({}, {"*": 7}, [])
    draft = _taken("pcap { speed=10G-40G } pcap { dev=br0 inner { } }")
    finish_interfaces(draft)
    assert draft.fields == {}
    assert _notes(draft) == [
        "pcap.speed = 10G-40G: all ports are sampled, whatever their speed: name them in `interfaces`",
        "pcap.inner: nothing here corresponds to it",
        "dev = br0: all ports are sampled, bridges and tunnels only where all of `interfaces` are named",
    ]


def test_drops() -> None:
    draft = _taken("dropmon { start=on limit=50 hw=off max_trip=2 group=1 rn=on }")
    assert draft.fields == {"discards": DiscardsConfig(enabled=True, hardware=False, per_second=50)}
    assert _notes(draft) == [
        "dropmon.start = on: drop monitoring is started where it does not run yet",
        "dropmon.max_trip = 2: nothing here corresponds to it",
        "dropmon.group = 1: the group of the kernel's drop monitor is taken",
        "dropmon.rn = on: reasons are told always",
    ]


@pytest.mark.parametrize(
    ("text", "source", "left"),
    [
        ("tcp { }", Source.NONE, []),
        ("pcap { dev=a }", Source.PACKET, []),
        ("pcap { dev=a } nflog { group=1 }", Source.NFLOG, ["pcap: not read: packets come from nflog alone"]),
        (
            "nflog { group=1 } psample { } pcap { dev=a }",
            Source.PSAMPLE,
            ["nflog: not read: packets come from psample alone", "pcap: not read: packets come from psample alone"],
        ),
    ],
)
def test_one_source_is_read(text: str, source: Source, left: list[str]) -> None:
    draft = _taken(text)
    choose_source(draft)
    assert draft.fields["source"] is source
    assert [note for note in _notes(draft) if "not read" in note] == left


@pytest.mark.parametrize(
    "name", ["kvm", "docker", "sonic", "tcp", "json", "nvml", "ovs", "ulog", "dns-sd", "unheard-of"]
)
def test_every_other_module_leaves_a_note(name: str) -> None:
    draft = _taken(f"{name} {{ a=1 }}")
    assert [(note.setting, bool(note.outcome)) for note in draft.notes] == [(name, True)]
    assert not draft.fields


def test_a_setting_where_a_block_is_expected_is_noted() -> None:
    (block,) = parse_blocks("psample { group { } }")
    assert isinstance(block, Block)
    draft = Draft()
    take_block(draft, block)
    assert not isinstance(block.items[0], Setting)
    assert _notes(draft)[-1] == "psample.group: nothing here corresponds to it"
