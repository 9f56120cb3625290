"""Which interfaces are sampled and at what rate."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.agent.config import AgentConfig
from tidegate.agent.ports import Port, check_rates, known_interfaces, layer_of, ports_of, sampling_rate, unmatched
from tidegate.agent.sampler import KnownInterface
from tidegate.errors import ConfigError
from tidegate.wire.netlink.link import Link, LinkFlags

G = 10**9
UP = int(LinkFlags.UP)


def link(index: int, name: str, *, flags: int = UP, kind: str = "", hardware: int = 1) -> Link:
    return Link(index, name, type=hardware, flags=flags, kind=kind)


LINKS = [
    link(5, "br0", kind="bridge"),
    link(1, "lo", flags=UP | LinkFlags.LOOPBACK, hardware=772),
    link(2, "eth0"),
    link(3, "eth1", flags=0),
    link(4, "bond0", kind="bond"),
    link(6, "eth0.100", kind="vlan"),
    link(7, "veth9", kind="veth"),
    link(8, "tun0", kind="tun", hardware=65534),
    link(9, "vx0", kind="vxlan"),
]


def names(config: AgentConfig) -> list[str]:
    return [port.name for port in ports_of(LINKS, {}, config)]


def test_ports_are_sampled_and_not_what_is_made_of_them() -> None:
    assert ports_of(LINKS, {2: 10 * G}, AgentConfig()) == (
        Port(2, "eth0", 10_000, 2),
        Port(7, "veth9", 400, 2),
        Port(8, "tun0", 400, 3),
    )


def test_named_interfaces_are_sampled_whatever_they_are() -> None:
    assert names(AgentConfig(interfaces=("br0", "lo"))) == ["lo", "br0"]
    assert names(AgentConfig(interfaces=("eth*",))) == ["eth0", "eth0.100"]  # eth1 is down
    assert names(AgentConfig(interfaces=("ETH0", "nothing"))) == []


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ((), ()),
        (("eth0", "br0", "lo"), ()),
        (("eth*",), ()),
        (("eth1",), ("eth1",)),  # it is down
        (("nothing*", "eth0", "ETH0"), ("nothing*", "ETH0")),
    ],
)
def test_names_that_fit_no_interface_that_is_up(told: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    assert unmatched(LINKS, AgentConfig(interfaces=told)) == wanted


def test_a_rate_of_0_is_none() -> None:
    assert names(AgentConfig(sampling_by_interface={"veth*": 0})) == ["eth0", "tun0"]
    assert names(AgentConfig(sampling=0)) == []


@pytest.mark.parametrize(
    ("speed", "told", "rate"),
    [
        (10 * G, {}, 10_000),
        (100 * G, {}, 100_000),
        (10**7, {}, 100),  # never below
        (0, {}, 400),
        (0, {"sampling_unknown_speed": 50}, 50),
        (10 * G, {"speed_ratio": 0}, 400),
        (10 * G, {"speed_ratio": 10**7}, 1000),
        (10 * G, {"speed_ratio": 1}, 0xFFFFFFFF),  # as much as a filter can say
        (10 * G, {"sampling": 7}, 7),
        (0, {"sampling": 7}, 7),
        (10 * G, {"sampling": 7, "sampling_by_speed": {"10G": 9, "1G": 8}}, 9),
        (2_500_000_000, {"sampling_by_speed": {"2.5g": 9}}, 9),
        (10**8, {"sampling_by_speed": {"100M": 9}}, 9),
        (10**5, {"sampling_by_speed": {"100k": 9}}, 9),
        (10**12, {"sampling_by_speed": {"1T": 9}}, 9),
        (64, {"sampling_by_speed": {"64": 9}}, 9),
        (0, {"sampling_by_speed": {"0": 9}}, 400),  # not known is no speed
        (10 * G, {"sampling_by_interface": {"eth*": 3}, "sampling_by_speed": {"10G": 9}, "sampling": 7}, 3),
        (10 * G, {"sampling_by_interface": {"eth1": 3, "eth*": 4}}, 4),
    ],
)
def test_rates(speed: int, told: dict[str, Any], rate: int) -> None:
    config = AgentConfig(**told)
    check_rates(config)
    assert sampling_rate("eth0", speed, config) == rate


@pytest.mark.parametrize("text", ["", "fast", "10 G", "-1G", "1.G", "10Gb", "1e3", "٣G", "9" * 400, "1" + "0" * 16])
def test_a_speed_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is no speed; write it as 10G or 100M"):
        check_rates(AgentConfig(sampling_by_speed={text: 400}))


def test_what_the_sampler_knows() -> None:
    config = AgentConfig(sampling_by_interface={"eth0": 500})
    theirs = known_interfaces(LINKS[1:3], {2: 10 * G}, config, rates_are_ours=False)
    assert theirs == [KnownInterface(1, "lo", 2, 0), KnownInterface(2, "eth0", 2, 500)]
    ours = known_interfaces(LINKS[1:3], {}, config, rates_are_ours=True)
    assert [one.least for one in ours] == [0, 0]


@pytest.mark.parametrize(("kind", "layer"), [(1, 2), (772, 2), (65534, 3), (512, 3), (768, 3), (778, 3)])
def test_what_packets_begin_with(kind: int, layer: int) -> None:
    assert layer_of(link(2, "x", hardware=kind)) == layer
