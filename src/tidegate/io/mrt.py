"""MRT files to records, as they are or compressed with gzip or bzip2.

A file is read through windows of memory, so that its size does not matter. Where it is damaged or ends too early, what
came before stays, and the damage is told with the octet where it is. `mrt_rib` makes a table of a file.

Answers for: RFC 6396 section 2.
"""

from __future__ import annotations

import bz2
import gzip
import io
import os
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tidegate.errors import DecodeError, SourceError
from tidegate.wire.bgp.mrt import RawRecord, Record, Skipped, decode, maybe_record
from tidegate.wire.cursor import Reader

__all__ = ["MrtFile", "MrtStats"]

_WINDOW: Final = 1 << 20
_MAGICS: Final = ((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"))
_PACKED: Final = ((b"\x28\xb5\x2f\xfd", "unzstd"), (b"\xfd7zXZ", "unxz"))
_UNPACKING: Final = (EOFError, zlib.error, OSError, ValueError)
_KINDS: Final = 64  # of records that are not read, counted by name


class MrtStats(msgspec.Struct, frozen=True):
    """What was found in a file so far."""

    name: str
    compression: str  # none, gzip or bzip2
    octets: int  # of records, after unpacking
    records: int
    skipped: dict[str, int]  # records of kinds that are not read
    bad: dict[str, int]  # records whose insides do not fit, by reason
    damage: str  # why reading ended before the end of the file, else empty


class MrtFile:
    """One file, to be read once; `SourceError` where it cannot be opened or holds no MRT records."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file, self.size = _open(self.path)
        self._buffered = io.BufferedReader(self._file)
        self._packed: gzip.GzipFile | bz2.BZ2File | None = None
        self.window = b""
        self.at = 0  # in the window: what comes before has been read
        self._before = 0  # octets of windows that are gone
        self._records = 0
        self._skipped: Counter[str] = Counter()
        self._bad: Counter[str] = Counter()
        self._damage = self._failure = ""
        try:
            self._compression, self._stream = self._unpacked()
            self._begin()
        except SourceError:
            self.close()
            raise

    def __iter__(self) -> Iterator[Record]:
        """Yield what the records hold, in order; those that are damaged are counted and left out."""
        try:
            while (raw := self.next_raw()) is not None:
                record = self.maybe_decoded(raw)
                if record is not None:
                    yield record
        finally:
            self.close()

    def close(self) -> None:
        """Close the file; iterating to the end does too."""
        if self._packed is not None:
            self._packed.close()
        self._buffered.close()  # and the file with it

    @property
    def position(self) -> int:
        """Octets of the file read so far; `size` is how many there are, 0 for pipes."""
        return 0 if self._file.closed else self._file.tell() if self.size else self._before

    def statistics(self) -> MrtStats:
        """Return the counts up to here."""
        return MrtStats(
            name=str(self.path),
            compression=self._compression,
            octets=self._before + self.at,
            records=self._records,
            skipped=dict(self._skipped),
            bad=dict(self._bad),
            damage=self._damage,
        )

    def next_raw(self) -> RawRecord | None:
        """Return the next record, or None where there are no more or the rest cannot be read."""
        while not self._damage:
            reader = Reader(self.window, self.at)
            try:
                raw = maybe_record(reader)
            except DecodeError as error:
                self._damage = self._place(f"{error.reason}; the file is damaged here, and what follows is not read")
                return None
            if raw is not None:
                self.at = reader.offset
                self._records += 1
                return raw
            if not self.more():
                return None
        return None

    def maybe_decoded(self, raw: RawRecord) -> Record | None:
        """Return what a record holds; None, counted, where it is damaged inside."""
        try:
            record = decode(raw)
        except DecodeError as error:
            self._bad[error.reason] += 1
            return None
        if isinstance(record, Skipped):
            known = record.kind in self._skipped or len(self._skipped) < _KINDS
            self._skipped[record.kind if known else "other"] += 1
        return record

    def walked(self, at: int, good: int, bad: int) -> None:
        """Hear that others have read records of the window up to an octet."""
        self.at = at
        self._records += good + bad
        if bad:
            self._bad["truncated"] += bad

    def more(self) -> bool:
        """Make the window longer; False at the end, which is told as damage where it is in the middle of a record."""
        octets = b"" if self._damage or self._failure else self._read()
        if not octets:
            if self._failure and not self._damage:
                self._damage = self._place(f"{self._failure}; the file is damaged here, and its rest is not read")
            elif self.at < len(self.window) and not self._damage:
                self._damage = self._place("the file ends in the middle of a record")
            return False
        self._before += self.at
        self.window = self.window[self.at :] + octets
        self.at = 0
        return True

    def _read(self) -> bytes:
        """Return a window's worth, or less at the end: what was unpacked before damage is not lost."""
        parts, octets = [], 0
        while octets < _WINDOW:
            try:
                part = self._stream.read1(_WINDOW - octets)
            except _UNPACKING as error:
                self._failure = f"{self._compression}: {error}"
                break
            if not part:
                break
            parts.append(part)
            octets += len(part)
        return b"".join(parts)

    def _place(self, words: str) -> str:
        return f"octet {self._before + self.at}: {words}"

    def _unpacked(self) -> tuple[str, io.BufferedIOBase]:
        start = self._buffered.peek(6)
        for magic, program in _PACKED:
            if start.startswith(magic):
                raise SourceError(str(self.path), f"the file is compressed; unpack it with {program} first")
        kind = next((kind for magic, kind in _MAGICS if start.startswith(magic)), "none")
        if kind == "gzip":
            self._packed = gzip.GzipFile(fileobj=self._buffered)
        elif kind == "bzip2":
            self._packed = bz2.BZ2File(self._buffered)
        return kind, self._packed or self._buffered

    def _begin(self) -> None:
        if not self.more():
            raise SourceError(str(self.path), self._damage or "the file is empty")
        try:
            maybe_record(Reader(self.window))
        except DecodeError as error:
            start = self.window[:12].hex(" ", 4)
            raise SourceError(str(self.path), f"no MRT file: {error.reason} (begins with {start})") from None


def _open(path: Path) -> tuple[io.FileIO, int]:
    try:
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from error
    status = os.fstat(stream.fileno())
    return stream, status.st_size if stat.S_ISREG(status.st_mode) else 0
