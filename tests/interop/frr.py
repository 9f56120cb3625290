"""FRR's bgpd alone, without zebra: routes of its own are networks, each with a route map for its attributes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

from interop.daemons import Setup, community_text, is_running, large_text
from interop.lab import OURS, THEIR_AS, THEIRS, Lab
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.routes import UnicastRoute

_FAMILIES = ("ipv4 unicast", "ipv6 unicast", "ipv4 flowspec", "ipv6 flowspec")


class Frr:
    """FRR's bgpd."""

    programs: tuple[str, ...] = ("/usr/lib/frr/bgpd", "vtysh", "ip")

    def __init__(self, lab: Lab, setup: Setup) -> None:
        self._lab = lab
        self._run = lab.folder / "frr"
        self._run.mkdir()
        shutil.chown(self._run, "frr", "frr")
        self._config = lab.folder / "frr.conf"
        self._setup = setup
        self._routes: Sequence[UnicastRoute] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._write()

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:  # noqa: ARG002 - it finds that out itself
        for stale in self._run.iterdir():
            stale.unlink()
        process = self._lab.spawn(
            "/usr/lib/frr/bgpd", "-Z", "-f", str(self._config), "-i", str(self._run / "bgpd.pid"),
            "--vty_socket", str(self._run), "-p", "179", "-l", THEIRS[4], "-l", THEIRS[6], "-A", THEIRS[4], "-P", "0",
            "--log", "stdout",
        )  # fmt: skip
        self._process = process
        return process

    def flow4(self) -> str:
        return self.ask("show bgp ipv4 flowspec detail")

    def flow6(self) -> str:
        return self.ask("show bgp ipv6 flowspec detail")

    def unicast(self, prefix: str) -> str:
        return self.ask(f"show bgp {'ipv6' if ':' in prefix else 'ipv4'} unicast {prefix}")

    def announce(self, routes: Sequence[UnicastRoute]) -> None:
        gone, self._routes = self._routes, routes
        self._write()
        if is_running(self._process):
            commands = ["configure terminal", f"router bgp {THEIR_AS}"]
            for route in gone:
                commands += [f"address-family {_family(route)}", f"no network {route.prefix}", "exit-address-family"]
            commands.append("exit")
            for number, route in enumerate(routes):
                commands += _route_map(number, route)
            commands.append(f"router bgp {THEIR_AS}")
            for number, route in enumerate(routes):
                network = f"network {route.prefix} route-map OURS{number}"
                commands += [f"address-family {_family(route)}", network, "exit-address-family"]
            printed = self.ask(*commands)
            assert not printed.strip(), printed

    def ask_again(self) -> None:
        printed = self.ask(*(f"clear bgp {family} * soft in" for family in _FAMILIES))
        assert not printed, printed

    def shut(self, reason: str) -> None:
        neighbor = f"neighbor {OURS[4]} shutdown message {reason}"
        printed = self.ask("configure terminal", f"router bgp {THEIR_AS}", neighbor)
        assert not printed, printed

    def last_error(self) -> str:
        return self.ask(f"show bgp neighbors {OURS[4]}")

    def ask(self, *commands: str) -> str:
        options = [word for command in commands for word in ("-c", command)]
        return self._lab.run("vtysh", "--vty_socket", str(self._run), "-d", "bgpd", *options)

    def _write(self) -> None:
        networks: dict[str, list[str]] = {family: [] for family in _FAMILIES}
        maps: list[str] = []
        for number, route in enumerate(self._routes):
            maps += _route_map(number, route)
            networks[_family(route)].append(f"  network {route.prefix} route-map OURS{number}")
        families = "".join(
            f" address-family {name}\n{_activate(self._setup, name)}"
            + "\n".join(networks[name])
            + "\n exit-address-family\n"
            for name in _FAMILIES
        )
        restart = f"""
 bgp graceful-restart
 bgp graceful-restart restart-time {self._setup.restart_s}
 bgp graceful-restart preserve-fw-state
"""
        self._config.write_text(
            f"""
frr defaults traditional
router bgp {THEIR_AS}
 bgp router-id 10.99.0.20
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 no bgp network import-check
{restart if self._setup.restart_s else ""}
{"".join(_neighbor(self._setup, version) for version in self._setup.ours)}
{families}
exit
"""
            + "\n".join(maps)
            + "\n"
        )


def _neighbor(setup: Setup, version: int) -> str:
    ours = OURS[version]
    return f"""
 neighbor {ours} remote-as {setup.ours[version]}
{f" neighbor {ours} ebgp-multihop 5" if setup.is_external(version) else ""}
 neighbor {ours} update-source {THEIRS[version]}
 neighbor {ours} timers connect 1
 neighbor {ours} advertisement-interval 0
 neighbor {ours} port {setup.port}
{f" neighbor {ours} passive" if setup.passive else ""}
{f" neighbor {ours} password {setup.md5}" if setup.md5 else ""}
"""


def _activate(setup: Setup, family: str) -> str:
    lines = []
    for version in setup.ours:
        lines.append(f"  neighbor {OURS[version]} activate")
        if "unicast" in family:
            lines.append(f"  neighbor {OURS[version]} attribute-unchanged next-hop")
        if setup.most:
            lines.append(f"  neighbor {OURS[version]} maximum-prefix {setup.most}")
    return "\n".join(lines) + "\n"


def _family(route: UnicastRoute) -> str:
    return "ipv4 unicast" if route.prefix.afi is Afi.IPV4 else "ipv6 unicast"


def _route_map(number: int, route: UnicastRoute) -> list[str]:
    hop = "ip next-hop" if route.prefix.afi is Afi.IPV4 else "ipv6 next-hop global"
    lines = [
        f"no route-map OURS{number}",
        f"route-map OURS{number} permit 10",
        f"set origin {route.origin.name.lower()}",
        f"set {hop} {address_text(route.next_hop)}",
    ]
    for words, values in (
        ("as-path prepend", route.as_path),
        ("community", map(community_text, route.communities)),
        ("large-community", map(large_text, route.large)),
        ("metric", () if route.med is None else (route.med,)),
        ("local-preference", () if route.local_pref is None else (route.local_pref,)),
    ):
        text = " ".join(map(str, values))
        if text:
            lines.append(f"set {words} {text}")
    return [*lines, "exit"]
