"""ExaBGP 5: commands come through a FIFO, and what it learns goes line by line, as JSON, to a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interop.daemons import Setup, community_text, is_running, large_text
from interop.lab import OURS, THEIR_AS, THEIRS, Lab
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.routes import UnicastRoute

_PROGRAM = str(Path(sys.executable).parent / "exabgp")
_SETTINGS = {
    "exabgp_daemon_user": "root",
    "exabgp_daemon_drop": "false",
    "exabgp_api_cli": "false",
    "exabgp_api_ack": "false",
    "exabgp_log_level": "INFO",
    "exabgp_log_destination": "stdout",
    "exabgp_tcp_port": "179",
    "exabgp_tcp_bind": f"{THEIRS[4]} {THEIRS[6]}",
}


class ExaBgp:
    """ExaBGP. It puts no AS of its own in front of a path that it is told: that is done here."""

    programs: tuple[str, ...] = (_PROGRAM, "ip", "env", "cat", "sed")

    def __init__(self, lab: Lab, setup: Setup) -> None:
        self._lab = lab
        self._setup = setup
        self._config = lab.folder / "exabgp.conf"
        self._fifo = lab.folder / "exabgp.fifo"
        self._heard = lab.folder / "exabgp.heard"
        self._told: dict[str, list[str]] = {"route": [], "flow": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._said: int | None = None
        lab.at_end(self._hush)
        self._config.write_text(
            f"""
process said {{
  run /bin/cat {self._fifo};
  encoder json;
}}
process heard {{
  run /bin/sed -u -n -e w{self._heard};
  encoder json;
}}
{"".join(_neighbor(setup, version) for version in setup.ours)}
"""
        )

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:  # noqa: ARG002 - it keeps nothing
        self._heard.write_bytes(b"")
        self._hush()
        self._fifo.unlink(missing_ok=True)
        os.mkfifo(self._fifo)
        self._said = os.open(self._fifo, os.O_RDWR)  # held open, or the reader would end
        settings = [f"{name}={value}" for name, value in _SETTINGS.items()]
        process = self._lab.spawn("env", *settings, _PROGRAM, "server", str(self._config), log="exabgp")
        self._process = process
        for lines in self._told.values():
            self._command(*(f"announce {line}" for line in lines))
        return process

    def flow4(self) -> str:
        return self._known("ipv4 flow")

    def flow6(self) -> str:
        return self._known("ipv6 flow")

    def unicast(self, prefix: str) -> str:
        lines = self._known("ipv6 unicast" if ":" in prefix else "ipv4 unicast").splitlines()
        return "\n".join(line for line in lines if f'"{prefix}"' in line)

    def announce(self, routes: Sequence[UnicastRoute]) -> None:
        self._replace("route", [_route(route, self._setup) for route in routes])

    def announce_rules(self, rules: Sequence[str]) -> None:
        """Announce rules: `match { … } then { … }`."""
        self._replace("flow", [f"flow route {{ {rule} }}" for rule in rules])

    def ask_again(self) -> None:
        families = ("ipv4 unicast", "ipv6 unicast", "ipv4 flow", "ipv6 flow")
        self._command(*(f"announce route-refresh {family}" for family in families))

    def shut(self, reason: str) -> None:
        """Shut the session down; ExaBGP has words of its own and takes no others."""
        assert reason == "Administrative Shutdown"
        self._command(f"neighbor {OURS[4]} teardown 2")

    def last_error(self) -> str:
        return self._heard.read_text()

    def _replace(self, kind: str, lines: list[str]) -> None:
        gone, self._told[kind] = self._told[kind], lines
        if is_running(self._process):
            self._command(*(f"withdraw {line}" for line in gone), *(f"announce {line}" for line in lines))

    def _command(self, *commands: str) -> None:
        assert self._said is not None
        for command in commands:
            os.write(self._said, f"{command}\n".encode())

    def _hush(self) -> None:
        if self._said is not None:
            os.close(self._said)
            self._said = None

    def _known(self, family: str) -> str:
        known: dict[str, str] = {}
        for line in self._heard.read_text().splitlines():
            told = json.loads(line)
            if told["type"] == "state" and told["neighbor"]["state"] == "down":
                known.clear()
            elif told["type"] == "update":
                _apply(told["neighbor"]["message"].get("update", {}), family, known)
        return "\n".join(known.values())


def _apply(update: dict[str, Any], family: str, known: dict[str, str]) -> None:
    for gone in update.get("withdraw", {}).get(family, ()):
        known.pop(json.dumps(gone), None)
    for hop, here in update.get("announce", {}).get(family, {}).items():
        for nlri in here:
            known[json.dumps(nlri)] = json.dumps({**nlri, "next-hop": hop, **update["attribute"]})


def _neighbor(setup: Setup, version: int) -> str:
    return f"""
neighbor {OURS[version]} {{
  router-id 10.99.0.50;
  local-address {THEIRS[version]};
  local-as {THEIR_AS};
  peer-as {setup.ours[version]};
  connect {setup.port};
  passive {str(setup.passive).lower()};
  outgoing-ttl 5;
  {f'md5-password "{setup.md5}";' if setup.md5 else ""}
  capability {{ route-refresh; {f"graceful-restart {setup.restart_s};" if setup.restart_s else ""} }}
  family {{ ipv4 unicast; ipv6 unicast; ipv4 flow; ipv6 flow; }}
  api {{ processes [ said heard ]; receive {{ parsed; update; }} neighbor-changes; }}
}}
"""


def _route(route: UnicastRoute, setup: Setup) -> str:
    lead = (THEIR_AS,) if all(map(setup.is_external, setup.ours)) else ()
    words = ["route", str(route.prefix), "next-hop", address_text(route.next_hop), "origin", route.origin.name.lower()]
    for name, values in (
        ("as-path", map(str, (*lead, *route.as_path))),
        ("community", map(community_text, route.communities)),
        ("large-community", map(large_text, route.large)),
    ):
        text = " ".join(values)
        if text:
            words.append(f"{name} [ {text} ]")
    if route.med is not None:
        words.append(f"med {route.med}")
    if route.local_pref is not None:
        words.append(f"local-preference {route.local_pref}")
    return " ".join(words)
