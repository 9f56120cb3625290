"""The agent on a kernel that samples by tc: traffic between two namespaces, sampled, sent, received and estimated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_claims import CLAIMS, Ran

RATE = 10
pytestmark = pytest.mark.guest("agent_end_to_end", kernels=True)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_all_is_true(
    result: dict[str, Any],
    guest_folder: Path,
    claim: Callable[[Ran], None],
) -> None:
    claim(Ran(result, guest_folder / "agent_end_to_end", RATE))


def test_one_filter_samples_meanwhile(result: dict[str, Any]) -> None:
    before, during = result["rules"]["before"], result["rules"]["during"]
    assert "clsact" in during["qdisc"]
    assert during["ingress"].count("sample rate 1/10 group 1 trunc_size 128 continue") == 1
    assert (before["ingress"], before["egress"], during["egress"], during["nft"]) == ("", "", "", before["nft"])
