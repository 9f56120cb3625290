from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from script_files import write
from tidegate.apps.config import (
    BgpConfig,
    Config,
    PeerText,
    ScriptText,
    load_config,
    peers_of,
    script_peer,
    sources_of,
    state_of,
    station_of,
)
from tidegate.apps.routing import Source
from tidegate.errors import ConfigError, SourceError
from tidegate.io.bgp_range import PeerRange
from tidegate.io.bgp_store import StateFile
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.peer_config import PeerConfig
from tidegate.wire.bgp.profile import RFC8955

EVERYTHING = """
store = "store"
events_kept = 5

[sflow]
host = "127.0.0.1"
port = 6344
workers = 2
receive_buffer = 65536
block_size = 16
gather_s = 0.001
agents = ["192.0.2.0/24", "2001:db8::1"]
queue_octets = 2097152

[engine]
table_size = 1024
count_seed = 7
max_sources = 64
max_agents = 32
texts = 128
text_octets = 4096

[geo]
country = "country.mmdb"
asn = "/var/lib/asn.mmdb"
vendors = "oui.txt"

[rest]
enabled = false
host = "::1"
port = 8009
read_only = true
token = "hush-hush"
token_for_reads = true
cors_origins = ["https://example.com"]
hosts = ["tidegate.example.com"]

[bgp]
local_as = 65001
router_id = "192.0.2.1"
port = 1790
listen = ["127.0.0.1"]
state = "bgp.state"
keep_on_stop = true
self_test_s = 2.5

[[bgp.peers]]
address = "192.0.2.2"
max_neighbors = 8
peer_as = 65002
local_as = 65003
port = 1791
local_address = "192.0.2.1"
passive = true
md5_key = "hush-hush"
gtsm_hops = 1
hold_time_s = 30
connect_retry_s = 1.5
graceful_restart_s = 60
stale_s = 90
families = ["ipv4", "ipv6-flowspec"]
add_path = true
extended_next_hop = false
enhanced_refresh = false
max_prefixes = 1000
max_flow_rules = 2000
max_attribute_octets = 1000000
max_prefixes_warn_percent = 50
max_prefixes_restart_s = 30.5
max_routes = 500
profile = "rfc8955"

[[bgp.sources]]
router = "192.0.2.2"
agents = ["192.0.2.77", "EDGE"]
router6 = "bmp:loc-rib@192.0.2.3"
t = 30
value = "frames"

[bgp.next_hops]
"192.0.2.9" = "00:53:00:00:00:09"

[bmp]
allow = ["192.0.2.0/28"]
listen = ["127.0.0.1"]
port = 11020
max_connections = 3
max_peers = 5
max_routes = 7

[agent]
address = "192.0.2.1"
address_prefixes = ["192.0.2.0/24", "!198.51.100.0/24"]
sub_agent = 1
source = "nflog"
setup = "tc"
placement = "hardware"
interfaces = ["eth*"]
direction = "both"
sampling = 1000
sampling_by_interface = { eth0 = 10 }
sampling_by_speed = { "10G" = 20000 }
speed_ratio = 1000
sampling_unknown_speed = 100
polling_s = 20
header_octets = 64
datagram_octets = 1300
delay_ms = 50
most_samples = 1000
status_file = "/run/status.json"

[[agent.collectors]]
address = "192.0.2.10"
port = 6344
local_address = "192.0.2.1"
interface = "mgmt"

[agent.psample]
ingress_groups = [5]
egress_groups = [6]
ignored_groups = [7]

[agent.nflog]
groups = [8]
rate = 400

[agent.discards]
enabled = true
software = false
hardware = false
per_second = 10

[[scripts]]
path = "react.py"
app = "ddos"
config = { limit = 3, names = ["a", "b"] }

[flows.dns]
keys = "ipdestination,udpsourceport"
value = "frames"
filter = "udpsourceport=53"

[thresholds.dns]
metric = "dns"
value = 1000
byFlow = true

[groups.mine]
lab = ["10.0.0.0/8"]

[maps.ports]
web = ["80", "443"]
"""


def loaded(folder: Path, text: str) -> Config:
    return load_config(write(folder, "tidegate.toml", text))


