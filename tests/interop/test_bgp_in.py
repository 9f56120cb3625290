"""What real daemons announce is what is heard: all attributes, rules of every component, thousands of routes."""

from __future__ import annotations

import pytest
from msgspec import structs

from interop.bird import Bird
from interop.daemons import Daemon, FlowDaemon, Setup
from interop.exabgp import ExaBgp
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.heard import expected
from interop.lab import OUR_AS, THEIR_AS, THEIRS, SpeakerThread, need, open_lab, peer_config, wait_for
from interop.openbgpd import OpenBgpd
from interop.rules import RULES, Rule
from tidegate.wire.bgp.communities import LargeCommunity
from tidegate.wire.bgp.constants import Origin
from tidegate.wire.bgp.prefix import Prefix, parse_address, parse_prefix
from tidegate.wire.bgp.routes import Route, UnicastRoute, route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]
DAEMONS: tuple[type[Daemon], ...] = (GoBgp, Frr, Bird, OpenBgpd, ExaBgp)
FLOW_DAEMONS: tuple[type[FlowDaemon], ...] = (GoBgp, Bird, ExaBgp)
COMMUNITIES = (65010 << 16 | 1, 65535 << 16 | 666)
LARGE = (LargeCommunity(65010, 1, 2), LargeCommunity(4200000000, 3, 4))


def unicast(prefix: str, next_hop: str, **attributes: object) -> UnicastRoute:
    return UnicastRoute(parse_prefix(prefix), parse_address(next_hop), **attributes)  # type: ignore[arg-type]


def routes_of(kind: type[Daemon]) -> list[UnicastRoute]:
    """Return routes with all the attributes that a daemon can be told to send."""
    path: tuple[int, ...] = () if kind is OpenBgpd else (64999, 4200000001, 64998)
    med = 0 if kind is Frr else None  # FRR always sends one
    return [
        unicast("10.1.0.0/24", "192.0.2.1", med=med),
        unicast("10.2.0.0/15", "192.0.2.2", as_path=path, communities=COMMUNITIES, large=LARGE, med=50),
        unicast("10.4.0.1/32", "192.0.2.1", as_path=path, origin=Origin.INCOMPLETE, local_pref=250, med=med),
        unicast("2001:db8:1::/48", "2001:db8::1", med=med),
        unicast("2001:db8:2::/47", "2001:db8::2", as_path=path, communities=COMMUNITIES, large=LARGE, med=50),
        unicast("2001:db8:4::1/128", "2001:db8::1", as_path=path, origin=Origin.EGP, local_pref=250, med=med),
    ]


def table(size: int) -> list[UnicastRoute]:
    """Return many routes, three of four IPv4, of different lengths and with the attributes of a few groups."""
    routes = []
    for number in range(size):
        path = tuple(64000 + number % 97 + hop for hop in range(number % 5))
        communities = tuple(sorted((65010 << 16 | number % 61, 65010 << 16 | 1000 + number % 7)))
        if number % 4:
            address, hop = (10 << 24 | number << 8).to_bytes(4, "big"), bytes((192, 0, 2, 1 + number % 3))
            prefix = Prefix(address, 24 + number % 9)
        else:
            address = (0x20010DB8 << 96 | number << 64).to_bytes(16, "big")
            prefix, hop = Prefix(address, 64 + number % 65), parse_address(f"2001:db8::{1 + number % 3}")
        routes.append(UnicastRoute(prefix, hop, as_path=path, communities=communities))
    return routes


def rule_text(rule: Rule, kind: type[FlowDaemon]) -> str | None:
    return {GoBgp: rule.gobgp, Bird: rule.bird, ExaBgp: rule.exabgp}[kind]


def difference(speaker: SpeakerThread, wanted: set[Route], peer: str = THEIRS[4]) -> str:
    heard = speaker.heard.routes(peer)
    lines = ["never came:", *map(str, wanted - heard), "came unasked for:", *map(str, heard - wanted)]
    return "\n".join([*lines[:12], str(speaker.neighbor())])


