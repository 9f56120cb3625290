"""Attributes in every wrong combination: what comes of an UPDATE is what the sentences of RFC 7606 say."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import EXTERNAL, INTERNAL
from naive_7606 import GOOD, MP, Carrier, Expected, Fault, Given, Outcome, expected, faults_of, octets_of
from tidegate.data import route_kernels
from tidegate.errors import SessionReset
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.attributes import ATTRIBUTES
from tidegate.wire.bgp.constants import AttributeCode, Family
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import Update, decode_update
from tidegate.wire.bgp.update_scan import scan_run
from update_twin import compare, is_plain, update
from update_twin import read as read_or_none

NAMES = {
    "203.0.113.0/24": "IPv4",
    "10.0.0.0/8": "IPv4",
    "198.51.100.0/24": "IPv4 gone",
    "2001:db8::/32": "IPv6",
    "2001:db9::/32": "IPv6 gone",
}
CARRIERS = {
    "nlri": (Carrier(nlri=True), (1, 2, 3)),
    "withdrawn": (Carrier(withdrawn=True), ()),
    "both": (Carrier(nlri=True, withdrawn=True), (1, 2, 3)),
    "mp_reach": (Carrier(), (1, 2, 14)),
    "mp_unreach": (Carrier(), (15,)),
    "all": (Carrier(nlri=True, withdrawn=True), (14, 15, 1, 2, 3)),
    "nothing": (Carrier(), (1, 2)),
}
SESSIONS = {"external": EXTERNAL, "internal": INTERNAL}
FORMS = tuple(form for code in GOOD for form in faults_of(code))


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))


def message(attributes: Iterable[Given], carrier: Carrier) -> bytes:
    return update(
        b"".join(map(octets_of, attributes)),
        withdrawn=bytes.fromhex("18c63364") if carrier.withdrawn else b"",
        nlri=bytes.fromhex("18cb0071") if carrier.nlri else b"",
    )


def names(update_: Update, which: str) -> frozenset[str]:
    groups = update_.announced if which == "announced" else update_.withdrawn
    return frozenset(NAMES[str(one)] for group in groups for one in group.destinations if isinstance(one, Prefix))


def found(octets: bytes, session: Negotiated) -> Expected:
    """Return what comes of an UPDATE in the oracle's terms."""
    try:
        read = decode_update(octets[19:], session)
    except SessionReset as error:
        return Expected(Outcome.RESET, notifications=frozenset({(error.code, error.subcode)}))
    worst = max((Outcome(problem.reaction) for problem in read.problems), default=Outcome.NOTHING)
    said = {code: getattr(read.attributes, row.field) for code, row in ATTRIBUTES.items()}
    kept = [code for code, value in said.items() if not (value is None or value is False or value == ())]
    if said[AttributeCode.AS_PATH] == ():
        kept.append(AttributeCode.AS_PATH)
    codes = frozenset({*map(int, kept), *(raw.code for raw in read.attributes.unknown)})
    return Expected(worst, codes, names(read, "announced"), names(read, "withdrawn"))


def check_tables(octets: bytes, told: Expected, session: Negotiated) -> None:
    """See that what is announced is in the table, whichever way the UPDATE takes there, and nothing else."""
    read = read_or_none(octets, session)
    run = scan_run(octets, 0, session)
    ribs = [RibIn() for _ in range(1 if run is None else 2)]
    if read is not None:
        ribs[0].take(read)
    if run is not None:
        ribs[1].take_run(run)
    for rib in ribs:
        rib.finish()
        counts = {"IPv4": rib.count(Family.IPV4_UNICAST), "IPv6": rib.count(Family.IPV6_UNICAST)}
        assert counts == {name: int(name in told.announced) for name in counts}, octets.hex()


def check(attributes: Sequence[Given], carrier: Carrier, session: Negotiated, *, tables: bool = True) -> None:
    octets = message(attributes, carrier)
    told = expected(attributes, carrier, internal=session.internal)
    came = found(octets, session)
    assert came.notifications <= told.notifications, (attributes, carrier, octets.hex())
    assert came == structs.replace(told, notifications=came.notifications), (attributes, carrier, octets.hex())
    taken = compare(octets, session)
    assert not taken or told.outcome is Outcome.NOTHING, (attributes, carrier)
    if tables:
        check_tables(octets, told, session)


