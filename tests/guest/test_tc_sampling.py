"""Sampling by tc on a kernel that has it: what was planned is there, and afterwards nothing is."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.guest("tc_sampling")

COOKIE = "cookie 74696465676174650101"
REMOVAL = (
    "tc filter del dev t0 ingress pref 1 handle 0x1 matchall\ntc filter del dev t0 egress pref 1 handle 0x1 matchall\n"
)
NO_QDISC = "tc qdisc del dev t0 clsact\n"


def _counted(shown: str) -> int:
    found = re.search(r"Sent \d+ bytes (\d+) pkt", shown)
    assert found is not None
    return int(found[1])


def test_each_direction_is_sampled_to_its_group(result: Any) -> None:  # noqa: ANN401 - any JSON
    told = result["both_directions"]
    assert "sample rate 1/1 group 1 trunc_size 128 continue" in told["ingress"]
    assert "sample rate 1/1 group 2 trunc_size 128 continue" in told["egress"]
    assert COOKIE in told["ingress"]
    assert _counted(told["ingress"]) >= 5
    # A packet more may pass between the counting of one and the other.
    assert abs(_counted(told["ingress"]) + _counted(told["egress"]) - told["samples"]) <= 2
    assert told["again"] == ""


@pytest.mark.parametrize("case", ["both_directions", "leftovers"])
def test_removal_takes_the_qdisc_that_was_made(result: Any, case: str) -> None:  # noqa: ANN401 - any JSON
    assert result[case]["removal"] == REMOVAL + NO_QDISC


def test_rates_change_without_a_gap(result: Any) -> None:  # noqa: ANN401 - any JSON
    told = result["leftovers"]
    assert [line.split()[:4] for line in told["plan"].splitlines()] == [["tc", "actions", "replace", "action"]] * 2
    assert "sample rate 1/7" in told["after"]
    assert _counted(told["after"]) >= _counted(told["before"]) >= 5  # its count goes on: it is the same action
    assert told["again"] == ""


def test_filters_of_others_get_every_packet_and_stay(result: Any) -> None:  # noqa: ANN401 - any JSON
    told = result["beside_others"]
    assert _counted(told["other"]) >= 5
    assert told["removal"] == REMOVAL
    assert told["as before"]


def test_a_qdisc_of_ours_stays_where_others_use_it_by_now(result: Any) -> None:  # noqa: ANN401 - any JSON
    told = result["joined_by_others"]
    assert told["removal"] == REMOVAL
    assert "gact" in told["other"]


def test_a_filter_of_another_protocol_keeps_its_preference(result: Any) -> None:  # noqa: ANN401 - any JSON
    told = result["taken"]
    assert [note.partition(",")[0] for note in told["notes"]] == [
        "t0 ingress: preference 1 is another filter's; sampling has preference 2"
    ]
    assert told["ours"] == [["INGRESS", 2], ["EGRESS", 1]]
    assert "pref 1 u32" in told["other"]
    assert "sample" not in told["other"]


def test_a_driver_that_does_not_sample_is_told_of(result: Any) -> None:  # noqa: ANN401 - any JSON
    assert result["no_hardware"]["refused"] == [
        (
            "t0: sampling ingress at preference 1 was refused: Operation not supported: "
            "the driver does not sample in hardware"
        )
    ]


def test_a_shared_block_is_left_alone(result: Any) -> None:  # noqa: ANN401 - any JSON
    told = result["shared"]
    assert all(line.startswith("# t0 ") and "not sampled" in line for line in told["plan"].splitlines())
    assert "This filter block is shared" in told["refused"][0]


def test_the_commands_of_a_plan_do_the_same(result: Any) -> None:  # noqa: ANN401 - any JSON
    assert result["as_text"]["left to do"] == ["", ""]
    assert result["as_text"]["removal"] == ""


def test_nothing_is_left(result: Any) -> None:  # noqa: ANN401 - any JSON
    assert {case: told["actions left"] for case, told in result.items()} == dict.fromkeys(result, 0)
    of_others = {"beside_others", "joined_by_others", "taken", "shared"}
    assert {case for case, told in result.items() if told["qdiscs left"]} == of_others
