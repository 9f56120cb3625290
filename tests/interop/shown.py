"""Four routes of ours, a rule and a blackhole of each family, and what each daemon prints when it has them."""

from __future__ import annotations

from typing import Any

import msgspec

from interop.bird import Bird
from interop.daemons import Daemon
from interop.exabgp import ExaBgp
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.lab import SpeakerThread
from interop.openbgpd import OpenBgpd
from tidegate.control.flowspec import parse_flow
from tidegate.control.unicast import parse_unicast
from tidegate.wire.bgp.routes import Route

WRITTEN_RULES: tuple[dict[str, Any], ...] = (
    {
        "match": {
            "destination": "192.0.2.55",
            "protocol": "udp",
            "source-port": "=53|=123",
            "length": ">=468&<=512",
            "fragment": "!I",
        },
        "then": {"traffic-rate": 0},
    },
    {
        "match": {"destination": "2001:db8::55", "protocol": "tcp", "destination-port": "=443", "tcp-flags": "=S"},
        "then": {"traffic-rate": 125000},
    },
)
WRITTEN_HOLES: tuple[dict[str, Any], ...] = (
    {"prefix": "192.0.2.66", "nexthop": "192.0.2.254", "communities": "blackhole,no-export"},
    {"prefix": "2001:db8::66", "nexthop": "100::1", "communities": "65535:666-no-export"},
)
RULES: tuple[Route, ...] = tuple(map(parse_flow, WRITTEN_RULES))
HOLES: tuple[Route, ...] = tuple(map(parse_unicast, WRITTEN_HOLES))
ROUTES: tuple[Route, ...] = RULES + HOLES


class Expected(msgspec.Struct, frozen=True):
    """Texts that a daemon must print for the four routes above."""

    flow4: tuple[str, ...]
    flow6: tuple[str, ...]
    hole4: tuple[str, ...]
    hole6: tuple[str, ...]


DAEMONS: dict[type[Daemon], Expected] = {
    GoBgp: Expected(
        flow4=(
            "[destination: 192.0.2.55/32][protocol: ==udp][source-port: ==53 ==123]",
            "[packet-length: >=468&<=512][fragment: !is-fragment]",
            '{"type": 128, "subtype": 6, "as": 0, "rate": 0}',
        ),
        flow6=(
            "[destination: 2001:db8::55/128/0][protocol: ==tcp][destination-port: ==443][tcp-flags: =S&!FRPAUEC]",
            '{"type": 128, "subtype": 6, "as": 0, "rate": 125000}',
        ),
        hole4=('"nexthop": "192.0.2.254"', '"communities": [4294902426, 4294967041]'),
        hole6=('"nexthop": "100::1"', '"communities": [4294902426, 4294967041]'),
    ),
    Frr: Expected(
        flow4=(
            "Destination Address 192.0.2.55/32",
            "IP Protocol = 17",
            "Source Port = 53 , = 123",
            "Packet Length >= 468 , <= 512",
            "! 2",
            "FS:rate 0.000000",
        ),
        flow6=(
            "Destination Address 2001:db8::55/128/off 0",
            "IP Protocol = 6",
            "Destination Port = 443",
            "TCP Flags = 2,",
            "! 253",
            "FS:rate 125000.000000",
        ),
        hole4=("inform peer to blackhole prefix", "192.0.2.254 from", "Community: blackhole no-export"),
        hole6=("inform peer to blackhole prefix", "100::1 from", "Community: blackhole no-export"),
    ),
    Bird: Expected(
        flow4=(
            "flow4 { dst 192.0.2.55/32; proto 17; sport 53,123; length 468..512; fragment !is_fragment; }",
            "(generic, 0x80060000, 0x0)",
        ),
        flow6=(
            "flow6 { dst 2001:db8::55/128; next header 6; dport 443; tcp flags 0x2/0x2 && 0x0/0xfd; }",
            "(generic, 0x80060000, 0x47f42400)",
        ),
        hole4=("BGP.next_hop: 192.0.2.254", "BGP.community: (65535,666) (65535,65281)"),
        hole6=("BGP.next_hop: 100::1", "BGP.community: (65535,666) (65535,65281)"),
    ),
    OpenBgpd: Expected(
        flow4=(),
        flow6=(),
        hole4=("Nexthop 192.0.2.254 (via ", "Communities: BLACKHOLE NO_EXPORT"),
        hole6=("Nexthop 100::1 (via ", "Communities: BLACKHOLE NO_EXPORT"),
    ),
    ExaBgp: Expected(
        flow4=(
            "flow destination-ipv4 192.0.2.55/32 protocol =udp source-port [ =53 =123 ] packet-length [ >=468&<=512 ]",
            " fragment !is-fragment",
            '"rate-limit:0"',
        ),
        flow6=(
            "flow destination-ipv6 2001:db8::55/128/0 next-header =tcp destination-port =443",
            "tcp-flags [ =syn&!fin+rst+push+ack+urg+ece+cwr ]",
            '"rate-limit:125000"',
        ),
        hole4=('"next-hop": "192.0.2.254"', '"community": [[65535, 666], [65535, 65281]]'),
        hole6=('"next-hop": "100::1"', '"community": [[65535, 666], [65535, 65281]]'),
    ),
}


def shows_rules(daemon: Daemon, expected: Expected) -> bool:
    """Tell whether the daemon prints both rules, with nothing changed on the way."""
    return _has(daemon.flow4(), expected.flow4) and _has(daemon.flow6(), expected.flow6)


def shows_holes(daemon: Daemon, expected: Expected) -> bool:
    """Tell whether the daemon prints both blackholes, with nothing changed on the way."""
    return _has(daemon.unicast("192.0.2.66/32"), expected.hole4) and _has(
        daemon.unicast("2001:db8::66/128"), expected.hole6
    )


def shows(daemon: Daemon, expected: Expected) -> bool:
    """Tell whether the daemon prints all of what was sent."""
    return shows_rules(daemon, expected) and shows_holes(daemon, expected)


def shows_no_rules(daemon: Daemon) -> bool:
    """Tell whether the daemon has forgotten both rules."""
    return "192.0.2.55" not in daemon.flow4() and "2001:db8::55" not in daemon.flow6()


def shows_no_holes(daemon: Daemon) -> bool:
    """Tell whether the daemon has forgotten both blackholes."""
    return "192.0.2.254" not in daemon.unicast("192.0.2.66/32") and "100::1" not in daemon.unicast("2001:db8::66/128")


def shows_none(daemon: Daemon) -> bool:
    """Tell whether the daemon has forgotten everything."""
    return shows_no_rules(daemon) and shows_no_holes(daemon)


def _has(output: str, texts: tuple[str, ...]) -> bool:
    return all(text in output for text in texts)


def picture(daemon: Daemon, speaker: SpeakerThread) -> str:
    """Return all that the daemon prints, and how the session stands."""
    seen = [daemon.flow4(), daemon.flow6(), daemon.unicast("192.0.2.66/32"), daemon.unicast("2001:db8::66/128")]
    return "\n".join([*seen, str(speaker.neighbor())])
