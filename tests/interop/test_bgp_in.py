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
from interop.lab import OUR_AS, THEIR_AS, THEIRS, SpeakerThread, need, open_lab, peer_config, wait_for, wait_to_hear
from interop.openbgpd import OpenBgpd
from interop.rules import RULES, Rule
from interop.told import routes_of, table
from tidegate.wire.bgp.flowspec import PrefixComponent
from tidegate.wire.bgp.profile import PROFILES, Profile
from tidegate.wire.bgp.routes import FlowRoute, Route, UnicastRoute, route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]
DAEMONS: tuple[type[Daemon], ...] = (GoBgp, Frr, Bird, OpenBgpd, ExaBgp)
# each with the profile that knows how it writes offsets of IPv6 prefixes
FLOW_DAEMONS: dict[type[FlowDaemon], Profile] = {
    GoBgp: PROFILES["gobgp-3"],
    Bird: PROFILES["bird-2.0"],
    ExaBgp: PROFILES["rfc8955"],
}


def rule_text(rule: Rule, kind: type[FlowDaemon]) -> str | None:
    return {GoBgp: rule.gobgp, Bird: rule.bird, ExaBgp: rule.exabgp}[kind]


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


def test_several_routes_to_a_prefix_come_and_go() -> None:
    need(*Bird.programs)
    told = [
        structs.replace(route, as_path=(64000 + number,), communities=(number,))
        for route in routes_of(Bird)
        for number in (1, 2, 3)
    ]
    with open_lab() as lab:
        daemon = Bird(lab, Setup(add_path=True))
        daemon.announce(told)
        daemon.start()
        with SpeakerThread(lab, [structs.replace(peer_config(), add_path=True)], port=None) as speaker:
            wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told}, "all routes")
            for count in (14, 7, 0):
                daemon.announce(told[:count])
                wait_to_hear(speaker, {expected(route, peer_as=THEIR_AS) for route in told[:count]}, "withdrawals")
            assert not speaker.neighbor().problems


@pytest.mark.parametrize("local_as", [OUR_AS, THEIR_AS], ids=["external", "internal"])
@pytest.mark.parametrize("kind", FLOW_DAEMONS)
def test_rules_come_with_every_component_and_action_and_go(kind: type[FlowDaemon], local_as: int) -> None:
    need(*kind.programs)
    peer_as = THEIR_AS if local_as == OUR_AS else None
    told = {rule.route: text for rule in RULES if (text := rule_text(rule, kind)) is not None}
    with open_lab() as lab:
        daemon = kind(lab, Setup({4: local_as}))
        daemon.start()
        settings = structs.replace(peer_config(local_as=local_as), profile=FLOW_DAEMONS[kind])
        with SpeakerThread(lab, [settings], port=None) as speaker:
            wait_for(speaker.is_up, "established", show=speaker.neighbor)
            daemon.announce_rules(list(told.values()))
            wait_to_hear(speaker, {expected(route, peer_as=peer_as) for route in told}, "all rules")
            less = dict(list(told.items())[::2])
            daemon.announce_rules(list(less.values()))
            wait_to_hear(speaker, {expected(route, peer_as=peer_as) for route in less}, "withdrawals")
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
    told: list[Route] = [rule.route for rule in RULES if rule.gobgp is not None and not has_offset(rule.route)]
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


def has_offset(route: FlowRoute) -> bool:
    return any(isinstance(one, PrefixComponent) and one.offset for one in route.rule.components)


def passed(route: Route) -> Route:
    """Return a route as FRR passes it on: our AS behind its own, and no metric of ours."""
    if isinstance(route, UnicastRoute):
        return structs.replace(route, as_path=(THEIR_AS, OUR_AS, *route.as_path[1:]), med=None)
    return route
