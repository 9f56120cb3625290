from __future__ import annotations

import gzip
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec import structs

import mrt_files as m
from bmp_messages import update
from monitored import EXPECTED, learnt
from tidegate.errors import SourceError
from tidegate.io.mrt_rib import count_routes, describe_rib, load_rib
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import KEEPALIVE
from tidegate.wire.bgp.mrt import MrtPeer, PeerMessage, RibEntry, RibRecord, StateChange, TableDumpEntry
from tidegate.wire.bgp.mrt_walk import KERNELS
from tidegate.wire.bgp.routes import route_key

V4, V6 = Family.IPV4_UNICAST, Family.IPV6_UNICAST
INDEX = m.index_of(m.ONE, m.TWO, m.SIX)
ONE, TWO, SIX = (MrtPeer(peer.address, peer.asn) for peer in (m.ONE, m.TWO, m.SIX))


def four(text: str, *peers: int, attributes: bytes = m.PLAIN) -> bytes:
    return m.rib(RibRecord(V4, m.nlri(text), tuple(RibEntry(peer, 1, attributes) for peer in peers)))


def six(text: str, *peers: int) -> bytes:
    return m.rib(RibRecord(V6, m.nlri(text), tuple(RibEntry(peer, 1, m.ABBREVIATED) for peer in peers)))


def heard(peer: MrtPeer, message: bytes, *, local: bool = False) -> bytes:
    return m.peer_message(PeerMessage(peer, message, four_octet_as=True, local=local))


ANNOUNCED = update(m.ORIGIN.hex(), m.PATH.hex(), m.HOP.hex(), nlri="08 0a 08 0b")
WITHDRAWN = update(withdrawn="08 0a")
TABLE = [INDEX, four("8 0a", 0, 1), four("8 0b", 0), four("8 0c", 0), six("32 20010db8", 2, 1), six("32 20010db9", 2)]


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    """As it is in use: arrays that a kernel's one signature does not take are refused."""
    list(compile_kernels(KERNELS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rib.mrt"


def write(path: Path, *records: bytes) -> Path:
    path.write_bytes(b"".join(records))
    return path


def test_peers_of_a_file_are_counted(path: Path) -> None:
    found = count_routes(write(path, *TABLE, heard(m.TWO, ANNOUNCED), heard(m.ONE, ANNOUNCED, local=True)))
    assert found.routes == {V4: {ONE: 3, TWO: 1}, V6: {SIX: 2, TWO: 1}}
    assert found.octets == {TWO: len(ANNOUNCED)}
    assert found.all() == (ONE, TWO, SIX)


def test_without_a_choice_the_largest_table_of_each_family_is_taken(path: Path) -> None:
    loaded = load_rib(write(path, *TABLE))
    assert loaded.peers == {V4: ONE, V6: SIX}
    assert loaded.routes == {V4: 3, V6: 2}
    assert (loaded.problems, loaded.stats.damage, loaded.stats.records) == ({}, "", 6)
    assert describe_rib(loaded) == (
        f"{path}: 3 ipv4-unicast routes, 2 ipv6-unicast routes of 192.0.2.1 AS 65002 (ipv4-unicast) and "
        "2001:db8::2 AS 65003 (ipv6-unicast)"
    )


@pytest.mark.parametrize("peer", [m.TWO.address, m.TWO.asn])
def test_a_peer_is_chosen_by_address_or_as(path: Path, peer: bytes | int) -> None:
    loaded = load_rib(write(path, *TABLE), peer=peer)
    assert loaded.peers == {V4: TWO, V6: TWO}
    assert loaded.routes == {V4: 1, V6: 1}
    assert describe_rib(loaded).endswith("of 192.0.2.2 AS 4200000000 (ipv4-unicast, ipv6-unicast)")


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (7, "there is no peer AS 7 in it; there are 192.0.2.1 AS 65002, 192.0.2.2 AS 4200000000, 2001:db8::2 AS 65003"),
        (bytes((192, 0, 2, 9)), "there is no peer 192.0.2.9 in it; there are 192.0.2.1 AS 65002"),
    ],
)
def test_a_peer_that_is_not_there_is_told_with_those_that_are(path: Path, peer: bytes | int, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        load_rib(write(path, *TABLE), peer=peer)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([INDEX], "there are no routes in it"),
        ([four("8 0a", 0)], "its routes are of peers that no index of peers in it names"),
    ],
)
def test_a_file_without_routes_is_told(path: Path, records: Iterable[bytes], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        load_rib(write(path, *records))


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="give a file"):
        load_rib(tmp_path / "pipe")


def test_many_peers_are_not_all_named(path: Path) -> None:
    peers = [MrtPeer(bytes((10, 0, 0, number)), number) for number in range(1, 13)]
    write(path, m.index_of(*peers), four("8 0a", *range(12)))
    with pytest.raises(SourceError, match=r"AS 10 and others$"):
        load_rib(path, peer=7777)


def test_the_old_format_is_read(path: Path) -> None:
    old = m.ORIGIN + bytes.fromhex("400204 0201 fdea") + m.HOP
    peer = MrtPeer(ONE.address, 65002)
    entries = [m.table_dump(TableDumpEntry(V4, m.nlri(text), peer, 1, old)) for text in ("8 0a", "24 c00002")]
    six_entry = m.table_dump(TableDumpEntry(V6, m.nlri("32 20010db8"), MrtPeer(SIX.address, 65003), 1, m.ABBREVIATED))
    loaded = load_rib(write(path, *entries, six_entry), peer=ONE.address)
    assert (loaded.routes, loaded.problems) == ({V4: 2}, {})


