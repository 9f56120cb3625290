from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.config import AgentConfig, Direction
from tidegate.agent.nft_rules import OWN_GROUP, TABLE, LogRule, format_removal, format_rules, log_rules
from tidegate.errors import SourceError

BOTH = AgentConfig(direction=Direction.BOTH, header_octets=96)


def test_a_script_replaces_whatever_was_there_of_ours() -> None:
    rules = [*log_rules(3, "eth0", rate=1000, config=BOTH), *log_rules(4, "eth1", rate=1, config=AgentConfig())]
    assert (
        format_rules(rules)
        == """\
table netdev tidegate_agent
delete table netdev tidegate_agent
table netdev tidegate_agent {
  chain ingress_3 { type filter hook ingress device "eth0" priority -1000; policy accept; \
numgen random mod 1000 == 0 log prefix "N=1000 " group 6343 snaplen 96 queue-threshold 64; }
  chain egress_3 { type filter hook egress device "eth0" priority 1000; policy accept; \
numgen random mod 1000 == 0 log prefix "N=1000 " group 6343 snaplen 96 queue-threshold 64; }
  chain ingress_4 { type filter hook ingress device "eth1" priority -1000; policy accept; \
log prefix "N=1 " group 6343 snaplen 128 queue-threshold 64; }
}
"""
    )


def test_nothing_to_log_is_removal() -> None:
    assert format_rules([]) == format_removal() == f"table netdev {TABLE}\ndelete table netdev {TABLE}\n"
    assert log_rules(3, "eth0", rate=0, config=BOTH) == ()


@pytest.mark.parametrize("name", ['a"b', "eth*", "a\x07", "a\u200b"])
def test_a_name_that_nft_would_read_otherwise_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match="nft cannot be told such a name"):
        log_rules(3, name, rate=1, config=BOTH)


@given(
    st.lists(
        st.builds(
            LogRule,
            st.integers(1, 9),
            st.text(
                st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='/"*'), min_size=1, max_size=15
            ),
            st.sampled_from(["ingress", "egress"]),
            st.integers(-1000, 1000),
            st.integers(1, 0xFFFFFFFF),
            st.just(OWN_GROUP),
            st.integers(16, 512),
        ),
        max_size=4,
    )
)
def test_every_rule_is_one_line_and_tells_its_rate(rules: list[LogRule]) -> None:
    lines = format_rules(rules).splitlines()[3:-1]
    assert len(lines) == len(rules)
    for line, rule in zip(lines, rules, strict=True):
        found = re.search(r'device "([^"]*)".*?(?:mod (\d+) == 0 )?log prefix "N=(\d+) "', line)
        assert found is not None
        assert (found[1], int(found[2] or 1), int(found[3])) == (rule.name, rule.rate, rule.rate)