def refused(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return str(caught.value)


def test_without_a_file_everything_has_a_default() -> None:
    assert load_config(None) == Config()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == Config()


def test_every_field_is_read(tmp_path: Path) -> None:
    config = loaded(tmp_path, EVERYTHING)
    defaults = msgspec.to_builtins(Config())
    assert not list(_same(msgspec.to_builtins(config), defaults, ""))
    assert msgspec.to_builtins(config)["bgp"]["peers"][0] == {
        "address": "192.0.2.2", "max_neighbors": 8, "peer_as": 65002, "local_as": 65003, "port": 1791,
        "local_address": "192.0.2.1", "passive": True, "md5_key": "hush-hush", "ttl": None, "gtsm_hops": 1,
        "hold_time_s": 30, "connect_retry_s": 1.5, "graceful_restart_s": 60, "stale_s": 90,
        "families": ("ipv4", "ipv6-flowspec"), "add_path": True, "extended_next_hop": False, "enhanced_refresh": False,
        "max_prefixes": 1000, "max_flow_rules": 2000, "max_attribute_octets": 1_000_000,
            "max_prefixes_warn_percent": 50, "max_prefixes_restart_s": 30.5, "max_routes": 500,
        "profile": "rfc8955",
    }  # fmt: skip
    assert sources_of(config.bgp) == [
        Source(("192.0.2.77", "ALL"), "192.0.2.2", "bmp:loc-rib@192.0.2.3", 30.0, "frames")
    ]
    station = station_of(config.bmp)
    assert station is not None
    assert (station.allow, station.listen, station.port) == (("192.0.2.0/28",), ("127.0.0.1",), 11020)
    assert (station.max_connections, station.router.max_peers, station.router.max_routes) == (3, 5, 7)


def _same(value: dict[str, Any], default: dict[str, Any], above: str) -> Any:  # noqa: ANN401 - an iterator of names
    """Yield the fields that are as they are without a file."""
    for name, part in value.items():
        if isinstance(part, dict) and part.keys() == default[name].keys():
            yield from _same(part, default[name], f"{above}{name}.")
        elif part == default[name]:
            yield above + name


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    config = loaded(tmp_path / "etc", EVERYTHING)
    assert config.scripts == (
        ScriptText(str(tmp_path / "etc" / "react.py"), "ddos", {"limit": 3, "names": ["a", "b"]}),
    )
    assert config.store == str(tmp_path / "etc" / "store")
    assert state_of(config.bgp) == StateFile(str(tmp_path / "etc" / "bgp.state"), keep_on_stop=True)
    assert (config.geo.country, config.geo.asn) == (str(tmp_path / "etc" / "country.mmdb"), "/var/lib/asn.mmdb")
    assert config.geo.vendors == str(tmp_path / "etc" / "oui.txt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sflw]", "sflw: unknown key; did you mean sflow?"),
        ("[sflow]\nprot = 1", "sflow.prot: unknown key; did you mean port?"),
        ("[engine]\ntable-size = 1", "engine.table-size: unknown key; did you mean table_size?"),
        ("[geo]\ncontry = ''", "geo.contry: unknown key; did you mean country?"),
        ("[rest]\ntokens = ''", "rest.tokens: unknown key; did you mean token?"),
        ("[[bgp.peers]]\naddress = '::1'\n[[bgp.peers]]\nadress = '::1'", "bgp.peers.2.adress: unknown key; did"),
        ("[[scripts]]\nfile = 'x'", "scripts.1.file: unknown key; known are app, config, path"),
        ("[flows.x]\nkyes = 'ipsource'", "flows.x: unknown attribute at column 1: ⟶kyes (did you mean keys?)"),
        ("[thresholds.x]\nmetrc = 'a'", "thresholds.x: unknown attribute at column 1: ⟶metrc (did you mean metric?)"),
        ("zzz = 1", "zzz: unknown key; known are agent, bgp,"),
        ("[agent]\nsource = 'pcap'", "agent.source: 'pcap' is none of auto, psample, nflog, packet, none"),
        ("[agent]\nsetup = 'ebpf'", "agent.setup: 'ebpf' is none of nothing, tc, nft"),
    ],
)
def test_unknown_keys_name_the_nearest(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sflow]\nport = 'x'", "sflow.port: expected a whole number, got a text"),
        ("[sflow]\nport = 65536", "sflow.port: expected a whole number <= 65535"),
        ("[sflow]\nport = -1", "sflow.port: expected a whole number >= 0"),
        ("[sflow]\nworkers = 0", "sflow.workers: expected a whole number >= 1"),
        ("[sflow]\nagents = '::1'", "sflow.agents: expected a list, got a text"),
        ("[sflow]\nagents = ['::1', 1]", "sflow.agents.2: expected a text, got a whole number"),
        ("[sflow]\nqueue_octets = 1", "sflow.queue_octets: expected a whole number >= 1048576"),
        ("[engine]\ntable_size = 0", "engine.table_size: expected a whole number >= 16"),
        ("[engine]\ntexts = 1000000000", "engine.texts: expected a whole number <= 268435456"),
        ("[rest]\nenabled = 1", "rest.enabled: expected true or false, got a whole number"),
        ("[rest]\ntoken = 1", "rest.token: expected a text, got a whole number"),
        ("[[bgp.peers]]\nport = 1", "bgp.peers.1: object missing required field `address`"),
        ("[[bgp.peers]]\naddress = '::1'\nttl = 0", "bgp.peers.1.ttl: expected a whole number >= 1"),
        ("events_kept = 0", "events_kept: expected a whole number >= 1"),
        ("sflow = 1", "sflow: expected a table, got a whole number"),
        ("scripts = 1", "scripts: expected a list, got a whole number"),
        ("flows = 1", "flows: expected a table, got a whole number"),
        ("[flows]\nx = 1", "flows.x: expected a table, [flows.x]"),
        ("[groups]\nx = ['::/0']", "groups.x: expected a table, [groups.x]"),
    ],
)
def test_wrong_values_name_their_key(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[flows.x]\nkeys = 'ipsource'\nvalue = 'bytes'\nfilter = 'ipsource=1&'", "flows.x: filter: a key is missing"),
        ("[flows.x]\nkeys = 'mask:ipsource:200'\nvalue = 'bytes'", "flows.x: "),
        ("[groups.x]\na = ['10.0.0.0/99']", "groups.x: label a: this is no prefix and no address at column 1"),
        ("[thresholds.x]\nmetric = 'a'\nvalue = 'much'", "thresholds.x: "),
    ],
)
def test_texts_that_cannot_be_parsed_point_at_the_column(tmp_path: Path, text: str, said: str) -> None:
    error = refused(tmp_path, text)
    assert error.startswith(said)
    assert "⟶" in error


