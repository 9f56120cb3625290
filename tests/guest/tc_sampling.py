"""Sampling set up and removed in a kernel that has it: `action sample`, `matchall`, psample. Prints what held.

A script rather than a test: Python is slow in the guest, so it imports little and makes its links once.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence

from tidegate.agent.config import AgentConfig, Direction
from tidegate.agent.sampling_plan import SamplingPlan, format_plan, plan_removal, plan_sampling, wanted_filters
from tidegate.errors import SourceError
from tidegate.io.netlink import GENERIC, ROUTE, Netlink, find_family
from tidegate.io.tc import apply_changes, read_tc
from tidegate.wire.netlink.tc import FilterFlags, TcState

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_BOTH = AgentConfig(direction=Direction.BOTH)


def main() -> None:
    """Go through all scenarios; an assertion fails where one does not hold."""
    sh("ip netns add far; ip link add t0 type veth peer name p0 netns far; ip addr add 10.9.9.1/24 dev t0")
    sh("ip link set t0 up; ip -n far addr add 10.9.9.2/24 dev p0; ip -n far link set p0 up")
    bare = sh("tc qdisc show dev t0")
    with Netlink(ROUTE) as route:
        for scenario in (
            both_directions,
            leftovers,
            beside_others,
            taken_preference,
            no_hardware,
            shared_block,
            as_text,
        ):
            scenario(route)
            assert "sample" not in sh("tc actions list action sample"), scenario.__name__
            assert sh("tc qdisc show dev t0") == bare, scenario.__name__
            sys.stdout.write(f"ok {scenario.__name__}\n")
    sh("ip link del t0; ip netns del far")


def both_directions(route: Netlink) -> None:
    """Each packet of both directions is sampled at rate 1, to the group of its direction."""
    change(route, rate=1)
    with open_psample() as samples:
        ping()
        ingress, egress = shown("ingress"), shown("egress")
        assert "sample rate 1/1 group 1 trunc_size 128 continue" in ingress, ingress
        assert "sample rate 1/1 group 2 trunc_size 128 continue" in egress, egress
        assert "cookie 74696465676174650101" in ingress, ingress
        assert counted(ingress) >= 5, ingress
        assert arrived(samples) >= counted(ingress) + counted(egress) - 4  # neighbour discovery may come between
    assert change(route, rate=1) == SamplingPlan()
    remove(route)


def leftovers(route: Netlink) -> None:
    """An agent that comes after one that was killed takes over, and changes rates without losing a filter."""
    change(route, rate=1)
    ping()
    before = counted(shown("ingress"))
    plan = change(route, rate=7)
    assert [type(one).__name__ for one in plan.changes] == ["ChangeAction", "ChangeAction"], plan
    after = shown("ingress")
    assert "sample rate 1/7" in after, after
    assert counted(after) >= before > 0, after  # the action's own count goes on: it is the same one
    assert change(route, rate=7) == SamplingPlan()
    remove(route)
    assert plan_removal(read_tc(route)) == SamplingPlan()


def beside_others(route: Netlink) -> None:
    """A clsact and filters that were there stay, and still get every packet."""
    sh("tc qdisc add dev t0 clsact; tc filter add dev t0 ingress pref 10 matchall action gact ok")
    there = read_tc(route)
    change(route, rate=1)
    ping()
    assert counted(shown("ingress pref 10")) >= 5, shown("ingress")
    remove(route)
    assert same(read_tc(route), there)
    sh("tc qdisc del dev t0 clsact")
    change(route, rate=1)
    sh("tc filter add dev t0 egress pref 10 matchall action gact ok")
    remove(route)
    assert "gact" in shown("egress")
    sh("tc qdisc del dev t0 clsact")


def taken_preference(route: Netlink) -> None:
    """A filter of another protocol at our preference is left alone."""
    sh("tc qdisc add dev t0 clsact; tc filter add dev t0 ingress pref 1 protocol ip u32 match u32 0 0 action gact ok")
    plan = change(route, rate=1)
    assert [note.partition(",")[0] for note in plan.notes] == [
        "t0 ingress: preference 1 is another filter's; sampling has preference 2"
    ]
    remove(route)
    assert "pref 1 u32" in shown("ingress")
    sh("tc qdisc del dev t0 clsact")


def no_hardware(route: Netlink) -> None:
    """A driver that samples nothing itself is told of, and nothing is left."""
    wanted = wanted_filters(index(), "t0", rate=1, config=_BOTH, flags=FilterFlags.SKIP_SW)
    refused = apply_changes(route, plan_sampling(wanted, read_tc(route)).changes)
    assert [str(one) for one in refused] == [
        (
            "t0: sampling ingress at preference 1 was refused: Operation not supported: "
            "the driver does not sample in hardware"
        )
    ], refused


def shared_block(route: Netlink) -> None:
    """Filters of a block that interfaces share are not ours to add to."""
    sh("tc qdisc add dev t0 ingress_block 7 egress_block 8 clsact; tc filter add block 7 matchall action gact ok")
    plan = change(route, rate=1)
    assert not plan.changes, plan
    assert len(plan.notes) == 2, plan
    try_anyway = plan_sampling(wanted_filters(index(), "t0", rate=1, config=_BOTH), TcState())
    refused = apply_changes(route, try_anyway.changes[1:])
    assert "This filter block is shared" in str(refused[0]), refused
    assert str(refused[0]).endswith("to manipulate the filters"), refused
    sh("tc qdisc del dev t0 clsact")


def as_text(route: Netlink) -> None:
    """The commands that a plan is printed as do the same."""
    plan = plan_sampling(wanted_filters(index(), "t0", rate=9, config=_BOTH), read_tc(route))
    sh(format_plan(plan))
    assert change(route, rate=9) == SamplingPlan()
    other = plan_sampling(wanted_filters(index(), "t0", rate=11, config=_BOTH), read_tc(route))
    sh(format_plan(other))
    assert change(route, rate=11) == SamplingPlan()
    sh(format_plan(plan_removal(read_tc(route))))


def change(route: Netlink, *, rate: int) -> SamplingPlan:
    """Plan and apply; what is refused fails."""
    plan = plan_sampling(wanted_filters(index(), "t0", rate=rate, config=_BOTH), read_tc(route))
    nothing(apply_changes(route, plan.changes))
    return plan


def remove(route: Netlink) -> None:
    """Remove all that is ours."""
    nothing(apply_changes(route, plan_removal(read_tc(route)).changes))


def nothing(refused: Sequence[SourceError]) -> None:
    """Fail with what was refused."""
    assert not refused, [str(one) for one in refused]


def same(one: TcState, other: TcState) -> bool:
    """Compare what hangs on the interfaces."""
    return (one.qdiscs, one.filters) == (other.qdiscs, other.filters)


def open_psample() -> socket.socket:
    """Return a socket that the samples of this namespace come to."""
    with Netlink(GENERIC) as generic:
        family = find_family(generic, "psample")
    assert family is not None
    samples = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, GENERIC)
    samples.bind((0, 0))
    samples.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, family.groups["packets"])
    samples.settimeout(0)
    return samples


def arrived(samples: socket.socket) -> int:
    """Return how many messages wait; one comes in each datagram."""
    count = 0
    try:
        while samples.recv(1 << 16):
            count += 1
    except BlockingIOError:
        return count
    return count


def ping() -> None:
    """Let five packets pass in each direction."""
    sh("ping -q -c 5 -i 0.02 -W 5 10.9.9.2 >/dev/null")


def shown(where: str) -> str:
    """Return what `tc` shows of the filters."""
    return sh(f"tc -s filter show dev t0 {where}")


def counted(text: str) -> int:
    """Return the packets that the first action counted."""
    words = text.split()
    return int(words[words.index("pkt") - 1])


def index() -> int:
    """Return the number of the interface."""
    return socket.if_nametoindex("t0")


def sh(script: str) -> str:
    """Run commands that must succeed."""
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    main()
