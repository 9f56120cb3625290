"""A plan of sampling as the commands of `tc` that do the same."""

from __future__ import annotations

from tidegate.agent.sampling_plan import SamplingPlan
from tidegate.wire.netlink.tc_change import format_change

__all__ = ["format_plan"]


def format_plan(plan: SamplingPlan) -> str:
    """Return a line a change, with the notes as comments above."""
    return "".join(f"{line}\n" for line in (*(f"# {note}" for note in plan.notes), *map(format_change, plan.changes)))
