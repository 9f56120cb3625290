from __future__ import annotations

from tidegate.apps.bgp_log import BgpLog


def test_a_router_that_flaps_does_not_push_out_the_others() -> None:
    now = 0.0

    def clock() -> float:
        return now

    log = BgpLog(clock)
    log.add("192.0.2.1", "change", "idle to connect")
    for number in range(1000):
        now = float(number)
        log.add("192.0.2.2", "change", f"line {number}")
    assert log.total == 1001
    assert [line.text for line in log.latest("192.0.2.1")] == ["idle to connect"]
    mine = log.latest("192.0.2.2", most=1000)
    assert (len(mine), mine[0].text, mine[0].time, mine[-1].text) == (200, "line 999", 999.0, "line 800")
    assert [line.notice_id for line in log.latest(most=3)] == [1001, 1000, 999]
    assert log.latest(most=1000)[-1].router == "192.0.2.1"
    assert log.latest("192.0.2.3") == []


def test_of_too_many_routers_the_silent_one_is_forgotten() -> None:
    log = BgpLog(lambda: 0.0)
    for number in range(1100):
        log.add(f"router {number}", "bmp", "connected")
        log.add("router 0", "bmp", "again")
    assert log.latest("router 0")
    assert not log.latest("router 1")
    assert len({line.router for line in log.latest(most=10_000)}) == 1024
