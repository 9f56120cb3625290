from __future__ import annotations

from script_files import example
from tidegate.apps.fake_runtime import FakeRuntime

SCRIPT = example("elephants")


def test_a_large_flow_is_logged_when_it_begins_and_when_it_ends() -> None:
    fake = FakeRuntime(config={"bits_per_s": 1e9, "min_octets": 1e6})
    SCRIPT.setup(fake.rt)
    assert fake.backend.limits["elephant"].value == 125e6
    fake.fire("elephant", flow_key="192.0.2.1,192.0.2.2,50112,443", value=250e6)
    fake.record("elephant", "192.0.2.1,192.0.2.2,50112,443", value=5e9, seconds=20)
    fake.record("elephant", "192.0.2.1,192.0.2.2,50113,443", value=1000)
    assert fake.lines() == [
        "large flow 192.0.2.1 port 50112 → 192.0.2.2 port 443: 2000 Mbit/s at 192.0.2.254",
        "flow 192.0.2.1 port 50112 → 192.0.2.2 port 443: 5000 MB in 20 s",
    ]
