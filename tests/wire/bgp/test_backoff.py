from __future__ import annotations

from tidegate.units import Seconds
from tidegate.wire.bgp.backoff import Backoff


def test_each_failure_doubles_the_wait_up_to_two_minutes() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    waits = []
    for _ in range(9):
        backoff.failed(Seconds(0.0), lived_s=0.0)
        waits.append(backoff.until)
    assert waits == [Seconds(wait) for wait in (1, 2, 4, 8, 16, 32, 64, 120, 120)]
    backoff.failed(Seconds(0.0), lived_s=120.0)
    assert (backoff.failures, backoff.until) == (1, 1.0)


def test_jitter_shortens_by_a_quarter_at_most() -> None:
    backoff = Backoff(jitter=lambda: 0.0)
    backoff.failed(Seconds(8.0), lived_s=0.0)
    assert backoff.until == 8.75


def test_the_time_comes_once() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert not backoff.due(Seconds(99.0))
    backoff.failed(Seconds(0.0), lived_s=0.0)
    assert not backoff.due(Seconds(0.9))
    assert backoff.due(Seconds(1.0))
    assert not backoff.due(Seconds(1.0))


def test_the_peer_may_come_until_patience_is_lost() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    for _ in range(2):
        backoff.failed(Seconds(0.0), lived_s=0.0)
    assert backoff.patient(Seconds(0.0))
    backoff.failed(Seconds(0.0), lived_s=0.0)
    assert not backoff.patient(Seconds(3.9))
    assert backoff.patient(Seconds(4.0))
    assert backoff.due(Seconds(4.0))
    assert backoff.patient(Seconds(4.0))
