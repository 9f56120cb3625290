"""What real daemons tell by BMP and in MRT files is what was announced to them."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from interop import monitoring
from interop.bird import Bird
from interop.daemons import Daemon, Setup
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.lab import OUR_AS, OURS, Lab, SpeakerThread, need, open_lab, peer_config, wait_for
from interop.monitoring import MonitoredFrr, StationThread
from interop.openbgpd import OpenBgpd
from monitored import EXPECTED, TOLD, learnt
from tidegate.errors import SourceError
from tidegate.io.bmp import RouterStatus
from tidegate.io.mrt_rib import LoadedRib, describe_rib, load_rib
from tidegate.wire.bgp.constants import Afi, Family
from tidegate.wire.bgp.prefix import parse_address
from tidegate.wire.bgp.routes import Route, route_key

pytestmark = [pytest.mark.netns, pytest.mark.peer]
FAMILIES = {Family.IPV4_UNICAST: Afi.IPV4, Family.IPV6_UNICAST: Afi.IPV6}


@pytest.fixture
def lab() -> Iterator[Lab]:
    need("ip")
    with open_lab() as lab:
        yield lab


def router(station: StationThread) -> RouterStatus | None:
    return next(iter(station.call(lambda each: each.routers())), None)


def table(station: StationThread) -> frozenset[Route]:
    return station.call(lambda each: learnt(*each.tables(each.routers()[0].address)) if each.routers() else frozenset())


def frr_in_two_views(lab: Lab) -> MonitoredFrr:
    daemon = MonitoredFrr(lab, Setup())
    monitoring.tell_frr(lab, "pre-policy", "post-policy")
    return daemon


def frr_before_policy(lab: Lab) -> MonitoredFrr:
    daemon = MonitoredFrr(lab, Setup())
    monitoring.tell_frr(lab, "pre-policy")
    return daemon


def gobgp_before_policy(lab: Lab) -> GoBgp:
    daemon = GoBgp(lab, Setup())
    monitoring.tell_gobgp(lab, "pre-policy")
    return daemon


def gobgp_after_policy(lab: Lab) -> GoBgp:
    daemon = GoBgp(lab, Setup())
    monitoring.tell_gobgp(lab, "post-policy")
    return daemon


def gobgp_loc_rib(lab: Lab) -> GoBgp:
    daemon = GoBgp(lab, Setup())
    monitoring.tell_gobgp(lab, "local-rib")
    return daemon


MONITORED: dict[Callable[[Lab], Daemon], str] = {
    frr_in_two_views: "adj-rib-in post-policy",
    frr_before_policy: "adj-rib-in pre-policy",
    gobgp_before_policy: "adj-rib-in pre-policy",
    gobgp_after_policy: "adj-rib-in post-policy",
    gobgp_loc_rib: "loc-rib",
}


@pytest.mark.parametrize("made", MONITORED, ids=lambda made: made.__name__)
def test_a_daemon_tells_by_bmp_what_was_announced_to_it(lab: Lab, made: Callable[[Lab], Daemon]) -> None:
    daemon = made(lab)
    need(*daemon.programs)
    process = daemon.start()
    with StationThread(lab) as station, SpeakerThread(lab, [peer_config()], port=None) as speaker:

        def picture() -> str:
            lines = [str(router(station)), "never came:", *map(str, EXPECTED - table(station))]
            return "\n".join([*lines, "unasked for:", *map(str, table(station) - EXPECTED)])

        speaker.announce(*TOLD)
        wait_for(lambda: table(station) == EXPECTED, "all routes", show=picture)
        status = router(station)
        assert status is not None
        assert (status.state, status.last_error) == ("up", "")
        assert status.sys_name
        assert status.sys_descr
        (peer,) = (peer for peer in status.peers if peer.prefixes)
        assert (peer.state, peer.view, peer.problems) == ("up", MONITORED[made], {})
        assert peer.prefixes == {"ipv4-unicast": 4, "ipv6-unicast": 2}
        if peer.view != "loc-rib":
            assert (peer.name, peer.asn, peer.router_id) == (OURS[4], OUR_AS, "10.99.0.2")
        for route in TOLD[::2]:
            assert speaker.withdraw(route_key(route))
        left = frozenset(each for each in EXPECTED if route_key(each) in {route_key(route) for route in TOLD[1::2]})
        wait_for(lambda: table(station) == left, "withdrawals", show=picture)
        speaker.stop()
        wait_for(lambda: table(station) == frozenset(), "the end of the session", show=picture)
        lab.kill(process)
        wait_for(lambda: (status := router(station)) is not None and status.state == "down", "the end of the router")


class Dumped:
    """The newest file of each kind that a daemon has written, as tables."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.last: dict[str, str] = {}

    def holds(self, pattern: str, wanted: frozenset[Route]) -> bool:
        """Tell whether one of the files that match holds exactly these routes."""
        for path in sorted(self._folder.glob(pattern), reverse=True):
            try:
                loaded = load_rib(path, peer=parse_address(OURS[4]))
            except SourceError as error:
                self.last[path.name] = str(error)
                continue
            self.last[path.name] = describe_rib(loaded)
            if learnt(loaded.rib) == wanted and clean(loaded):
                return True
        return False


def clean(loaded: LoadedRib) -> bool:
    return not loaded.problems and not loaded.stats.bad and not loaded.stats.damage


def of(afi: Afi) -> frozenset[Route]:
    return frozenset(route for route in EXPECTED if route_key(route).family.afi is afi)


# GoBGP writes after a minute at the soonest: its file is among the recordings
DUMPING: dict[type[Daemon], tuple[Callable[[Lab], Path], dict[str, frozenset[Route]]]] = {
    Frr: (monitoring.dump_frr, {"table-*.mrt": EXPECTED, "heard.mrt": EXPECTED}),
    Bird: (
        monitoring.dump_bird,
        {"table4-*.mrt": of(Afi.IPV4), "table6-*.mrt": of(Afi.IPV6), "heard.mrt": EXPECTED},
    ),
    OpenBgpd: (
        monitoring.dump_openbgpd,
        dict.fromkeys(("table-v2-*.mrt", "table-mp-*.mrt", "table-[0-9]*.mrt", "heard.mrt"), EXPECTED),
    ),
}


@pytest.mark.parametrize("kind", DUMPING, ids=lambda kind: kind.__name__)
def test_files_of_a_daemon_hold_what_was_announced_to_it(lab: Lab, kind: type[Daemon], tmp_path: Path) -> None:
    need(*kind.programs)
    daemon = kind(lab, Setup())
    dump, patterns = DUMPING[kind]
    folder = dump(lab)
    daemon.start()
    with SpeakerThread(lab, [peer_config()], port=None) as speaker:
        speaker.announce(*TOLD)
        dumped = Dumped(folder)
        for pattern, wanted in patterns.items():
            holds = partial(dumped.holds, pattern, wanted)
            wait_for(holds, f"all routes in {pattern}", show=lambda: dumped.last)
        heard = (folder / "heard.mrt").read_bytes()
    for pack in (gzip, bz2):
        path = tmp_path / "heard"
        path.write_bytes(pack.compress(heard))
        assert learnt(load_rib(path).rib) == EXPECTED
