from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from script_files import SECOND, event, record
from tidegate.apps.script_desk import MAX_HANDLERS, MAX_TIMERS, Desk, Job, Kind, finish
from tidegate.errors import ConfigError


def nothing() -> None:
    return


def run(desk: Desk, until_ns: int) -> list[int]:
    """Let time go on to a moment at once; return when the timers ran."""
    desk.advance(until_ns)
    moments = []
    while (job := desk.due()) is not None:
        desk.calls(job)
        moments.append(job.at_ns)
    return moments


@given(delays=st.lists(st.floats(0, 100), max_size=20), steps=st.lists(st.integers(0, 30), min_size=1, max_size=10))
def test_timers_run_once_in_order_and_never_early(delays: list[float], steps: list[int]) -> None:
    desk = Desk(0)
    for delay in delays:
        desk.after(delay, nothing)
    now, moments = 0, []
    for step in steps:
        now += step * SECOND
        moments += run(desk, now)
        assert desk.horizon_ns == now
    assert moments == sorted(round(delay * 1e9) for delay in delays if round(delay * 1e9) <= now)


@given(period=st.integers(1, 50), steps=st.lists(st.integers(0, 200), min_size=1))
def test_ticks_fall_on_the_grid_and_never_pile_up(period: int, steps: list[int]) -> None:
    desk = Desk(0)
    desk.every(period / 10, nothing)
    now = 0
    for step in steps:
        before, now = now, now + step * SECOND // 10
        moments = run(desk, now)
        last = now // (period * SECOND // 10) * (period * SECOND // 10)
        assert moments == ([last] if last > before else [])


def test_a_cancelled_timer_does_not_run_and_takes_no_room() -> None:
    desk = Desk(0)
    timer, tick = desk.after(1, nothing), desk.every(1, nothing)
    assert not desk.idle
    timer.cancel()
    tick.cancel()
    assert desk.deadline() is None
    assert run(desk, 10 * SECOND) == []
    assert desk.idle


def test_handlers_are_chosen_by_kind_and_name() -> None:
    desk = Desk(0)
    desk.add(Kind.EVENT, print, ["t"])
    desk.add(Kind.EVENT, repr)
    desk.add(Kind.FLOW, len, ["f"])
    assert [handler for handler, _ in desk.calls(Job(Kind.EVENT, 5, event(threshold="t")))] == [print, repr]
    assert [handler for handler, _ in desk.calls(Job(Kind.EVENT, 5, event(threshold="u")))] == [repr]
    assert desk.wants(Kind.FLOW, record(name="f"))
    assert not desk.wants(Kind.FLOW, record(name="g"))
    assert desk.now_ns == 5
    desk.calls(Job(Kind.EVENT, 3, event()))
    assert desk.now_ns == 5


def test_of_several_handlers_of_requests_the_last_is_called() -> None:
    desk = Desk(0)
    assert desk.calls(Job(Kind.HTTP, 5, "asked")) == []
    desk.add(Kind.HTTP, print)
    desk.add(Kind.HTTP, repr)
    assert desk.calls(Job(Kind.HTTP, 5, "asked")) == [(repr, ("asked",))]


def test_what_a_handler_returns_is_run_to_its_end() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 7

    assert finish(later(), asyncio.run) == finish(7, asyncio.run) == 7


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, 1e12, True, "1"])
def test_a_wrong_time_is_an_error(seconds: float) -> None:
    desk = Desk(0)
    with pytest.raises(ConfigError):
        desk.after(seconds, nothing)
    with pytest.raises(ConfigError):
        desk.every(seconds, nothing)


def test_wrong_handlers_and_too_many_of_them_are_errors() -> None:
    desk = Desk(0)
    with pytest.raises(ConfigError, match="every"):
        desk.every(0.001, nothing)
    wrong: Any
    for wrong in (None, "name"):
        with pytest.raises(ConfigError, match="a function is expected"):
            desk.add(Kind.EVENT, wrong)
        with pytest.raises(ConfigError, match="a function is expected"):
            desk.after(1, wrong)
    with pytest.raises(ConfigError, match="a list of names"):
        desk.add(Kind.EVENT, nothing, "name")
    for _ in range(MAX_HANDLERS):
        desk.add(Kind.EVENT, nothing)
    with pytest.raises(ConfigError, match="more than"):
        desk.add(Kind.EVENT, nothing)
    for _ in range(MAX_TIMERS):
        desk.after(1, nothing)
    with pytest.raises(ConfigError, match="more than"):
        desk.after(1, nothing)
