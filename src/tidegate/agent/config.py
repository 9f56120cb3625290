"""What the agent can be told: `[agent]` of the configuration file, and what command line and hsflowd.conf become."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import msgspec

__all__ = [
    "AgentConfig",
    "CollectorConfig",
    "Direction",
    "DiscardsConfig",
    "NflogConfig",
    "Placement",
    "PsampleConfig",
    "Setup",
    "Source",
]

Rate = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]  # 1 in N packets; 0: none
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Group = Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)]


class Source(Enum):
    """Where sampled packets come from."""

    AUTO = "auto"  # psample where something samples, else NFLOG where a group is named, else packet
    PSAMPLE = "psample"
    NFLOG = "nflog"
    PACKET = "packet"
    NONE = "none"  # counters alone


class Setup(Enum):
    """What the agent itself installs in the kernel, and removes at its end."""

    NONE = ""
    TC = "tc"  # clsact and matchall filters with `action sample`, read by psample
    NFT = "nft"  # a table of its own with log rules at the netdev hooks, read by NFLOG


class Placement(Enum):
    """Where filters of `tc` sample."""

    ANY = "any"  # in hardware where the driver can, else in software
    HARDWARE = "hardware"  # or not at all: a switch that forwards more than its processor could
    SOFTWARE = "software"


class Direction(Enum):
    """Which packets of an interface are sampled, where the agent has a say in it."""

    INGRESS = "ingress"
    EGRESS = "egress"
    BOTH = "both"


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class CollectorConfig(_Section, frozen=True):
    """`[[agent.collectors]]`: where datagrams are sent to."""

    address: str  # IPv4 or IPv6, or a name
    port: Port = 6343  # UDP
    local_address: str = ""  # to send from; empty: what routing says
    interface: str = ""  # to send through, whatever routing says


class PsampleConfig(_Section, frozen=True):
    """`[agent.psample]`: what groups mean. Of others each sample tells: an output interface means egress."""

    ingress_groups: tuple[Group, ...] = (1,)  # with setup = "tc" the first is that of our filters
    egress_groups: tuple[Group, ...] = (2,)
    ignored_groups: tuple[Group, ...] = ()  # of which no sample is sent


class NflogConfig(_Section, frozen=True):
    """`[agent.nflog]`: the user's own rules. A prefix `N=400 ` in a rule tells its rate, and wins."""

    groups: tuple[Annotated[int, msgspec.Meta(ge=0, le=65535)], ...] = ()  # to join
    rate: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] = 1  # 1 in N packets


class DiscardsConfig(_Section, frozen=True):
    """`[agent.discards]`: packets that the kernel or the switch dropped, with reasons (drop_monitor)."""

    enabled: bool = False
    software: bool = True  # drops of the kernel
    hardware: bool = True  # drops that a switch reports (devlink traps)
    per_second: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100  # notifications sent; the others are counted


class AgentConfig(_Section, frozen=True):
    """`[agent]`: the whole."""

    collectors: tuple[CollectorConfig, ...] = ()
    address: str = ""  # the agent address, or an interface that has it; empty: the best there is
    address_prefixes: tuple[str, ...] = ()  # prefixes to prefer among the addresses there are; `!` in front: to avoid
    sub_agent: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFFFF)] = 100_000  # where several agents share an address
    source: Source = Source.AUTO  # auto: psample where something samples, NFLOG where groups are named, else packet
    setup: Setup = Setup.NONE  # what the agent installs in the kernel, and removes at its end
    placement: Placement = Placement.ANY  # where filters of tc sample: any is in hardware where the driver can
    interfaces: tuple[str, ...] = ()  # names or patterns (eth*); empty: all ports
    direction: Direction = Direction.INGRESS  # of packets, where the agent itself samples or sets up sampling
    sampling: Rate | None = None  # 1 in N on every interface; none: by its speed
    sampling_by_interface: dict[str, Rate] = {}  # by name or pattern; before all others
    sampling_by_speed: dict[str, Rate] = {}  # such as "10G" = 10000; before `sampling`
    speed_ratio: Annotated[int, msgspec.Meta(ge=0)] = 1_000_000  # bit/s for each 1 in N; 0: speed decides nothing
    sampling_unknown_speed: Rate = 400  # where nobody knows the speed, or it decides nothing
    polling_s: Annotated[int, msgspec.Meta(ge=0, le=300)] = 30  # counters; 0: none
    header_octets: Annotated[int, msgspec.Meta(ge=16, le=512)] = 128  # of each sampled packet
    datagram_octets: Annotated[int, msgspec.Meta(ge=512, le=8192)] = 1400  # at most
    delay_ms: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100  # what a sample waits for others at most
    most_samples: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 20_000  # a second; beyond, fewer are taken
    psample: PsampleConfig = PsampleConfig()
    nflog: NflogConfig = NflogConfig()
    discards: DiscardsConfig = DiscardsConfig()
    status_file: str = ""  # own counters as JSON, written anew every ten seconds; empty: nowhere
