"""What the agent installs and removes, on this machine's own kernel; what needs `action sample` runs in the guest."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from frame_lab import ARRIVES, LEAVES, make_pair
from net_namespace import drop_net_admin, in_namespace, shell
from tidegate.agent.config import AgentConfig, Direction, Placement, Setup
from tidegate.agent.nft_rules import TABLE
from tidegate.agent.ports import Port
from tidegate.apps.agent_setup import KernelSetup, clean_up
from tidegate.errors import SourceError

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="not installed: nft")
NFT = AgentConfig(setup=Setup.NFT)
TC = AgentConfig(setup=Setup.TC)
TOO_MANY = 1 << 40  # of which nft cannot take one; users cannot ask for it
NO_ACTION = (
    "v0: sampling ingress at preference 1 was refused: TC classifier not found: load its modules (modprobe -a "
    "act_sample cls_matchall); the kernel needs CONFIG_NET_ACT_SAMPLE and CONFIG_NET_CLS_MATCHALL"
)


@contextmanager
def installed(setup: Setup) -> Iterator[KernelSetup]:
    one = KernelSetup(setup)
    try:
        yield one
    finally:
        one.close()


def leave_rules() -> None:
    """Leave what an agent leaves that is killed."""
    setup = KernelSetup(Setup.NFT)
    setup.update(NFT, [port(ARRIVES, 123)])
    setup._route.close()


def port(name: str, rate: int = 400) -> Port:
    return Port(socket.if_nametoindex(name), name, rate, 2)


def table() -> str:
    """Return our rules, with the handles that tell whether they were made anew; nothing where there are none."""
    if f"table netdev {TABLE}" not in shell("nft list tables"):
        return ""
    return shell(f"nft -a list table netdev {TABLE}")


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


@needs_nft
@in_namespace
def test_rules_follow_interfaces_and_rates_and_vanish_at_the_end() -> None:
    make_pair()
    shell("nft add table netdev others; nft add table inet others")
    before = shell("nft list ruleset")
    with installed(Setup.NFT) as setup:
        setup.update(NFT, [port(ARRIVES), port(LEAVES, 20)])
        first = table()
        assert f'device "{ARRIVES}"' in first
        assert "numgen random mod 400" in first
        assert 'log prefix "N=400 " group 6343 snaplen 128' in first
        assert "N=20 " in first
        assert first.count("hook ingress") == 2
        assert "hook egress" not in first
        setup.update(NFT, [port(ARRIVES), port(LEAVES, 20)])
        assert table() == first  # not made anew
        setup.update(NFT, [port(ARRIVES, 50)])
        assert ("N=50 " in table(), "N=400 " in table(), LEAVES in table()) == (True, False, False)
        setup.update(msgspec.structs.replace(NFT, direction=Direction.BOTH, header_octets=64), [port(ARRIVES, 50)])
        assert ("hook egress" in table(), "snaplen 64" in table()) == (True, True)
        setup.update(NFT, [])
        assert table() == ""
        setup.update(NFT, [port(ARRIVES)])
        assert "N=400 " in table()
    assert shell("nft list ruleset") == before


@needs_nft
@in_namespace
def test_rules_of_an_agent_before_give_way_at_the_first_update() -> None:
    make_pair()
    leave_rules()
    assert "N=123 " in table()
    with installed(Setup.NFT) as setup:
        assert "N=123 " in table()
        setup.update(NFT, [])
        assert table() == ""


@needs_nft
@in_namespace
def test_a_rule_that_is_refused_at_the_start_is_an_error_that_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    with installed(Setup.NFT) as setup, pytest.raises(SourceError, match=r"^v1: nft refused its rule: .*out of range"):
        setup.update(NFT, [port(ARRIVES), port(LEAVES, TOO_MANY)])
    assert messages(caplog) == []
    assert table() == ""


@needs_nft
@in_namespace
def test_a_rule_that_is_refused_later_leaves_those_before_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    with installed(Setup.NFT) as setup:
        setup.update(NFT, [port(ARRIVES)])
        before = table()
        for _ in range(2):
            setup.update(NFT, [port(ARRIVES), port(LEAVES, TOO_MANY)])
            assert table() == before
        (told,) = messages(caplog)
        assert told.startswith("v1: nft refused its rule: ")
        setup.update(NFT, [port(ARRIVES), port(LEAVES, 7)])
        assert "N=7 " in table()
    assert len(messages(caplog)) == 1
    assert table() == ""


@needs_nft
@in_namespace
def test_an_interface_that_goes_and_comes_again_is_sampled_again() -> None:
    make_pair()
    with installed(Setup.NFT) as setup:
        setup.update(NFT, [port(ARRIVES)])
        before = table()
        shell(f"ip link del {ARRIVES}")
        setup.update(NFT, [])
        assert table() == ""
        make_pair()
        setup.update(NFT, [port(ARRIVES)])
        assert "N=400 " in table()
        assert table() != before


@needs_nft
@in_namespace
def test_rules_that_others_flushed_are_installed_again_and_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    with installed(Setup.NFT) as setup:
        setup.check(NFT, [port(ARRIVES)])
        assert table() == ""  # nothing was installed yet
        setup.update(NFT, [port(ARRIVES)])
        before = table()
        setup.check(NFT, [port(ARRIVES)])
        assert table() == before
        assert messages(caplog) == []
        for command in ("flush ruleset", f"delete table netdev {TABLE}"):
            caplog.clear()
            shell(f"nft {command}")
            setup.check(NFT, [port(ARRIVES)])
            assert "N=400 " in table()
            setup.check(NFT, [port(ARRIVES)])
            assert messages(caplog) == ["the table of our log rules was gone, and is installed again"]
        setup.update(NFT, [])
        setup.check(NFT, [])
        assert table() == ""


@needs_nft
@in_namespace
def test_a_name_that_nft_cannot_take_is_told_once_and_the_others_are_sampled(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    shell("ip link add 'a\"b' type bridge")
    with installed(Setup.NFT) as setup:
        for rate in (400, 300):
            setup.update(NFT, [port('a"b'), port(ARRIVES, rate)])
            assert f"N={rate} " in table()
    assert messages(caplog) == ['a"b: nft cannot be told such a name: rename the interface, or sample it otherwise']


@needs_nft
@in_namespace
def test_without_the_right_to_it_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    drop_net_admin()
    with installed(Setup.NFT) as setup, pytest.raises(SourceError, match=r"this needs CAP_NET_ADMIN \(root has it\)$"):
        setup.update(NFT, [port(ARRIVES)])
    assert messages(caplog) == []


@in_namespace
def test_a_missing_nft_is_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pair()
    monkeypatch.setenv("PATH", "")
    with (
        installed(Setup.NFT) as setup,
        pytest.raises(SourceError, match=r"^nft: is not installed: install the package"),
    ):
        setup.update(NFT, [port(ARRIVES)])
    assert messages(caplog) == []


@needs_nft
@in_namespace
def test_what_cannot_be_removed_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    with installed(Setup.NFT) as setup:
        setup.update(NFT, [port(ARRIVES)])
        drop_net_admin()
    (told,) = messages(caplog)
    assert told.endswith("this needs CAP_NET_ADMIN (root has it)")


@in_namespace
def test_the_end_comes_once(caplog: pytest.LogCaptureFixture) -> None:
    for one in Setup:
        setup = KernelSetup(one)
        setup.close()
        setup.close()
    assert messages(caplog) == []


@in_namespace
def test_where_nothing_is_set_up_nothing_is_there() -> None:
    make_pair()
    before = shell("tc qdisc show; nft list ruleset")
    with installed(Setup.NONE) as setup:
        setup.update(AgentConfig(), [port(ARRIVES)])
        assert shell("tc qdisc show; nft list ruleset") == before


def _has_action() -> bool:
    return shell("modinfo -n act_sample cls_matchall 2>/dev/null || true").count("\n") == 2


@pytest.mark.netns
@pytest.mark.parametrize("placement", list(Placement))
@pytest.mark.parametrize("direction", list(Direction))
def test_a_kernel_without_the_action_is_told_by_interface_and_keeps_nothing(
    placement: Placement, direction: Direction, caplog: pytest.LogCaptureFixture
) -> None:
    @in_namespace
    def check() -> None:
        if _has_action():
            pytest.skip("this kernel has act_sample")
        make_pair()
        before = shell("tc qdisc show")
        config = msgspec.structs.replace(TC, placement=placement, direction=direction)
        with installed(Setup.TC) as setup:
            setup.warn_of_leftovers()
            with pytest.raises(SourceError) as caught:
                setup.update(config, [port(ARRIVES)])
            assert shell("tc qdisc show") == before
        way = "egress" if direction is Direction.EGRESS else "ingress"
        assert str(caught.value) == NO_ACTION.replace("ingress", way)
        assert messages(caplog) == []

    check()


@in_namespace
def test_interfaces_that_come_later_are_told_as_problems(caplog: pytest.LogCaptureFixture) -> None:
    if _has_action():
        pytest.skip("this kernel has act_sample")
    make_pair()
    with installed(Setup.TC) as setup:
        setup.update(TC, [])
        with pytest.raises(SourceError, match=r"^v0: sampling ingress"):
            setup.update(TC, [port(ARRIVES)])
    assert messages(caplog) == []


@in_namespace
def test_tc_without_the_right_to_it_says_so() -> None:
    make_pair()
    drop_net_admin()
    with installed(Setup.TC) as setup, pytest.raises(SourceError) as caught:
        setup.update(TC, [port(ARRIVES)])
    assert str(caught.value) == (
        "v0: adding a clsact qdisc was refused: Operation not permitted: this needs CAP_NET_ADMIN (root has it)"
    )


@in_namespace
def test_filters_of_others_are_no_leftovers(caplog: pytest.LogCaptureFixture) -> None:
    make_pair()
    shell(
        "tc qdisc add dev v0 clsact;"
        "tc filter add dev v0 ingress pref 1 u32 match u32 0 0 action mirred egress redirect dev v1"
    )
    before = shell("tc qdisc show; tc filter show dev v0 ingress")
    for one in (Setup.NONE, Setup.NFT, Setup.TC):
        with installed(one) as setup:
            setup.warn_of_leftovers()
    assert messages(caplog) == []
    clean_up()
    assert shell("tc qdisc show; tc filter show dev v0 ingress") == before


@needs_nft
@in_namespace
def test_cleaning_up_removes_what_was_left_and_tells_it() -> None:
    make_pair()
    shell("nft add table netdev others")
    assert clean_up() == []
    leave_rules()
    assert clean_up() == [f"nft delete table netdev {TABLE}"]
    assert shell("nft list ruleset") == "table netdev others {\n}\n"
    assert clean_up() == []


@needs_nft
@in_namespace
def test_cleaning_up_without_the_right_to_it_says_so() -> None:
    drop_net_admin()
    (told,) = clean_up()
    assert told.startswith("# nftables was left alone: nft: refused the rules: ")
    assert told.endswith("this needs CAP_NET_ADMIN (root has it)")


@in_namespace
def test_cleaning_up_without_nft_leaves_nftables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert clean_up() == ["# nftables was left alone: nft: is not installed: install the package nftables"]
