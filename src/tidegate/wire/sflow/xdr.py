"""The XDR types of sFlow structures: how each is read, written and shown, and the layout of a record made of them.

A record is a frozen struct whose annotations carry the types, in the specification's order; decoder, encoder and JSON
follow that layout, so that no record has code of its own. A field that its record is too short for is None, and so are
all behind it. Octets past the last known field are nobody's business.

Answers for: RFC 4506, sFlow version 5 section 5 (data types), and the padding rules of docs/concepts/dissection.md.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import numpy as np

from tidegate.data.address import format_address, words_of_bytes
from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.cursor import Reader, Writer

__all__ = [
    "ADDRESS",
    "BYTES4",
    "BYTES16",
    "DOUBLE",
    "FLOAT",
    "HEADER",
    "I32",
    "I32S",
    "IP4",
    "IP6",
    "MAC",
    "MAC6",
    "MACS",
    "OPAQUE",
    "REST",
    "STRING",
    "TEXT_CAP",
    "U32",
    "U32S",
    "U64",
    "Xdr",
    "array",
    "kind_of",
    "layout",
    "nested",
    "read_address",
    "read_struct",
    "show_address",
    "show_double",
    "show_single",
    "show_struct",
    "show_text",
    "write_address",
    "write_struct",
]

TEXT_CAP = 255  # octets of a string that outputs show


class Xdr(msgspec.Struct, frozen=True):
    """One type: octets to a value, a value to octets, and a value to what JSON shows."""

    read: Callable[[Reader], Any]
    write: Callable[[Writer, Any], None]
    show: Callable[[Any], Any] = lambda value: value


@cache
def layout(record: type[msgspec.Struct]) -> tuple[tuple[str, str, Xdr], ...]:
    """Return attribute, specification's name and type of each field of a record, in order."""
    hints = get_type_hints(record, include_extras=True)
    return tuple(
        (field.name, field.encode_name, meta)
        for field in msgspec.structs.fields(record)
        for meta in getattr(hints[field.name], "__metadata__", ())
        if isinstance(meta, Xdr)
    )


def read_struct(record: type[msgspec.Struct], reader: Reader) -> msgspec.Struct:
    """Read a record as far as its octets go; fields behind the first that is not whole are None."""
    values: dict[str, Any] = {}
    for attribute, _, xdr in layout(record):
        try:
            values[attribute] = xdr.read(reader)
        except DecodeError:
            reader.skip(len(reader))
            break
    return record(**values)


def write_struct(writer: Writer, record: msgspec.Struct) -> None:
    """Write a record up to its first absent field; `EncodeError` where one behind that is present."""
    absent = ""
    for attribute, name, xdr in layout(type(record)):
        value = getattr(record, attribute)
        if value is None:
            absent = absent or name
        elif absent:
            raise EncodeError(f"{type(record).__name__}: {name} cannot be written where {absent} is absent")
        else:
            xdr.write(writer, value)


