"""UPDATEs from elsewhere than a session into a table: of monitored routers and of files.

Runs of UPDATEs without a fault go in as columns; where one is anything else, `decode_update` says what becomes of it.

Answers for: RFC 7606, by way of `update`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from msgspec import structs

from tidegate.errors import SessionReset
from tidegate.units import Asn
from tidegate.wire.bgp.constants import EXTENDED_LIMIT, HEADER_OCTETS, Family, MessageType
from tidegate.wire.bgp.message import maybe_message
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import Update, decode_update
from tidegate.wire.bgp.update_scan import UpdateRun, scan_run
from tidegate.wire.cursor import Reader

__all__ = ["Fed", "feed", "heard"]

_ALL: Final = frozenset(Family)

Fed = UpdateRun | Update | SessionReset


def heard(
    *,
    internal: bool = True,
    four_octet_as: bool = True,
    add_path: frozenset[Family] = frozenset(),
) -> Negotiated:
    """Return how UPDATEs are read that others have agreed about: all families are taken, and all lengths.

    Attributes that only internal peers may send count where `internal`.
    """
    return Negotiated(
        local_as=Asn(0),
        peer_as=Asn(0 if internal else 1),
        router_id=0,
        hold_time_s=0,
        families=_ALL,
        four_octet_as=four_octet_as,
        extended_message=True,
        add_path_receive=add_path,
        extended_next_hop=frozenset({Family.IPV4_UNICAST}),
        confederation=True,  # who heard them knows better who was in one
    )


def feed(
    rib: RibIn, messages: Sequence[bytes], negotiated: Negotiated, *, families: Iterable[Family] = Family
) -> Iterator[Fed]:
    """Give UPDATEs to a table, and tell in their order what each came to; the table still has to do its `work`.

    Only routes of `families` are given to the table and told.

    Each message is one UPDATE with its BGP header; one that is not, or that would end a session, is left out and comes
    back as the error. UPDATEs without routes, End-of-RIB among them, come back like others.
    """
    for exact, group in groupby(messages, _is_exact):
        if exact and set(families) == _ALL:
            yield from _feed_exact(rib, list(group), negotiated)
        elif exact:
            yield from (_feed_one(rib, message, negotiated, families) for message in group)
        else:
            yield from (SessionReset(0, 0, reason="it is not one whole UPDATE") for _ in group)


def _is_exact(message: bytes) -> bool:
    """Tell whether a message is as long as it says: else the next one would be looked for in the wrong place."""
    if len(message) < HEADER_OCTETS:
        return False
    reader = Reader(message)
    reader.skip(16)
    return reader.u16() == len(message)


def _feed_exact(rib: RibIn, messages: Sequence[bytes], negotiated: Negotiated) -> Iterator[Fed]:
    data, start, done = b"".join(messages), 0, 0
    while done < len(messages):
        run = scan_run(data, start, negotiated)
        if run is not None:
            rib.take_run(run)
            yield run
            done, start = done + len(run), run.stop
            continue
        yield _feed_one(rib, messages[done], negotiated, Family)
        done, start = done + 1, start + len(messages[done])


def _feed_one(rib: RibIn, octets: bytes, negotiated: Negotiated, families: Iterable[Family]) -> Update | SessionReset:
    try:
        message = maybe_message(Reader(octets), EXTENDED_LIMIT)
        if message is None or message.type is not MessageType.UPDATE:
            return SessionReset(0, 0, reason="it is not one whole UPDATE")
        update = decode_update(message.body, negotiated)
    except SessionReset as error:
        return error
    wanted = frozenset(families)
    if wanted != _ALL:
        announced = tuple(group for group in update.announced if group.family in wanted)
        withdrawn = tuple(group for group in update.withdrawn if group.family in wanted)
        update = structs.replace(update, announced=announced, withdrawn=withdrawn)
    rib.take(update)
    return update
