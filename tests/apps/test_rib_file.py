"""Recordings with a routing table from a file beside them: what flows and scripts are told, against literals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

import mrt_files as m
from routed import Packet, datagram
from running import SECOND, START_NS, Heard, prepare, write_payloads
from script_files import ROOT, write
from tidegate.apps.config import Config
from tidegate.apps.replay import Replayed, Told, replay
from tidegate.apps.rib_file import RibFile, load_table, routes_of_table
from tidegate.cli import cli
from tidegate.errors import ConfigError, SourceError
from tidegate.io.clock import SystemClock
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.mrt import RibEntry, RibRecord

COMMUNITIES = bytes.fromhex("c00808 fc000001 fc000002")  # 64512:1, 64512:2
LONGER = bytes.fromhex("400206 0201 0000fdeb")  # another AS
PACKETS = [
    Packet("203.0.113.9", "10.1.2.3"),
    Packet("203.0.113.9", "10.9.9.9", 500),
    Packet("2001:db8:9::1", "2001:db8:1::1", 250),
    Packet("203.0.113.9", "172.16.0.1", 125),
]
FLOWS = {
    "path": {"keys": "bgpdestinationaspath,bgpcommunities", "value": "bytes", "log": True},
    "prefix": {"keys": "bgpdestinationprefix,bgpas", "value": "bytes", "log": True},
}


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def _record(text: str, attributes: bytes, *peers: int, family: Family = Family.IPV4_UNICAST) -> bytes:
    entries = tuple(RibEntry(peer, 0, attributes) for peer in peers)
    return m.rib(RibRecord(family, m.nlri(text), entries))


@pytest.fixture
def mrt(tmp_path: Path) -> Path:
    """Two peers: ONE has 10.0.0.0/8, 10.1.0.0/16 and an IPv6 route, TWO has 10.0.0.0/8 alone."""
    path = tmp_path / "table.mrt"
    path.write_bytes(
        m.write(
            [
                m.index_of(m.ONE, m.TWO),
                _record("8 0a", m.PLAIN, 0),
                _record("8 0a", m.ORIGIN + LONGER + m.HOP, 1),
                _record("16 0a01", m.PLAIN + COMMUNITIES, 0),
                _record("32 20010db8", m.ABBREVIATED, 0, family=Family.IPV6_UNICAST),
            ]
        )
    )
    return path


def played(
    folder: Path,
    table: RibFile | None,
    *,
    flows: dict[str, Any] = FLOWS,
    script: str = "",
    **more: Any,  # noqa: ANN401 - sections of the configuration
) -> tuple[dict[str, dict[str, float]], Replayed]:
    """Return the totals of flows by definition and key."""
    capture = write_payloads(
        folder / "c.pcap", [datagram(number, PACKETS) for number in range(10)], step_ns=SECOND // 10, start_ns=START_NS
    )
    heard = Heard()
    told = Told(event=heard.one, record=heard.one, progress=lambda _done, _total: None)
    result = replay(
        [capture],
        msgspec.convert({"flows": flows, **more}, Config),
        scripts=(write(folder, "s.py", script),) if script else (),
        speed=None,
        clock=SystemClock(),
        told=told,
        table=None if table is None else load_table(table)[0],
    )
    found: dict[str, dict[str, float]] = {}
    for line in heard.lines:
        record = msgspec.json.decode(line)
        if "flowKeys" not in record:
            continue  # an event
        found.setdefault(record["name"], {})[record["flowKeys"]] = record["value"]
    return found, result


def test_a_recording_gets_the_keys_of_the_file(tmp_path: Path, mrt: Path) -> None:
    found, _ = played(tmp_path, RibFile(mrt))
    assert found == {
        "path": {"65002,64512:1-64512:2": 10_000_000.0},
        "prefix": {
            "10.1.0.0/16,65002": 10_000_000.0,
            "10.0.0.0/8,65002": 5_000_000.0,
            "2001:DB8::/32,65002": 2_500_000.0,
        },
    }


def test_the_table_of_another_peer_is_chosen(tmp_path: Path, mrt: Path) -> None:
    found, _ = played(tmp_path, RibFile(mrt, "4200000000"))
    assert found == {"prefix": {"10.0.0.0/8,4200000000": 15_000_000.0}}
    assert played(tmp_path, RibFile(mrt, "192.0.2.2"))[0] == found


def test_without_a_file_nothing_has_these_keys(tmp_path: Path) -> None:
    assert played(tmp_path, None)[0] == {}


TOP = """
def setup(rt):
    rt.bgp.add_neighbor("192.0.2.254", 65001, "192.0.2.1", ipv6=True)
    rt.bgp.add_source("ALL", "192.0.2.254", t=30)
    def look():
        found = rt.bgp.top_prefixes("192.0.2.254", 2)
        rows = [(row["prefix"], row["nexthop"], row.get("parentprefix")) for row in found.top_prefixes]
        rt.shared.set("top", [rows, round(found.value_percent_coverage, 3), found.n_prefixes])
        six = rt.bgp.top_prefixes6("192.0.2.254", 9)
        rt.shared.set("six", [row["prefix"] for row in six.top_prefixes])
        best = rt.bgp.best_route("192.0.2.254", "10.200.0.1")
        all = [route["prefix"] for route in rt.bgp.received_routes("192.0.2.254")]
        assert best["prefix"] == "10.0.0.0/8", best
        assert all == ["10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"], all
        assert rows == [("10.1.0.0/16", "192.0.2.1", "10.0.0.0/8"), ("10.0.0.0/8", "192.0.2.1", None)], rows
        assert found.value_percent_coverage == 100 and found.n_prefixes == 2
        assert [row["prefix"] for row in six.top_prefixes] == ["2001:db8::/32"]
        rt.bgp.announce_route("192.0.2.254", {**found.top_prefixes[0], "communities": "65535:666"})
    rt.after(0.85, look)
