"""Two agents that tell of dropped packets, and the kernel's monitor, which another program has started at first.

That program ends; then the first agent is alone, for a while beside a second, alone again, and ends. Packets are
dropped in each of these times. What is told has for each how many datagrams had come of both agents at its end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from guest import lab
from guest.agents import collecting, own_folder, running, until
from guest.lab import H2, R1, R2
from guest.recordings.dropmon import lost, unanswered
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink.dropmon import FAMILY, Which, config_body, start_body, stop_body

CONFIG = 'source = "none"\npolling_s = 0\n[agent.discards]\nenabled = true\n'
NOWHERE = "10.9.9.9"


def main() -> None:
    """Print whether the monitor ran when, and what both agents say."""
    folder = own_folder("agent_discards")
    with (
        lab.opened(),
        _dropping(),
        collecting(folder / "one.sflow") as to_one,
        collecting(folder / "two.sflow") as to_two,
    ):

        def told_of(time: str) -> None:
            told[time] = [to_one.settle(), to_two.settle()]

        told: dict[str, object] = {"on at first": _is_on()}
        _command(config_body(octets=128, queue=100))  # else it only sums up
        _command(start_body(Which.SOFTWARE))
        with running(folder, "one", to_one, CONFIG) as one:
            lost(1, R1)
            told_of("another's")
            _command(stop_body(Which.SOFTWARE))
            until(_is_on, "the agent starts the monitor itself")
            lost(1, R1)
            told_of("alone")
            with running(folder, "two", to_two, CONFIG) as two:
                lost(3, R1)
                lost(5, H2)
                lost(2, NOWHERE)
                unanswered(R2)
                told_of("beside the other")
                two.stop()
            told["on after the second"] = _is_on()
            lost(1, R1)
            told_of("alone again")
            one.stop()
        told["on after the first"] = _is_on()
        lost(1, R1)
        told_of("afterwards")
        told |= {"one": one.status, "two": two.status, "log": one.log + two.log}
    sys.stdout.write(json.dumps(told))


@contextmanager
def _dropping() -> Iterator[None]:
    """Have a rule that drops what is forwarded to port 9999 of h2."""
    lab.run(
        "nft add table inet t",
        "nft 'add chain inet t c { type filter hook forward priority 0; }'",
        f"nft add rule inet t c ip daddr {H2} udp dport 9999 drop",
    )
    try:
        yield
    finally:
        lab.run("nft delete table inet t")


def _is_on() -> bool:
    """Tell whether the monitor runs: one that does cannot be started."""
    try:
        _command(start_body(Which.SOFTWARE))
    except OSError:
        return True
    _command(stop_body(Which.SOFTWARE))
    return False


def _command(body: bytes) -> None:
    with Netlink(GENERIC) as generic:
        family = find_family(generic, FAMILY)
        assert family is not None
        generic.do(family.id, body)


if __name__ == "__main__":
    main()
