"""What an agent that is killed leaves in the kernel: another takes it over, or it is cleaned up.

Somebody else has a clsact with a filter on r2. The second leftovers are made by the first agent's own commands, as its
log has them.
"""

from __future__ import annotations

import json
import re
import signal
import sys

from guest import lab
from guest.agents import TIDEGATE, collecting, own_folder, running, shown
from guest.traffic import send

BOTH = 'setup = "tc"\npolling_s = 0\ninterfaces = ["r1", "r2"]\ndirection = "both"\nsampling = {}\n'
RATE, FEW = 400, 10
COMMAND = re.compile(r"agent_setup: (tc .*)")


def main() -> None:
    """Print what hung on the interfaces when, and what was said."""
    folder = own_folder("agent_killed")
    lab.run("modprobe -a act_sample cls_matchall")
    with lab.opened(), collecting(folder / "sflow") as collector:
        lab.run("tc qdisc add dev r2 clsact", "tc filter add dev r2 ingress pref 10 matchall action continue")
        told: dict[str, object] = {"before": _rules()}
        with running(folder, "one", collector, BOTH.format(RATE)) as one:
            one.stop(signal.SIGKILL)
        told["left"] = _rules()
        with running(folder, "two", collector, BOTH.format(1)) as two:
            told["taken over"] = _rules()
            send([100] * FEW)
            collector.settle()
            two.stop()
        told["ended"] = _rules()
        lab.run(*COMMAND.findall(one.log))
        told["left again"] = _rules()
        told["said"] = shown(TIDEGATE, "agent", "--clean-up").splitlines()
        told |= {"cleaned up": _rules(), "log": two.log, "status": two.status}
    sys.stdout.write(json.dumps(told))


def _rules() -> dict[str, str]:
    """Return what hangs on the interfaces."""
    told = {device: shown("tc", "qdisc", "show", "dev", device) for device in ("r1", "r2")}
    for place in ("r1 ingress", "r1 egress", "r2 ingress", "r2 egress"):
        told[place] = shown(*f"tc filter show dev {place}".split())
    told["actions"] = shown("tc", "actions", "list", "action", "sample")
    return told


if __name__ == "__main__":
    main()
