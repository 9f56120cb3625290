"""Runs of UPDATEs against their readable twin: what is taken means what `decode_update` says, and has no fault."""

from __future__ import annotations

import numpy as np

from bgp_cases import INTERNAL
from tidegate.errors import SessionReset
from tidegate.wire.bgp.constants import Family, MessageType, SegmentType
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.update import Update, decode_update
from tidegate.wire.bgp.update_scan import Cut, UpdateRun, scan_run

__all__ = ["agree", "compare", "cut", "is_plain", "read", "update"]


def update(attributes: bytes, *, withdrawn: bytes = b"", nlri: bytes = b"") -> bytes:
    body = len(withdrawn).to_bytes(2, "big") + withdrawn + len(attributes).to_bytes(2, "big") + attributes + nlri
    return frame(MessageType.UPDATE, body, limit=65535)


def read(octets: bytes, negotiated: Negotiated) -> Update | None:
    """Return what the twin says, None where the session would end."""
    try:
        return decode_update(octets[19:], negotiated)
    except SessionReset:
        return None


def is_plain(found: Update) -> bool:
    """Whether an update is one of those that runs are for."""
    groups = (*found.withdrawn, *found.announced)
    return not found.problems and not found.attributes.unknown and bool(groups)


def cut(run: UpdateRun, row: int, start: Cut, stop: Cut) -> bytes:
    return run.data[run.cuts[row, start] : run.cuts[row, stop]]


def agree(run: UpdateRun, row: int, found: Update) -> None:
    """Compare one row of a run with what the twin says of the message."""
    assert is_plain(found), found
    announced = [one for group in found.announced for one in group.destinations]
    withdrawn = [one for group in found.withdrawn for one in group.destinations]
    assert (run.cuts[row, Cut.HERE], run.cuts[row, Cut.GONE]) == (len(announced), len(withdrawn))
    families = {group.family for group in (*found.announced, *found.withdrawn)}
    assert families == {Family.IPV6_UNICAST if run.cuts[row, Cut.IPV6] else Family.IPV4_UNICAST}
    if not announced:
        return
    attributes, rows = found.attributes, run.rows[row]
    next_hop = found.announced[0].next_hop[:16]
    word = int.from_bytes(next_hop, "big") if len(next_hop) == 16 else 0xFFFF << 32 | int.from_bytes(next_hop, "big")
    assert (int(rows["next_hop_high"]) << 64 | int(rows["next_hop_low"])) == word
    assert rows["local_pref"] == (-1 if attributes.local_pref is None else attributes.local_pref)
    path = attributes.as_path or ()
    first, last = (path[0], path[-1]) if path else (None, None)
    ordered = SegmentType.SEQUENCE
    assert rows["peer_as"] == (first.asns[0] if first is not None and first.type is ordered else -1)
    assert rows["origin_as"] == (last.asns[-1] if last is not None and last.type is ordered else -1)
    (key,) = run.keys(np.array([row]))
    spelled = b"".join(
        bytes((segment.type, len(segment.asns))) + b"".join(asn.to_bytes(4, "big") for asn in segment.asns)
        for segment in path
    )
    assert key[rows["path_start"] : rows["path_stop"]] == spelled
    communities = b"".join(value.to_bytes(4, "big") for value in attributes.communities)
    assert key[rows["communities_start"] : rows["communities_stop"]] == communities
    hop, block = key[1 : 1 + key[0]], key[1 + key[0] :]
    again = read(update(block, nlri=b"\x08\x0a" if not hop else b""), INTERNAL)
    assert hop == (b"" if attributes.mp_reach is None else found.announced[0].next_hop)
    if again is not None and not hop:
        assert again.attributes == attributes


def compare(stream: bytes, negotiated: Negotiated) -> int:
    """Scan a stream and compare all of the run with the twin; return how many messages were taken."""
    run = scan_run(stream, 0, negotiated)
    if run is None:
        return 0
    at = 0
    for row, found in enumerate(run.updates()):
        assert run.cuts[row, Cut.START] == at
        agree(run, row, found)
        at = int(run.cuts[row, Cut.STOP])
    assert run.stop == at
    return len(run)