"""


def test_scripts_rank_prefixes_in_a_replay(tmp_path: Path, mrt: Path) -> None:
    _, result = played(tmp_path, RibFile(mrt), flows={}, script=TOP)
    assert result.script_errors == {}
    (change,) = result.changes
    assert change.route == {
        "prefix": "10.1.0.0/16", "nexthop": "192.0.2.1", "origin": "IGP", "aspath": "65002", "communities": "65535:666",
    }  # fmt: skip


def test_the_example_reports_what_a_recording_has(tmp_path: Path, mrt: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = {"seconds": 0.4, "marked": "64512:2", "marked_bits_per_s": 1000}
    scripts = [{"path": str(ROOT / "examples" / "peering_report.py"), "config": config}]
    with caplog.at_level("INFO", "tidegate.script"):
        _, result = played(tmp_path, RibFile(mrt), flows={}, scripts=scripts)
    assert result.script_errors == {}
    said = [record.getMessage().removeprefix("peering_report.py: ") for record in caplog.records]
    assert any(line.startswith("1 of 2 prefixes take 100 % of ") for line in said), said
    assert any("Mbit/s of 64512:2 by way of 192.0.2.1" in line for line in said), said


def test_sources_of_the_configuration_say_whose_agents_are_ranked(tmp_path: Path, mrt: Path) -> None:
    bgp = {
        "local_as": 65001,
        "router_id": "192.0.2.1",
        "peers": [{"address": "192.0.2.254"}],
        "sources": [{"router": "192.0.2.254", "agents": ["192.0.2.99"]}],
    }
    script = """
    def setup(rt):
        def look():
            assert rt.bgp.top_prefixes("192.0.2.254", 9).value_total == 0, "its agent is not heard"
            assert rt.bgp.top_prefixes("rib", 9).value_total > 0
            rt.bgp.announce_route(None, {"prefix": "192.0.2.9", "nexthop": "192.0.2.1"})
        rt.after(0.5, look)
    """
    _, result = played(tmp_path, RibFile(mrt), script=script, bgp=bgp)
    assert (result.script_errors, len(result.changes)) == ({}, 1)


def test_routes_of_a_file_are_shown(mrt: Path) -> None:
    table, said = load_table(RibFile(mrt))
    assert said.endswith(
        "2 ipv4-unicast routes, 1 ipv6-unicast routes of 192.0.2.1 AS 65002 (ipv4-unicast, ipv6-unicast)"
    )
    assert (table.name, table.asn, table.state) == ("rib", 65002, "file")
    assert routes_of_table(table, address="10.1.2.3") == [
        {
            "prefix": "10.1.0.0/16", "nexthop": "192.0.2.1", "aspath": "65002", "origin": "IGP",
            "communities": "64512:1-64512:2", "parentprefix": "10.0.0.0/8",
        }
    ]  # fmt: skip
    assert routes_of_table(table, address="192.0.2.1") == []
    assert [row["prefix"] for row in routes_of_table(table, prefix="10.0.0.0/15")] == ["10.1.0.0/16"]
    assert [row["prefix"] for row in routes_of_table(table, most=2)] == ["10.0.0.0/8", "10.1.0.0/16"]


def test_what_is_no_peer_or_not_there_is_told(mrt: Path) -> None:
    with pytest.raises(ConfigError, match="--rib-peer: 'x' is neither an address nor an AS number"):
        load_table(RibFile(mrt, "x"))
    with pytest.raises(SourceError, match="there is no peer AS 7 in it; there are 192"):
        load_table(RibFile(mrt, "7"))
    with pytest.raises(SourceError, match="No such file"):
        load_table(RibFile(mrt.with_name("none.mrt")))


def test_the_command_shows_a_file(mrt: Path) -> None:
    def shown(*words: str) -> str:
        done = CliRunner().invoke(cli, ["bgp", "routes", "--file", str(mrt), *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    (line,) = shown("--address", "10.1.2.3", "--json").splitlines()
    assert msgspec.json.decode(line)["prefix"] == "10.1.0.0/16"
    lines = shown("--prefix", "10.0.0.0/8").splitlines()
    assert [line.split()[0] for line in lines] == ["prefix", "10.0.0.0/8", "10.1.0.0/16"]
    done = CliRunner().invoke(cli, ["bgp", "routes", "--file", str(mrt), "192.0.2.1"])
    assert (done.exit_code, "give either a neighbour or --file FILE" in done.stderr) == (2, True)
    done = CliRunner().invoke(cli, ["replay", "--rib-peer", "7", "x.pcap"])
    assert (done.exit_code, "give the file, too" in done.stderr) == (2, True)