def with_form(base: Sequence[int], *forms: Given) -> list[Given]:
    """Return good attributes, some of them in another form, and what is not among them at the end."""
    given = {form.code: form for form in forms}
    attributes = [given.pop(code, Given(code)) for code in base]
    return attributes + list(given.values())


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
@pytest.mark.parametrize(("carrier", "base"), CARRIERS.values(), ids=CARRIERS)
def test_each_attribute_in_each_form(carrier: Carrier, base: tuple[int, ...], session: Negotiated) -> None:
    for form in FORMS:
        attributes = with_form(base, form)
        check(attributes, carrier, session)
        check(attributes[::-1], carrier, session)


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
@pytest.mark.parametrize(("carrier", "base"), CARRIERS.values(), ids=CARRIERS)
def test_each_attribute_left_out(carrier: Carrier, base: tuple[int, ...], session: Negotiated) -> None:
    for count in range(len(base) + 1):
        for left in itertools.combinations(base, count):
            check(with_form(left), carrier, session)


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_each_pair_of_forms(session: Negotiated) -> None:
    turns = itertools.cycle(CARRIERS.values())
    for one, other in itertools.combinations(FORMS, 2):
        carrier, base = next(turns)
        if one.code != other.code:
            check(with_form(base, one, other), carrier, session, tables=False)


@given(
    forms=st.lists(st.sampled_from(FORMS), max_size=8, unique_by=lambda form: form.code),
    carrier=st.sampled_from(list(CARRIERS.values())),
    session=st.sampled_from(list(SESSIONS.values())),
    data=st.data(),
)
@settings(max_examples=500, deadline=None)
def test_any_number_of_forms_in_any_order(
    forms: list[Given], carrier: tuple[Carrier, tuple[int, ...]], session: Negotiated, data: st.DataObject
) -> None:
    check(data.draw(st.permutations(with_form(carrier[1], *forms))), carrier[0], session)


def test_the_product_has_every_outcome_of_every_attribute() -> None:
    told = {
        (form.code, form.fault, expected(with_form((1, 2, 3), form), Carrier(nlri=True), internal=True).outcome)
        for form in FORMS
    }
    assert {outcome for _, _, outcome in told} == set(Outcome)
    for code in AttributeCode:
        outcomes = {outcome for which, _, outcome in told if which == code}
        assert len(outcomes) > 1, code


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
@pytest.mark.parametrize("code", [code for code in GOOD if code not in MP])
def test_a_length_past_the_block_withdraws_what_is_announced(code: int, session: Negotiated) -> None:
    head = b"".join(octets_of(Given(one)) for one in (1, 2, 3) if one != code)
    flags, text = GOOD[code]
    value = bytes.fromhex(text)
    for long in (1, 255):
        octets = bytes((flags, code, min(len(value) + long, 255))) + value
        came = found(update(head + octets, nlri=bytes.fromhex("18cb0071")), session)
        assert (came.outcome, came.announced, came.withdrawn) == (Outcome.WITHDRAW, frozenset(), frozenset({"IPv4"}))
        assert found(update(octets), session).notifications == {(3, 1)}
        reach = octets_of(Given(14))
        came = found(update(reach + head + octets), session)
        assert (came.outcome, came.announced, came.withdrawn) == (Outcome.WITHDRAW, frozenset(), frozenset({"IPv6"}))
        # what stands behind is not found: nothing tells which routes are meant
        assert found(update(head + octets + reach), session).outcome in {Outcome.RESET, Outcome.WITHDRAW}


@pytest.mark.parametrize("code", sorted(MP))
@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
def test_a_length_of_mp_attributes_past_the_block(code: int, session: Negotiated) -> None:
    octets = bytearray(octets_of(Given(code)))
    octets[2] += 1
    head = b"".join(octets_of(Given(one)) for one in (1, 2, 3))
    came = found(update(head + octets, nlri=bytes.fromhex("18cb0071")), session)
    assert (came.outcome, came.withdrawn) == (Outcome.WITHDRAW, frozenset({"IPv4"}))
    assert found(update(head + octets), session).notifications == {(3, 1)}


FLAW = {
    "lengths past the end": "0001",
    "withdrawn past the end": "0005 18c63364 0000",
    "attributes past the end": "0000 0005 40010100",
    "no length of attributes": "0000",
}


@pytest.mark.parametrize("body", FLAW.values(), ids=FLAW)
def test_lengths_of_an_update_that_do_not_fit_end_the_session(body: str) -> None:
    with pytest.raises(SessionReset) as caught:
        decode_update(bytes.fromhex(body), EXTERNAL)
    assert (caught.value.code, caught.value.subcode) == (3, 1)


