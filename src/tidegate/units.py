"""Numbers that could be mixed up, each a type of its own."""

from __future__ import annotations

from typing import NewType

__all__ = ["Asn", "Seconds"]

Asn = NewType("Asn", int)

# Times are event times: since 1970 UTC as the receiver or the capture stamped them, never read from a clock inside.
Seconds = NewType("Seconds", float)
