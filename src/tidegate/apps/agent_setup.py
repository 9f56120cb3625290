"""What the agent installs in the kernel so that it samples, and removes again: filters of tc, rules of nftables."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from tidegate.agent.config import AgentConfig, Placement, Setup
from tidegate.agent.nft_rules import TABLE, LogRule, format_removal, format_rules, log_rules
from tidegate.agent.ports import Port
from tidegate.agent.sampling_plan import is_ours, plan_removal, plan_sampling, wanted_filters
from tidegate.errors import SourceError, TidegateError
from tidegate.io.netlink import ROUTE, Netlink
from tidegate.io.nft import run_nft
from tidegate.io.tc import apply_changes, read_tc
from tidegate.wire.netlink.tc import FilterFlags
from tidegate.wire.netlink.tc_change import format_change

__all__ = ["KernelSetup", "clean_up"]

_LOG = logging.getLogger(__name__)
_LIST = f"list table netdev {TABLE}\n"
_FLAGS = {
    Placement.ANY: FilterFlags.NONE,
    Placement.HARDWARE: FilterFlags.SKIP_SW,
    Placement.SOFTWARE: FilterFlags.SKIP_HW,
}


class KernelSetup:
    """What is wanted is applied at each update, and all of it removed by `close`."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._route = Netlink(ROUTE)
        self._rules: list[LogRule] | None = None
        self._told: set[str] = set()
        self._works = False

    def warn_of_leftovers(self) -> None:
        """Say so where an agent before left filters or rules that this one has no use for."""
        left = []
        with contextlib.suppress(SourceError):
            if self._setup is not Setup.TC and any(is_ours(one) for one in read_tc(self._route).filters):
                left.append("tc filters")
        with contextlib.suppress(SourceError):  # there are none, or no nft
            if self._setup is not Setup.NFT:
                run_nft(_LIST)
                left.append("log rules")
        if left:
            _LOG.warning(
                "%s of another agent, or of one that was killed: tidegate agent --clean-up", " and ".join(left)
            )

    def update(self, config: AgentConfig, ports: Sequence[Port]) -> None:
        """Make the kernel sample these interfaces; `SourceError` where it never could."""
        if self._setup is Setup.TC:
            self._update_tc(config, ports)
        elif self._setup is Setup.NFT:
            self._update_nft(config, ports)

    def check(self, config: AgentConfig, ports: Sequence[Port]) -> None:
        """Install again what others have removed meanwhile, such as by a reload of their own rules; `SourceError`."""
        if self._setup is Setup.TC:
            self._update_tc(config, ports)
        elif self._setup is Setup.NFT and self._rules:
            try:
                run_nft(_LIST)
            except SourceError:
                _LOG.warning("the table of our log rules was gone, and is installed again")
                run_nft(format_rules(self._rules))

    def close(self) -> None:
        """Remove everything of ours; once."""
        setup, self._setup = self._setup, Setup.NONE
        try:
            if setup is Setup.TC:
                refused = apply_changes(self._route, plan_removal(read_tc(self._route)).changes)
                for error in refused:
                    _LOG.error("%s", error)
            elif setup is Setup.NFT and self._rules is not None:
                run_nft(format_removal())
        except TidegateError as error:
            _LOG.error("%s", error)
        finally:
            self._route.close()

    def _update_tc(self, config: AgentConfig, ports: Sequence[Port]) -> None:
        flags = _FLAGS[config.placement]
        wanted = [
            one
            for port in ports
            for one in wanted_filters(port.index, port.name, rate=port.rate, config=config, flags=flags)
        ]
        plan = plan_sampling(wanted, read_tc(self._route))
        refused = apply_changes(self._route, plan.changes)
        if refused and not self._works and len(refused) >= len(ports):
            raise refused[0]
        without = {one.name for one in refused}
        for change in plan.changes:
            if change.name not in without:
                _LOG.info("%s", format_change(change))
        self._works = self._works or bool(wanted)
        self._tell({*plan.notes, *map(str, refused)})

    def _update_nft(self, config: AgentConfig, ports: Sequence[Port]) -> None:
        rules: list[LogRule] = []
        refused: set[str] = set()
        for port in ports:
            try:
                rules += log_rules(port.index, port.name, rate=port.rate, config=config)
            except SourceError as error:
                refused.add(str(error))
        if rules != self._rules:
            try:
                run_nft(format_rules(rules))
            except SourceError as error:
                if self._rules is None:
                    raise
                refused.add(str(error))  # those before go on
            else:
                self._rules = rules
        self._tell(refused)

    def _tell(self, notes: set[str]) -> None:
        """Log what was not said last time."""
        for note in sorted(notes - self._told):
            _LOG.warning("%s", note)
        self._told = notes


def clean_up() -> list[str]:
    """Remove what an agent that did not end well left in the kernel; return what was done, as commands."""
    with Netlink(ROUTE) as route:
        plan = plan_removal(read_tc(route))
        refused = apply_changes(route, plan.changes)
    done = [*map(format_change, plan.changes), *_remove_table()]
    if refused:
        raise refused[0]
    return done


def _remove_table() -> list[str]:
    """Remove the table of rules; return what was done, or why not, where there is something to tell."""
    command = f"delete table netdev {TABLE}"
    try:
        run_nft(f"{command}\n")
    except SourceError as error:
        return [] if "No such file or directory" in error.reason else [f"# nftables was left alone: {error}"]
    return [f"nft {command}"]