@pytest.mark.parametrize("octets", ["21 cb00710100", "18 cb00", "ff", "20 cb0071"])
@pytest.mark.parametrize("where", ["withdrawn", "nlri"])
def test_prefixes_that_cannot_be_read_end_the_session(octets: str, where: str) -> None:
    base = b"".join(octets_of(Given(code)) for code in (1, 2, 3))
    whole = update(base, **{where: bytes.fromhex(octets)})
    assert found(whole, EXTERNAL).notifications == {(3, 10)}
    assert not compare(whole, EXTERNAL)


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.OPTIONAL])
@pytest.mark.parametrize("where", ["withdrawn", "nlri"])
def test_routes_of_a_family_that_was_not_agreed_to_are_not_taken(where: str, fault: Fault) -> None:
    only = structs.replace(EXTERNAL, families=frozenset({Family.IPV4_FLOWSPEC, Family.IPV6_UNICAST}))
    base = b"".join(octets_of(given_) for given_ in (Given(1, fault), Given(2), Given(3)))
    whole = update(base if where == "nlri" else b"", **{where: bytes.fromhex("18cb0071")})
    read = decode_update(whole[19:], only)
    assert (read.announced, read.withdrawn) == ((), ())
    assert "not negotiated" in [problem.reason for problem in read.problems]
    assert not compare(whole, only)


PATHS = {"with": frozenset({Family.IPV4_UNICAST, Family.IPV6_UNICAST}), "without": frozenset[Family]()}


