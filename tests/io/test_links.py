"""The real kernel: what is read must be what `ip` prints of the same interfaces."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from link_lab import LinkLab, entered, link_lab
from running import until
from tidegate.agent.address import choose_address
from tidegate.agent.host_counters import host_ports, host_records
from tidegate.agent.interface_counters import interface_records
from tidegate.io.links import Changes, LinkChanges, Links
from tidegate.wire.netlink.ethtool import Duplex, LinkMode
from tidegate.wire.netlink.link import Link, LinkGone, Stats
from tidegate.wire.procfs import HostTexts
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.host_counters import HostNetIo
from tidegate.wire.sflow.interface_counters import IfCounters
from tidegate.wire.sflow.samples import CountersSample, DataSource

pytestmark = pytest.mark.netns

RX = {
    "bytes": "rx_bytes",
    "packets": "rx_packets",
    "errors": "rx_errors",
    "dropped": "rx_dropped",
    "multicast": "multicast",
    "length_errors": "rx_length_errors",
    "crc_errors": "rx_crc_errors",
    "frame_errors": "rx_frame_errors",
    "fifo_errors": "rx_fifo_errors",
    "missed_errors": "rx_missed_errors",
    "nohandler": "rx_nohandler",
}
TX = {
    "bytes": "tx_bytes",
    "packets": "tx_packets",
    "errors": "tx_errors",
    "dropped": "tx_dropped",
    "carrier_errors": "tx_carrier_errors",
    "collisions": "collisions",
    "aborted_errors": "tx_aborted_errors",
    "fifo_errors": "tx_fifo_errors",
    "window_errors": "tx_window_errors",
    "heartbeat_errors": "tx_heartbeat_errors",
}


@pytest.fixture
def lab() -> Iterator[LinkLab]:
    with link_lab() as made:
        yield made


@pytest.fixture
def links(lab: LinkLab) -> Iterator[Links]:
    with entered(lab.here):
        opened = Links()
    with closing(opened):
        yield opened


def by_name(links: Links) -> dict[str, Link]:
    return {link.name: link for link in links.all()}


def shown(stats: Stats, told: dict[str, dict[str, int]]) -> bool:
    """Tell whether our counters are those that `ip` prints, of those that it prints."""
    return all(
        getattr(stats, ours[name]) == value
        for side, ours in (("rx", RX), ("tx", TX))
        for name, value in told[side].items()
        if name in ours
    )


def equal_to_ip(lab: LinkLab, links: Links) -> bool:
    """Tell whether all links are as `ip` shows them; counters may move in between, so ask again."""
    told: dict[str, dict[str, Any]] = {one["ifname"]: one for one in lab.told("-d", "-s", "-s", "link")}
    found = by_name(links)
    assert set(found) == set(told)
    for name, link in found.items():
        one = told[name]
        assert link.index == one["ifindex"]
        assert link.address == bytes.fromhex(one["address"].replace(":", ""))
        assert link.up == ("UP" in one["flags"])
        assert link.kind == one.get("linkinfo", {}).get("info_kind", "")
        assert link.promiscuity == one["promiscuity"]
        assert link.master == (found[one["master"]].index if "master" in one else 0)
        assert link.master_kind == one.get("linkinfo", {}).get("info_slave_kind", "")
        lower = one.get("link")
        assert link.lower == (found[lower].index if lower in found else 0)
    return all(link.stats is not None and shown(link.stats, told[name]["stats64"]) for name, link in found.items())


def test_links_and_counters_are_what_ip_prints(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    lab.pair("v2", number=2)
    lab.ip("link", "add", "both", "type", "veth", "peer", "name", "ends")
    lab.ip("link", "add", "br0", "type", "bridge")
    lab.ip("link", "set", "br0", "addrgenmode", "none", "up")
    lab.ip("link", "set", "v2", "master", "br0")
    lab.ip("link", "add", "mv0", "link", "v1", "mtu", "1400", "type", "macvlan")
    vlan = lab.can("link", "add", "link", "v1", "name", "v1.5", "type", "vlan", "id", "5")
    lab.send("10.9.1.2", [10, 100, 1000] * 7)
    lab.send("10.9.1.1", [10, 100] * 5, far=True)
    lab.send("10.9.2.1", [300] * 4, far=True)
    until(lambda: equal_to_ip(lab, links), "equal counters")
    found = by_name(links)
    sent, received = found["v1"].stats, found["v2"].stats
    assert sent is not None
    assert received is not None
    assert sent.tx_packets >= 21
    assert received.rx_bytes >= 4 * 342
    assert (found["v1"].lower, found["both"].lower, found["mv0"].lower) == (0, found["ends"].index, found["v1"].index)
    assert not vlan or found["v1.5"].lower == found["v1"].index


def test_one_link(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    index = by_name(links)["v1"].index
    one = links.one(index)
    assert one is not None
    assert (one.index, one.name, one.kind) == (index, "v1", "veth")
    assert one.stats is not None
    lab.ip("link", "del", "v1")
    assert links.one(index) is None
    assert links.ethernet_stats(index) is None
    assert links.mode(one) == LinkMode()
    assert links.lacp(index) is None


def test_without_counters_interfaces_equal_themselves(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    before = links.all(stats=False)
    lab.send("10.9.1.2", [100])
    assert links.all(stats=False) == before
    assert links.all() != before


def test_records_of_a_port(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    lab.send("10.9.1.2", [100] * 5)
    link = by_name(links)["v1"]
    record = interface_records(link, mode=links.mode(link), ethernet=links.ethernet_stats(link.index))[0]
    assert isinstance(record, IfCounters)
    assert (record.ifType, record.ifSpeed, record.ifDirection, record.ifStatus) == (6, 10_000_000_000, 1, 3)
    assert record.ifOutUcastPkts == 5
    assert record.ifOutOctets == 5 * 142


def test_host_traffic_in_a_container(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    lab.send("10.9.1.2", [100] * 5)
    lab.ip("link", "add", "mv0", "link", "v1", "type", "macvlan")
    found = links.all()
    assert [link.name for link in host_ports(found)] == ["v1"]
    told = next(one for one in host_records(HostTexts(), found) if isinstance(one, HostNetIo))
    assert (told.packets_out, told.bytes_out) == (5, 5 * 142)


def test_speeds(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    found = by_name(links)
    modes = links.modes()
    assert modes[found["v1"].index] == links.mode(found["v1"]) == LinkMode(10_000_000_000, Duplex.FULL)
    assert links.mode(found["lo"]) == LinkMode()
    assert found["lo"].index not in modes


@pytest.mark.parametrize(
    ("speed", "duplex", "mode"),
    [
        ("1000\n", "full\n", LinkMode(1_000_000_000, Duplex.FULL)),
        ("10\n", "half\n", LinkMode(10_000_000, Duplex.HALF)),
        ("-1\n", "unknown\n", LinkMode()),
        ("4294967295\n", "", LinkMode()),
        (None, None, LinkMode()),
    ],
)
def test_speeds_of_kernels_without_the_family(
    links: Links, tmp_path: Path, speed: str | None, duplex: str | None, mode: LinkMode
) -> None:
    (tmp_path / "lo").mkdir()
    for name, text in (("speed", speed), ("duplex", duplex)):
        if text is not None:
            (tmp_path / "lo" / name).write_text(text)
    links._ethtool, links._sysfs = None, tmp_path
    lo = by_name(links)["lo"]
    assert links.mode(lo) == mode
    assert links.modes()[lo.index] == mode
    assert links.ethernet_stats(lo.index) is None


def test_a_family_that_is_gone_is_as_none(links: Links) -> None:
    links._ethtool = 1023
    assert set(links.modes().values()) == {LinkMode()}


def test_addresses(lab: LinkLab, links: Links) -> None:
    lab.pair("v1", number=1)
    lab.ip("addr", "add", "198.51.100.1", "peer", "198.51.100.2", "dev", "v1")
    lab.ip("addr", "add", "2001:db8::1/64", "dev", "v1", "nodad", "preferred_lft", "0", "valid_lft", "1000")
    told = {(one["ifindex"], address["local"]) for one in lab.told("addr") for address in one["addr_info"]}
    found = {(one.index, text_of(one.address)): one for one in links.addresses()}
    assert set(found) == told
    index = by_name(links)["v1"].index
    six = found[index, "2001:db8::1"]
    assert (six.deprecated, six.autoconfigured, six.usable) == (True, True, True)
    assert (index, "198.51.100.1") in found
    assert choose_address("", links.addresses(), links.all()) == bytes([198, 51, 100, 1])
    assert choose_address("lo", links.addresses(), links.all()) == bytes([127, 0, 0, 1])


def text_of(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def is_ready(changes: LinkChanges) -> bool:
    return bool(select.select([changes.fileno()], [], [], 0)[0])


def test_changes(lab: LinkLab) -> None:
    with entered(lab.here):
        opened = LinkChanges()
    with closing(opened) as changes:
        assert changes.changes() == Changes()
        lab.ip("link", "add", "br0", "type", "bridge")
        lab.ip("link", "add", "v1", "type", "veth", "peer", "name", "v2")
        until(lambda: is_ready(changes), "news")
        told = changes.changes()
        assert {one.name for one in told.links} == {"br0", "v1", "v2"}
        assert not told.addresses
        assert not told.lost
        lab.ip("addr", "add", "192.0.2.1/24", "dev", "v1")
        assert changes.changes().addresses
        index = next(one.index for one in told.links if one.name == "v1")
        lab.ip("link", "set", "v1", "name", "port1")
        renamed = [one for one in changes.changes().links if isinstance(one, Link)]
        assert {(one.index, one.name) for one in renamed} == {(index, "port1")}
        lab.ip("link", "set", "port1", "master", "br0")
        lab.ip("link", "set", "port1", "nomaster")
        told = changes.changes()
        assert not [one for one in told.links if isinstance(one, LinkGone)]  # it left its bridge, it is not gone
        assert [one.master for one in told.links if isinstance(one, Link) and one.index == index][-1] == 0
        lab.ip("link", "del", "port1")
        gone = [one for one in changes.changes().links if isinstance(one, LinkGone)]
        assert LinkGone(index, "port1") in gone
        assert changes.changes() == Changes()


def test_too_many_changes_are_told_as_lost(lab: LinkLab) -> None:
    with entered(lab.here):
        opened = LinkChanges(buffer=4096)
    with closing(opened) as changes:
        for number in range(20):
            lab.ip("link", "add", f"v{number}", "type", "veth", "peer", "name", f"w{number}")
        assert changes.changes().lost
        assert changes.changes() == Changes()
        lab.ip("link", "del", "v1")
        told = changes.changes()
        assert not told.lost
        assert {one.name for one in told.links if isinstance(one, LinkGone)} == {"v1", "w1"}


def test_what_a_program_says_is_not_the_kernels(lab: LinkLab) -> None:
    with entered(lab.here):
        changes = LinkChanges()
        sender = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    with closing(changes), sender:
        port = changes._socket.getsockname()[0]
        body = struct.pack("=BxHiII", 0, 1, 77, 0, 0) + struct.pack("=HH", 9, 3) + b"fake\0\0\0\0"
        sender.sendto(struct.pack("=IHHII", 16 + len(body), 16, 0, 0, 0) + body, (port, 0))
        until(lambda: is_ready(changes), "the message")
        assert changes.changes() == Changes()


def test_five_hundred_interfaces_are_read_and_encoded(lab: LinkLab, links: Links) -> None:
    lab.batch(f"link add a{number} type veth peer name b{number}" for number in range(250))
    found = links.all()
    assert len(found) == 501
    modes = links.modes()
    samples = [
        CountersSample(1, DataSource(0, link.index), interface_records(link, mode=modes.get(link.index, LinkMode())))
        for link in found
    ]
    assert sum(len(encode_sample(sample)) for sample in samples) > 500 * 100
