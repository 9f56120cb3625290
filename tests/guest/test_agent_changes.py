"""An agent that samples by tc goes on: with another rate, an interface that goes and comes, psample loaded anew."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from guest.sent import datagrams, packet, samples
from tidegate.wire.sflow.samples import Datagram, FlowSample

pytestmark = pytest.mark.guest("agent_changes", kernels=True)
RATE, FEW = 3, 10
PORTS = struct.pack("!HH", 40000, 5001)
Told = dict[str, Any]


@pytest.fixture
def sent(guest_folder: Path, result: Told) -> Sequence[Datagram]:  # noqa: ARG001 - it fails where the scenario did
    return datagrams(guest_folder / "agent_changes" / "sflow")


@pytest.fixture
def flood(sent: Sequence[Datagram], result: Told) -> list[FlowSample]:
    return samples(sent[: result["another rate"]["ends"]], FlowSample)


@pytest.fixture
def back(sent: Sequence[Datagram], result: Told) -> list[FlowSample]:
    return samples(sent[result["gone and back"]["gone"] : result["gone and back"]["ends"]], FlowSample)


def sources(flows: Sequence[FlowSample]) -> set[int]:
    return {one.source_id.index for one in flows}


def test_another_rate_changes_the_filter_in_place(result: Told) -> None:
    count, (before, after) = result["another rate"]["sent"], result["another rate"]["filter"]
    assert "sample rate 1/3 " in before
    assert "sample rate 1/1 " in after
    assert f"Sent {count * 128} bytes {count} pkt" in after  # of both rates: it is the same action
    assert [re.findall(r"index \d+", one) for one in (before, after)] == [["index 1"], ["index 1"]]
    assert "tc filter del" not in result["log"].partition("loaded again")[0]


def test_another_rate_loses_no_sample(flood: list[FlowSample], result: Told) -> None:
    rates = [one.sampling_rate for one in flood]
    assert rates == sorted(rates, reverse=True)
    assert set(rates) == {RATE, 1}
    assert [one.sequence_number for one in flood] == list(range(1, len(flood) + 1))
    assert {one.drops for one in flood} == {0}
    assert sources(flood) == {101}
    assert flood[-1].sample_pool == sum(rates)
    thinned = result["another rate"]["sent"] - rates.count(1)
    assert abs(rates.count(RATE) * RATE - thinned) <= 5 * math.sqrt((RATE - 1) * thinned)  # once in a million


def test_packets_of_an_interface_that_has_gone_since_are_its_own(sent: Sequence[Datagram], result: Told) -> None:
    last = samples(sent[: result["another rate"]["ends"]], FlowSample)[-1]
    gone = samples(sent[result["another rate"]["ends"] : result["gone and back"]["gone"]], FlowSample)
    assert [one.sequence_number - last.sequence_number for one in gone] == list(range(1, FEW + 1))
    assert {one.input.value for one in gone} == sources(gone) == {101}


def test_an_interface_that_is_back_is_another_source(back: list[FlowSample]) -> None:
    assert [(one.sequence_number, one.sample_pool) for one in back] == [(n, n) for n in range(1, len(back) + 1)]
    assert {one.input.value for one in back} == sources(back) == {201}
    assert sum(packet(one)[34:38] == PORTS for one in back) == FEW  # its other end has reports to send


def test_psample_is_joined_again(sent: Sequence[Datagram], back: list[FlowSample], result: Told) -> None:
    told = result["loaded anew"]
    assert told["unloaded"] == ["act_sample", "psample"]
    anew = samples(sent[result["gone and back"]["ends"] : told["ends"]], FlowSample)
    assert [one.sequence_number - len(back) for one in anew] == list(range(1, FEW + 1))
    assert {one.drops for one in anew} == {0}
    assert "psample was loaded anew, and joined again" in result["log"]


def test_all_is_well_at_the_end(sent: Sequence[Datagram], result: Told) -> None:
    status = result["status"]
    assert status["problems"] == {}
    assert status["counts"]["packets_lost"] == status["counts"]["packets_unknown_interface"] == 0
    assert status["sources"]["psample"]["samples"] == status["counts"]["packets_taken"]
    assert status["counts"]["packets_taken"] == len(samples(sent, FlowSample))
    assert [one.sequence_number for one in sent] == list(range(1, len(sent) + 1))


def test_what_others_have_installed_stays(result: Told) -> None:
    before, during = result["rules"]["before"], result["rules"]["during"]
    assert result["after"] == before
    assert during["r2 ingress"].startswith(before["r2 ingress"].rstrip("\n"))
    assert during["r2 egress"] == before["r2 egress"]
    assert "pref 1 is another filter's" in result["log"].replace("preference", "pref")
