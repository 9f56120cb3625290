from __future__ import annotations

from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer_news import NoticeKind
from tidegate.wire.bgp.prefix_limits import PrefixLimits

V4 = Family.IPV4_UNICAST


def told(limits: PrefixLimits, count: int) -> list[str]:
    notices = limits.warnings((V4,), lambda _: count)
    assert all(notice.kind is NoticeKind.PREFIX_WARNING for notice in notices)
    return [notice.text for notice in notices]


def test_a_warning_comes_once_a_crossing() -> None:
    limits = PrefixLimits(dict.fromkeys(Family, 1000), warn_percent=80)
    assert told(limits, 799) == []
    assert told(limits, 800) == ["800 routes of ipv4-unicast have come, 80 % of the 1000 that may"]
    assert told(limits, 900) == []
    assert told(limits, 790) == []  # not far enough away to be told again
    assert told(limits, 900) == []
    assert told(limits, 700) == []
    assert told(limits, 1000) == ["1000 routes of ipv4-unicast have come, 100 % of the 1000 that may"]


def test_one_more_than_the_limit_is_over_it() -> None:
    limits = PrefixLimits(dict.fromkeys(Family, 1000), warn_percent=80)
    assert limits.over(Family, lambda _: 1000) is None
    assert limits.over(Family, lambda family: 1001 if family is V4 else 0) is V4
    assert limits.over((), lambda _: 1001) is None


def test_zero_is_no_limit() -> None:
    limits = PrefixLimits(dict.fromkeys(Family, 0), warn_percent=80)
    assert limits.over(Family, lambda _: 10**9) is None
    assert told(limits, 10**9) == []


def test_each_family_has_its_own_limit() -> None:
    limits = PrefixLimits({V4: 0, Family.IPV4_FLOWSPEC: 10}, warn_percent=80)
    families = (V4, Family.IPV4_FLOWSPEC)
    assert [notice.text for notice in limits.warnings(families, lambda _: 8)] == [
        "8 routes of ipv4-flowspec have come, 80 % of the 10 that may"
    ]
    assert limits.over(families, lambda _: 11) is Family.IPV4_FLOWSPEC
