from __future__ import annotations

import pytest

from tidegate.apps.routing import (
    RouterTable,
    Source,
    Sources,
    bmp_parts,
    make_source,
    parse_next_hops,
    router_name,
)
from tidegate.data.address import parse_address
from tidegate.engine.routing import Routers
from tidegate.errors import ConfigError
from tidegate.wire.bgp.ribin import RibIn

ONE, TWO, SIX = "192.0.2.1", "192.0.2.2", "2001:db8::1"
TABLES = {name: RouterTable(name, asn, "established", (RibIn(),)) for asn, name in enumerate((ONE, TWO, SIX), 65001)}


def find(name: str) -> RouterTable:
    if name not in TABLES:
        raise ConfigError(name, "no such router")
    return TABLES[name]


def source(*agents: str, router: str = ONE, **more: object) -> Source:
    told: dict[str, object] = {"t": 60.0, "value": "bytes", "key": "s", **more}
    return make_source(agents, router, **told)  # type: ignore[arg-type] # what a test says


def asns(routers: Routers | None) -> tuple[int | None, int | None]:
    assert routers is not None
    one, other = routers.ipv4, routers.ipv6
    return None if one is None else one.asn, None if other is None else other.asn


def test_agents_are_tied_to_their_routers_and_the_others_to_that_of_all() -> None:
    sources = Sources()
    assert sources.routing(find) is None
    sources.add(source("10.0.0.1", "10.0.0.2"))
    sources.add(source("10.0.0.2", "::1", router=TWO, router6=SIX))
    routing = sources.routing(find)
    assert routing is not None
    assert routing.default is None
    assert {agent: asns(routers) for agent, routers in routing.agents.items()} == {
        parse_address("10.0.0.1"): (65001, 65001),
        parse_address("10.0.0.2"): (65002, 65003),
        parse_address("::1"): (65002, 65003),
    }
    sources.add(source("EDGE", router=SIX))
    routing = sources.routing(find)
    assert routing is not None
    assert asns(routing.default) == (65003, 65003)
    assert sources.routers() == [ONE, TWO, SIX]


def test_whose_agents_are_ranked() -> None:
    sources = Sources()
    sources.add(source("10.0.0.1"))
    sources.add(source("10.0.0.2", router=TWO, router6=SIX))
    known = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert sources.agents(ONE, ipv6=False, known=known) == "10.0.0.1"
    assert sources.agents(TWO, ipv6=False, known=known) == "10.0.0.2"
    assert sources.agents(TWO, ipv6=True, known=known) == ""
    assert sources.agents(SIX, ipv6=True, known=known) == "10.0.0.2"
    sources.add(source("ALL", router=SIX))
    assert sources.agents(SIX, ipv6=False, known=known) == "10.0.0.3"


def test_a_router_that_is_not_there_ties_its_agents_to_none() -> None:
    sources = Sources()
    sources.add(source("10.0.0.1", router="192.0.2.9", router6=SIX))
    routing = sources.routing(find)
    assert routing is not None
    assert [asns(routers) for routers in routing.agents.values()] == [(None, 65003)]


def test_a_file_is_for_agents_that_nobody_names() -> None:
    table = RouterTable("rib", 65009, "file", (RibIn(),))
    sources = Sources(table)
    sources.add(source("10.0.0.1"))

    def with_file(name: str) -> RouterTable:
        return table if name == "rib" else find(name)

    routing = sources.routing(with_file)
    assert routing is not None
    assert asns(routing.default) == (65009, 65009)
    assert sources.agents("rib", ipv6=False, known=["10.0.0.1", "10.0.0.2"]) == "10.0.0.2"
    sources.add(source("ALL", router=TWO))
    routing = sources.routing(with_file)
    assert routing is not None
    assert asns(routing.default) == (65002, 65002)


def test_flows_that_rank_are_as_many_as_there_are_kinds() -> None:
    sources = Sources()
    sources.add(source("10.0.0.1"))
    sources.add(source("10.0.0.2", router=TWO))
    assert [one.name for one in sources.definitions()] == ["bgp destination 60 bytes", "bgp source 60 bytes"]
    sources.add(source("10.0.0.3", t=5, value="frames"))
    assert {(one.t, one.value_text) for one in sources.definitions()} == {(60.0, "bytes"), (5.0, "frames")}
    assert sources.of(ONE) == source("10.0.0.3", t=5, value="frames")
    assert sources.of("192.0.2.9") is None


def test_there_is_a_limit_to_kinds() -> None:
    sources = Sources()
    for seconds in range(1, 33):
        sources.add(source("10.0.0.1", t=seconds))
        sources.add(source(f"10.0.1.{seconds}", t=seconds))
    with pytest.raises(ConfigError, match="more than 32 different averaging times"):
        sources.add(source("10.0.0.2", t=33))


@pytest.mark.parametrize(
    ("text", "name", "parts"),
    [
        ("192.0.2.1", "192.0.2.1", None),
        ("2001:DB8:0::1", "2001:db8::1", None),
        ("bmp:2001:DB8::1", "bmp:2001:db8::1", ("2001:db8::1", None)),
        ("bmp:loc-rib@192.0.2.1", "bmp:loc-rib@192.0.2.1", ("192.0.2.1", "loc-rib")),
        ("bmp:::A@::1", "bmp:::a@::1", ("::1", "::a")),
        ("rib", "rib", None),
    ],
)
def test_names_of_routers(text: str, name: str, parts: tuple[str, str | None] | None) -> None:
    assert router_name(text) == name
    assert bmp_parts(name) == parts


@pytest.mark.parametrize("text", ["", "x", "bmp:", "bmp:x", "bmp:a@", "10.0.0.0/8", 7, None])
def test_what_names_no_router(text: object) -> None:
    with pytest.raises(ConfigError):
        router_name(text)


def test_next_hops_have_macs_in_any_spelling() -> None:
    spelled = {"192.0.2.1": "00:53:00:00:00:01", "2001:db8::1": "0053.0000.0002", "192.0.2.3": "005300000003"}
    assert list(parse_next_hops(spelled).values()) == [0x5300000001, 0x5300000002, 0x5300000003]
