"""Against this machine's own kernel and `nft`, in a network namespace."""

from __future__ import annotations

import os
import shutil
import socket
import time
from pathlib import Path

import msgspec
import pytest

from net_namespace import drop_net_admin, in_namespace, shell
from tidegate.agent.config import AgentConfig, Direction
from tidegate.agent.nft_rules import OWN_GROUP, TABLE, LogRule, format_removal, format_rules, log_rules
from tidegate.errors import SourceError
from tidegate.io.netlink import NETFILTER
from tidegate.io.nft import run_nft
from tidegate.wire.netlink.message import Flags, encode_message, first_attributes, split_messages, text_of
from tidegate.wire.netlink.nflog import CONFIG, NFLOG, bind_body

BOTH = AgentConfig(direction=Direction.BOTH)
_SO_RCVBUFFORCE = 33
_PREFIX, _INPUT, _OUTPUT = 10, 4, 5

pytestmark = pytest.mark.skipif(shutil.which("nft") is None, reason="not installed: nft")


def _pair() -> list[LogRule]:
    """Make two interfaces that face each other, and rules for one of them."""
    shell("ip link add v0 type veth peer name v1; ip link set v0 up; ip link set v1 up; ip addr add 10.8.8.1/24 dev v0")
    return list(log_rules(socket.if_nametoindex("v0"), "v0", rate=1, config=BOTH))


def _listen() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    sock.bind((0, 0))
    body = bind_body(OWN_GROUP, copy=128, at_once=1)
    sock.send(encode_message(CONFIG, Flags.REQUEST | Flags.ACK, 1, body))
    sock.settimeout(5)
    sock.recv(1 << 16)
    return sock


def _send(interface: str, count: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((interface, 0))
        for _ in range(count):
            sock.send(b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb5" + bytes(50))  # an experimental protocol


def _logged(sock: socket.socket, count: int, attribute: int) -> list[dict[int, bytes]]:
    """Return the first packets that were logged with an attribute: neighbour discovery may come between."""
    found: list[dict[int, bytes]] = []
    deadline = time.monotonic() + 5
    while len(found) < count and time.monotonic() < deadline:
        messages = [one for one in split_messages(sock.recv(1 << 16)) if one.type == NFLOG]
        told = [first_attributes(one.body, 4) for one in messages]
        found += [one for one in told if attribute in one]
    return found[:count]


@in_namespace
def test_packets_of_both_directions_arrive_with_their_rate() -> None:
    rules = _pair()
    run_nft(format_rules(rules))
    with _listen() as sock:
        _send("v1", 3)
        arriving = _logged(sock, 3, _INPUT)
        _send("v0", 3)
        leaving = _logged(sock, 3, _OUTPUT)
    index = socket.if_nametoindex("v0").to_bytes(4, "big")
    assert [(text_of(one[_PREFIX]), one[_INPUT]) for one in arriving] == [("N=1 ", index)] * 3
    assert [(text_of(one[_PREFIX]), one[_OUTPUT]) for one in leaving] == [("N=1 ", index)] * 3


@in_namespace
def test_one_in_many_is_logged() -> None:
    rules = [msgspec.structs.replace(one, rate=10) for one in _pair()]
    run_nft(format_rules(rules))
    with _listen() as sock:
        _send("v1", 3000)
        sock.settimeout(0.2)
        count = 0
        while True:
            try:
                count += sum(one.type == NFLOG for one in split_messages(sock.recv(1 << 16)))
            except TimeoutError:
                break
    assert 246 <= count <= 354  # 99.9 % of all runs


@in_namespace
def test_rules_are_exchanged_and_removed_whoever_left_them() -> None:
    rules = _pair()
    shell("nft add table netdev others; nft add table inet others")
    run_nft(format_rules(rules))
    run_nft(format_rules([msgspec.structs.replace(rules[0], rate=77)]))
    shown = shell(f"nft list table netdev {TABLE}")
    assert "N=77 " in shown
    assert "egress" not in shown
    run_nft(format_removal())
    run_nft(format_removal())
    assert shell("nft list tables").split("\n") == ["table netdev others", "table inet others", ""]


@in_namespace
def test_odd_names_are_taken_as_they_are() -> None:
    for number, name in enumerate(["x;y", "sp$x", "back\\sl", "#{}", "'q'", "ü", "eth0"]):
        shell('ip link add "$NAME" type bridge', NAME=name)
        run_nft(format_rules(log_rules(number, name, rate=5, config=BOTH)))
        assert f'device "{name}"' in shell("nft list ruleset")


@in_namespace
def test_a_refused_line_names_its_interface_and_leaves_all_as_it_was() -> None:
    rules = _pair()
    run_nft(format_rules(rules))
    before = shell("nft list ruleset")
    wrong = msgspec.structs.replace(rules[1], rate=1 << 40)
    with pytest.raises(SourceError, match=r"^v0: nft refused its rule: .*out of range"):
        run_nft(format_rules([rules[0], wrong]))
    assert shell("nft list ruleset") == before


@in_namespace
def test_without_the_right_to_it_one_line_says_so() -> None:
    drop_net_admin()
    with pytest.raises(SourceError) as caught:
        run_nft(format_removal())
    assert str(caught.value) == (
        "nft: refused the rules: cache initialization failed: Operation not permitted: this needs CAP_NET_ADMIN "
        "(root has it)"
    )


def test_a_missing_program_says_what_to_install() -> None:
    with pytest.raises(SourceError, match=r"^no-nft: is not installed: install the package nftables$"):
        run_nft(format_removal(), program="no-nft")


def _program(folder: Path, text: str) -> str:
    path = folder / "nft"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return os.fspath(path)


def test_a_program_that_cannot_be_started_is_named(tmp_path: Path) -> None:
    path = _program(tmp_path, "")
    Path(path).chmod(0o600)
    with pytest.raises(SourceError, match="cannot be started: Permission denied"):
        run_nft("", program=path)


@pytest.mark.parametrize(
    ("complaint", "line"),
    [
        (
            "/dev/stdin:5:8-8: Error: Could not process rule: No such file or directory",
            "eth0: {nft} refused its rule: Could not process rule: No such file or directory: the interface is gone",
        ),
        (
            "/dev/stdin:5:8-8: Error: Could not process rule: Operation not supported",
            (
                "eth0: {nft} refused its rule: Could not process rule: Operation not supported: egress needs Linux "
                "5.16 with CONFIG_NETFILTER_EGRESS"
            ),
        ),
        ("", "{nft}: refused the rules: no reason given"),
        ("/dev/stdin:999:1-1: Error: odd", "{nft}: refused the rules: odd"),
        ("killed", "{nft}: refused the rules: killed"),
    ],
)
def test_complaints_of_other_kernels_are_told(tmp_path: Path, complaint: str, line: str) -> None:
    program = _program(tmp_path, f"cat >/dev/null; echo '{complaint}' >&2; exit 1")
    with pytest.raises(SourceError) as caught:
        run_nft(format_rules(log_rules(3, "eth0", rate=5, config=BOTH)), program=program)
    assert str(caught.value) == line.format(nft=program)
