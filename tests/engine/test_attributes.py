import numpy as np
import pytest

from tidegate.engine.attributes import Attributes
from tidegate.engine.definition import HostAttribute, Threshold

SWITCH = (0, 0xFFFF_0A00_0001)  # 10.0.0.1
OTHER = (0, 0xFFFF_0A00_0002)


def threshold(**wanted: tuple[str, ...]) -> Threshold:
    return Threshold("t", "flow", 1.0, filter=tuple(wanted.items()))


@pytest.fixture
def attributes() -> Attributes:
    known = Attributes(8)
    known.note(0, (SWITCH, "3"), {"ifindex": "3", "ifspeed": "10000000000", "ifname": "swp3"}, [])
    known.note(1, (SWITCH, "4"), {"ifindex": "4", "ifspeed": "1000000000", "ifname": "eth4"}, [])
    known.note(2, (SWITCH, "2.1"), {"host_name": "leaf1", "os_name": "linux"}, ["02AB10000C01"])
    known.note(3, (OTHER, "3"), {"ifindex": "3"}, [])
    return known


def allowed(attributes: Attributes, **wanted: tuple[str, ...]) -> list[int]:
    return [int(number) for number in np.flatnonzero(attributes.allowed(threshold(**wanted), 8))]


def test_no_filter_looks_at_every_source(attributes: Attributes) -> None:
    assert allowed(attributes) == list(range(8))


def test_values_are_alternatives_and_names_are_conditions(attributes: Attributes) -> None:
    assert allowed(attributes, ifspeed=("1000000000", "10000000000")) == [0, 1]
    assert allowed(attributes, ifspeed=("1000000000",), ifname=("swp3",)) == []


def test_numbers_are_equal_whatever_their_spelling(attributes: Attributes) -> None:
    assert allowed(attributes, ifspeed=("1e10",)) == [0]


def test_stars_stand_for_any_characters(attributes: Attributes) -> None:
    assert allowed(attributes, ifname=("swp*",)) == [0]
    assert allowed(attributes, ifspeed=("*",)) == [0, 1]
    assert allowed(attributes, ifname=("[s]wp*",)) == []


def test_what_the_host_tells_holds_for_its_interfaces(attributes: Attributes) -> None:
    assert allowed(attributes, os_name=("linux",)) == [0, 1, 2]
    assert attributes.of(0) == {
        "ifindex": "3", "ifspeed": "10000000000", "ifname": "swp3", "host_name": "leaf1", "os_name": "linux",
    }  # fmt: skip


def test_a_host_is_known_by_its_address_and_its_adapters(attributes: Attributes) -> None:
    assert attributes.hosts["10.0.0.1"] == attributes.hosts["02AB10000C01"]
    assert attributes.hosts["10.0.0.1"][HostAttribute.HOST_NAME] == "leaf1"


def test_the_version_grows_only_with_changes(attributes: Attributes) -> None:
    before = attributes.version
    attributes.note(0, (SWITCH, "3"), {"ifindex": "3"}, [])
    assert attributes.version == before
    attributes.note(0, (SWITCH, "3"), {"ifspeed": "0"}, [])
    assert attributes.version == before + 1


def test_a_source_is_read_again_only_after_a_while() -> None:
    known = Attributes(4)
    second = 1_000_000_000
    start = 1_700_000_000 * second
    assert list(known.due(np.array([0, -1, 1]), np.array([start, start, start]))) == [0, 2]
    assert list(known.due(np.array([0, 1]), np.array([start + 9 * second, start + 10 * second]))) == [1]
