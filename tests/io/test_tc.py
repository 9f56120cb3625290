"""Against this machine's own kernel, in a network namespace; what needs `action sample` runs in the guest."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from net_namespace import drop_net_admin, in_namespace, shell
from tidegate.errors import SourceError
from tidegate.io.netlink import ROUTE, Netlink
from tidegate.io.tc import apply_changes, read_tc, refusal_of
from tidegate.wire.netlink.tc import FilterFlags, Hook, Sampling
from tidegate.wire.netlink.tc_change import (
    AddClsact,
    AddFilter,
    ChangeAction,
    RemoveClsact,
    RemoveFilter,
    TcChange,
)

NOTHING_GONE = 9999  # no interface has this number
SAMPLING = Sampling(10, 1)


def _bridge() -> int:
    shell("ip link add b0 type bridge")
    return socket.if_nametoindex("b0")


def _apply(*changes: TcChange) -> list[str]:
    with Netlink(ROUTE) as route:
        return [str(one) for one in apply_changes(route, changes)]


@in_namespace
def test_a_qdisc_comes_and_goes() -> None:
    index = _bridge()
    assert _apply(AddClsact(index, "b0")) == []
    with Netlink(ROUTE) as route:
        found = read_tc(route)
    assert [one.kind for one in found.qdiscs if one.ifindex == index] == ["clsact"]
    assert found.names[index] == "b0"
    assert _apply(RemoveClsact(index, "b0")) == []
    assert "clsact" not in shell("tc qdisc show dev b0")


@in_namespace
def test_filters_of_others_are_seen_at_their_hook() -> None:
    index = _bridge()
    shell(
        "ip link add v0 type veth peer name v1; tc qdisc add dev b0 clsact; tc qdisc add dev v0 ingress;"
        "tc filter add dev b0 egress pref 4 u32 match u32 0 0 action mirred egress redirect dev lo;"
        "tc filter add dev v0 ingress pref 5 u32 match u32 0 0 action mirred egress redirect dev lo"
    )
    with Netlink(ROUTE) as route:
        found = read_tc(route)
    places = {(found.names[one.ifindex], one.hook, one.pref, one.kind) for one in found.filters}
    assert places == {("b0", Hook.EGRESS, 4, "u32"), ("v0", Hook.INGRESS, 5, "u32")}
    assert {one.ifindex for one in found.filters} >= {index}


@in_namespace
def test_a_qdisc_that_others_use_by_now_stays() -> None:
    index = _bridge()
    assert _apply(AddClsact(index, "b0")) == []
    shell("tc filter add dev b0 egress pref 4 u32 match u32 0 0 action mirred egress redirect dev lo")
    assert _apply(RemoveClsact(index, "b0")) == []
    assert "mirred" in shell("tc filter show dev b0 egress")


@in_namespace
def test_an_interface_that_is_gone_is_no_error_at_removal() -> None:
    assert (
        _apply(
            RemoveFilter(NOTHING_GONE, "gone", Hook.INGRESS, 1, 1),
            ChangeAction(NOTHING_GONE, "gone", Hook.INGRESS, 1, 1, SAMPLING),
            RemoveClsact(NOTHING_GONE, "gone"),
        )
        == []
    )
    assert _apply(AddClsact(NOTHING_GONE, "gone"), AddFilter(NOTHING_GONE, "gone", Hook.INGRESS, 1, SAMPLING)) == [
        "gone: adding a clsact qdisc was refused: No such device: the interface is gone"
    ]


@in_namespace
def test_what_is_removed_already_is_no_error() -> None:
    index = _bridge()
    removals: list[TcChange] = [RemoveFilter(index, "b0", Hook.INGRESS, 1, 1), RemoveClsact(index, "b0")]
    assert _apply(*removals) == []
    shell("tc qdisc add dev b0 clsact")
    assert _apply(removals[0]) == []


@in_namespace
def test_a_qdisc_that_is_there_meanwhile_is_told() -> None:
    index = _bridge()
    shell("tc qdisc add dev b0 ingress")
    (refused,) = _apply(AddClsact(index, "b0"))
    assert refused.startswith("b0: adding a clsact qdisc was refused: ")
    assert refused.endswith(": another program has put something there meanwhile")


@in_namespace
def test_a_kernel_without_the_action_says_what_to_load_and_keeps_nothing() -> None:
    index = _bridge()
    if shell("modinfo -n act_sample cls_matchall 2>/dev/null || true").count("\n") == 2:
        pytest.skip("this kernel has act_sample")
    refused = _apply(
        AddClsact(index, "b0"),
        AddFilter(index, "b0", Hook.INGRESS, 1, SAMPLING),
        AddFilter(index, "b0", Hook.EGRESS, 1, SAMPLING),
    )
    assert refused == [
        (
            "b0: sampling ingress at preference 1 was refused: TC classifier not found: load its modules (modprobe -a "
            "act_sample cls_matchall); the kernel needs CONFIG_NET_ACT_SAMPLE and CONFIG_NET_CLS_MATCHALL"
        )
    ]
    assert "clsact" not in shell("tc qdisc show dev b0")


@in_namespace
def test_without_the_right_to_it_nothing_changes() -> None:
    index = _bridge()
    shell("tc qdisc add dev b0 clsact")
    drop_net_admin()
    assert _apply(RemoveClsact(index, "b0")) == [
        "b0: removing the clsact qdisc was refused: Operation not permitted: this needs CAP_NET_ADMIN (root has it)"
    ]


ADD = AddFilter(2, "eth0", Hook.EGRESS, 7, SAMPLING)


@pytest.mark.parametrize(
    ("change", "number", "advice"),
    [
        (
            AddFilter(2, "eth0", Hook.EGRESS, 7, SAMPLING, FilterFlags.SKIP_SW),
            errno.EOPNOTSUPP,
            "sampling egress at preference 7 was refused: no: the driver does not sample in hardware",
        ),
        (ADD, errno.EINVAL, "sampling egress at preference 7 was refused: no"),
        (
            AddClsact(2, "eth0"),
            errno.ENOENT,
            (
                "adding a clsact qdisc was refused: no: load its module (modprobe sch_ingress); the kernel needs "
                "CONFIG_NET_SCH_INGRESS"
            ),
        ),
        (
            ChangeAction(2, "eth0", Hook.INGRESS, 1, 1, SAMPLING),
            errno.EEXIST,
            (
                "changing how ingress is sampled at preference 1 was refused: no: another program has put something "
                "there meanwhile"
            ),
        ),
        (
            RemoveFilter(2, "eth0", Hook.INGRESS, 1, 1),
            errno.EACCES,
            "ending to sample ingress at preference 1 was refused: no: this needs CAP_NET_ADMIN (root has it)",
        ),
    ],
)
def test_each_refusal_says_what_was_tried_and_what_to_do(change: TcChange, number: int, advice: str) -> None:
    words = os.strerror(number)
    assert str(refusal_of(change, OSError(number, words))) == f"eth0: {advice.replace(': no', f': {words}')}"


def test_the_kernels_own_words_are_enough() -> None:
    words = "This filter block is shared. Please use the block index to manipulate the filters"
    line = f"eth0: sampling egress at preference 7 was refused: {words}"
    assert str(refusal_of(ADD, OSError(errno.EOPNOTSUPP, words))) == line


def test_a_kernel_that_does_not_answer_is_named() -> None:
    route = Netlink(ROUTE)
    route.close()
    with pytest.raises(SourceError, match="traffic control: cannot be read: Bad file descriptor"):
        read_tc(route)