SOURCE = "[[bgp.peers]]\naddress = '192.0.2.2'\n[[bgp.peers]]\naddress = '198.51.100.0/24'\n[[bgp.sources]]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agents = ['ALL']", "bgp.sources.1: object missing required field `router`"),
        ("router = '192.0.2.3'", "bgp.sources.1.router: 192.0.2.3 is no neighbour (known: 192.0.2.2, 198.51.100.0/24)"),
        ("router = '192.0.2.2'\nrouter6 = '::1'", "bgp.sources.1.router6: ::1 is no neighbour (known: "),
        (
            "router = 'here'",
            "bgp.sources.1.router: 'here' is neither an address nor bmp:ADDRESS, bmp:PEER@ADDRESS or rib",
        ),
        ("router = ''", "bgp.sources.1.router: the address of a neighbour is expected, not ''"),
        ("router = '192.0.2.2'\nagents = ['sw1']", "bgp.sources.1.agents: 'sw1' is no agent address, and neither ALL"),
        ("router = '192.0.2.2'\nagents = []", "bgp.sources.1.agents: agent addresses, or ALL, are expected"),
        ("router = '192.0.2.2'\nt = 0", "bgp.sources.1.t: expected a number > 0.0"),
        ("router = '192.0.2.2'\nvalue = 'bits'", "bgp.sources.1.value: 'bits' is none of bytes, frames"),
        ("router = 'rib'\n[bgp.next_hops]\na = 'b'", "next_hops: 'a' is no address"),
        ("router = 'rib'\n[bgp.next_hops]\n'::1' = '00:53'", "next_hops: '00:53' is no MAC address such as 00:53:00"),
        ("router = 'rib'\n[bmp]\nallow = ['x']", "bmp.allow: 'x' does not appear to be an IPv4 or IPv6 network; give"),
    ],
)
def test_sources_that_cannot_be_used_are_refused(tmp_path: Path, text: str, said: str) -> None:
    head = "[bgp]\nlocal_as = 65001\nrouter_id = '192.0.2.1'\n"
    assert refused(tmp_path, head + SOURCE + text).startswith(said)


