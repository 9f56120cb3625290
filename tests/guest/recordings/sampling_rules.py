"""The commands that have the kernel sample an interface, and no longer."""

from __future__ import annotations

__all__ = ["gone", "rules", "sample"]


def sample(device: str, direction: str, group: int, *, rate: int = 1, trunc: int = 128) -> str:
    """Return the command of a rule; 0 cuts nothing."""
    cut = f" trunc {trunc}" if trunc else ""
    return f"tc filter add dev {device} {direction} matchall action sample rate {rate} group {group}{cut}"


def _devices(filters: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(line.split()[4] for line in filters))


def rules(*filters: str) -> tuple[str, ...]:
    """Return the commands that put filters in place."""
    return (*(f"tc qdisc add dev {device} clsact" for device in _devices(filters)), *filters)


def gone(*filters: str) -> tuple[str, ...]:
    """Return the commands that take filters away."""
    return tuple(f"tc qdisc del dev {device} clsact" for device in _devices(filters))
