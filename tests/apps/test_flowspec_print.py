from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidegate.apps.flowspec_decode import decode_flows
from tidegate.apps.flowspec_encode import Encoding, encode_flows
from tidegate.apps.flowspec_print import print_flows, read_text, text_lines
from tidegate.errors import SourceError

UNICAST = (
    "ffffffffffffffffffffffffffffffff003b020000001f4001010040020602010000fde8400304c00002fec00808ffff029affffff01"
    "20c0000242"
)


def lines(text: str, *actions: str) -> list[str]:
    return [line for shown in decode_flows(text, actions) for line in text_lines(shown)]


def test_a_rule() -> None:
    shown = lines("0c0120c0000201038111068135", "8006000000000000")
    assert shown[:8] == [
        "IPv4 rule",
        "  nlri        0c0120c0000201038111068135",
        "  communities 8006000000000000",
        "  matches     to 192.0.2.1/32",
        "              protocol 17 (UDP)",
        "              source port 53",
        "  then        drop",
        "  note        source-port: never of fragments after the first, which have no transport header",
    ]
    assert shown[8:] == [
        "  profiles    safe: as it is",
        "              rfc8955: as it is",
        "              bird-2.0: as it is",
        "              gobgp-3: as it is",
        "              exabgp-4: as it is",
        "",
    ]


def test_next_hop_and_update() -> None:
    text = json.dumps({"match": {"destination": "192.0.2.1"}, "then": {"redirect-nexthop": "192.0.2.9"}})
    shown = [line for rule in encode_flows(text, Encoding(update=True)) for line in text_lines(rule)]
    assert "  next hop    192.0.2.9" in shown
    assert any(line.startswith("  update      ffffffff") for line in shown)


def test_what_is_no_rule() -> None:
    assert lines("07012220 20010db8") == [
        "no IPv4 rule: destination: prefix length over the family's at octet 2",
        "  nlri        0701222020010db8",
        "",
    ]


def test_a_route_and_a_remark() -> None:
    assert lines(UNICAST) == [
        "IPv4 route 192.0.2.66/32, announced",
        "  next hop    192.0.2.254",
        "  communities 65535:666",
        "              65535:65281",
        "",
    ]
    assert lines("ffffffffffffffffffffffffffffffff001c02000520c00002420000") == [
        "IPv4 route 192.0.2.66/32, withdrawn",
        "",
    ]
    assert lines("ffffffffffffffffffffffffffffffff00170200000000") == [
        "End-of-RIB of ipv4-unicast: all routes have been sent",
        "",
    ]


def test_json_is_an_object_a_line_and_the_result_tells_whether_all_were_rules(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert print_flows(decode_flows("050118c00002060120c0000237"), as_json=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["nlri"], second["nlri"]) == ("050118c00002", "060120c0000237")
    assert {"afi", "safi", "nlri", "components", "actions"} <= set(first)
    assert not print_flows(decode_flows("050118c000020100"), as_json=False)
    assert "no IPv4 rule" in capsys.readouterr().out


def test_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rule.json"
    path.write_text("{}\n", encoding="utf-8")
    assert read_text(str(path)) == "{}\n"
    path.write_bytes(b"{\xff")
    with pytest.raises(SourceError, match=r"rule\.json: no text \(UTF-8\) at octet 1"):
        read_text(str(path))
    with pytest.raises(SourceError, match="No such file"):
        read_text(str(tmp_path / "none"))
    with path.open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(SourceError, match="more than 16777216 octets"):
        read_text(str(path))
