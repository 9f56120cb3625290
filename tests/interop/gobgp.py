"""GoBGP: routes of its own come by its command, thousands of them by a table dump."""

from __future__ import annotations

import json
import shlex
import struct
import subprocess
from collections.abc import Sequence

from interop.daemons import Setup, community_text, is_running, large_text
from interop.lab import OURS, THEIR_AS, THEIRS, Lab, wait_for
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.prefix import address_text, encode_prefix
from tidegate.wire.bgp.routes import UnicastRoute

_FEW = 50  # commands take some 20 ms each
_FAMILIES = ("ipv4-unicast", "ipv6-unicast", "ipv4-flowspec", "ipv6-flowspec")


class GoBgp:
    """GoBGP."""

    programs: tuple[str, ...] = ("gobgpd", "gobgp", "ip")

    def __init__(self, lab: Lab, setup: Setup) -> None:
        self._lab = lab
        self._setup = setup
        self._config = lab.folder / "gobgpd.toml"
        self._told: dict[tuple[str, ...], Sequence[str]] = {}  # by families
        self._process: subprocess.Popen[bytes] | None = None
        self._config.write_text(
            f"""
[global.config]
as = {THEIR_AS}
router-id = "10.99.0.10"
port = 179
local-address-list = ["{THEIRS[4]}", "{THEIRS[6]}"]
{"".join(_neighbor(setup, version) for version in setup.ours)}
"""
        )

    def start(self, *, recovering: bool = False) -> subprocess.Popen[bytes]:
        flags = ["-r"] if recovering else []
        process = self._lab.spawn("gobgpd", "-f", str(self._config), "--api-hosts", f"{THEIRS[4]}:50051", *flags)
        self._process = process
        if any(self._told.values()):
            wait_for(lambda: self.ask("neighbor").startswith("Peer"), "GoBGP's commands")
            for commands in self._told.values():
                self._run(commands)
        return process

    def flow4(self) -> str:
        return self._rib("ipv4-flowspec")

    def flow6(self) -> str:
        return self._rib("ipv6-flowspec")

    def unicast(self, prefix: str) -> str:
        paths = self._rib("ipv6" if ":" in prefix else "ipv4")
        return paths if prefix in paths else ""

    def announce(self, routes: Sequence[UnicastRoute]) -> None:
        commands = [f"global rib add {_route(route)}" for route in routes]
        if len(routes) > _FEW:
            dump = self._lab.folder / "table.mrt"
            dump.write_bytes(2 * table_dump(routes))  # GoBGP's command ends before the last ones have been passed on
            commands = [f"mrt inject global {dump}"]
        self._replace(("ipv4", "ipv6"), commands)

    def announce_rules(self, rules: Sequence[str]) -> None:
        """Announce rules: `ipv4-flowspec match … then …`."""
        commands = [f"global rib add -a {family} {text}" for family, _, text in (rule.partition(" ") for rule in rules)]
        self._replace(("ipv4-flowspec", "ipv6-flowspec"), commands)

    def ask_again(self) -> None:
        for version in self._setup.ours:
            printed = self.ask(f"neighbor {OURS[version]} softresetin")
            assert not printed, printed

    def shut(self, reason: str) -> None:
        self.ask(f'neighbor {OURS[4]} shutdown --reason "{reason}"')

    def last_error(self) -> str:
        return self._lab.printed("gobgpd")

    def ask(self, command: str) -> str:
        return self._lab.run("gobgp", "-u", THEIRS[4], *shlex.split(command))

    def _replace(self, families: tuple[str, ...], commands: Sequence[str]) -> None:
        self._told[families] = commands
        if is_running(self._process):
            self._run([f"global rib del all -a {family}" for family in families])
            self._run(commands)

    def _run(self, commands: Sequence[str]) -> None:
        for command in commands:
            printed = self.ask(command)
            assert not printed, printed

    def _rib(self, family: str) -> str:
        printed = self.ask(f"global rib -a {family} -j")
        try:
            return json.dumps(json.loads(printed))
        except ValueError:
            return ""  # it is still starting, or its table is empty


def _neighbor(setup: Setup, version: int) -> str:
    families = "".join(
        f'[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "{name}"\n'
        + (f"[neighbors.afi-safis.prefix-limit.config]\nmax-prefixes = {setup.most}\n" if setup.most else "")
        + ("[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n" if setup.restart_s else "")
        for name in _FAMILIES
    )
    restart = f"""
[neighbors.graceful-restart.config]
enabled = true
notification-enabled = true
restart-time = {setup.restart_s}
"""
    multihop = "[neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 5\n"
    return f"""
[[neighbors]]
[neighbors.config]
neighbor-address = "{OURS[version]}"
peer-as = {setup.ours[version]}
{f'auth-password = "{setup.md5}"' if setup.md5 else ""}
[neighbors.transport.config]
local-address = "{THEIRS[version]}"
passive-mode = {str(setup.passive).lower()}
remote-port = {setup.port}
{multihop if setup.is_external(version) else ""}
[neighbors.timers.config]
connect-retry = 1
idle-hold-time-after-reset = 1
{restart if setup.restart_s else ""}
{families}
"""


def _route(route: UnicastRoute) -> str:
    words = [str(route.prefix), "nexthop", address_text(route.next_hop), "origin", route.origin.name.lower()]
    for name, value in (
        ("aspath", ",".join(map(str, route.as_path))),
        ("med", route.med),
        ("local-pref", route.local_pref),
        ("community", ",".join(map(community_text, route.communities))),
        ("large-community", ",".join(map(large_text, route.large))),
    ):
        if value not in {None, ""}:
            words += [name, str(value)]
    return " ".join([*words, "-a", "ipv4" if route.prefix.afi is Afi.IPV4 else "ipv6"])


def table_dump(routes: Sequence[UnicastRoute]) -> bytes:
    """Return a TABLE_DUMP_V2 file (RFC 6396 section 4.3) of origin, path, next hop and communities, from one peer."""
    peer = struct.pack("!B4s4sI", 2, bytes(4), bytes(4), THEIR_AS)
    records = [_record(1, struct.pack("!4sHH", bytes(4), 0, 1) + peer)]
    for number, route in enumerate(routes):
        entry = _entry(route)
        body = struct.pack("!I", number) + encode_prefix(route.prefix) + struct.pack("!HHIH", 1, 0, 0, len(entry))
        records.append(_record(2 if route.prefix.afi is Afi.IPV4 else 4, body + entry))
    return b"".join(records)


def _record(subtype: int, body: bytes) -> bytes:
    return struct.pack("!IHHI", 0, 13, subtype, len(body)) + body


def _entry(route: UnicastRoute) -> bytes:
    path = struct.pack(f"!BB{len(route.as_path)}I", 2, len(route.as_path), *route.as_path) if route.as_path else b""
    values = [(0x40, 1, bytes((route.origin,))), (0x40, 2, path)]
    if route.prefix.afi is Afi.IPV4:
        values.append((0x40, 3, route.next_hop))
    else:
        reach = struct.pack("!HBB", 2, 1, 16) + route.next_hop + bytes(1) + encode_prefix(route.prefix)
        values.append((0x80, 14, reach))  # whole: GoBGP does not read the short form of RFC 6396
    values.append((0xC0, 8, struct.pack(f"!{len(route.communities)}I", *route.communities)))
    return b"".join(struct.pack("!BBB", flags, code, len(value)) + value for flags, code, value in values)
