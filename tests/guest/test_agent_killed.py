"""What an agent that was killed has left is taken over by the next, or cleaned up; what others have installed stays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from guest.sent import datagrams, samples
from tidegate.wire.sflow.samples import FlowSample

pytestmark = pytest.mark.guest("agent_killed", kernels=True)
PLACES = ("r1 ingress", "r1 egress", "r2 ingress", "r2 egress")
RATE, FEW = 400, 10
Told = dict[str, Any]


def test_filters_are_left_behind(result: Told) -> None:
    left = result["left"]
    assert [left[place].count(f"sample rate 1/{RATE} ") for place in PLACES] == [1] * 4
    assert ["clsact" in left[device] for device in ("r1", "r2")] == [True, True]


def test_the_next_agent_takes_filters_over_in_place(result: Told) -> None:
    left, taken_over = result["left"], result["taken over"]
    assert {place: left[place].replace(f"sample rate 1/{RATE} ", "sample rate 1/1 ") for place in PLACES} == {
        place: taken_over[place] for place in PLACES
    }
    assert re.findall(r"agent_setup: tc (\w+ \w+)", result["log"].partition("sFlow to")[0]) == ["actions replace"] * 4


def test_the_next_agent_samples_with_them(guest_folder: Path, result: Told) -> None:
    flows = samples(datagrams(guest_folder / "agent_killed" / "sflow"), FlowSample)
    counts = {(one.source_id.index, one.input.value, one.output.value): 0 for one in flows}
    for one in flows:
        counts[one.source_id.index, one.input.value, one.output.value] += 1
    assert counts == {(101, 101, 0): FEW, (102, 101, 102): FEW}
    assert {one.sampling_rate for one in flows} == {1}
    assert result["status"]["counts"]["packets_lost"] == 0


@pytest.mark.parametrize("time", ["ended", "cleaned up"])
def test_nothing_of_ours_is_left_and_all_of_others(result: Told, time: str) -> None:
    assert result[time] == result["before"]
    assert "gact action continue" in result[time]["r2 ingress"]


def test_cleaning_up_says_what_it_does(result: Told) -> None:
    assert [re.sub(r" (pref|handle) \w+", "", line) for line in result["said"]] == [
        "tc filter del dev r1 ingress matchall",
        "tc filter del dev r1 egress matchall",
        "tc qdisc del dev r1 clsact",
        "tc filter del dev r2 ingress matchall",
        "tc filter del dev r2 egress matchall",
    ]


def test_leftovers_are_what_the_commands_of_the_log_make(result: Told) -> None:
    drop_numbers = [
        (re.sub(r"index \d+", "", result[time][place]) for place in PLACES) for time in ("left", "left again")
    ]
    assert list(drop_numbers[0]) == list(drop_numbers[1])