def test_a_source_may_name_an_address_of_a_prefix_of_neighbours(tmp_path: Path) -> None:
    head = "[bgp]\nlocal_as = 65001\nrouter_id = '192.0.2.1'\n"
    for router in ("198.51.100.7", "bmp:192.0.2.9", "rib"):
        config = loaded(tmp_path, f"{head}{SOURCE}router = '{router}'")
        assert [source.router for source in sources_of(config.bgp)] == [router]


def test_a_script_adds_a_neighbour_with_the_keys_of_the_file() -> None:
    config = script_peer("2001:DB8::1", "65001", "192.0.2.1", {"families": ("ipv6",), "peer_as": 65002, "ttl": 3})
    assert (config.address, config.local_as, config.router_id) == ("2001:db8::1", 65001, "192.0.2.1")
    assert (config.families, config.peer_as, config.ttl) == ((Family.IPV6_UNICAST,), 65002, 3)
    assert script_peer("192.0.2.2", 65001, 0xC0000201, {}).router_id == "192.0.2.1"


@pytest.mark.parametrize(
    ("router", "local_as", "router_id", "told", "said"),
    [
        ("192.0.2.0/24", 1, "192.0.2.1", {}, "add_neighbor.router: an address is expected, not '192.0.2.0/24'"),
        (7, 1, "192.0.2.1", {}, "add_neighbor.router: an address is expected, not 7"),
        ("192.0.2.2", 0, "192.0.2.1", {}, "bgp.peers.192.0.2.2.local_as: expected a whole number >= 1"),
        ("192.0.2.2", "x", "192.0.2.1", {}, "bgp.peers.192.0.2.2.local_as: expected a whole number"),
        ("192.0.2.2", 1, "x", {}, "bgp.peers.192.0.2.2.router_id: an IPv4 address is expected, not 'x'"),
        ("192.0.2.2", 1, "192.0.2.1", {"md5": ""}, "bgp.peers.192.0.2.2.md5: unknown setting; did you mean md5_key?"),
        ("192.0.2.2", 1, "192.0.2.1", {"profile": "x"}, "bgp.peers.192.0.2.2.profile: 'x' is none of "),
        ("here", 1, "192.0.2.1", {}, "bgp.peers.here"),
    ],
)
def test_a_neighbour_that_a_script_cannot_add(
    router: Any,  # noqa: ANN401 - scripts are not always type-checked
    local_as: int | str,
    router_id: str,
    told: dict[str, object],
    said: str,
) -> None:
    with pytest.raises(ConfigError) as caught:
        script_peer(router, local_as, router_id, told)
    assert str(caught.value).startswith(said)


