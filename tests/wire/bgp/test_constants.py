from __future__ import annotations

import pytest

from tidegate.wire.bgp.constants import (
    NOTIFICATION_TEXTS,
    Afi,
    Cease,
    ErrorCode,
    Family,
    HeaderError,
    OpenError,
    RefreshError,
    Safi,
    UpdateError,
    describe,
)


@pytest.mark.parametrize("family", Family)
def test_families_and_their_code_points(family: Family) -> None:
    assert Family.of(family.afi, family.safi) is family
    assert family.label == f"{family.afi.name.lower()}-{family.safi.name.lower()}"


def test_other_code_points_are_no_family() -> None:
    assert Family.of(25, 70) is None
    assert Family.of(Afi.IPV4, 134) is None
    assert {(family.afi, family.safi) for family in Family} == {(afi, safi) for afi in Afi for safi in Safi}


@pytest.mark.parametrize(
    ("code", "subcodes"),
    [
        (ErrorCode.HEADER, HeaderError),
        (ErrorCode.OPEN, OpenError),
        (ErrorCode.UPDATE, UpdateError),
        (ErrorCode.CEASE, Cease),
        (ErrorCode.ROUTE_REFRESH, RefreshError),
    ],
)
def test_everything_we_send_has_words(code: ErrorCode, subcodes: type[HeaderError]) -> None:
    for subcode in subcodes:
        assert (code, subcode) in NOTIFICATION_TEXTS
        assert describe(code, subcode).endswith(f"({code.value}/{subcode.value})")


def test_every_error_code_has_words_without_a_subcode() -> None:
    assert {code for code, subcode in NOTIFICATION_TEXTS if not subcode} == set(ErrorCode)
