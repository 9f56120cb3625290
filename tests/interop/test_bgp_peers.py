"""What real routers make of what is sent to them, read from their own output."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from interop.bird import Bird
from interop.daemons import Daemon, Setup
from interop.exabgp import ExaBgp
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.lab import OUR_AS, Lab, SpeakerThread, need, open_lab, peer_config, wait_for
from interop.openbgpd import OpenBgpd
from tidegate.control.flowspec import parse_flow
from tidegate.control.unicast import parse_unicast
from tidegate.wire.bgp.routes import Route, route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]

FLOW4 = parse_flow(
    {
        "match": {
            "destination": "192.0.2.55",
            "protocol": "udp",
            "source-port": "=53|=123",
            "length": ">=468&<=512",
            "fragment": "!I",
        },
        "then": {"traffic-rate": 0},
    }
)
FLOW6 = parse_flow(
    {
        "match": {"destination": "2001:db8::55", "protocol": "tcp", "destination-port": "=443", "tcp-flags": "=S"},
        "then": {"traffic-rate": 125000},
    }
)
HOLE4 = parse_unicast({"prefix": "192.0.2.66", "nexthop": "192.0.2.254", "communities": "blackhole,no-export"})
HOLE6 = parse_unicast({"prefix": "2001:db8::66", "nexthop": "100::1", "communities": "65535:666-no-export"})
ROUTES: tuple[Route, ...] = (FLOW4, FLOW6, HOLE4, HOLE6)


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


@pytest.fixture
def lab() -> Iterator[Lab]:
    need("ip")
    with open_lab() as lab:
        yield lab


def shows(daemon: Daemon, expected: Expected) -> bool:
    """Whether the daemon prints all of what was sent, with nothing changed on the way."""
    printed = (
        (daemon.flow4(), expected.flow4),
        (daemon.flow6(), expected.flow6),
        (daemon.unicast("192.0.2.66/32"), expected.hole4),
        (daemon.unicast("2001:db8::66/128"), expected.hole6),
    )
    return all(text in output for output, texts in printed for text in texts)


def shows_none(daemon: Daemon) -> bool:
    return not (
        "192.0.2.55" in daemon.flow4()
        or "2001:db8::55" in daemon.flow6()
        or "192.0.2.254" in daemon.unicast("192.0.2.66/32")
        or "100::1" in daemon.unicast("2001:db8::66/128")
    )


def picture(daemon: Daemon, speaker: SpeakerThread) -> str:
    seen = [daemon.flow4(), daemon.flow6(), daemon.unicast("192.0.2.66/32"), daemon.unicast("2001:db8::66/128")]
    return "\n".join([*seen, str(speaker.neighbor())])


@pytest.mark.parametrize(("version", "we_dial"), [(4, True), (4, False), (6, True), (6, False)])
@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_routes_arrive_as_sent_and_vanish_on_withdrawal(
    lab: Lab, kind: type[Daemon], version: int, *, we_dial: bool
) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup({version: OUR_AS}, passive=we_dial))
    daemon.start()
    with SpeakerThread(lab, [peer_config(version, passive=not we_dial)], port=None if we_dial else 1179) as speaker:
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes as sent", show=lambda: picture(daemon, speaker))
        for route in ROUTES:
            assert speaker.withdraw(route_key(route))
        wait_for(lambda: shows_none(daemon), "withdrawal", show=lambda: picture(daemon, speaker))
        assert speaker.neighbor().state == "established"


@pytest.mark.parametrize("router_id", ["10.0.0.1", "10.200.0.1"], ids=["lower", "higher"])
@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_one_session_stands_when_both_sides_dial(lab: Lab, kind: type[Daemon], router_id: str) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup(passive=False, port=179))
    both = msgspec.structs.replace(peer_config(), router_id=router_id)
    with SpeakerThread(lab, [both], port=179) as speaker:
        daemon.start()
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes as sent", show=lambda: picture(daemon, speaker))
        assert speaker.neighbor().state == "established"
        for route in ROUTES:
            speaker.withdraw(route_key(route))
        wait_for(lambda: shows_none(daemon), "withdrawal", show=lambda: picture(daemon, speaker))


@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_everything_is_announced_again_after_the_peer_was_restarted(lab: Lab, kind: type[Daemon]) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup())
    process = daemon.start()
    with SpeakerThread(lab, [peer_config()], port=None) as speaker:
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "first time", show=lambda: picture(daemon, speaker))
        lab.kill(process)
        wait_for(lambda: speaker.neighbor().state != "established", "loss noticed", show=speaker.neighbor)
        daemon.start()
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "second time", show=lambda: picture(daemon, speaker))


@pytest.mark.parametrize("kind", DAEMONS, ids=lambda kind: kind.__name__)
def test_the_peer_forgets_at_once_when_the_speaker_ends(lab: Lab, kind: type[Daemon]) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup(passive=False))
    daemon.start()
    with SpeakerThread(lab, [peer_config(4, passive=True)], port=1179) as speaker:
        speaker.announce(*ROUTES)
        wait_for(lambda: shows(daemon, DAEMONS[kind]), "all routes", show=lambda: picture(daemon, speaker))
    wait_for(lambda: shows_none(daemon), "flushed after Cease", show=daemon.flow4)


def test_rules_too_wide_for_frr_are_split_and_its_session_stays(lab: Lab) -> None:
    need(*Frr.programs)
    daemon = Frr(lab, Setup())
    daemon.start()
    wide = parse_flow(
        {
            "match": {
                "destination": "192.0.2.77",
                "protocol": "udp",
                "source-port": "=19|=53|=123|=389|=1900|=5353|=11211",
                "destination-port": "!=443",
            },
            "then": {"traffic-rate": 0},
        }
    )
    with SpeakerThread(lab, [peer_config()], port=None) as speaker:
        speaker.announce(wide)
        wait_for(lambda: "Displayed  2 flowspec entries" in daemon.flow4(), "two rules", show=daemon.flow4)
        printed = daemon.flow4()
        assert "Source Port = 19 , = 53 , = 123 , = 389 , = 1900" in printed
        assert "Source Port = 5353 , = 11211" in printed
        assert "Destination Port <= 442 , >= 444" in printed
        assert speaker.withdraw(route_key(wide))
        wait_for(lambda: "192.0.2.77" not in daemon.flow4(), "withdrawal of both", show=daemon.flow4)
        assert speaker.neighbor().failures == 0
