from __future__ import annotations

import pytest

from tidegate.units import Seconds
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.message import Notification
from tidegate.wire.bgp.routes import RouteKey
from tidegate.wire.bgp.session import Down
from tidegate.wire.bgp.suspects import Suspects

RESET = Down("the peer closed", was_up=True, notification=Notification(3, 9))


def keys(*numbers: int) -> list[RouteKey]:
    return [RouteKey(Family.IPV4_FLOWSPEC, number.to_bytes(2, "big")) for number in numbers]


def numbers(found: list[RouteKey]) -> list[int]:
    return [int.from_bytes(key.nlri, "big") for key in found]


def reset(suspects: Suspects, sent: list[RouteKey], *, down: Down = RESET, after: float = 1.0) -> list[int]:
    """Let a short session be reset some seconds after something was sent."""
    suspects.sent(sent, Seconds(1000.0))
    return numbers(suspects.ended(down, Seconds(1000.0 + after), lived_s=5.0))


def test_three_resets_within_a_minute_of_sending_hold_back_the_last_of_what_was_sent_each_time() -> None:
    suspects = Suspects()
    assert reset(suspects, keys(1, 2, 3)) == []
    assert reset(suspects, keys(2, 3, 4)) == []
    assert reset(suspects, keys(5, 2, 3, 1)) == [3]


def test_the_last_ones_are_held_back_and_more_of_them_if_that_did_not_help() -> None:
    suspects = Suspects()
    many = keys(*range(100))
    assert [reset(suspects, many) for _ in range(3)][-1] == [99]
    assert [reset(suspects, many) for _ in range(3)][-1] == [96, 97, 98, 99]


def test_a_session_that_was_stable_begins_anew() -> None:
    suspects = Suspects()
    many = keys(*range(100))
    for _ in range(3):
        reset(suspects, many)
    reset(suspects, many)
    reset(suspects, many)
    suspects.sent(keys(7), Seconds(5000.0))
    assert suspects.ended(RESET, Seconds(5001.0), lived_s=4000.0) == []  # the first of the next three
    assert reset(suspects, many) == []
    assert reset(suspects, many) == [7]


@pytest.mark.parametrize(
    ("down", "blamed"),
    [
        (Down("gone", was_up=True), True),
        (Down("told", was_up=True, notification=Notification(1, 2)), True),
        (Down("told", was_up=True, notification=Notification(6, 1)), True),
        (Down("told", was_up=True, notification=Notification(6, 8)), True),
        (Down("told", was_up=True, notification=Notification(6, 2)), False),
        (Down("told", was_up=True, notification=Notification(4, 0)), False),
        (Down("told", was_up=True, notification=Notification(3, 1), sent=True), False),
        (Down("better reached otherwise", was_up=True, sent=True), False),
    ],
)
def test_which_ends_are_blamed_on_what_was_sent(down: Down, blamed: bool) -> None:  # noqa: FBT001 - a column of a table
    suspects = Suspects()
    assert [reset(suspects, keys(1), down=down) for _ in range(3)][-1] == ([1] if blamed else [])


def test_what_was_sent_long_before_is_not_suspect() -> None:
    suspects = Suspects()
    assert [reset(suspects, keys(1), after=61.0) for _ in range(4)] == [[]] * 4


def test_what_is_remembered_is_bounded() -> None:
    suspects = Suspects()
    for start in range(0, 20_000, 1000):
        suspects.sent(keys(*range(start, start + 1000)), Seconds(1.0))
    assert len(suspects._sent) == 1024
    assert numbers(list(suspects._sent))[-1] == 19_999
