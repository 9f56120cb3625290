"""Known drops, as the kernel's family NET_DM reports them: packet by packet with reasons, and summed up."""

from __future__ import annotations

import collections
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from socket import AF_INET, SO_RCVBUF, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET, socket

from guest import lab
from guest.lab import H2, R1, R1_6
from guest.listening import ask, listen
from guest.recordings.case import Case, Told, keep, play, then
from guest.recordings.frames import numbered, untagged
from guest.traffic import inject, send
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink.genl import Family, genl_body
from tidegate.wire.netlink.message import attribute, first_attributes, text_of

MODULES = ("drop_monitor", "cls_flower", "sch_tbf", "nf_tables")
FAMILY = "NET_DM"
INTERFACES = {"r1": 101, "r2": 102}
_CONFIG, _START, _STOP, _PACKET_ALERT, _CONFIG_GET, _STATS_GET = 2, 3, 4, 5, 6, 8
_ALERT_MODE, _SYMBOL, _TRUNC_LEN, _QUEUE_LEN, _SW_DROPS, _REASON = 1, 3, 9, 11, 20, 23
_TABLE = ("nft add table inet t", "nft 'add chain inet t c { type filter hook forward priority 0; }'")
_NO_TABLE = ("nft delete table inet t",)
_STRICT = ("sysctl -qw net.ipv4.conf.r1.rp_filter=1", "ip route add blackhole 203.0.113.0/24")
_LAX = ("sysctl -qw net.ipv4.conf.r1.rp_filter=0", "ip route del blackhole 203.0.113.0/24")


def lost(count: int, to: str, *, size: int = 100) -> None:
    """Send datagrams that nobody takes."""
    send([size] * count, to, port=9999, sink="")


def unanswered(to: str) -> None:
    """Have h1 try a connection to a port that is closed."""
    with lab.socket_in("h1", lab.family_of(to), SOCK_STREAM) as client, suppress(ConnectionRefusedError):
        client.connect((to, 9998))


def overfill() -> None:
    """Send more to a socket of the router than its buffer takes."""
    with socket(AF_INET, SOCK_DGRAM) as sink:
        sink.setsockopt(SOL_SOCKET, SO_RCVBUF, 2304)
        sink.bind((R1, 5005))
        send([1000] * 10, R1, port=5005, sink="")


def bad_frames() -> list[bytes]:
    """Return frames that the router's stack throws away."""
    good = untagged(numbered(to=R1))

    def patched(place: int, octets: bytes) -> bytes:
        return good[:place] + octets + good[place + len(octets) :]

    return [
        untagged(numbered(to=R1), to="020000009999"),
        patched(24, b"\xde\xad"),
        patched(14, b"\x65"),
        patched(14, b"\x44"),
        good[:30],
        patched(40, b"\x12\x34"),
        untagged(b"\xa5" * 46, 0x88B5),
        untagged(numbered(ttl=1)),
    ]


BAD_FRAMES = (
    "8 frames: another station's; wrong IPv4 checksum; IP version 6 in IPv4; header length 16; cut inside the header; "
    "wrong UDP checksum; EtherType 0x88b5; TTL 1 to be forwarded"
)


def misrouted() -> None:
    """Send what has no way: from a wrong source, without a route, into a blackhole."""
    inject([untagged(numbered(to=R1, source="203.0.113.7"))])
    lost(2, "10.9.9.9")
    lost(2, "203.0.113.5")
    lost(2, "2001:db8:9::5")


