"""Fuzz both ways into a table: `.venv/bin/python fuzz/bgp_routes.py fuzz/corpus/bgp_routes -max_total_time=600`.

The first octet of an input says what was negotiated, the rest is up to four UPDATEs: lengths of the withdrawn routes
and of the NLRI, the length of the body, and the body, whose attributes are what stands between. What is taken as
columns is without fault and means what the readable twin says; tables filled with and without columns are the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
KERNELS = [
    "tidegate.octets",
    "tidegate.data",
    "tidegate.wire.bgp.update_scan",
]  # instrumented, kernels would not compile

with atheris.instrument_imports(include=["tidegate"], exclude=KERNELS):
    from bgp_streams import table_of
    from tidegate.data import route_kernels
    from tidegate.kernel import compile_kernels
    from tidegate.units import Asn
    from tidegate.wire.bgp import update_scan
    from tidegate.wire.bgp.constants import Family
    from tidegate.wire.bgp.open import Negotiated
    from tidegate.wire.bgp.ribin import RibIn
    from tidegate.wire.bgp.update_scan import scan_run
    from tidegate.wire.cursor import Reader
    from update_twin import compare, is_plain, read, update

ALL = frozenset(Family)
IPV4, IPV6 = Family.IPV4_UNICAST, Family.IPV6_UNICAST
EXTERNAL = Negotiated(Asn(65001), Asn(65002), 1, 90, ALL)
SESSIONS = (
    EXTERNAL,
    Negotiated(Asn(65001), Asn(65001), 1, 90, ALL, extended_message=True, extended_next_hop=frozenset({IPV4})),
    Negotiated(Asn(65001), Asn(65001), 1, 90, ALL, add_path_receive=frozenset({IPV4, IPV6})),
    Negotiated(Asn(65001), Asn(65002), 1, 90, ALL, add_path_receive=frozenset({IPV6})),
    Negotiated(Asn(65001), Asn(65002), 1, 90, frozenset({IPV6, Family.IPV4_FLOWSPEC})),
    Negotiated(Asn(65001), Asn(65002), 1, 90, ALL, four_octet_as=False),
)


def check(condition: object, what: object = "") -> None:
    """Fail where a property does not hold."""
    if not condition:
        raise AssertionError(what)


def several(reader: Reader) -> list[bytes]:
    """Return UPDATEs made of lengths and bodies."""
    found: list[bytes] = []
    while len(reader) > 3 and len(found) < 4:
        gone, here = reader.u8(), reader.u8()
        body = Reader(reader.take(min(reader.u8(), len(reader))))
        withdrawn = body.take(min(gone, len(body)))
        attributes = body.take(max(len(body) - here, 0))
        found.append(update(attributes, withdrawn=withdrawn, nlri=body.rest()))
    return found


def one_input(data: bytes) -> None:
    """Put UPDATEs into two tables."""
    if len(data) < 2:
        return
    reader = Reader(data)
    session = SESSIONS[reader.u8() % len(SESSIONS)]
    messages = several(reader)
    compare(b"".join(messages), session)
    fast, slow = RibIn(), RibIn()
    for message in messages:
        found = read(message, session)
        run = scan_run(message, 0, session)
        check(run is None or (found is not None and is_plain(found)), found)
        if found is None:
            continue
        slow.take(found)
        if run is None:
            fast.take(found)
        else:
            fast.take_run(run)
    check(table_of(fast) == table_of(slow), (table_of(fast), table_of(slow)))
    rules = [[list(one) for one in rib.rules.values()] for rib in (fast, slow)]
    check(rules[0] == rules[1], rules)


if __name__ == "__main__":
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
