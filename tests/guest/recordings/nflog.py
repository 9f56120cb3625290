"""Packets that nftables logs to user space, as the kernel's nfnetlink_log sends them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

from guest import lab
from guest.lab import H2, H2_6, R1
from guest.listening import ask, listen
from guest.recordings.case import Case, Told, bursts, keep, play, then
from guest.recordings.frames import numbered, tagged, untagged
from guest.traffic import connect, inject, ping, send
from tidegate.io.netlink import NETFILTER
from tidegate.wire.netlink.message import attribute

MODULES = ("nf_tables", "nfnetlink_log", "nft_log", "nft_numgen")
FAMILY = ""  # its messages have a fixed type
INTERFACES = {"r1": 101, "r2": 102}
_PACKET, _CONFIG = 0x400, 0x401
_CMD, _MODE, _NLBUFSIZ, _TIMEOUT, _QTHRESH, _FLAGS = 1, 2, 3, 4, 5, 6
_LOG = 'log group 5 snaplen 128 prefix "N=1 "'
_TEN = "numgen random mod 10 == 0 log group 5 snaplen 64"
_SIZES = (0, 1, 18, 100, 1000, 1472, 8000)


def chain(family: str, hook: str, *rules: str, name: str = "c") -> tuple[str, ...]:
    """Return the commands that make a chain with rules in table `t`."""
    made = f"nft 'add chain {family} t {name} {{ type filter hook {hook} priority 0; }}'"
    return (f"nft add table {family} t", made, *(f"nft 'add rule {family} t {name} {rule}'" for rule in rules))


def case(name: str, told: str, traffic: Callable[[], object], commands: tuple[str, ...], see: str = "") -> Case:
    """Return a case of some commands, the first of which adds a table."""
    return Case(name, told, traffic, commands, (commands[0].replace("add table", "delete table"),), see)


def all_kinds() -> None:
    """Send a bit of each kind, h1 > h2."""
    ping(3, H2)
    ping(3, H2_6)
    send(_SIZES)
    send(_SIZES[:-2], H2_6)
    connect([100, 100])


def vlan_frames() -> list[bytes]:
    """Return frames with and without tags."""
    one, two, three = (numbered(number=number) for number in (1, 2, 3))
    return [
        tagged(one, (0x8100, 5, 100)),
        tagged(two, (0x88A8, 3, 200), (0x8100, 5, 100)),
        untagged(three),
        untagged(b"\xa5" * 46, 0x88B5),
    ]


def cases() -> list[Case]:
    """Return the cases of one listener of group 5, each message on its own."""
    arriving, forward = ("netdev", "ingress device r1"), ("inet", "forward")
    return [
        case(
            "netdev-ingress",
            f"3 + 3 echo requests, UDP of {_SIZES} (IPv4) and {_SIZES[:-2]} (IPv6), a TCP connection",
            all_kinds,
            chain(*arriving, _LOG),
            "r1 in",
        ),
        case(
            "netdev-vlan",
            "4 frames: VLAN 100 priority 5; 802.1ad 200 around 802.1Q 100; untagged; EtherType 0x88b5",
            lambda: inject(vlan_frames()),
            chain(*arriving, _LOG),
            "r1 in",
        ),
        case(
            "netdev-egress",
            "3 echo requests forwarded h1 > h2, then 2 of the router's own, as they leave r2",
            then(lambda: ping(3, H2), lambda: ping(2, H2, start="")),
            chain("netdev", "egress device r2", _LOG),
            "r2 out",
        ),
        case(
            "forward",
            f"3 + 3 echoes h1 <> h2 (IPv4, IPv6), UDP of {_SIZES}: both interfaces known",
            then(lambda: ping(3, H2), lambda: ping(3, H2_6), lambda: send(_SIZES)),
            chain(*forward, _LOG),
        ),
        case(
            "hooks",
            "3 echo requests h1 > router (input hook) and the replies (output hook)",
            lambda: ping(3, R1),
            (*chain("inet", "input", f"iifname r1 {_LOG}"), *chain("inet", "output", f"oifname r1 {_LOG}", name="o")),
        ),
        case(
            "rate-10",
            "3000 datagrams h1 > h2 of 142 octets, 1 in 10",
            lambda: send([100] * 3000),
            chain(*forward, _TEN),
        ),
        case("rate-10-netdev", "the same, on arrival", lambda: send([100] * 3000), chain(*arriving, _TEN)),
        case(
            "no-snaplen",
            "UDP of 1000 and 8000 octets, whole",
            lambda: send([1000, 8000]),
            chain(*forward, "log group 5"),
        ),
        case("batched", "25 datagrams h1 > h2, ten a batch", lambda: send([50] * 25), chain(*forward, _LOG)),
        case(
            "two-groups",
            "5 datagrams h1 > h2, each in groups 5 and 6",
            lambda: send([200] * 5),
            chain(
                *forward,
                'iifname r1 log group 5 snaplen 64 prefix "in "',
                'oifname r2 log group 6 snaplen 96 prefix "out "',
            ),
        ),
    ]


def record(out: Path, names: list[str]) -> dict[str, Told]:
    """Record cases (all where none is named) and return what the manifest says of each."""
    options: dict[str, Any] = {"batched": {"threshold": 10}, "two-groups": {"groups": (5, 6)}}
    told: dict[str, Told] = {}
    for one in cases():
        if not names or one.name in names:
            of_it, messages = play(one, out, partial(_logged, **options.get(one.name, {})))
            told[one.name] = of_it | {"packets": _packets(messages)}
    return told | (_record_gaps(out) if not names or "sequence-gap" in names else {})


def _packets(messages: list[bytes]) -> int:
    """Return how many messages are packets: the others end batches."""
    return sum(struct.unpack_from("=H", message, 4)[0] == _PACKET for message in messages)


def _record_gaps(out: Path) -> dict[str, Told]:
    """Record bursts that overflow a small buffer: the sequence jumps."""
    commands = chain("inet", "forward", _LOG)
    lab.run(*commands)
    with _logged(room=16384) as listener:
        of_each, messages = bursts((5, 200, 5), listener)
    lab.run(commands[0].replace("add table", "delete table"))
    keep(out, "sequence-gap", messages)
    counts = {"messages": len(messages), "packets": _packets(messages), "bursts": of_each}
    traffic = "bursts of datagrams h1 > h2; 16 KiB to receive, read between"
    return {"sequence-gap": {"traffic": traffic, "commands": commands, **counts}}


@contextmanager
def _logged(*, groups: Sequence[int] = (5,), threshold: int = 1, room: int = 32 << 20) -> Iterator[socket]:
    """Have a socket that gets the packets of groups, numbered in each and over all."""
    settings = (
        attribute(_MODE, struct.pack("!IBx", 0xFFFF, 2)),  # whole packets
        attribute(_NLBUFSIZ, struct.pack("!I", 65536)),
        attribute(_TIMEOUT, struct.pack("!I", 10)),  # 1/100 s
        attribute(_QTHRESH, struct.pack("!I", threshold)),
        attribute(_FLAGS, struct.pack("!H", 3)),
    )
    with listen(NETFILTER, room=room) as listener:
        for group in groups:
            head = struct.pack("!BBH", 0, 0, group)
            ask(listener, _CONFIG, head + attribute(_CMD, b"\1"))  # bind
            ask(listener, _CONFIG, head + b"".join(settings))
        yield listener
