"""The interfaces of the machine, kept up to date, and the readings of their counters and the host's."""

from __future__ import annotations

import msgspec

from tidegate.agent.discards import Station
from tidegate.agent.host_counters import host_records
from tidegate.agent.interface_counters import Lag, interface_records, is_ethernet_port, is_member, total_mode
from tidegate.agent.polling import HOST, Polled
from tidegate.io.host_files import load_host_texts
from tidegate.io.links import LinkChanges, Links
from tidegate.wire.netlink.ethtool import LinkMode
from tidegate.wire.netlink.ifaddr import InterfaceAddress
from tidegate.wire.netlink.link import AGGREGATES, Link, LinkFlags, LinkGone
from tidegate.wire.sflow.samples import DataSource

__all__ = ["Interfaces"]

_GONE_NS = 60_000_000_000  # packets of an interface that is gone may still wait to be read
_MATTERS = LinkFlags.UP | LinkFlags.LOOPBACK | LinkFlags.RUNNING
_HOST = DataSource(type=2, index=1)


class Interfaces:
    """What there is now, and, for a minute, what was."""

    def __init__(self) -> None:
        self.changes = LinkChanges()  # before the first reading, so that no change falls between
        self._links = Links()
        self.now: dict[int, Link] = {}
        self._gone: dict[int, tuple[Link, int]] = {}
        self._modes: dict[int, LinkMode] = {}
        self.read_all(0)

    def close(self) -> None:
        """Close the sockets."""
        self.changes.close()
        self._links.close()

    def read_all(self, now_ns: int) -> None:
        """Read all interfaces anew."""
        found = {link.index: link for link in self._links.all(stats=False)}
        for index, link in self.now.items():
            if index not in found or found[index].name != link.name:
                self._gone[index] = (link, now_ns)
        self.now = found
        self._modes = self._links.modes()

    def follow(self, now_ns: int) -> bool:
        """Take what the kernel told of changes; return whether anything that matters is different now."""
        told = self.changes.changes()
        if told.lost:
            self.read_all(now_ns)
            return True
        different = told.addresses
        for change in told.links:
            before = self.now.get(change.index)
            if isinstance(change, LinkGone):
                if before is not None:
                    self._gone[change.index] = (before, now_ns)
                    del self.now[change.index]
                    self._modes.pop(change.index, None)
                    different = True
                continue
            self.now[change.index] = change
            if before is None or _matter(before) != _matter(change):
                self._modes[change.index] = self._links.mode(change)
                different = True
        return different

    def forget(self, now_ns: int) -> bool:
        """Forget what is gone for a minute; return whether there was any."""
        before = len(self._gone)
        self._gone = {index: (link, since) for index, (link, since) in self._gone.items() if now_ns - since < _GONE_NS}
        return len(self._gone) < before

    def known(self) -> list[Link]:
        """Return what there is, and what was until a moment ago unless its number is in use again."""
        return [*self.now.values(), *(link for index, (link, _) in self._gone.items() if index not in self.now)]

    @property
    def speeds(self) -> dict[int, int]:
        """Speeds in bit/s by ifIndex, of those that are known."""
        return {index: self._mode(link).speed for index, link in self.now.items()}

    def stations(self) -> dict[int, Station]:
        """Return what packets of each interface look like."""
        return {
            index: Station(link.address, takes_all=link.master > 0 or link.promiscuity > 0)
            for index, link in self.now.items()
        }

    def polled(self) -> list[Link]:
        """Return the interfaces whose counters are told: all but loopbacks."""
        return [link for link in self.now.values() if not link.flags & LinkFlags.LOOPBACK]

    def addresses(self) -> tuple[InterfaceAddress, ...]:
        """Return the addresses of all interfaces."""
        return self._links.addresses()

    def read(self, source: Polled) -> tuple[DataSource, tuple[msgspec.Struct, ...]] | None:
        """Return the records of a source, None where it is gone."""
        if source == HOST:
            return _HOST, host_records(load_host_texts(), self._links.all())
        link = self._links.one(source.index)
        if link is None or link.name != source.name:
            return None
        self._modes[link.index] = self._links.mode(link)
        ethernet = self._links.ethernet_stats(link.index) if is_ethernet_port(link) else None
        records = interface_records(link, mode=self._mode(link), ethernet=ethernet, lag=self._lag(link))
        return DataSource(type=0, index=link.index), records

    def _mode(self, link: Link) -> LinkMode:
        mode = self._modes.get(link.index, LinkMode())
        if mode.speed or link.kind not in AGGREGATES:
            return mode
        return total_mode([one for one in self.now.values() if one.master == link.index], self._modes)

    def _lag(self, link: Link) -> Lag | None:
        bond = link if link.kind in AGGREGATES else self._links.one(link.master) if is_member(link) else None
        return None if bond is None else Lag(bond, self._links.lacp(link.index))


def _matter(link: Link) -> tuple[object, ...]:
    return link.name, link.type, link.flags & _MATTERS, link.master, link.kind, link.address
