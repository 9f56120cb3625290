"""Numbers that could be mixed up, each a type of its own."""

from __future__ import annotations

from typing import NewType

__all__ = ["Asn", "Seconds"]

Asn = NewType("Asn", int)
Seconds = NewType("Seconds", float)  # a moment on the clock of whoever passes it, never read inside
