"""What an agent that samples by tc lives through: another rate, an interface that goes and comes, psample loaded anew.

Somebody else has a clsact with filters on r2, before, meanwhile and afterwards. `TIMES` come one after the other; what
is told has for each how many datagrams had come at its end.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path

from guest import lab
from guest.agents import Agent, Collector, collecting, own_folder, running, shown, until
from guest.traffic import send

COMMON = 'setup = "tc"\npolling_s = 0\n'
RATE, MORE, FEW = 3, 500, 10
EACH_THIRD = f'{COMMON}interfaces = ["r1", "r2"]\nsampling = {RATE}\n'
ALL = f'{COMMON}interfaces = ["r1", "r2"]\nsampling = 1\n'
NOTHING = f'{COMMON}interfaces = ["no such interface"]\n'
NEW_INDEX = 201
MODULES = ("act_sample", "psample")
Told = dict[str, object]


def main() -> None:
    """Print what was there when."""
    folder = own_folder("agent_changes")
    lab.run("modprobe -a act_sample cls_matchall")
    with lab.opened(), collecting(folder / "sflow") as collector:
        lab.run(
            "tc qdisc add dev r2 clsact",
            "tc filter add dev r2 ingress pref 1 matchall action continue",
            "tc filter add dev r2 egress pref 10 protocol ip matchall action ok",
        )
        before = _rules()
        with running(folder, "agent", collector, EACH_THIRD) as agent:
            told: Told = {
                "another rate": _another_rate(agent, collector),
                "gone and back": _gone_and_back(collector),
                "loaded anew": _loaded_anew(agent, collector),
                "rules": {"before": before, "during": _rules()},
            }
            agent.stop()
        told |= {"after": _rules(), "status": agent.status, "log": agent.log}
    sys.stdout.write(json.dumps(told))


def _another_rate(agent: Agent, collector: Collector) -> Told:
    """Let the agent read its configuration while packets come in."""
    before = shown("tc", "-s", "filter", "show", "dev", "r1", "ingress")
    reloaded = threading.Event()
    sent: list[int] = []
    sending = threading.Thread(target=_send_until, args=(reloaded, sent))
    sending.start()
    until(lambda: collector.count > 10, "samples come")
    agent.reload(ALL)
    reloaded.set()
    sending.join()
    ends = collector.settle()
    after = shown("tc", "-s", "filter", "show", "dev", "r1", "ingress")
    return {"ends": ends, "sent": sent[0], "filter": [before, after]}


def _send_until(enough: threading.Event, sent: list[int]) -> None:
    """Send datagrams until it is enough, and some more; add how many they were."""
    with (
        lab.socket_in("h2", socket.AF_INET, socket.SOCK_DGRAM) as taker,
        lab.socket_in("h1", socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        taker.bind((lab.H2, 5001))
        count = left = 0
        while left < MORE:
            sender.sendto(bytes(100), (lab.H2, 5001))
            count += 1
            left += enough.is_set()
    sent.append(count)


def _gone_and_back(collector: Collector) -> Told:
    """Send packets into an interface that is gone right afterwards, then into one of its name with another number."""
    send([100] * FEW)
    lab.run("ip link del r1")
    ends = collector.settle()
    own, other = lab.MACS["r1"], lab.MACS["h1"]
    lab.ip(
        f"link add r1 index {NEW_INDEX} address {own} mtu 9000 type veth "
        f"peer name eth0 address {other} mtu 9000 netns h1",
        *lab._addressing("1", "r1", 1, other),
    )
    lab.ip(*lab._addressing("1", "eth0", 2, own), f"route add default via {lab.R1}", namespace="h1")
    lab.settle()
    _until_sampled()
    send([100] * FEW)
    return {"gone": ends, "ends": collector.settle()}


def _loaded_anew(agent: Agent, collector: Collector) -> Told:
    """Unload psample while the agent has joined it, and have the kernel load it again with the next filter."""
    agent.reload(NOTHING)
    lab.run(f"modprobe -r {' '.join(MODULES)}")
    unloaded = [name for name in MODULES if not Path("/sys/module", name).exists()]
    agent.until("psample: the kernel does not have it")
    agent.reload(ALL)
    send([100] * FEW)
    return {"unloaded": unloaded, "ends": collector.settle()}


def _until_sampled() -> None:
    until(lambda: "sample" in shown("tc", "filter", "show", "dev", "r1", "ingress"), "r1 is sampled")


def _rules() -> dict[str, str]:
    """Return what hangs on the interfaces."""
    told = {device: shown("tc", "qdisc", "show", "dev", device) for device in ("r1", "r2")}
    for place in ("r1 ingress", "r1 egress", "r2 ingress", "r2 egress"):
        told[place] = shown(*f"tc filter show dev {place}".split())
    return told


if __name__ == "__main__":
    main()
