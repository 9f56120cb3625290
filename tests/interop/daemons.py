"""The three daemons: how each is configured and started, and how its own output is read.

`flow4`, `flow6` and `unicast` return what the daemon prints about what it has learnt: that text is what tests compare.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Protocol

from interop.lab import OUR_AS, OURS, THEIR_AS, THEIRS, Lab


class Daemon(Protocol):
    """What tests ask of a daemon."""

    programs: tuple[str, ...]

    def __init__(self, lab: Lab, *, version: int, passive: bool, port: int, md5: str | None = None) -> None: ...

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, with nothing learnt."""
        ...

    def flow4(self) -> str:
        """Return the IPv4 rules."""
        ...

    def flow6(self) -> str:
        """Return the IPv6 rules."""
        ...

    def unicast(self, prefix: str) -> str:
        """Return what is known of one prefix."""
        ...


class GoBgp:
    """GoBGP."""

    programs: tuple[str, ...] = ("gobgpd", "gobgp", "ip")

    def __init__(self, lab: Lab, *, version: int, passive: bool, port: int, md5: str | None = None) -> None:
        self._lab = lab
        families = "".join(
            f'[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "{name}"\n'
            for name in ("ipv4-unicast", "ipv6-unicast", "ipv4-flowspec", "ipv6-flowspec")
        )
        password = f'auth-password = "{md5}"' if md5 else ""
        lab.folder.joinpath("gobgpd.toml").write_text(
            f"""
[global.config]
as = {THEIR_AS}
router-id = "10.99.0.10"
port = 179
local-address-list = ["{THEIRS[4]}", "{THEIRS[6]}"]
[[neighbors]]
[neighbors.config]
neighbor-address = "{OURS[version]}"
peer-as = {OUR_AS}
{password}
[neighbors.transport.config]
local-address = "{THEIRS[version]}"
passive-mode = {str(passive).lower()}
remote-port = {port}
[neighbors.ebgp-multihop.config]
enabled = true
multihop-ttl = 5
[neighbors.timers.config]
connect-retry = 1
idle-hold-time-after-reset = 1
{families}
"""
        )

    def start(self) -> subprocess.Popen[bytes]:
        return self._lab.spawn(
            "gobgpd", "-f", str(self._lab.folder / "gobgpd.toml"), "--api-hosts", f"{THEIRS[4]}:50051"
        )

    def flow4(self) -> str:
        return self._rib("ipv4-flowspec")

    def flow6(self) -> str:
        return self._rib("ipv6-flowspec")

    def unicast(self, prefix: str) -> str:
        paths = self._rib("ipv6" if ":" in prefix else "ipv4")
        return paths if prefix in paths else ""

    def _rib(self, family: str) -> str:
        printed = self._lab.run("gobgp", "-u", THEIRS[4], "global", "rib", "-a", family, "-j")
        try:
            return json.dumps(json.loads(printed))
        except ValueError:
            return ""  # it is still starting, or its table is empty


class Frr:
    """FRR's bgpd alone, without zebra."""

    programs: tuple[str, ...] = ("/usr/lib/frr/bgpd", "vtysh", "ip")

    def __init__(self, lab: Lab, *, version: int, passive: bool, port: int, md5: str | None = None) -> None:
        self._lab = lab
        self._run = lab.folder / "frr"
        self._run.mkdir()
        shutil.chown(self._run, "frr", "frr")
        ours = OURS[version]
        families = "".join(
            f" address-family {name}\n  neighbor {ours} activate\n exit-address-family\n"
            for name in ("ipv4 unicast", "ipv6 unicast", "ipv4 flowspec", "ipv6 flowspec")
        )
        lab.folder.joinpath("frr.conf").write_text(
            f"""
frr defaults traditional
router bgp {THEIR_AS}
 bgp router-id 10.99.0.20
 no bgp ebgp-requires-policy
 no bgp default ipv4-unicast
 neighbor {ours} remote-as {OUR_AS}
 neighbor {ours} ebgp-multihop 5
 neighbor {ours} update-source {THEIRS[version]}
 neighbor {ours} timers connect 1
 neighbor {ours} port {port}
{f" neighbor {ours} passive" if passive else ""}
{f" neighbor {ours} password {md5}" if md5 else ""}
{families}
exit
"""
        )

    def start(self) -> subprocess.Popen[bytes]:
        for stale in self._run.iterdir():
            stale.unlink()
        return self._lab.spawn(
            "/usr/lib/frr/bgpd", "-Z", "-f", str(self._lab.folder / "frr.conf"), "-i", str(self._run / "bgpd.pid"),
            "--vty_socket", str(self._run), "-p", "179", "-l", THEIRS[4], "-l", THEIRS[6], "-A", THEIRS[4], "-P", "0",
        )  # fmt: skip

    def flow4(self) -> str:
        return self._show("show bgp ipv4 flowspec detail")

    def flow6(self) -> str:
        return self._show("show bgp ipv6 flowspec detail")

    def unicast(self, prefix: str) -> str:
        return self._show(f"show bgp {'ipv6' if ':' in prefix else 'ipv4'} unicast {prefix}")

    def _show(self, command: str) -> str:
        return self._lab.run("vtysh", "--vty_socket", str(self._run), "-d", "bgpd", "-c", command)


class Bird:
    """BIRD 2."""

    programs: tuple[str, ...] = ("bird", "birdc", "ip")

    def __init__(self, lab: Lab, *, version: int, passive: bool, port: int, md5: str | None = None) -> None:
        self._lab = lab
        lab.folder.joinpath("bird.conf").write_text(
            f"""
router id 10.99.0.30;
flow4 table flowtab4;
flow6 table flowtab6;
protocol device {{ }}
protocol bgp ctl {{
  local {THEIRS[version]} as {THEIR_AS};
  neighbor {OURS[version]} port {port} as {OUR_AS};
  multihop 5;
  strict bind on;
  {"passive on;" if passive else ""}
  {f'password "{md5}";' if md5 else ""}
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import all; export none; }};
  ipv6 {{ import all; export none; }};
  flow4 {{ table flowtab4; import all; export none; }};
  flow6 {{ table flowtab6; import all; export none; }};
}}
"""
        )

    def start(self) -> subprocess.Popen[bytes]:
        folder = self._lab.folder
        return self._lab.spawn(
            "bird",
            "-f",
            "-c",
            str(folder / "bird.conf"),
            "-s",
            str(folder / "bird.ctl"),
            "-P",
            str(folder / "bird.pid"),
        )

    def flow4(self) -> str:
        return self._show("show route table flowtab4 all")

    def flow6(self) -> str:
        return self._show("show route table flowtab6 all")

    def unicast(self, prefix: str) -> str:
        return self._show(f"show route all {prefix}")

    def _show(self, command: str) -> str:
        return self._lab.run("birdc", "-s", str(self._lab.folder / "bird.ctl"), command)