ROUTER = '[bgp]\nlocal_as = 65001\nrouter_id = "192.0.2.1"\n[[bgp.peers]]\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[bgp.peers]]\naddress = '::1'", "bgp: peers need local_as and router_id"),
        (ROUTER + "address = 'router1'", "bgp.peers.router1.address: 'router1' is no address"),
        (ROUTER + "address = '::1'\nprofile = 'best'", "bgp.peers.1.profile: 'best' is none of safe, rfc8955"),
        (ROUTER + "address = '::1'\nfamilies = ['evpn']", "bgp.peers.1.families: 'evpn' is none of ipv4, ipv6,"),
        (ROUTER + "address = '::1'\nfamilies = []", "bgp.peers.::1.families: at least one family is needed"),
        (ROUTER + "address = '::1'\nhold_time_s = 2", "bgp.peers.::1.hold_time_s: 2 is not from 3 to 65535"),
        (
            ROUTER + "address = '192.0.2.1/24'",
            "bgp.peers.192.0.2.1/24.address: 192.0.2.1/24 has bits beyond its length",
        ),
        (ROUTER + "address = 'x/24'", "bgp.peers.x/24.address: 'x/24' is neither an address nor a prefix"),
        (ROUTER + "address = '192.0.2.0/24'\nhold_time_s = 2", "bgp.peers.192.0.2.0.hold_time_s: 2 is not from 3"),
        (ROUTER + "address = '::1'\nttl = 3\ngtsm_hops = 1", "bgp.peers.::1.ttl: GTSM sends with a time-to-live of"),
        (ROUTER + "address = '::/64'\nttl = 3\ngtsm_hops = 1", "bgp.peers.::/64.ttl: GTSM sends with a time-to-live"),
        (ROUTER + "address = 'fe80::1'", "bgp.peers.fe80::1.address: a link-local address needs its interface, such"),
        ("[bgp]\nkeep_on_stop = true", "bgp.keep_on_stop: there is nothing to keep without bgp.state"),
        (ROUTER.replace("192.0.2.1", "router") + "address = '::1'", "bgp.peers.::1.router_id: 'router' is no address"),
    ],
)
def test_wrong_peers_are_refused_at_the_start(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


def test_peers_are_what_the_speaker_takes() -> None:
    texts = (PeerText("192.0.2.2", families=("ipv6-flowspec",), profile="rfc8955"), PeerText("::1", local_as=7))
    first, second = peers_of(BgpConfig(local_as=65001, router_id="192.0.2.1", peers=texts))
    assert isinstance(first, PeerConfig)
    assert isinstance(second, PeerConfig)
    assert (first.local_as, first.families, first.profile) == (65001, (Family.IPV6_FLOWSPEC,), RFC8955)
    assert (second.address, second.local_as, second.router_id) == ("::1", 7, "192.0.2.1")


def test_what_a_peer_is_told_has_the_defaults_of_the_core() -> None:
    (peer,) = peers_of(BgpConfig(local_as=65001, router_id="192.0.2.1", peers=(PeerText("192.0.2.2"),)))
    assert peer == PeerConfig("192.0.2.2", 65001, "192.0.2.1")


def test_a_prefix_is_a_range_of_peers() -> None:
    text = PeerText("2001:db8::/64", peer_as=65002, max_prefixes=7, max_neighbors=3)
    (peers,) = peers_of(BgpConfig(local_as=65001, router_id="192.0.2.1", peers=(text,)))
    template = PeerConfig("2001:db8::/64", 65001, "192.0.2.1", peer_as=65002, max_prefixes=7)
    assert peers == PeerRange("2001:db8::/64", template, max_neighbors=3)


def test_without_peers_nothing_is_needed() -> None:
    assert peers_of(BgpConfig()) == []
    assert state_of(BgpConfig()) is None


def test_what_is_not_toml_names_file_and_line(tmp_path: Path) -> None:
    said = refused(tmp_path, "[sflow]\nport = 1\nhost = \n")
    assert "tidegate.toml is not TOML" in said
    assert "line 3" in said


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.toml: No such file or directory"):
        load_config(tmp_path / "none.toml")
    with pytest.raises(SourceError, match="Is a directory"):
        load_config(tmp_path)
    (tmp_path / "latin1.toml").write_bytes(b'store = "\xe4"')
    with pytest.raises(SourceError, match="utf-8"):
        load_config(tmp_path / "latin1.toml")


@pytest.mark.parametrize("line", ["port = 'x'", "unknown = 1", "ttl = 999", "families = ['x']", "profile = 'x'", "= ="])
def test_secrets_are_in_no_error(tmp_path: Path, line: str) -> None:
    text = f"rest = {{token = 'hush-hush'}}\n{ROUTER}address = '::1'\nmd5_key = 'hush-hush'\n{line}"
    assert "hush" not in refused(tmp_path, text)


def test_a_secret_of_the_wrong_kind_is_in_no_error(tmp_path: Path) -> None:
    assert "4711" not in refused(tmp_path, "[rest]\ntoken = 4711")
    assert "hush" not in refused(tmp_path, f"{ROUTER}address = '::1'\nmd5_key = ['hush']")
    assert "hush" not in refused(tmp_path, f"{ROUTER}address = '::1'\nmd5_key = '{'hush' * 21}'")
