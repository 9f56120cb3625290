"""The columns of UPDATEs against their readable twin: what is taken means the same, and has no fault."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import EXTERNAL, INTERNAL, OLD, unicast_routes
from tidegate.errors import EncodeError
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.attribute_values import Segment
from tidegate.wire.bgp.attributes import Attributes, encode_attributes
from tidegate.wire.bgp.constants import Family, SegmentType
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix, encode_prefix
from tidegate.wire.bgp.routes import route_key
from tidegate.wire.bgp.update import encode_announce, encode_withdraw
from tidegate.wire.bgp.update_scan import scan_run
from update_twin import compare, is_plain, read, update

SESSIONS = (
    EXTERNAL,
    INTERNAL,
    structs.replace(INTERNAL, extended_message=True, add_path_receive=frozenset({Family.IPV4_UNICAST})),
    structs.replace(EXTERNAL, add_path_receive=frozenset({Family.IPV6_UNICAST})),
    structs.replace(EXTERNAL, extended_next_hop=frozenset({Family.IPV4_UNICAST})),
    structs.replace(EXTERNAL, families=frozenset({Family.IPV4_UNICAST})),
    structs.replace(EXTERNAL, families=frozenset({Family.IPV6_UNICAST})),
    structs.replace(EXTERNAL, own_as=65000),
)
GOOD = bytes.fromhex("40010100 4002060201 0000fde8 400304c0000201 c00804ffff0001 18cb0071".replace(" ", ""))


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels(update_scan.KERNELS))


@given(routes=st.lists(unicast_routes(), min_size=1, max_size=8), session=st.sampled_from((EXTERNAL, INTERNAL)))
@settings(deadline=None)
def test_routes_that_a_speaker_announces_are_taken(routes: list[object], session: Negotiated) -> None:
    messages = []
    for route in routes:
        with suppress(EncodeError):
            key = route_key(route)  # type: ignore[arg-type]
            messages += [encode_announce(route, key, session), encode_withdraw(key, session)]  # type: ignore[arg-type]
    assert compare(b"".join(messages), session) == len(messages)


PIECES = (
    "400101 00", "400101 03", "500100 01 02", "400206 0201 0000fde8", "40020a 0202 0000fde8 0000fde9", "400200",
    "40020e 0301 0000fde8 0101 0000fde9", "400206 0501 0000fde8", "400202 0200", "400304 c0000201", "400303 c00002",
    "800404 00000001", "400504 00000064", "c00504 00000064", "400600", "400601 00", "c00708 0000fde8 c0000201",
    "c00706 fde8 c0000201", "c00804 ffff0001", "c00800", "c00803 ffff00", "800904 c0000201", "800a04 c0000201",
    "c01008 80060000 00000000", "c01010 80060000 00000000 0002fde8 00000001", "c01104 02010000",
    "c01208 0000fde8 c0000201",
    "c0200c 0000fde8 00000001 00000002", "c02304 0000fde8", "c0630101", "80630101", "406301 01", "d0ff0001 01",
    "800e15 0002 01 10 20010db8000000000000000000000001 00",
    "800e1a 0002 01 10 20010db8000000000000000000000001 00 20 20010db8",
    "800e0d 0001 01 04 c0000201 00 18 cb0071", "800e19 0001 01 10 20010db8000000000000000000000001 00 18 cb0071",
    "800e09 0001 85 00 00 020100", "800f03 0002 01", "800f08 0002 01 20 20010db8", "800f07 0001 01 18 cb0071",
    "c01914 000c 20010db8000000000000000000000001 0000",
)  # fmt: skip
OVER_IPV6 = next(piece for piece in PIECES if piece.startswith("800e19"))
NLRI = ("", "18cb0071", "18cb0071 10 c633", "21 cb007101 00", "00", "0000000118cb0071", "18cb00", "20cb007101")


@pytest.mark.parametrize("session", SESSIONS)
@given(
    pieces=st.lists(st.sampled_from(PIECES), max_size=7),
    withdrawn=st.sampled_from(NLRI),
    nlri=st.sampled_from(NLRI),
)
@example(pieces=[PIECES[0], PIECES[3], PIECES[9], PIECES[18]], withdrawn="", nlri=NLRI[1])
@example(pieces=[PIECES[34], PIECES[0], PIECES[3], PIECES[18]], withdrawn="", nlri="")
@example(pieces=[PIECES[0], PIECES[3], PIECES[18], PIECES[34]], withdrawn="", nlri="")
@example(pieces=[PIECES[0], PIECES[3], PIECES[18], OVER_IPV6], withdrawn="", nlri="")
@settings(max_examples=400, deadline=None)
def test_what_is_taken_has_no_fault_and_means_what_the_twin_says(
    session: Negotiated, pieces: list[str], withdrawn: str, nlri: str
) -> None:
    octets = update(bytes.fromhex("".join(pieces)), withdrawn=bytes.fromhex(withdrawn), nlri=bytes.fromhex(nlri))
    taken = compare(octets + octets, session)
    found = read(octets, session)
    assert taken in {0, 2}
    if found is None or not is_plain(found):
        assert taken == 0


@given(octets=st.binary(max_size=60), cut_at=st.integers(0, 80), session=st.sampled_from(SESSIONS))
@settings(deadline=None)
def test_any_octets_are_taken_or_left(octets: bytes, cut_at: int, session: Negotiated) -> None:
    compare(octets, session)
    compare(update(octets), session)
    compare(update(GOOD[:-4], nlri=GOOD[-4:])[:cut_at] + octets, session)


@pytest.mark.parametrize("place", range(len(GOOD)))
def test_each_octet_of_an_update_may_be_any_other(place: int) -> None:
    for value in range(256):
        octets = GOOD[:place] + bytes((value,)) + GOOD[place + 1 :]
        compare(update(octets[:-4], nlri=octets[-4:]), EXTERNAL)


def test_a_message_that_has_not_arrived_in_full_waits() -> None:
    whole = update(GOOD[:-4], nlri=GOOD[-4:])
    for length in range(len(whole)):
        assert scan_run(whole[:length], 0, EXTERNAL) is None
        run = scan_run(whole + whole[:length], 0, EXTERNAL)
        assert run is not None
        assert (len(run), run.stop) == (1, len(whole))


def test_runs_are_for_four_octet_numbers_alone() -> None:
    assert scan_run(update(GOOD[:-4], nlri=GOOD[-4:]), 0, OLD) is None


def test_better_routes_have_smaller_ranks() -> None:
    def rank(attributes: Attributes) -> int:
        prefix = Prefix(bytes((10, 0, 0, 0)), 8)
        block = encode_attributes(structs.replace(attributes, next_hop=bytes((192, 0, 2, 1))), INTERNAL)
        run = scan_run(update(block, nlri=encode_prefix(prefix)), 0, INTERNAL)
        assert run is not None
        return int(run.rows["rank"][0])

    def path(*segments: tuple[SegmentType, int]) -> tuple[Segment, ...]:
        return tuple(Segment(kind, tuple(range(1, count + 1))) for kind, count in segments)

    plain = Attributes(origin=0, as_path=path((SegmentType.SEQUENCE, 3)), local_pref=100)  # type: ignore[arg-type]
    best_first = [
        structs.replace(plain, local_pref=0xFFFFFFFF, as_path=path((SegmentType.SEQUENCE, 200))),
        structs.replace(plain, local_pref=101),
        structs.replace(plain, as_path=path((SegmentType.CONFED_SEQUENCE, 9), (SegmentType.SEQUENCE, 1))),
        structs.replace(plain, as_path=path((SegmentType.SEQUENCE, 1), (SegmentType.SET, 9))),
        plain,
        structs.replace(plain, origin=1),
        structs.replace(plain, origin=2),
        structs.replace(plain, local_pref=99, as_path=path()),
        structs.replace(plain, local_pref=0),
    ]
    ranks = [rank(attributes) for attributes in best_first]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)
    assert rank(structs.replace(plain, local_pref=None)) == rank(plain)


def test_addresses_are_read_as_batches_hold_them() -> None:
    run = scan_run(update(GOOD[:-4], nlri=GOOD[-4:]), 0, EXTERNAL)
    assert run is not None
    assert int(run.rows["next_hop_low"][0]) == 0xFFFF << 32 | int(ipaddress.IPv4Address("192.0.2.1"))
