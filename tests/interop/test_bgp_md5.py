"""TCP MD5 keys with real daemons: the right one is up, a wrong one never, and the status says what to look at."""

from __future__ import annotations

import pytest

from interop.bird import Bird
from interop.daemons import Daemon, Setup
from interop.exabgp import ExaBgp
from interop.frr import Frr
from interop.gobgp import GoBgp
from interop.lab import OUR_AS, Lab, SpeakerThread, need, open_lab, peer_config, wait_for
from interop.openbgpd import OpenBgpd

pytestmark = [pytest.mark.netns, pytest.mark.peer]
DAEMONS: tuple[type[Daemon], ...] = (GoBgp, Frr, Bird, OpenBgpd, ExaBgp)
# OpenBGPD 7.7 sets no key on its listeners outside OpenBSD: it can only dial
PAIRS = [(kind, we_dial) for kind in DAEMONS for we_dial in (True, False) if kind is not OpenBgpd or not we_dial]


@pytest.mark.parametrize("version", [4, 6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("kind", "we_dial"), PAIRS)
def test_keys_hold_both_ways(kind: type[Daemon], version: int, *, we_dial: bool) -> None:
    need(*kind.programs)
    with open_lab() as lab:
        kind(lab, Setup({version: OUR_AS}, passive=we_dial, md5="a-secret")).start()
        settings = peer_config(version, passive=not we_dial, md5="a-secret")
        with SpeakerThread(lab, [settings], port=None if we_dial else 1179) as speaker:
            wait_for(speaker.is_up, "established", show=speaker.neighbor)


@pytest.mark.parametrize(("kind", "we_dial"), [(Bird, True), (Bird, False), (GoBgp, True)])
def test_a_wrong_key_never_comes_up_and_the_status_says_what_to_look_at(kind: type[Daemon], *, we_dial: bool) -> None:
    need(*kind.programs)
    with open_lab() as lab:
        kind(lab, Setup(passive=we_dial, md5="a-secret")).start()
        settings = peer_config(passive=not we_dial, md5="another")
        with SpeakerThread(lab, [settings], port=None if we_dial else 1179) as speaker:
            if we_dial:
                wait_for(lambda: "MD5" in speaker.neighbor().last_error, "an explanation", show=speaker.neighbor)
            wait_for(lambda: failures(lab) >= 3, "segments with a wrong key", show=lambda: str(failures(lab)))
            status = speaker.neighbor()
            assert status.state in {"connect", "active"}
            assert sum(status.received.values()) == 0


def failures(lab: Lab) -> int:
    """Return how many segments the kernel dropped for their signature."""
    names, numbers = lab.run("grep", "^TcpExt:", "/proc/net/netstat").splitlines()
    return int(dict(zip(names.split(), numbers.split(), strict=True))["TCPMD5Failure"])