def test_messages_are_played_in_order(path: Path) -> None:
    loaded = load_rib(write(path, heard(m.ONE, KEEPALIVE), heard(m.ONE, ANNOUNCED), heard(m.ONE, WITHDRAWN)))
    assert (loaded.routes, loaded.problems) == ({V4: 1}, {})


def test_messages_after_a_table_change_it(path: Path) -> None:
    loaded = load_rib(write(path, *TABLE, heard(ONE, WITHDRAWN), heard(TWO, WITHDRAWN)))
    assert loaded.routes == {V4: 2, V6: 2}


def test_messages_to_the_peer_and_of_other_peers_change_nothing(path: Path) -> None:
    loaded = load_rib(write(path, *TABLE, heard(ONE, WITHDRAWN, local=True), heard(TWO, ANNOUNCED)))
    assert loaded.routes == {V4: 3, V6: 2}


def test_messages_change_the_families_that_the_peer_was_chosen_for(path: Path) -> None:
    loaded = load_rib(write(path, *TABLE, heard(SIX, WITHDRAWN)))
    assert loaded.routes == {V4: 3, V6: 2}


def test_routes_go_with_the_session(path: Path) -> None:
    down, up = StateChange(ONE, m.LOCAL, 6, 1), StateChange(ONE, m.LOCAL, 5, 6)
    assert load_rib(write(path, *TABLE, m.state_change(up))).routes == {V4: 3, V6: 2}
    assert load_rib(write(path, *TABLE, m.state_change(down))).routes == {V6: 2}
    openbgpd = StateChange(m.LOCAL, ONE, 6, 1)  # it has the sides the other way round
    assert load_rib(write(path, *TABLE, m.state_change(openbgpd))).routes == {V6: 2}


def test_entries_of_openbgpd_are_read(path: Path) -> None:
    peer, old = MrtPeer(ONE.address, 65002), m.ORIGIN + bytes.fromhex("400204 0201 fdea")
    entries = [
        m.entry(TableDumpEntry(V4, m.nlri("8 0a"), peer, 1, old), m.HOP[-4:]),
        m.entry(TableDumpEntry(V6, m.nlri("32 20010db8"), peer, 1, old), m.HOP6),
    ]
    loaded = load_rib(write(path, *entries))
    assert (loaded.routes, loaded.problems, loaded.peers[V4]) == ({V4: 1, V6: 1}, {}, ONE)


def test_what_cannot_be_read_is_counted_and_left_out(path: Path) -> None:
    loaded = load_rib(
        write(
            path,
            *TABLE,
            four("8 0d", 0, attributes=m.PLAIN + b"\x40"),
            m.rib(RibRecord(V6, m.nlri("32 20010dba"), (RibEntry(2, 1, m.ORIGIN + m.PATH),))),
            heard(ONE, update("400101 09", nlri="08 0a")),
            heard(ONE, update(nlri="21 0a")),
            heard(ONE, b"\xfe" * 30),
            m.record(13, 2, bytes(4) + b"\xff"),
        )
    )
    assert loaded.routes == {V4: 2, V6: 2}
    assert loaded.problems["attributes cannot be read"] == 1
    assert loaded.problems["ipv6-unicast next hop of 0 octets"] == 1
    assert loaded.problems["it is not one whole UPDATE"] == 1
    assert any(reason.startswith("origin: ") for reason in loaded.problems)
    assert loaded.stats.bad == {"truncated": 1}
    assert "1 with problems: attributes cannot be read" in describe_rib(loaded)
    assert "1 records damaged: truncated" in describe_rib(loaded)


def test_a_file_that_ends_too_early_gives_what_came_before(path: Path) -> None:
    loaded = load_rib(write(path, *TABLE[:4], TABLE[4][:-3]))
    assert loaded.routes == {V4: 3}
    assert describe_rib(loaded).endswith(": the file ends in the middle of a record")


def test_many_routes_of_several_indexes_fit_several_windows(path: Path) -> None:
    count = 40_000
    routes = [
        four(f"24 {number:06x}", 0, 1, attributes=m.PLAIN + b"\xc0\x08\x04" + (number % 500).to_bytes(4, "big"))
        for number in range(count)
    ]
    said = []
    path.write_bytes(
        gzip.compress(b"".join((INDEX, *routes[: count // 2], m.index_of(m.TWO, m.ONE), *routes[count // 2 :])), 1)
    )
    loaded = load_rib(path, peer=TWO.address, progress=lambda *what: said.append(what))
    assert (loaded.routes, loaded.problems) == ({V4: count}, {})
    assert said[-1] == (path.stat().st_size, path.stat().st_size)
    assert len(said) > 4


RECORDINGS = sorted((Path(__file__).parents[1] / "data/mrt").glob("*.mrt"))


def test_recordings_are_found() -> None:
    assert len(RECORDINGS) == 10


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_files_of_daemons_hold_what_was_announced_to_them(recording: Path) -> None:
    family = {"4": V4, "6": V6}.get(recording.stem[-1] if "table" in recording.stem else "")
    wanted = {route for route in EXPECTED if family in {None, route_key(route).family}}
    loaded = load_rib(recording)
    assert learnt(loaded.rib) == wanted
    assert (loaded.problems, loaded.stats.bad, loaded.stats.skipped, loaded.stats.damage) == ({}, {}, {}, "")
    assert {str(peer) for peer in loaded.peers.values()} == {"127.0.0.2 AS 65001"}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_at_each_octet_a_recording_may_end(recording: Path, path: Path) -> None:
    octets = recording.read_bytes()
    known = {structs.replace(route, local_pref=None) for route in EXPECTED}
    for stop in range(0, len(octets), 7):
        path.write_bytes(octets[:stop])
        try:
            loaded = load_rib(path)
        except SourceError as error:
            assert str(error)  # noqa: PT017 - too early for any route
        else:
            assert learnt(loaded.rib) <= known
