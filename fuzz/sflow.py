"""Fuzz the readable sFlow decoder: `python fuzz/sflow.py fuzz/corpus/sflow -max_total_time=600`.

Any octets are decoded, read for the fields of their packet samples and shown as JSON. Only `DecodeError` may come out,
and only of the decoder. What was decoded without loss must survive encoding. The corpus starts from the captures of
tests/data/sflow (origins and licences stand there).
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tidegate.wire"]):
    from tidegate.errors import DecodeError
    from tidegate.wire.sflow.decode import decode_datagram
    from tidegate.wire.sflow.encode import encode_datagram
    from tidegate.wire.sflow.samples import BadSample
    from tidegate.wire.sflow.view import datagram_json


def check(data: bytes) -> None:
    """Run one input; anything that is raised is a finding."""
    try:
        datagram = decode_datagram(data)
    except DecodeError:
        return
    datagram_json(datagram)
    if datagram.notes or any(isinstance(sample, BadSample) for sample in datagram.samples):
        return
    again = decode_datagram(encode_datagram(datagram))
    if repr(again) != repr(datagram):  # by text, because NaN differs from itself
        raise AssertionError(f"{datagram} became {again}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
