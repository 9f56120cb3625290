from __future__ import annotations

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.address import choose_address, is_local, keep, parse_preferences
from tidegate.errors import ConfigError
from tidegate.wire.netlink.ifaddr import AddressFlags, InterfaceAddress
from tidegate.wire.netlink.link import Link

LINKS = [Link(1, "lo", 772), Link(2, "eth0"), Link(3, "eth1"), Link(4, "vlan7", kind="vlan"), Link(5, "eth2")]
# From the worst to the best, with the interface that each is on.
ORDER = [
    ("240.0.0.1", 2),
    ("224.0.0.1", 2),
    ("::1", 1),
    ("127.0.0.1", 1),
    ("169.254.0.1", 2),
    ("fe80::1", 2),
    ("2001:db8::7", 4),
    ("192.0.2.7", 4),
    ("fd00::1", 2),
    ("2001:db8::1", 2),
    ("192.168.0.1", 2),
    ("192.0.2.1", 2),
]
LEASED, TEMPORARY, STEADY = 0, int(AddressFlags.TEMPORARY), int(AddressFlags.PERMANENT)


def on(text: str, index: int = 2, flags: int = STEADY) -> InterfaceAddress:
    return InterfaceAddress(index, ipaddress.ip_address(text).packed, flags=flags)


def chosen(*addresses: InterfaceAddress, configured: str = "", prefer: tuple[str, ...] = ()) -> str:
    octets = choose_address(configured, addresses, LINKS, preferences=parse_preferences(prefer))
    return str(ipaddress.ip_address(octets)) if octets else ""


@given(st.randoms(use_true_random=False), st.integers(0, len(ORDER) - 1))
def test_the_best_kind_wins_whatever_the_order(draw: random.Random, best: int) -> None:
    addresses = [on(*one) for one in ORDER[: best + 1]]
    draw.shuffle(addresses)
    assert chosen(*addresses) == ORDER[best][0]


@pytest.mark.parametrize("text", ["10.1.2.3", "172.31.0.1", "192.168.5.5", "100.64.0.1"])
def test_private_addresses_are_of_one_kind(text: str) -> None:
    assert chosen(on("10.0.0.1", 5), on(text, 3)) == text
    assert chosen(on(text, 2), on("198.51.100.1", 5)) == "198.51.100.1"


@pytest.mark.parametrize(("text", "worse"), [("fe80::9", "169.254.9.9"), ("169.254.9.9", "127.0.0.2")])
def test_on_a_vlan_bad_addresses_are_no_better(text: str, worse: str) -> None:
    assert chosen(on(text, 4), on(worse, 2)) == text
    assert chosen(on(text, 4), on("fd00::1", 2)) == "fd00::1"


def test_a_loopback_interface_may_have_the_routers_address() -> None:
    assert chosen(on("127.0.0.1", 1), on("192.0.2.9", 1), on("192.0.2.1", 2)) == "192.0.2.9"


@pytest.mark.parametrize("text", ["0.0.0.0", "::"])  # noqa: S104 - nothing is bound
def test_no_address_is_not_chosen(text: str) -> None:
    assert chosen(on(text)) == ""
    assert chosen() == ""


def test_ties() -> None:
    low, high = on("192.0.2.1", 2), on("192.0.2.2", 3)
    assert chosen(high, low) == "192.0.2.1"
    assert chosen(on("192.0.2.3", 2), low) == "192.0.2.3"  # found first
    assert chosen(on("192.0.2.1", 2, LEASED), high) == "192.0.2.2"


def test_of_one_network_the_address_that_stays() -> None:
    temporary, advertised = on("2001:db8::a", 2, TEMPORARY), on("2001:db8::b", 2, LEASED)
    assert chosen(temporary, advertised) == "2001:db8::b"
    assert chosen(temporary, on("2001:db8::c", 3, STEADY), advertised) == "2001:db8::c"
    assert chosen(on("2001:db8::d", 2, STEADY | AddressFlags.DEPRECATED), advertised) == "2001:db8::b"


def test_an_address_that_may_be_anothers_is_not_taken() -> None:
    assert chosen(on("2001:db8::1", 2, STEADY | AddressFlags.TENTATIVE), on("fe80::1")) == "fe80::1"


def test_an_interface_that_nobody_told_of() -> None:
    assert chosen(on("192.0.2.1", 99)) == "192.0.2.1"
    assert chosen(on("192.0.2.1", 99), configured="eth0") == ""


@pytest.mark.parametrize(
    ("prefer", "address"),
    [
        ((), "192.0.2.1"),
        (("10.0.0.0/8",), "10.0.0.1"),
        (("2001:db8::/32",), "2001:db8::1"),
        (("2001:db8::/32", "10.0.0.0/8"), "2001:db8::1"),
        (("203.0.113.0/24", "10.0.0.0/8"), "10.0.0.1"),
        (("!192.0.2.0/24",), "10.0.0.1"),
        (("! 192.0.2.0/24", "!10.0.0.0/8"), "2001:db8::1"),
        (("!10.0.0.1", "10.0.0.0/8"), "10.0.0.2"),  # the first that has an address decides
        (("0.0.0.0/0",), "192.0.2.1"),
    ],
)
def test_prefixes_to_prefer_and_to_avoid(prefer: tuple[str, ...], address: str) -> None:
    addresses = [on("10.0.0.1"), on("10.0.0.2"), on("192.0.2.1"), on("2001:db8::1")]
    assert chosen(*addresses, prefer=prefer) == address


def test_an_avoided_address_is_better_than_none() -> None:
    assert chosen(on("192.0.2.1"), prefer=("!192.0.2.0/24",)) == "192.0.2.1"


@pytest.mark.parametrize("text", ["192.0.2.0/33", "192.0.2.1/24", "eth0", "!", ""])
def test_prefixes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"agent\.address_prefixes: .*expected a prefix such as"):
        parse_preferences([text])


def test_a_configured_address_is_taken_as_it_is() -> None:
    assert chosen(on("192.0.2.1"), configured="203.0.113.9") == "203.0.113.9"
    assert chosen(configured="2001:db8::9") == "2001:db8::9"


def test_a_configured_interface_gives_its_best() -> None:
    addresses = [on("192.0.2.1", 2), on("10.0.0.1", 3), on("fe80::3", 3)]
    assert chosen(*addresses, configured="eth1") == "10.0.0.1"
    assert chosen(*addresses, configured="eth7") == ""
    assert chosen(*addresses, configured="192.0.2") == ""  # an interface could have this name


@pytest.mark.parametrize("text", ["two words", "an-interface-name-of-20", "a/b", "1::2::3", "fe80::1%eth0/64"])
def test_what_is_neither(text: str) -> None:
    with pytest.raises(ConfigError, match="neither an IP address nor the name of an interface"):
        chosen(configured=text)


def test_the_chosen_one_stays_as_long_as_it_is_there() -> None:
    current = on("10.0.0.1").address
    assert keep(current, [on("192.0.2.1"), on("10.0.0.1", 5)])
    assert not keep(current, [on("192.0.2.1")])
    assert not keep(b"", [on("192.0.2.1")])


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("169.254.7.7", True),
        ("fe80::1", True),
        ("febf::1", True),
        ("192.0.2.1", False),
        ("10.0.0.1", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("2001:db8::1", False),
    ],
)
def test_what_means_nothing_to_other_networks(text: str, *, local: bool) -> None:
    assert is_local(ipaddress.ip_address(text).packed) == local
