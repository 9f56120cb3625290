"""OpenBGPD, which has no FlowSpec: its networks are announced with a set of attributes, an AS path not among them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from interop.daemons import Setup, community_text, is_running, large_text
from interop.lab import OURS, THEIR_AS, THEIRS, Lab
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.routes import UnicastRoute


class OpenBgpd:
    """OpenBGPD. Its children are locked into a folder of /run, which is a private one here."""

    programs: tuple[str, ...] = ("/usr/sbin/bgpd", "bgpctl", "ip")

    def __init__(self, lab: Lab, setup: Setup) -> None:
        self._lab = lab
        self._config = lab.folder / "openbgpd.conf"
        self._socket = lab.folder / "openbgpd.sock"
        self._setup = setup
        self._process: subprocess.Popen[bytes] | None = None
        self._routes: Sequence[UnicastRoute] = ()
        self._write()

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:  # noqa: ARG002 - it keeps nothing
        self._socket.unlink(missing_ok=True)
        commands = f"mount -t tmpfs run /run && mkdir /run/openbgpd && exec /usr/sbin/bgpd -dv -f {self._config}"
        process = self._lab.spawn("sh", "-c", commands, log="openbgpd")
        self._process = process
        return process

    def flow4(self) -> str:
        return ""

    def flow6(self) -> str:
        return ""

    def unicast(self, prefix: str) -> str:
        return self.ask("show", "rib", "detail", prefix)

    def announce(self, routes: Sequence[UnicastRoute]) -> None:
        self._routes = routes
        self._write()
        if is_running(self._process):
            printed = self.ask("reload")
            assert "reload request sent" in printed, printed

    def ask_again(self) -> None:
        for version in self._setup.ours:
            printed = self.ask("neighbor", OURS[version], "refresh")
            assert "request processed" in printed, printed

    def shut(self, reason: str) -> None:
        printed = self.ask("neighbor", OURS[4], "down", reason)
        assert "request processed" in printed, printed

    def last_error(self) -> str:
        return self._lab.printed("openbgpd")

    def ask(self, *words: str) -> str:
        return self._lab.run("bgpctl", "-s", str(self._socket), *words)

    def _write(self) -> None:
        lines = [
            f"AS {THEIR_AS}",
            "router-id 10.99.0.40",
            f"listen on {THEIRS[4]} port 179",
            f"listen on {THEIRS[6]} port 179",
            f'socket "{self._socket}"',
            "fib-update no",
            "connect-retry 1",
            *(f"network {route.prefix} set {{ {_set(route)} }}" for route in self._routes),
            *(_neighbor(self._setup, version) for version in self._setup.ours),
            "allow from any",
            "allow to any",
            "match to any set nexthop no-modify",
            "",
        ]
        self._config.write_text("\n".join(lines))
        self._config.chmod(0o600)


def _neighbor(setup: Setup, version: int) -> str:
    return f"""
neighbor {OURS[version]} {{
  remote-as {setup.ours[version]}
  local-address {THEIRS[version]}
  port {setup.port}
  {"multihop 5" if setup.is_external(version) else ""}
  {"passive" if setup.passive else ""}
  {f'tcp md5sig password "{setup.md5}"' if setup.md5 else ""}
  {f"max-prefix {setup.most}" if setup.most else ""}
  announce IPv4 unicast
  announce IPv6 unicast
  announce enhanced refresh yes
}}
"""


def _set(route: UnicastRoute) -> str:
    assert not route.as_path
    words = [f"nexthop {address_text(route.next_hop)}", f"origin {route.origin.name.lower()}"]
    words += [f"community {community_text(value)}" for value in route.communities]
    words += [f"large-community {large_text(value)}" for value in route.large]
    if route.med is not None:
        words.append(f"med {route.med}")
    if route.local_pref is not None:
        words.append(f"localpref {route.local_pref}")
    return " ".join(words)
