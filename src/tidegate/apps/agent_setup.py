"""What the agent installs in the kernel so that it samples, and removes again."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.agent.config import AgentConfig, Setup
from tidegate.agent.ports import Port

__all__ = ["KernelSetup"]


class KernelSetup:
    """Traffic control filters or nftables rules of the agent's own."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup

    def has_samplers(self) -> bool:
        return False

    def update(self, config: AgentConfig, ports: Iterable[Port]) -> None:
        return

    def close(self) -> None:
        return
