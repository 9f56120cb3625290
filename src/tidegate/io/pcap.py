"""Capture files to blocks: pcap, pcapng, and files that are one datagram.

A file is read through windows of memory, so that its size does not matter, a pipe will do, and nobody can pull a mapped
file away. Kernels of `wire/capture` find the frames of a window and the UDP payloads in them; blocks point into the
window and own it. What is not a wanted datagram is counted by reason: packets = datagrams + skipped + fragments joined
beyond the first of each datagram.

Which datagrams are wanted: those to port 6343, unless the first window has none; then whatever begins as sFlow version
5 does, on any port.

Answers for: draft-ietf-opsawg-pcap section 4, draft-ietf-opsawg-pcapng sections 4.1, 4.2 and 3.5 (options).
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from tidegate.data.block import Block
from tidegate.errors import SourceError
from tidegate.kernel import I64, U8, U64
from tidegate.wire.capture import frames, unwrap
from tidegate.wire.capture.fragments import Reassembly, read_piece
from tidegate.wire.capture.sections import Section

__all__ = ["Capture", "CaptureStats", "describe_capture"]

_SFLOW_PORT = 6343  # IANA
_WINDOW = 2 << 20
_ROWS = 8192  # frames a block at most
_DATAGRAM_MOST = 65535  # RFC 768
_NG_MAGIC = b"\x0a\x0d\x0d\x0a"
# Magic to (octets of a record header, nanoseconds of a fraction); the third has four fields more (Linux 2.2 libpcap).
_MAGICS = {0xA1B2C3D4: (16, 1000), 0xA1B23C4D: (16, 1), 0xA1B2CD34: (24, 1000)}
_PACKED = {b"\x1f\x8b": "gunzip", b"\x28\xb5\x2f\xfd": "unzstd", b"\xfd7zXZ": "unxz", b"BZh": "bunzip2"}
_SFLOW_5 = b"\0\0\0\5"
_DATAGRAM_SUFFIXES = frozenset({".bin", ".dat", ".dump", ".raw", ".sflow"})


class CaptureStats(msgspec.Struct, frozen=True):
    """What was found in a file so far."""

    name: str
    kind: str  # pcap, pcapng or datagram
    selection: str  # which datagrams are taken
    octets: int  # of the file, read so far
    packets: int
    datagrams: int  # taken
    cut: int  # of the datagrams taken, how many the capture holds in part only
    joined: int  # fragments beyond the first of each datagram that was put together
    skipped: dict[str, int]  # packets not taken, by reason
    ports: dict[int, int]  # UDP datagrams by destination port, the ten most frequent
    damage: str  # why reading ended before the end of the file, else empty


class Capture:
    """One file, to be iterated once; `SourceError` where it cannot be opened or is no capture."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._stream, self.size = _open(self.path)
        self._by_sign = False
        self._selection = f"port {_SFLOW_PORT}"
        self._window = np.empty(0, np.uint8)
        self._position = self._packets = self._datagrams = self._cut = self._wholes = self._unwanted = 0
        self._statuses = np.zeros(len(unwrap.STATUSES), np.int64)
        self._port_counts = np.zeros(65536, np.int64)
        self._fragments = Reassembly()
        self._unusable = 0  # fragments that the capture has cut
        self._damage = ""
        try:
            self._more(0)
            self._kind = _kind_of(self._window[:24].tobytes(), self.path, len(self._window))
        except SourceError:
            self.close()
            raise

    def __iter__(self) -> Iterator[Block]:
        """Yield the datagrams in order, in blocks; rows of a block have no order of time but that of the file."""
        try:
            if self._kind == "datagram":
                yield self._whole_file()
            elif self._kind == "pcap":
                yield from self._pcap()
            else:
                yield from self._pcapng()
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; iterating to the end does too."""
        self._stream.close()

    @property
    def position(self) -> int:
        """Octets read so far; `size` is how many there are, 0 for pipes."""
        return self._position

    def statistics(self) -> CaptureStats:
        """Return the counts up to here."""
        skipped = dict(zip(unwrap.STATUSES[2:], self._statuses[2:].tolist(), strict=True))
        skipped["other port"] = self._unwanted
        skipped["fragment lost"] = self._fragments.lost + self._fragments.waiting + self._unusable
        frequent = np.argsort(-self._port_counts, kind="stable")[:10].tolist()
        return CaptureStats(
            name=str(self.path),
            kind=self._kind,
            selection=self._selection,
            octets=self._position,
            packets=self._packets,
            datagrams=self._datagrams,
            cut=self._cut,
            joined=self._fragments.joined - self._wholes,
            skipped={reason: count for reason, count in skipped.items() if count},
            ports={port: int(self._port_counts[port]) for port in frequent if self._port_counts[port]},
            damage=self._damage,
        )

    def _more(self, kept_from: int) -> bool:
        """Take a new window: what is left of the old one from an octet on, and as much again; False at the end."""
        tail = self._window[kept_from:]
        window = np.empty(max(_WINDOW, 2 * len(tail)), np.uint8)
        window[: len(tail)] = tail
        filled = len(tail)
        try:
            while filled < len(window):
                count = self._stream.readinto(window.data[filled:])
                if not count:
                    break
                filled += count
        except OSError as error:
            raise SourceError(str(self.path), f"reading failed: {error.strerror}") from error
        self._position += filled - len(tail)
        self._window = window[:filled]
        return filled > len(tail)

    def _whole_file(self) -> Block:
        length = len(self._window)
        self._packets = self._datagrams = 1
        self._selection = "the whole file"
        return Block(
            data=self._window,
            offset=np.zeros(1, np.int64),
            length=np.full(1, length, np.int64),
            time_ns=np.zeros(1, np.int64),
            source_high=np.zeros(1, np.uint64),
            source_low=np.zeros(1, np.uint64),
            source_port=np.zeros(1, np.int64),
        )

    def _pcap(self) -> Iterator[Block]:
        start = self._window[:24].tobytes()
        order = _order_of(start)
        header, fraction = _MAGICS[int.from_bytes(start[:4], order)]
        link_type = int.from_bytes(start[20:24], order) & 0xFFFF  # the bits above tell whether frames end in a checksum
        form = np.array([header, fraction, link_type], np.int64)
        state = np.array([24, 0, 0], np.int64)
        table = np.empty((4, _ROWS), np.int64)
        while True:
            frames.walk_pcap(self._window, order == "little", form, table, state)
            yield from self._unwrap(table, int(state[1]))
            if not self._advance(state):
                return

    def _pcapng(self) -> Iterator[Block]:
        section = Section()
        state = np.zeros(4, np.int64)
        table = np.empty((4, _ROWS), np.int64)
        while True:
            frames.walk_pcapng(self._window, section.little, section.interfaces, table, state)
            yield from self._unwrap(table, int(state[1]))
            if state[2] == frames.OTHER:
                step = section.read_block(self._window, int(state[0]))
                state[0] += max(step, 0)
                state[2] = frames.DAMAGED if step < 0 else frames.NEED_MORE if step == 0 else frames.FULL
            if not self._advance(state):
                return

    def _advance(self, state: I64) -> bool:
        """Make ready for the next walk; False, with the damage on record, where there is none."""
        at, verdict = int(state[0]), int(state[2])
        if verdict == frames.FULL:
            return True
        where = self._position - len(self._window) + at
        left = len(self._window) - at
        if verdict == frames.DAMAGED or left > frames.MOST_BLOCK:
            self._damage = f"a record at octet {where} makes no sense"
            return False
        if self._more(at):
            state[0] = 0
            return True
        if left:
            self._damage = f"the file ends within a record at octet {where}; {left} octets left"
        return False

    def _unwrap(self, found: I64, count: int) -> Iterator[Block]:
        """Yield the wanted datagrams in the frames of a walk, as one block or none."""
        if not count:
            return
        table = np.empty((unwrap.ROWS, count), np.int64)
        words = np.empty((2, count), np.uint64)
        unwrap.unwrap_frames(self._window, found, count, table, words, self._port_counts)
        data = self._window
        if (table[unwrap.STATUS] == unwrap.FRAGMENT).any():
            data = self._join(found, table)
        first = self._packets == 0
        self._packets += count
        self._statuses += np.bincount(table[unwrap.STATUS], minlength=len(self._statuses))
        rows = self._select(table, first=first)
        if not len(rows):
            return
        self._datagrams += len(rows)
        self._cut += int(table[unwrap.CUT, rows].sum())
        yield _block(data, found[2], rows, table, words)

    def _select(self, table: I64, *, first: bool) -> I64:
        """Return the columns of wanted datagrams."""
        is_datagram = table[unwrap.STATUS] == unwrap.DATAGRAM
        ports = table[unwrap.DPORT]
        wanted = is_datagram & (ports == _SFLOW_PORT)
        if first and not wanted.any():
            self._by_sign = True
            self._selection = "sFlow version 5 on any port (none to 6343 at the start of the file)"
        if self._by_sign:
            wanted = is_datagram & ((ports == _SFLOW_PORT) | (table[unwrap.SIGNED] != 0))
        self._unwanted += int(np.count_nonzero(is_datagram) - np.count_nonzero(wanted))
        return np.flatnonzero(wanted)

    def _join(self, found: I64, table: I64) -> U8:
        """Put fragments together; the frame of the last one becomes the datagram, its payload after the window."""
        wholes = [self._window]
        end = len(self._window)
        for i in np.flatnonzero(table[unwrap.STATUS] == unwrap.FRAGMENT).tolist():
            at, start = int(table[unwrap.NETWORK, i]), int(table[unwrap.START, i])
            packet = self._window[at : int(found[0, i] + found[1, i])].tobytes()
            piece = read_piece(packet, start - at, int(table[unwrap.LENGTH, i]))
            if piece is None:
                self._unusable += 1
                continue
            whole = self._fragments.add(piece, int(found[2, i]))
            if whole is None:
                continue
            self._wholes += 1
            unwrap.unwrap_whole(np.frombuffer(whole, np.uint8).copy(), table, i, self._port_counts)
            table[unwrap.START, i] += end
            wholes.append(np.frombuffer(whole, np.uint8))
            end += len(whole)
        return np.concatenate(wholes) if len(wholes) > 1 else self._window


def describe_capture(stats: CaptureStats) -> str:
    """Return one sentence for the user: what was taken, what was not and why."""
    parts = [f"{stats.name}: {stats.datagrams} datagrams of {stats.packets} packets ({stats.selection})"]
    parts += [f"{count} skipped: {reason}" for reason, count in stats.skipped.items()]
    if stats.cut:
        parts.append(f"{stats.cut} datagrams are in the file in part only: capture with a larger snap length")
    if not stats.datagrams and stats.ports:
        seen = ", ".join(f"{port} ({count})" for port, count in stats.ports.items())
        parts.append(f"UDP went to ports {seen}, and none of it is sFlow version 5")
    if stats.damage:
        parts.append(stats.damage)
    return "; ".join(parts)


def _block(data: U8, times: I64, rows: I64, table: I64, words: U64) -> Block:
    return Block(
        data=data,
        offset=table[unwrap.START, rows],
        length=table[unwrap.LENGTH, rows],
        time_ns=times[rows],
        source_high=words[0, rows],
        source_low=words[1, rows],
        source_port=table[unwrap.SPORT, rows],
    )


def _open(path: Path) -> tuple[io.FileIO, int]:
    try:
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from error
    status = os.fstat(stream.fileno())
    return stream, status.st_size if stat.S_ISREG(status.st_mode) else 0


def _order_of(start: bytes) -> Literal["little", "big"]:
    return "little" if int.from_bytes(start[:4], "little") in _MAGICS else "big"


def _kind_of(start: bytes, path: Path, octets: int) -> str:
    """Tell what a file is by its first octets, and by its name only where it may be a damaged datagram."""
    name = str(path)
    if not octets:
        raise SourceError(name, "the file is empty")
    if start.startswith(_NG_MAGIC):
        return "pcapng"
    if int.from_bytes(start[:4], _order_of(start)) in _MAGICS:
        if len(start) < 24:
            raise SourceError(name, "the file ends within the header of a pcap file")
        return "pcap"
    for magic, program in _PACKED.items():
        if start.startswith(magic):
            raise SourceError(name, f"the file is compressed; unpack it with {program} first")
    if start[:4] != _SFLOW_5 and path.suffix not in _DATAGRAM_SUFFIXES:
        raise SourceError(
            name, f"no capture: neither pcap, pcapng nor an sFlow datagram (begins with {start[:4].hex()})"
        )
    if octets > _DATAGRAM_MOST:
        raise SourceError(name, "neither pcap nor pcapng, and too long for one datagram")
    return "datagram"