@pytest.mark.parametrize("session", SESSIONS.values(), ids=SESSIONS)
@pytest.mark.parametrize("agreed", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("prefix", ["18cb0071", "20cb007101", "00", "15cb0070"])
def test_path_identifiers_where_they_were_not_agreed_to_are_read_as_agreed(
    prefix: str, agreed: frozenset[Family], session: Negotiated, *, sent: bool
) -> None:
    """The octets are ambiguous: what matters is that both ways of reading say the same, and that nothing is raised."""
    with_paths = structs.replace(session, add_path_receive=agreed)
    octets = (bytes.fromhex("00000101") if sent else b"") + bytes.fromhex(prefix)
    base = b"".join(octets_of(Given(code)) for code in (1, 2, 3))
    whole = update(base, nlri=octets)
    read = read_or_none(whole, with_paths)
    if read is None:
        assert found(whole, with_paths).notifications == {(3, 10)}
    if sent == bool(agreed):
        assert read is not None
        assert [one.path_id for group in read.announced for one in group.destinations] == [0x101 if sent else 0]  # type: ignore[union-attr]
    assert bool(compare(whole, with_paths)) == (read is not None and is_plain(read))


HOPS = {
    0: "",
    4: "c0000201",
    12: "00" * 12,
    16: "20010db8" + "00" * 11 + "01",
    24: "00" * 24,
    32: ("20010db8" + "00" * 12) * 2,
}


@pytest.mark.parametrize("hop", HOPS.values(), ids=[str(octets) for octets in HOPS])
@pytest.mark.parametrize("family", [Family.IPV4_UNICAST, Family.IPV6_UNICAST])
@pytest.mark.parametrize("extended", [True, False])
def test_next_hops_of_each_length(hop: str, family: Family, *, extended: bool) -> None:
    session = structs.replace(EXTERNAL, extended_next_hop=frozenset({Family.IPV4_UNICAST} if extended else ()))
    value = bytes((0, family.afi, 1, len(hop) // 2)) + bytes.fromhex(hop) + bytes.fromhex("00 18 20010d")
    octets = update(b"".join((bytes((0x80, 14, len(value))) + value, octets_of(Given(1)), octets_of(Given(2)))))
    good = {4} if family is Family.IPV4_UNICAST else {16, 32}
    good |= {16, 32} if extended and family is Family.IPV4_UNICAST else set()
    if len(hop) // 2 in good:
        read = decode_update(octets[19:], session)
        assert [group.family for group in read.announced] == [family]
        assert compare(octets, session) == 1
    else:
        assert found(octets, session).notifications == {(3, 9)}
        assert not compare(octets, session)


@pytest.mark.parametrize("hop", ["00000000", "ffffffff", "e0000001", "7f000001", "f0000001"])
def test_next_hops_that_are_no_hosts_are_taken(hop: str) -> None:
    octets = update(octets_of(Given(1)) + octets_of(Given(2)) + attribute(3, bytes.fromhex(hop)), nlri=b"\x08\x0a")
    assert found(octets, EXTERNAL).announced == {"IPv4"}
    assert compare(octets, EXTERNAL) == 1


Path = list[tuple[int, list[int]]]


def hops(path: Path) -> int:
    """Count as RFC 4271 9.1.2.2 and RFC 5065 5.3 do."""
    return sum(len(asns) if kind == 2 else 1 if kind == 1 else 0 for kind, asns in path)


def merged(path: Path, wide: Path) -> Path:
    """Put paths together as RFC 6793 4.2.3 says, AS by AS."""
    if hops(path) < hops(wide):
        return path
    front: Path = []
    for kind, asns in path:
        missing = hops(path) - hops(wide) - hops(front)
        if kind in {3, 4}:
            front.append((kind, asns))
        elif missing <= 0:
            break
        else:
            front.append((kind, asns[:missing] if kind == 2 else asns))
    return front + wide


def path_octets(path: Path, width: int) -> bytes:
    return b"".join(
        bytes((kind, len(asns))) + b"".join(min(asn, 23456).to_bytes(width, "big") for asn in asns)
        for kind, asns in path
    )


def old_paths(kinds: Sequence[int]) -> st.SearchStrategy[Path]:
    asns = st.lists(st.integers(1, 23456), min_size=1, max_size=4)
    return st.lists(st.tuples(st.sampled_from(kinds), asns), max_size=4)


def attribute(code: int, value: bytes) -> bytes:
    return bytes((GOOD[code][0], code, len(value))) + value


@given(
    path=old_paths((1, 2, 3, 4)),
    wide=st.none() | old_paths((1, 2)).filter(bool),
    aggregator=st.none() | st.sampled_from((7, 23456)),
    wide_aggregator=st.booleans(),
    new=st.booleans(),
)
@example(path=[(3, [7]), (2, [1, 2])], wide=[(2, [8, 9])], aggregator=None, wide_aggregator=False, new=False)
@settings(max_examples=300, deadline=None)
def test_paths_of_old_speakers_are_put_together(
    path: Path, wide: Path | None, aggregator: int | None, *, wide_aggregator: bool, new: bool
) -> None:
    session = structs.replace(INTERNAL, four_octet_as=new)
    width = 4 if new else 2
    block = octets_of(Given(1)) + octets_of(Given(3)) + attribute(2, path_octets(path, width))
    if aggregator is not None:
        block += attribute(7, aggregator.to_bytes(width, "big") + bytes(4))
    if wide is not None:
        block += attribute(17, path_octets(wide, 4))
    if wide_aggregator:
        block += attribute(18, (70000).to_bytes(4, "big") + bytes(4))
    read = decode_update(update(block, nlri=b"\x08\x0a")[19:], session)
    told, who = path, aggregator
    if not new and not (wide_aggregator and aggregator == 7):
        told = path if wide is None else merged(path, wide)
        who = 70000 if wide_aggregator and aggregator == 23456 else aggregator
    assert [(int(one.type), list(one.asns)) for one in read.attributes.as_path or ()] == told
    assert (read.attributes.aggregator.asn if read.attributes.aggregator else None) == who
    assert (read.attributes.as4_path, read.attributes.as4_aggregator) == (None, None)
    assert len(read.problems) == (new and (wide is not None) + wide_aggregator)
    assert [group.family for group in read.announced] == [Family.IPV4_UNICAST]


def test_segments_of_a_confederation_have_no_place_in_as4_path() -> None:
    session = structs.replace(EXTERNAL, four_octet_as=False)
    wide = path_octets([(3, [5]), (2, [9, 8]), (4, [6])], 4)
    block = octets_of(Given(1)) + octets_of(Given(3)) + attribute(2, path_octets([(2, [1, 2, 3])], 2))
    read = decode_update(update(block + attribute(17, wide), nlri=b"\x08\x0a")[19:], session)
    assert [one.asns for one in read.attributes.as_path or ()] == [(1,), (9, 8)]
    assert not read.problems


def test_segments_of_a_confederation_are_heard_where_they_may_be() -> None:
    path = attribute(2, bytes.fromhex("0301 0000fde9 0201 0000fdea"))
    octets = update(octets_of(Given(1)) + octets_of(Given(3)) + path, nlri=b"\x08\x0a")
    member = structs.replace(EXTERNAL, confederation=True)
    assert found(octets, EXTERNAL).outcome is Outcome.WITHDRAW
    assert not compare(octets, EXTERNAL)
    assert found(octets, member).outcome is Outcome.NOTHING
    assert compare(octets, member) == 1