def cases() -> list[Case]:
    """Return the cases of packet mode, each packet cut to 128 octets."""
    clsact = tuple(f"tc qdisc add dev {device} clsact" for device in ("r1", "r2"))
    no_clsact = tuple(f"tc qdisc del dev {device} clsact" for device in ("r1", "r2"))
    dropping = (
        f"tc filter add dev r1 ingress protocol ip flower dst_ip {R1} ip_proto udp action drop",
        "tc filter add dev r2 egress protocol ip flower ip_proto udp action drop",
    )
    return [
        Case(
            "udp-no-socket",
            "3 datagrams each over IPv4 and IPv6 to a closed port of the router",
            then(lambda: lost(3, R1), lambda: lost(3, R1_6)),
        ),
        Case(
            "tcp-no-socket",
            "a connection attempt each over IPv4 and IPv6 to a closed port",
            then(lambda: unanswered(R1), lambda: unanswered(R1_6)),
        ),
        Case(
            "nftables-drop",
            "5 datagrams h1 > h2 that a forward rule drops",
            lambda: lost(5, H2),
            (*_TABLE, "nft add rule inet t c udp dport 9999 drop"),
            _NO_TABLE,
        ),
        Case(
            "tc-drop",
            "4 datagrams dropped on r1 ingress, 3 on r2 egress",
            then(lambda: lost(4, R1), lambda: lost(3, H2)),
            (*clsact, *dropping),
            no_clsact,
        ),
        Case("bad-frames", BAD_FRAMES, lambda: inject(bad_frames())),
        Case(
            "routing",
            "a wrong source; then 2 datagrams each without a route, into a blackhole, without an IPv6 route",
            misrouted,
            _STRICT,
            _LAX,
        ),
        Case(
            "neighbour",
            "3 datagrams h1 > 198.51.100.77, a host that is not there",
            lambda: lost(3, "198.51.100.77"),
            ("ip ntable change name arp_cache dev r2 retrans 50",),
            ("ip neigh flush dev r2 nud failed",),
            wait_s=1.5,
        ),
        Case("socket-buffer", "10 datagrams of 1000 octets to a socket with a tiny buffer", overfill),
        Case(
            "queue-full",
            "40 datagrams of 1400 octets through a token bucket of 16 kbit/s",
            lambda: lost(40, H2, size=1400),
            ("tc qdisc add dev r2 root tbf rate 16kbit burst 1600 limit 3000",),
            ("tc qdisc del dev r2 root",),
        ),
    ]


def record(out: Path, names: list[str]) -> dict[str, Told]:
    """Record cases (all where none is named) and return what the manifest says of each."""
    with Netlink(GENERIC) as generic:
        family = find_family(generic, FAMILY)
    assert family is not None
    whole = Case(
        "untruncated", "2 datagrams of 3000 octets to a closed port, TRUNC_LEN 0", lambda: lost(2, R1, size=3000)
    )
    summed = Case("summary", "20 datagrams to a closed port, in summary mode", lambda: lost(20, R1), wait_s=2.5)
    modes = [*((one, 1, 128) for one in cases()), (whole, 1, 0), (summed, 0, 128)]
    told: dict[str, Told] = {}
    for one, mode, trunc in modes:
        if not names or one.name in names:
            of_it, messages = play(one, out, partial(_monitor, family, mode=mode, trunc=trunc))
            told[one.name] = of_it | {"reasons": dict(collections.Counter(_reasons(messages)))}
    if not names or "answers" in names:
        answers = [_command(family, number)[0] for number in (_CONFIG_GET, _STATS_GET)]
        keep(out, "answers", answers)
        told["answers"] = {"traffic": "the answers to CONFIG_GET and STATS_GET", "messages": len(answers)}
    return told


@contextmanager
def _monitor(family: Family, *, mode: int, trunc: int) -> Iterator[socket]:
    """Have the monitor running, and a socket that hears it."""
    settings = {_ALERT_MODE: bytes([mode]), _TRUNC_LEN: struct.pack("=I", trunc), _QUEUE_LEN: struct.pack("=I", 1000)}
    _command(family, _CONFIG, *(attribute(kind, value) for kind, value in settings.items()))
    with listen(GENERIC, [family.groups["events"]]) as listener:
        _command(family, _START, attribute(_SW_DROPS, b""))
        try:
            yield listener
        finally:
            _command(family, _STOP, attribute(_SW_DROPS, b""))


def _command(family: Family, number: int, *settings: bytes) -> list[bytes]:
    with listen(GENERIC) as asking:
        return ask(asking, family.id, genl_body(number, family.version, *settings))


def _reasons(messages: list[bytes]) -> Iterator[str]:
    """Yield reason and function of each alert."""
    for message in messages:
        if message[16] == _PACKET_ALERT:
            told = first_attributes(message, 20)
            yield f"{text_of(told.get(_REASON))} in {text_of(told.get(_SYMBOL)).partition('+')[0]}"
