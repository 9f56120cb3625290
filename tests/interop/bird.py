"""BIRD 2: routes of its own are static ones in an included file, which a reconfiguration reads again."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Sequence

from interop.daemons import Setup, is_running
from interop.lab import OURS, THEIR_AS, THEIRS, Lab
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.bgp.routes import UnicastRoute

_ORIGINS = ("ORIGIN_IGP", "ORIGIN_EGP", "ORIGIN_INCOMPLETE")


class Bird:
    """BIRD 2."""

    programs: tuple[str, ...] = ("bird", "birdc", "ip")

    def __init__(self, lab: Lab, setup: Setup) -> None:
        self._lab = lab
        self._config = lab.folder / "bird.conf"
        self._socket = str(lab.folder / "bird.ctl")
        self._statics = lab.folder / "bird-statics.conf"
        self._routes: Sequence[UnicastRoute] = ()
        self._rules: Sequence[str] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._write()
        self._config.write_text(
            f"""
log stderr all;
router id 10.99.0.30;
{f"graceful restart wait {setup.restart_s};" if setup.restart_s else ""}
flow4 table flowtab4;
flow6 table flowtab6;
protocol device {{ }}
filter ours {{
  if source != RTS_STATIC then reject;
  if defined(bgp_med) then bgp_med = bgp_med;  # only what a filter sets is sent
  accept;
}}
include "{self._statics}";
{"".join(_session(setup, version) for version in setup.ours)}
"""
        )

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:
        pid = str(self._lab.folder / "bird.pid")
        flags = ["-R"] if recovering else []
        process = self._lab.spawn("bird", "-f", "-c", str(self._config), "-s", self._socket, "-P", pid, *flags)
        self._process = process
        return process

    def flow4(self) -> str:
        return self.ask("show route table flowtab4 all")

    def flow6(self) -> str:
        return self.ask("show route table flowtab6 all")

    def unicast(self, prefix: str) -> str:
        return self.ask(f"show route all {prefix}")

    def announce(self, routes: Sequence[UnicastRoute]) -> None:
        self._routes = routes
        self._write()

    def announce_rules(self, rules: Sequence[str]) -> None:
        """Announce rules: `flow4 { … }` or `flow6 { … }`, then statements in braces or a semicolon."""
        self._rules = rules
        self._write()

    def ask_again(self) -> None:
        printed = self.ask("reload in all")
        assert "reloading" in printed, printed

    def shut(self, reason: str) -> None:
        printed = self.ask(f'disable ctl4 "{reason}"')
        assert "disabled" in printed, printed

    def last_error(self) -> str:
        return self.ask("show protocols all ctl4")

    def ask(self, command: str) -> str:
        return self._lab.run("birdc", "-s", self._socket, command)

    def _write(self) -> None:
        rules = {
            name: [f"route {rule}" for rule in self._rules if rule.startswith(name)] for name in ("flow4", "flow6")
        }
        self._statics.write_text(
            "".join(_fed(place, routes) for place, routes in enumerate(_rounds(self._routes)))
            + _static("rules4", "flow4 { table flowtab4; };", rules["flow4"])
            + _static("rules6", "flow6 { table flowtab6; };", rules["flow6"])
        )
        if is_running(self._process):
            printed = self.ask("configure")
            assert "Reconfigured" in printed or "Reconfiguration in progress" in printed, printed


def _session(setup: Setup, version: int) -> str:
    limit = f"import limit {setup.most} action restart;" if setup.most else ""
    restart = f"graceful restart on; graceful restart time {setup.restart_s};" if setup.restart_s else ""
    several = "add paths tx;" if setup.add_path else ""
    channel = f"import all; export filter ours; {limit}"
    return f"""
protocol bgp ctl{version} {{
  local {THEIRS[version]} as {THEIR_AS};
  neighbor {OURS[version]} port {setup.port} as {setup.ours[version]};
  multihop 5;
  strict bind on;
  {"passive on;" if setup.passive else ""}
  {f'password "{setup.md5}";' if setup.md5 else ""}
  {restart}
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ {channel} next hop keep; {several} }};
  ipv6 {{ {channel} next hop keep; {several} }};
  flow4 {{ table flowtab4; {channel} }};
  flow6 {{ table flowtab6; {channel} }};
}}
"""


def _rounds(routes: Sequence[UnicastRoute]) -> list[list[UnicastRoute]]:
    """Cut routes so that each prefix is once in a piece: a static protocol has one route to it."""
    rounds: list[list[UnicastRoute]] = [[]]
    seen: Counter[str] = Counter()
    for route in routes:
        place = seen[str(route.prefix)]
        seen[str(route.prefix)] += 1
        rounds[place:] = rounds[place:] or [[]]
        rounds[place].append(route)
    return rounds


def _fed(place: int, routes: list[UnicastRoute]) -> str:
    four = [_route(route) for route in routes if route.prefix.afi is Afi.IPV4]
    six = [_route(route) for route in routes if route.prefix.afi is Afi.IPV6]
    return _static(f"fed4_{place}", "ipv4;", four) + _static(f"fed6_{place}", "ipv6;", six)


def _static(name: str, channel: str, lines: list[str]) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    return f"protocol static {name} {{\n  {channel}\n{body}\n}}\n"


def _route(route: UnicastRoute) -> str:
    path = "".join(f"bgp_path.prepend({asn}); " for asn in reversed(route.as_path))
    communities = "".join(f"bgp_community.add(({value >> 16},{value & 0xFFFF})); " for value in route.communities)
    large = "".join(f"bgp_large_community.add(({x.administrator},{x.data1},{x.data2})); " for x in route.large)
    numbers = "".join(
        f"{name} = {value}; "
        for name, value in (("bgp_med", route.med), ("bgp_local_pref", route.local_pref))
        if value is not None
    )
    return (
        f"route {route.prefix} blackhole {{ bgp_next_hop = {address_text(route.next_hop)}; "
        f"bgp_origin = {_ORIGINS[route.origin]}; {path}{communities}{large}{numbers}}};"
    )
