"""Two peers joined in memory: connections, octets on the way, lost ones, and a clock that only moves when told.

Nothing is delivered by itself. What a test does not look at is left to `settle`, which lets everything happen that can.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer import Gone, Notice, Peer, PeerEffect, Way
from tidegate.wire.bgp.session import TABLE, Changed, Close, Dial, Down, Notified, Send, State, Up

__all__ = ["Cores", "told_only"]

Kind = TypeVar("Kind")
_FAR = {Way.OUT: Way.IN, Way.IN: Way.OUT}
_LIVE = {State.OPEN_SENT, State.OPEN_CONFIRM, State.ESTABLISHED}
_PULLED = 1 << 14


def told_only(effect: object) -> bool:
    """Tell whether an effect asks for nothing to be done on a connection."""
    return isinstance(effect, Changed | Notified | Notice | Gone)


class Cores:
    """Peers 0 and 1. A connection is known by the side and its way; `ends` holds what is on the way to that side."""

    def __init__(self, *peers: Peer, now: float = 0.0) -> None:
        self.peers = list(peers)
        self.now = Seconds(now)
        self.ends: dict[tuple[int, Way], deque[bytes]] = {}  # an empty piece is the end of the stream
        self.dialling: set[int] = set()
        self.seen: tuple[list[object], list[object]] = ([], [])  # effects but for octets
        self.octets = [0, 0]  # sent by each side
        self.cut = False  # the cable: what is sent then is lost, and nobody is told
        self._states: list[dict[Way, State]] = [dict.fromkeys(Way, State.IDLE) for _ in peers]
        self._up: list[Way | None] = [None, None]

    def start(self) -> None:
        """Start both sides."""
        for side, peer in enumerate(self.peers):
            self.take(side, peer.start(self.now))

    def take(self, side: int, effects: list[PeerEffect]) -> None:
        """Do what a side wants done, and see that its state is in order."""
        for each in effects:
            end, far = (side, each.way), (1 - side, _FAR[each.way])
            match each.effect:
                case Send(data=data):
                    assert data
                    self.octets[side] += len(data)
                    if end in self.ends:
                        self._put(far, data)
                case Close():
                    self.dialling -= {side} if each.way is Way.OUT else set()
                    if self.ends.pop(end, None) is not None:
                        self._put(far, b"")
                case Dial():
                    self.dialling.add(side)
                case effect:
                    self.seen[side].append(effect)
                    self._follow(side, each.way, effect)
        self.check(side)

    def of(self, side: int, kind: type[Kind]) -> list[Kind]:
        """Return what a side has told, of one kind."""
        return [effect for effect in self.seen[side] if isinstance(effect, kind)]

    def connect(self, side: int) -> bool:
        """Let the connection stand that a side dials; tell whether the other side has taken it."""
        self.dialling.discard(side)
        other = self.peers[1 - side]
        if not other.may_accept(self.now):
            self.take(side, self.peers[side].disconnected(Way.OUT, self.now, reason="not welcome"))
            return False
        self.take(1 - side, other.evict(self.now))
        self.ends[side, Way.OUT] = deque()
        self.ends[1 - side, Way.IN] = deque()
        self.take(1 - side, other.connected(Way.IN, self.now))
        self.take(side, self.peers[side].connected(Way.OUT, self.now))
        return True

    def refuse(self, side: int) -> None:
        """Let the connection fail that a side dials."""
        self.dialling.discard(side)
        self.take(side, self.peers[side].disconnected(Way.OUT, self.now, reason="connection refused"))

    def deliver(self, end: tuple[int, Way], octets: int = 1 << 20) -> None:
        """Let the next octets arrive, at most so many."""
        side, way = end
        piece = self.ends[end].popleft()
        if not piece:
            del self.ends[end]
            self.take(side, self.peers[side].disconnected(way, self.now, reason="the peer closed the connection"))
            return
        if len(piece) > octets:
            self.ends[end].appendleft(piece[octets:])
        self.take(side, self.peers[side].receive(way, piece[:octets], self.now))

    def lose(self, side: int, way: Way, *, reason: str = "cable") -> None:
        """Break a connection at both ends; what was on the way is gone."""
        for end in ((side, way), (1 - side, _FAR[way])):
            if self.ends.pop(end, None) is not None:
                self.take(end[0], self.peers[end[0]].disconnected(end[1], self.now, reason=reason))

    def pump(self, side: int, octets: int = _PULLED) -> bool:
        """Let a side say a little of what is unsaid; tell whether there was any."""
        peer = self.peers[side]
        way = peer.established
        messages = peer.pull(octets, self.now)
        if way is None or (side, way) not in self.ends:
            assert not messages
            return False
        for message in messages:
            self.octets[side] += len(message.data)
            self._put((1 - side, _FAR[way]), message.data)
        return bool(messages)

    def crash(self, side: int, peer: Peer, *, silent: bool = False) -> None:
        """Let a side die, and put another in its place; its connections are closed unless the machine died, too."""
        for way in Way:
            far = (1 - side, _FAR[way])
            if self.ends.pop((side, way), None) is not None and not silent:
                self._put(far, b"")
        self.dialling.discard(side)
        self.peers[side] = peer
        self._states[side] = dict.fromkeys(Way, State.IDLE)
        self._up[side] = None
        self.take(side, peer.start(self.now))

    def step(self) -> bool:
        """Let one thing happen that needs no time; tell whether there was any."""
        for side, peer in enumerate(self.peers):
            if peer.busy:
                self.take(side, peer.work(self.now))
                return True
        for end, queue in list(self.ends.items()):
            if queue:
                self.deliver(end)
                return True
        for side in () if self.cut else sorted(self.dialling):
            self.connect(side)
            return True
        return self.pump(0) | self.pump(1)

    def run(self) -> None:
        """Let everything happen that needs no time."""
        while self.step():
            pass

    def wait(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""
        until = Seconds(self.now + seconds)
        while True:
            self.run()
            due = min((peer.deadline() or until for peer in self.peers), default=until)
            if due >= until:
                break
            self.now = max(self.now, due)
            self.tick()
        self.now = until
        self.tick()
        self.run()

    def tick(self) -> None:
        """Let the timers run out that are due."""
        for side, peer in enumerate(self.peers):
            self.take(side, peer.tick(self.now))

    def held(self, side: int) -> dict[Family, object]:
        """Return what a side has heard: rules by what they match, and numbers of unicast routes."""
        rib = self.peers[side].rib_in
        rib.finish()
        found: dict[Family, object] = {}
        for family in Family:
            rules = rib.rules.get(family)
            found[family] = rib.count(family) if rules is None else frozenset(held.rule for held in rules)
        return found

    def wanted(self, side: int) -> dict[Family, object]:
        """Return what a side wants to be heard, in the same form; what is held back does not count."""
        rib = self.peers[side].rib
        keys = [key for key in rib.wanted if key not in rib.held]
        found: dict[Family, object] = {}
        for family in Family:
            routes = [rib.wanted[key] for key in keys if key.family is family]
            rules = frozenset(rule for rule in (getattr(route, "rule", None) for route in routes) if rule is not None)
            found[family] = len(routes) if family.name.endswith("UNICAST") else rules
        return found

    def check(self, side: int) -> None:
        """See that a side's state is in order."""
        peer = self.peers[side]
        up = [way for way, session in peer.sessions.items() if session.state is State.ESTABLISHED]
        assert up == ([] if self._up[side] is None else [self._up[side]]), "two sessions, or one that was not told"
        for way, session in peer.sessions.items():
            assert session.state in TABLE
            assert session.state is self._states[side][way], "a change of state was not told"
            assert (session.state is State.IDLE) == (not session.timers)
            assert (session.negotiated is not None) == (session.state in {State.OPEN_CONFIRM, State.ESTABLISHED})
            assert session.state not in _LIVE or (side, way) in self.ends
        deadline = peer.deadline()
        assert deadline is None or deadline >= 0.0

    def _put(self, end: tuple[int, Way], data: bytes) -> None:
        if end in self.ends and not self.cut:
            self.ends[end].append(data)

    def _follow(self, side: int, way: Way, effect: object) -> None:
        match effect:
            case Changed(before=before, after=after, why=why):
                assert self._states[side][way] is before
                assert why
                self._states[side][way] = after
            case Up():
                assert self._up[side] is None, "up twice"
                self._up[side] = way
            case Down(was_up=True):
                assert self._up[side] is way, "down without up"
                self._up[side] = None
            case _:
                pass
