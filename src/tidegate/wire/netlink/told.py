"""What became of the messages that a reader was given."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["Told"]


class Told(IntEnum):
    """What became of a message; the names label counters."""

    SAMPLES = 0  # a row
    OTHER = 1  # of another family, or none about a packet
    BROKEN = 2  # does not fit what was received, or one of its attributes does not fit it
    INCOMPLETE = 3  # a sample without group, data, size or rate
