"""How many packets stand for one that is sent: up at once, down after a whole second of less."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.shedding import Shedding

SECOND = 1_000_000_000
LOOK = SECOND // 20
MOST = 1000


def started() -> Shedding:
    """Return one whose looks are at whole twentieths of a second."""
    shedding = Shedding(MOST)
    shedding.step(0, 0)
    return shedding


def steady(shedding: Shedding, rate: int, *, start_ns: int, seconds: float, step_ns: int = LOOK // 5) -> list[int]:
    """Let so many packets a second come; return M of each step."""
    times = range(start_ns + step_ns, start_ns + int(seconds * SECOND) + 1, step_ns)
    return [shedding.step(rate * step_ns // SECOND, now_ns) for now_ns in times]


def test_few_packets_are_all_taken() -> None:
    shedding = started()
    assert set(steady(shedding, MOST, start_ns=0, seconds=3)) == {1}


def test_a_flood_is_met_at_the_next_look() -> None:
    shedding = started()
    steady(shedding, 100, start_ns=0, seconds=1)
    found = steady(shedding, 100 * MOST, start_ns=SECOND, seconds=0.2)
    assert found == [1] * 4 + [100] * 16


def test_nobody_knows_in_what_time_the_first_packets_came() -> None:
    shedding = Shedding(MOST)
    assert shedding.step(5000, 7 * SECOND) == 1
    assert shedding.step(500, 7 * SECOND + LOOK) == 10


def test_it_falls_after_a_whole_second_of_less() -> None:
    shedding = started()
    steady(shedding, 100 * MOST, start_ns=0, seconds=1)
    found = steady(shedding, 10 * MOST, start_ns=SECOND, seconds=1.5)
    at = found.index(10) * LOOK // 5
    assert SECOND - LOOK <= at <= SECOND + LOOK
    assert set(found) == {100, 10}


def test_it_falls_to_what_the_last_second_needed_at_most() -> None:
    shedding = started()
    steady(shedding, 100 * MOST, start_ns=0, seconds=1)
    steady(shedding, 40 * MOST, start_ns=SECOND, seconds=0.5)
    found = steady(shedding, MOST, start_ns=SECOND + SECOND // 2, seconds=2)
    assert sorted(set(found)) == [1, 40, 100]


def test_a_long_silence_is_a_whole_second_of_less() -> None:
    shedding = started()
    steady(shedding, 100 * MOST, start_ns=0, seconds=1)
    assert shedding.every == 100
    assert shedding.step(1, 3600 * SECOND) == 1


def test_bursts_that_come_back_within_the_second_keep_it_up() -> None:
    shedding = started()
    found = []
    for tenth in range(1, 60):
        found += steady(shedding, 50 * MOST if tenth % 8 < 1 else 0, start_ns=tenth * SECOND // 10, seconds=0.1)
    assert set(found[80:]) == {50}


def test_a_clock_that_stands_still_divides_nothing_by_nothing() -> None:
    shedding = Shedding(MOST)
    assert [shedding.step(10**6, 5) for _ in range(10)] == [1] * 10


def test_the_limit_may_change() -> None:
    shedding = started()
    steady(shedding, 100 * MOST, start_ns=0, seconds=1)
    shedding.most = 10 * MOST
    assert steady(shedding, 100 * MOST, start_ns=SECOND, seconds=3)[-1] == 10
    shedding.most = 1
    assert steady(shedding, 100 * MOST, start_ns=4 * SECOND, seconds=1)[-1] == 100 * MOST


Steps = list[tuple[int, int]]  # nanoseconds that passed, and packets that came in them
STEPS = st.lists(st.tuples(st.integers(0, SECOND // 4) | st.just(LOOK), st.integers(0, 5000)), max_size=60)


@given(STEPS, st.integers(1, 5000))
def test_it_is_never_less_than_what_the_last_second_needed(steps: Steps, most: int) -> None:
    shedding = Shedding(most)
    now_ns = since_ns = came = 0
    needs: list[tuple[int, int]] = []  # when a look was taken, and what it needed
    shedding.step(0, 0)
    for passed, count in steps:
        now_ns += passed
        came += count
        found = shedding.step(count, now_ns)
        if now_ns - since_ns >= LOOK:
            needs.append((now_ns, max(1, -(-came * SECOND // ((now_ns - since_ns) * most)))))
            since_ns, came = now_ns, 0
        recent = [needed for at_ns, needed in needs if now_ns - at_ns < SECOND]
        assert found >= max(recent, default=1)
        assert found <= max((needed for _, needed in needs), default=1)


@given(STEPS, st.integers(1, 5000))
def test_two_calm_seconds_end_it(steps: Steps, most: int) -> None:
    shedding = Shedding(most)
    now_ns = 0
    for passed, count in steps:
        now_ns += passed
        shedding.step(count, now_ns)
    for _ in range(45):
        now_ns += LOOK
        shedding.step(0, now_ns)
    assert shedding.every == 1
