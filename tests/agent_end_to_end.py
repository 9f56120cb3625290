"""An agent on a router, traffic through it, and a collector behind it: what each of them says, as one JSON value.

    python -m agent_end_to_end FOLDER RATE [FLAG of `tidegate agent`]…

Runs as root in a network namespace of its own, with the lab's two hosts (`guest.lab`). The agent samples r1, where the
traffic comes in, with two capabilities and no more; its datagrams leave by r2 to `tidegate run` on h2, and are written
to `sflow.pcap` in FOLDER. What is told is what happened, not whether it is right: `agent_claims` decides that.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from guest import lab

FLOWS = 40
PACKETS = 1500  # of each, unless told otherwise
PAYLOAD = 100
FIRST_PORT = 20_000
MOST_SAMPLES = 1_000_000
TIDEGATE = str(Path(sys.executable).with_name("tidegate"))
LIMIT_S = 80.0  # in the guest the collector takes half of it
CAPABILITIES = "+net_raw,+net_admin"  # those of packaging/tidegate-agent.service
LEAST_PRIVILEGE = ("setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{CAPABILITIES}")
CONFIG = """
[rest]
port = 8008
[flows.ports]
keys = "udpdestinationport"
value = "frames"
filter = "ipdestination=198.51.100.2"
t = 1
log = true
[flows.octets]
keys = "udpdestinationport"
value = "bytes"
filter = "ipdestination=198.51.100.2"
t = 1
log = true
"""


def main(arguments: Sequence[str]) -> None:
    """Run it and print what happened."""
    folder, rate, *flags = arguments
    with lab.opened():
        sys.stdout.write(json.dumps(happened(Path(folder), int(rate), flags)))


def happened(folder: Path, rate: int, flags: Sequence[str], *, packets: int = PACKETS) -> dict[str, object]:
    """Return what happened to some packets of each flow, in the lab."""
    (folder / "collector.toml").write_text(CONFIG)
    status = folder / "status.json"
    (folder / "agent.toml").write_text(
        f'[agent]\nstatus_file = "{status}"\npolling_s = 2\nmost_samples = {MOST_SAMPLES}\n'
    )
    agent = [*LEAST_PRIVILEGE, TIDEGATE, "agent", "--config", str(folder / "agent.toml"), "--collector", "198.51.100.2"]
    agent += ["--interface", "r1", "--sampling", str(rate), *flags]
    collector = ["ip", "netns", "exec", "h2", TIDEGATE, "run", "--config", str(folder / "collector.toml")]
    before = _rules()
    dump = ["tcpdump", "-U", "-n", "-i", "r2", "-w", str(folder / "sflow.pcap"), "-Z", "root", "udp", "port", "6343"]
    with (
        _running(dump, folder / "tcpdump.log", until="listening on"),
        _running(collector, folder / "collector.log", until="REST on"),
        _running(agent, folder / "agent.log", until="sFlow to"),
    ):
        during = _rules()
        sent = _send(packets)
        records = _until_settled(lambda: _asked("/flows/json?name=ports&maxFlows=10000"))
        octets = _asked("/flows/json?name=octets&maxFlows=10000")
        told = _until(lambda: _asked("/agents/json"))
        link = json.loads(_output("ip", "-s", "-s", "-j", "link", "show", "r1"))[0]
    return {
        "sent": sent,
        "frame": PAYLOAD + 8 + 20 + 14 + 4,
        "estimated": _by_key(records),
        "octets": _by_key(octets),
        "agents": told,
        "link": link,
        "status": json.loads(status.read_text()),
        "log": (folder / "agent.log").read_text(),
        "rules": {"before": before, "during": during, "after": _rules()},
    }


def _send(packets: int) -> dict[str, int]:
    """Send the flows, one datagram of each in turn, at a pace that a slow machine keeps up with."""
    payload = bytes(PAYLOAD)
    with lab.socket_in("h1", socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(packets):
            for port in range(FIRST_PORT, FIRST_PORT + FLOWS):
                sender.sendto(payload, (lab.H2, port))
    return dict.fromkeys(map(str, range(FIRST_PORT, FIRST_PORT + FLOWS)), packets)


def _by_key(records: list[dict[str, object]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for record in records:
        key = str(record["flowKeys"])
        total[key] = total.get(key, 0.0) + float(str(record["value"]))
    return total


def _rules() -> dict[str, str]:
    """Return what tells of sampling in the kernel."""
    return {
        "qdisc": _output("tc", "qdisc", "show", "dev", "r1"),
        "ingress": _output("tc", "filter", "show", "dev", "r1", "ingress"),
        "egress": _output("tc", "filter", "show", "dev", "r1", "egress"),
        "nft": _output("nft", "list", "ruleset"),
    }


def _asked(path: str) -> list[dict[str, object]]:
    """Return what the collector answers, asked from where it listens."""
    program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=20).read().decode())"
    words = ("ip", "netns", "exec", "h2", sys.executable, "-c", program, f"http://127.0.0.1:8008{path}")
    answer: list[dict[str, object]] = json.loads(_output(*words) or "[]")
    return answer


def _output(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@contextmanager
def _running(words: Sequence[str], log: Path, *, until: str) -> Iterator[None]:
    with log.open("w") as out, subprocess.Popen(words, stdout=out, stderr=out, stdin=subprocess.DEVNULL) as process:
        try:
            _until(lambda: until in log.read_text() or process.poll() is not None)
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(words)} ended: {log.read_text()}")
            yield
        finally:
            process.send_signal(signal.SIGTERM)


def _until(ask: Callable[[], object]) -> object:
    deadline = time.monotonic() + LIMIT_S
    while not (answer := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for did not happen")
        time.sleep(0.05)
    return answer


def _until_settled(ask: Callable[[], list[dict[str, object]]]) -> list[dict[str, object]]:
    """Ask until there are records, and no more come."""
    last, since = ask(), time.monotonic()
    deadline = time.monotonic() + LIMIT_S
    while not last or time.monotonic() - since < 4.0:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
        if len(now := ask()) != len(last):
            last, since = now, time.monotonic()
    return last


if __name__ == "__main__":
    main(sys.argv[1:])
