"""Formats and protocols: bytes in, meaning out; no I/O, no clock, no log."""