def show_struct(record: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a record that are present, under the specification's names, as JSON values."""
    values = ((name, xdr, getattr(record, attribute)) for attribute, name, xdr in layout(type(record)))
    return {name: xdr.show(value) for name, xdr, value in values if value is not None}


def _pad(reader: Reader, count: int) -> None:
    reader.skip(min(-count % 4, len(reader)))  # a record's length word need not cover the padding (vertex capture)


def _read_opaque(reader: Reader) -> bytes:
    count = reader.u32()
    octets = reader.take(count)
    _pad(reader, count)
    return octets


def _read_header(reader: Reader) -> bytes:
    count = min(reader.u32(), len(reader))  # what there is of a sampled header is worth having
    octets = reader.take(count)
    _pad(reader, count)
    return octets


def _write_opaque(writer: Writer, value: bytes) -> None:
    writer.u32(len(value))
    writer.put(value)
    writer.put(bytes(-len(value) % 4))


def _fixed(count: int, pad: int = 0) -> tuple[Callable[[Reader], bytes], Callable[[Writer, bytes], None]]:
    def read(reader: Reader) -> bytes:
        octets = reader.take(count)
        reader.skip(min(pad, len(reader)))
        return octets

    def write(writer: Writer, value: bytes) -> None:
        if len(value) != count:
            raise EncodeError(f"{len(value)} octets where {count} belong")
        writer.put(value)
        writer.put(bytes(pad))

    return read, write


def read_address(reader: Reader) -> bytes:
    """Read a type word and 0, 4 or 16 octets; the length of a type above 2 is unknown, so nothing can follow it."""
    at = reader.offset
    kind = reader.u32()
    if kind > 2:
        raise DecodeError("unknown address type", at)
    return reader.take((0, 4, 16)[kind])


def write_address(writer: Writer, value: bytes) -> None:
    """Write an address of 0 (unknown), 4 or 16 octets."""
    if len(value) not in (0, 4, 16):
        raise EncodeError(f"an address has 0, 4 or 16 octets, not {len(value)}")
    writer.u32({0: 0, 4: 1, 16: 2}[len(value)])
    writer.put(value)


def show_address(value: bytes) -> str | None:
    """Return the text of an address, None for an unknown one."""
    return format_address(*words_of_bytes(value)) if value else None


def show_text(value: bytes) -> str:
    """Return a string for people: UTF-8 with replacement, cut at 255 octets."""
    return value[:TEXT_CAP].decode("utf-8", "replace")


def show_double(value: float) -> float | None:
    """Return a number that JSON has, None for infinities and NaN."""
    return value if math.isfinite(value) else None


def show_single(value: float) -> float | None:
    """Return the number of fewest digits that is the same IEEE 754 single, None for infinities and NaN."""
    return float(str(np.float32(value))) if math.isfinite(value) else None


def _hex(value: bytes) -> str:
    return value.hex()


def _hex_upper(value: bytes) -> str:
    return value.hex().upper()


def array(element: type[msgspec.Struct] | Xdr) -> Xdr:
    """Return the type of a counted array; it is whole or absent, and nothing is allocated from the count."""
    one = element if isinstance(element, Xdr) else _whole(element)

    def read(reader: Reader) -> tuple[Any, ...]:
        count = reader.u32()
        values: list[Any] = []
        while len(values) < count:
            values.append(one.read(reader))
        return tuple(values)

    def write(writer: Writer, values: tuple[Any, ...]) -> None:
        writer.u32(len(values))
        for value in values:
            one.write(writer, value)

    return Xdr(read, write, lambda values: [one.show(value) for value in values])


def _whole(record: type[msgspec.Struct]) -> Xdr:
    def read(reader: Reader) -> msgspec.Struct:
        return record(**{attribute: xdr.read(reader) for attribute, _, xdr in layout(record)})

    def write(writer: Writer, value: msgspec.Struct) -> None:
        for attribute, name, xdr in layout(record):
            part = getattr(value, attribute)
            if part is None:
                raise EncodeError(f"{record.__name__}: {name} is absent")
            xdr.write(writer, part)

    return Xdr(read, write, show_struct)


def nested(record: type[msgspec.Struct]) -> Xdr:
    """Return the type of a record inside a record (tunnels, proxies); it may be cut like any other."""

    def read(reader: Reader) -> msgspec.Struct:
        if not len(reader):
            raise DecodeError("truncated", reader.offset)
        return read_struct(record, reader)

    return Xdr(read, write_struct, show_struct)


def _read_f64(reader: Reader) -> float:
    return float(struct.unpack(">d", reader.take(8))[0])


def _write_f64(writer: Writer, value: float) -> None:
    writer.put(struct.pack(">d", value))


def kind_of(alias: object) -> Xdr:
    """Return the type that an annotation such as `U32` carries."""
    kind = get_args(alias)[1]
    if not isinstance(kind, Xdr):
        raise TypeError(f"{alias} carries no XDR type")
    return kind


U32 = Annotated[int | None, Xdr(Reader.u32, Writer.u32)]
I32 = Annotated[int | None, Xdr(Reader.i32, Writer.i32)]
U64 = Annotated[int | None, Xdr(Reader.u64, Writer.u64)]
FLOAT = Annotated[float | None, Xdr(Reader.f32, Writer.f32, show_single)]
MAC = Annotated[bytes | None, Xdr(*_fixed(6, pad=2), _hex_upper)]
IP4 = Annotated[bytes | None, Xdr(*_fixed(4), show_address)]
IP6 = Annotated[bytes | None, Xdr(*_fixed(16), show_address)]
ADDRESS = Annotated[bytes | None, Xdr(read_address, write_address, show_address)]
BYTES4 = Annotated[bytes | None, Xdr(*_fixed(4), _hex)]
BYTES16 = Annotated[bytes | None, Xdr(*_fixed(16), _hex)]
STRING = Annotated[bytes | None, Xdr(_read_opaque, _write_opaque, show_text)]
OPAQUE = Annotated[bytes | None, Xdr(_read_opaque, _write_opaque, _hex)]
HEADER = Annotated[bytes | None, Xdr(_read_header, _write_opaque, _hex)]
REST = Annotated[bytes | None, Xdr(Reader.rest, Writer.put, _hex)]  # up to the end of the record
U32S = Annotated[tuple[int, ...] | None, array(Xdr(Reader.u32, Writer.u32))]
I32S = Annotated[tuple[int, ...] | None, array(Xdr(Reader.i32, Writer.i32))]
DOUBLE = Annotated[float | None, Xdr(_read_f64, _write_f64, show_double)]
MAC6 = Annotated[bytes | None, Xdr(*_fixed(6), _hex_upper)]  # without padding, in rtflow samples only
MACS = Annotated[tuple[bytes, ...] | None, array(Xdr(*_fixed(6, pad=2), _hex_upper))]
