"""The guest's kernel has what the machine's own may not have."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytestmark = pytest.mark.guest("facts")


def test_it_is_another_kernel(result: dict[str, Any]) -> None:
    assert result["release"] != os.uname().release


def test_samples_and_drops_have_their_families(result: dict[str, Any]) -> None:
    assert result["groups"] == {"psample": ["config", "packets"], "NET_DM": ["events"]}


def test_the_drop_monitor_comes_by_asking_for_it_and_samples_do_not(result: dict[str, Any]) -> None:
    assert result["by_asking"] == ["NET_DM"]


def test_devices_of_all_kinds_can_be_made(result: dict[str, Any]) -> None:
    assert result["devices"] == ["bond", "veth", "vlan", "vxlan"]
