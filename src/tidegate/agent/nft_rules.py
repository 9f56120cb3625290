"""Sampling by nftables: the script that puts our log rules at the netdev hooks, and the one that removes them.

In go rules as data, out come texts for `nft -f -`, each one transaction. All of ours is in one table of its own, which
is removed first, so that what an agent before left behind goes; nothing outside it is touched. On arrival packets are
logged ahead of all other chains, on leaving behind them: what others drop is seen as it arrives and not as it leaves.
Every rule tells its rate in its prefix. Egress hooks exist from Linux 5.16 and nft 1.0.1 on.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidegate.agent.config import AgentConfig, Direction
from tidegate.errors import SourceError

__all__ = ["OWN_GROUP", "TABLE", "LogRule", "format_removal", "format_rules", "log_rules"]

TABLE = "tidegate_agent"
OWN_GROUP = 6343  # of NFLOG, for our rules alone; nothing else is known to use it
_QUEUE_THRESHOLD = 64  # packets a message holds at most; with 1, a tenth of a loaded interface's samples were lost
_UNQUOTABLE = '"*'  # nft has no escape for the one, and from Linux 6.16 on the other ends a pattern
_REMOVAL = f"table netdev {TABLE}\ndelete table netdev {TABLE}\n"  # the first line makes the second one right always
_HOOKS = {
    Direction.INGRESS: (("ingress", -1000),),
    Direction.EGRESS: (("egress", 1000),),
    Direction.BOTH: (("ingress", -1000), ("egress", 1000)),
}


class LogRule(msgspec.Struct, frozen=True):
    """One direction of one interface: 1 in `rate` packets to an NFLOG group, cut to `snaplen` octets."""

    ifindex: int
    name: str
    hook: str
    priority: int
    rate: int
    group: int
    snaplen: int


def log_rules(ifindex: int, name: str, *, rate: int, config: AgentConfig) -> tuple[LogRule, ...]:
    """Return what should log an interface at 1 in `rate` (0: nothing); `SourceError` where nft cannot take its name."""
    if not rate:
        return ()
    if any(letter in _UNQUOTABLE or not letter.isprintable() for letter in name):
        raise SourceError(name, "nft cannot be told such a name: rename the interface, or sample it otherwise")
    return tuple(
        LogRule(ifindex, name, hook, priority, rate, OWN_GROUP, config.header_octets)
        for hook, priority in _HOOKS[config.direction]
    )


def format_rules(rules: Iterable[LogRule]) -> str:
    """Return the script that makes the kernel log as `rules` say, and no longer as our rules before said."""
    chains = [_chain(rule) for rule in rules]
    table = f"table netdev {TABLE} {{\n{''.join(chains)}}}\n" if chains else ""
    return _REMOVAL + table


def format_removal() -> str:
    """Return the script that removes everything of ours, and changes nothing where there is nothing."""
    return _REMOVAL


def _chain(rule: LogRule) -> str:
    """Return a chain on one line, so that the line number of an error tells the interface."""
    where = f'type filter hook {rule.hook} device "{rule.name}" priority {rule.priority}; policy accept;'
    chance = f"numgen random mod {rule.rate} == 0 " if rule.rate > 1 else ""
    log = f'log prefix "N={rule.rate} " group {rule.group} snaplen {rule.snaplen} queue-threshold {_QUEUE_THRESHOLD};'
    return f"  chain {rule.hook}_{rule.ifindex} {{ {where} {chance}{log} }}\n"