def wait_to_hear(speaker: SpeakerThread, wanted: set[Route], what: str, peer: str = THEIRS[4]) -> None:
    wait_for(
        lambda: speaker.heard.routes(peer) == wanted,
        what,
        show=lambda: difference(speaker, wanted, peer),
        patience_s=20,
    )
    assert speaker.held(peer) == wanted


@pytest.mark.parametrize("local_as", [OUR_AS, THEIR_AS], ids=["external", "internal"])
@pytest.mark.parametrize("kind", DAEMONS)
def test_unicast_routes_come_with_all_attributes_and_go(kind: type[Daemon], local_as: int) -> None:
    need(*kind.programs)
    peer_as = THEIR_AS if local_as == OUR_AS else None
    with open_lab() as lab:
        daemon = kind(lab, Setup({4: local_as}))
        told = routes_of(kind)
        daemon.announce(told)
        daemon.start()
        with SpeakerThread(lab, [peer_config(local_as=local_as)], port=None) as speaker:
            wait_to_hear(speaker, {expected(route, peer_as=peer_as) for route in told}, "all routes")
            told = told[1::2]
            daemon.announce(told)
            wait_to_hear(speaker, {expected(route, peer_as=peer_as) for route in told}, "withdrawals")
            daemon.announce([])
            wait_to_hear(speaker, set(), "withdrawal of the rest")
            assert not speaker.neighbor().problems


@pytest.mark.parametrize("kind", FLOW_DAEMONS)
def test_rules_come_with_every_component_and_action_and_go(kind: type[FlowDaemon]) -> None:
    need(*kind.programs)
    told = {rule.route: text for rule in RULES if (text := rule_text(rule, kind)) is not None}
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            wait_for(speaker.is_up, "established", show=speaker.neighbor)
            daemon.announce_rules(list(told.values()))
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told}, "all rules")
            less = dict(list(told.items())[::2])
            daemon.announce_rules(list(less.values()))
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in less}, "withdrawals")
            daemon.announce_rules([])
            wait_to_hear(speaker, set(), "withdrawal of the rest")
            assert not speaker.neighbor().problems


@pytest.mark.parametrize(("kind", "size"), [(Bird, 5000), (GoBgp, 5000), (ExaBgp, 1000)])
def test_a_table_comes_whole_and_goes(kind: type[Daemon], size: int) -> None:
    need(*kind.programs)
    told = table(size)
    with open_lab() as lab:
        daemon = kind(lab, Setup())
        daemon.announce(told)
        daemon.start()
        with SpeakerThread(lab, [peer_config()], port=None) as speaker:
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told}, "the table")
            daemon.announce([])
            wait_to_hear(speaker, set(), "withdrawal of everything")
            assert speaker.is_up()


def test_frr_passes_on_what_another_neighbour_announced() -> None:
    need(*Frr.programs)
    first, second = THEIRS[4], THEIRS[6]
    told: list[Route] = [rule.route for rule in RULES if rule.gobgp is not None]
    told += [
        structs.replace(route, communities=route.communities[:1])  # what is to be blackholed it keeps for itself
        for route in routes_of(Frr)
        if route.local_pref is None
    ]
    with open_lab() as lab:
        frr = Frr(lab, Setup({4: OUR_AS, 6: OUR_AS + 1}))
        frr.start()
        with SpeakerThread(lab, [peer_config(4), peer_config(6, local_as=OUR_AS + 1)], port=None) as speaker:
            speaker.announce(*told, peer=first)
            through = [expected(route, peer_as=THEIR_AS) for route in told]
            wait_to_hear(speaker, {passed(route) for route in through}, "all through FRR", second)
            for route in told:
                assert speaker.withdraw(route_key(route))
            wait_to_hear(speaker, set(), "withdrawals through FRR", second)
            assert speaker.neighbor(first).failures == speaker.neighbor(second).failures == 0


def passed(route: Route) -> Route:
    """Return a route as FRR passes it on: our AS behind its own, and no metric of ours."""
    if isinstance(route, UnicastRoute):
        return structs.replace(route, as_path=(THEIR_AS, OUR_AS, *route.as_path[1:]), med=None)
    return route
