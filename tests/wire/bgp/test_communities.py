from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import actions, vectors
from tidegate.control.flow_json import action_from_json, action_to_json
from tidegate.errors import EncodeError
from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
    RawCommunity,
    RedirectForm,
    RedirectToIp,
    RtRedirect,
    TrafficMarking,
    TrafficRateBytes,
    decode_action,
    encode_action,
    single,
)


@pytest.mark.parametrize("case", vectors("actions"))
def test_vector_means_its_action_and_it_writes_it(case: dict[str, Any]) -> None:
    octets = bytes.fromhex(case["bytes"])
    meaning = {name: value for name, value in case["meaning"].items() if name != "note"}
    assert action_to_json(decode_action(octets)) == meaning
    assert encode_action(action_from_json(meaning)) == octets
    assert len(octets) == {16: 8, 25: 20}[case["attribute"]]


@given(actions())
def test_octets_and_json_are_exact(action: Action) -> None:
    assert decode_action(encode_action(action)) == action
    assert action_from_json(action_to_json(action)) == action


@given(st.sampled_from([8, 20]).flatmap(lambda n: st.binary(min_size=n, max_size=n)))
def test_any_octets_are_an_action_and_unknown_ones_stay(octets: bytes) -> None:
    action = decode_action(octets)
    written = encode_action(action)
    assert len(written) == len(octets)
    if isinstance(action, RawCommunity):
        assert written == octets


@pytest.mark.parametrize(
    "action",
    [
        TrafficMarking(64),
        TrafficRateBytes(0.0, 65536),
        TrafficRateBytes(1e39),
        RtRedirect(RedirectForm.AS2, 65536, 1),
        RtRedirect(RedirectForm.AS4, 1, 65536),
        RedirectToIp(bytes(5)),
        InterfaceSet(1, 1 << 14),
        RawCommunity(bytes(7)),
    ],
)
def test_what_does_not_fit_is_never_cut(action: Action) -> None:
    with pytest.raises(EncodeError):
        encode_action(action)


@given(st.floats(0, 3e38))
def test_a_rate_is_never_rounded_up(rate: float) -> None:
    try:
        near = single(rate)
    except EncodeError:
        assert rate < 2e-45
    else:
        assert near <= rate
        assert rate - near <= max(rate * 2**-23, 1e-44)


@pytest.mark.parametrize("rate", [math.inf, math.nan, 1e39, 1e-60])
def test_rates_without_a_single(rate: float) -> None:
    with pytest.raises(EncodeError):
        single(rate)


@pytest.mark.parametrize("kind", ["8006", "800c"])
def test_a_rate_that_is_no_number_is_the_same_each_time(kind: str) -> None:
    found = [decode_action(bytes.fromhex(f"{kind}0000{rate}")) for rate in ("7fc00000", "7fffffff", "ffc00001")]
    assert found[0] == found[1] == found[2]
