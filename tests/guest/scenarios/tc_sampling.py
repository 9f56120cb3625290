"""Sampling set up and removed in a kernel that has `action sample`, `matchall` and psample: what there was."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from plan_text import format_plan
from tidegate.agent.config import AgentConfig, Direction
from tidegate.agent.sampling_plan import SamplingPlan, is_ours, plan_removal, plan_sampling, wanted_filters
from tidegate.io.netlink import GENERIC, ROUTE, Netlink, find_family
from tidegate.io.tc import apply_changes, read_tc
from tidegate.wire.netlink.tc import FilterFlags, TcState

_SOL_NETLINK, _ADD_MEMBERSHIP, _RCVBUFFORCE = 270, 1, 33
_BOTH = AgentConfig(direction=Direction.BOTH)
Facts = dict[str, object]


def main() -> None:
    """Go through all cases, each from an interface without anything on it."""
    told: dict[str, Facts] = {}
    with interface(), Netlink(ROUTE) as route:
        for case in (both_directions, leftovers, beside_others, joined_by_others, taken, no_hardware, shared, as_text):
            told[case.__name__] = case(route)
            told[case.__name__]["actions left"] = sh("tc actions list action sample").count("sample")
            told[case.__name__]["qdiscs left"] = sh("tc qdisc show dev t0").count("clsact")
            sh("tc qdisc del dev t0 clsact 2>/dev/null || true")
    json.dump(told, sys.stdout)


def both_directions(route: Netlink) -> Facts:
    """Sample each packet of both directions, each to its group."""
    sh("modprobe psample")
    with open_psample() as samples:
        plan = change(route, rate=1)
        ping()
        told = {"ingress": shown("ingress"), "egress": shown("egress"), "samples": arrived(samples)}
    return {**told, "plan": format_plan(plan), "again": format_plan(change(route, rate=1)), "removal": remove(route)}


def leftovers(route: Netlink) -> Facts:
    """Change rates of filters that an agent before left."""
    change(route, rate=1)
    ping()
    before = shown("ingress")
    plan = format_plan(change(route, rate=7))
    after = shown("ingress")
    again = format_plan(change(route, rate=7))
    return {"before": before, "plan": plan, "after": after, "again": again, "removal": remove(route)}


def beside_others(route: Netlink) -> Facts:
    """Sample where a clsact and a filter of somebody else are."""
    sh("tc qdisc add dev t0 clsact; tc filter add dev t0 ingress pref 10 matchall action gact ok")
    there = read_tc(route)
    change(route, rate=1)
    ping()
    other = shown("ingress pref 10")
    removal = remove(route)
    return {"other": other, "removal": removal, "as before": same(read_tc(route), there)}


def joined_by_others(route: Netlink) -> Facts:
    """Remove sampling from a clsact of ours that somebody else uses by now."""
    change(route, rate=1)
    sh("tc filter add dev t0 egress pref 10 matchall action gact ok")
    return {"removal": remove(route), "other": shown("egress")}


def taken(route: Netlink) -> Facts:
    """Sample where a filter of another protocol has our preference."""
    sh("tc qdisc add dev t0 clsact; tc filter add dev t0 ingress pref 1 protocol ip u32 match u32 0 0 action gact ok")
    plan = change(route, rate=1)
    ours = [(one.hook.name, one.pref) for one in read_tc(route).filters if is_ours(one)]
    return {"notes": plan.notes, "ours": ours, "removal": remove(route), "other": shown("ingress")}


def no_hardware(route: Netlink) -> Facts:
    """Ask a driver that samples nothing itself."""
    wanted = wanted_filters(index(), "t0", rate=1, config=_BOTH, flags=FilterFlags.SKIP_SW)
    refused = apply_changes(route, plan_sampling(wanted, read_tc(route)).changes)
    return {"refused": [str(one) for one in refused]}


def shared(route: Netlink) -> Facts:
    """Sample an interface whose filters are those of a block, as a plan has it and against its advice."""
    sh("tc qdisc add dev t0 ingress_block 7 egress_block 8 clsact; tc filter add block 7 matchall action gact ok")
    plan = change(route, rate=1)
    anyway = plan_sampling(wanted_filters(index(), "t0", rate=1, config=_BOTH), TcState())
    refused = apply_changes(route, anyway.changes[1:])
    return {"plan": format_plan(plan), "refused": [str(one) for one in refused]}


def as_text(route: Netlink) -> Facts:
    """Run plans as the commands that they are printed as."""
    left = []
    for rate in (9, 11):
        sh(format_plan(plan_sampling(wanted_filters(index(), "t0", rate=rate, config=_BOTH), read_tc(route))))
        left.append(format_plan(change(route, rate=rate)))
    sh(format_plan(plan_removal(read_tc(route))))
    return {"left to do": left, "removal": remove(route)}


def change(route: Netlink, *, rate: int) -> SamplingPlan:
    """Plan and apply; what is refused fails."""
    plan = plan_sampling(wanted_filters(index(), "t0", rate=rate, config=_BOTH), read_tc(route))
    for error in apply_changes(route, plan.changes):
        raise error
    return plan


def remove(route: Netlink) -> str:
    """Remove all that is ours and return how."""
    plan = plan_removal(read_tc(route))
    for error in apply_changes(route, plan.changes):
        raise error
    return format_plan(plan)


def same(one: TcState, other: TcState) -> bool:
    """Compare what hangs on the interfaces."""
    return (one.qdiscs, one.filters) == (other.qdiscs, other.filters)


def open_psample() -> socket.socket:
    """Return a socket that the samples of this namespace come to."""
    with Netlink(GENERIC) as generic:
        family = find_family(generic, "psample")
    if family is None:
        raise RuntimeError("no psample")
    samples = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENERIC)
    samples.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 1 << 20)
    samples.bind((0, 0))
    samples.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, family.groups["packets"])
    samples.setblocking(False)  # noqa: FBT003 - the socket module's own
    return samples


def arrived(samples: socket.socket) -> int:
    """Return how many messages wait; one comes in each datagram."""
    return sum(1 for _ in iter(_taker(samples), b""))


def _taker(samples: socket.socket) -> Callable[[], bytes]:
    def take() -> bytes:
        try:
            return samples.recv(1 << 16)
        except BlockingIOError:
            return b""

    return take


@contextmanager
def interface() -> Iterator[None]:
    """Have t0, with a neighbour behind it."""
    sh("ip netns add far; ip link add t0 type veth peer name p0 netns far; ip addr add 192.0.2.1/24 dev t0")
    sh("ip link set t0 up; ip -n far addr add 192.0.2.2/24 dev p0; ip -n far link set p0 up")
    try:
        yield
    finally:
        sh("ip link del t0; ip netns del far")


def ping() -> None:
    """Let five packets pass in each direction."""
    sh("ping -q -c 5 -i 0.02 -W 5 192.0.2.2")


def shown(where: str) -> str:
    """Return what `tc` shows of the filters."""
    return sh(f"tc -s filter show dev t0 {where}")


def index() -> int:
    """Return the number of the interface."""
    return socket.if_nametoindex("t0")


def sh(script: str) -> str:
    """Run commands that must succeed."""
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError(f"{script}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
