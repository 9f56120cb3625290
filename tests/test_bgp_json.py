from __future__ import annotations

from typing import Any

import pytest

from bgp_json import action_from_json, action_to_json, rule_from_json
from tidegate.errors import DecodeError
from tidegate.wire.bgp.communities import RawCommunity
from tidegate.wire.bgp.constants import Afi


@pytest.mark.parametrize(
    "component",
    [
        {},
        {"type": 14},
        {"type": 1, "prefix": "192.0.2.1/24"},
        {"type": 1, "prefix": 5},
        {"type": 3, "ops": [{"and": False, "op": "~", "value": 1, "width": 1}]},
        {"type": 3, "ops": [{"and": False, "op": "==", "value": 1}]},
        {"type": 9, "ops": 3},
    ],
)
def test_other_shapes_of_component_are_refused(component: dict[str, Any]) -> None:
    good = {"type": 1, "prefix": "192.0.2.0/24"}
    with pytest.raises(DecodeError, match="at octet 1"):
        rule_from_json([good, component], Afi.IPV4)


@pytest.mark.parametrize(
    "action",
    [{}, {"action": "nothing"}, {"action": "traffic-rate-bytes"}, {"action": "rt-redirect", "form": "as8"}],
)
def test_other_shapes_of_action_are_refused(action: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match="bad action"):
        action_from_json(action)


def test_unknown_communities_keep_their_octets() -> None:
    raw = RawCommunity(bytes.fromhex("0002fde800000064"))
    assert action_from_json(action_to_json(raw)) == raw
