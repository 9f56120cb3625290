"""What the kinds of interfaces are that the kernel tells of (IFLA_INFO_KIND).

In goes a kind, out comes its row: what such an interface is, which decides whether it is sampled and whose traffic it
counts, and its number at IANA. A kind that nobody knows here is taken for a port: its packets are then seen twice at
worst, and not never.

Answers for: the kernel's `rtnl_link_ops.kind`, IANA ifType-MIB.
"""

from __future__ import annotations

from enum import Enum, auto

import msgspec

__all__ = ["ROWS", "InterfaceKind", "Nature", "Row", "kind_of"]


class Nature(Enum):
    """What an interface is: the end of something, or made of other interfaces."""

    PORT = auto()  # of an adapter or a switch, also a paravirtual one
    RADIO = auto()  # or any hardware else that keeps no counters of Ethernet
    CABLE = auto()  # to another namespace
    PROGRAM = auto()  # a virtual machine or another program is the other end
    INNER = auto()  # an end in another namespace of what is a port, or has a cable's other end, here
    MADE = auto()  # of other interfaces, which its packets pass as well
    TUNNEL = auto()  # through other interfaces
    NOWHERE = auto()  # for copies of packets, or for none


class InterfaceKind(msgspec.Struct, frozen=True):
    """A row of the table."""

    nature: Nature
    if_type: int = 0  # of IANA; 0: as the interface's ARPHRD type says

    @property
    def is_hardware(self) -> bool:
        """Whether all traffic of a machine passes interfaces such as this, each packet once."""
        return self.nature in {Nature.PORT, Nature.RADIO}

    @property
    def leads_out(self) -> bool:
        """Whether traffic of a namespace without hardware passes interfaces such as this."""
        return self.nature in {Nature.CABLE, Nature.INNER}

    @property
    def is_end(self) -> bool:
        """Whether packets enter or leave the machine, or a guest on it, here, and are seen at no other interface."""
        return self.is_hardware or self.nature in {Nature.CABLE, Nature.PROGRAM}


class Row(msgspec.Struct, frozen=True):
    """Kinds that are the same."""

    what: InterfaceKind
    kinds: tuple[str, ...]


_VIRTUAL, _WIRELESS, _TUNNEL, _VLAN, _AGGREGATE, _BRIDGE, _MACSEC = 53, 71, 131, 135, 161, 209, 231
ROWS = (
    Row(InterfaceKind(Nature.PORT), ("", "dsa")),  # drivers of hardware and of paravirtual adapters name no kind
    Row(InterfaceKind(Nature.RADIO), ("wwan", "ipoib")),
    Row(InterfaceKind(Nature.RADIO, _WIRELESS), ("wlan",)),
    Row(InterfaceKind(Nature.CABLE), ("veth",)),
    Row(InterfaceKind(Nature.PROGRAM), ("tun",)),
    Row(InterfaceKind(Nature.PROGRAM, _VIRTUAL), ("netdevsim",)),
    Row(InterfaceKind(Nature.INNER), ("macvlan", "macvtap", "ipvlan", "ipvtap", "netkit")),
    Row(InterfaceKind(Nature.MADE), ("hsr", "batadv")),
    Row(InterfaceKind(Nature.MADE, _AGGREGATE), ("bond", "team")),
    Row(InterfaceKind(Nature.MADE, _BRIDGE), ("bridge",)),
    Row(InterfaceKind(Nature.MADE, _VLAN), ("vlan",)),
    Row(InterfaceKind(Nature.MADE, _MACSEC), ("macsec",)),
    Row(InterfaceKind(Nature.MADE, _VIRTUAL), ("vrf", "openvswitch")),
    Row(
        InterfaceKind(Nature.TUNNEL, _TUNNEL),
        (
            "amt", "bareudp", "erspan", "geneve", "gre", "gretap", "gtp", "ip6erspan", "ip6gre", "ip6gretap", "ip6tnl",
            "ipip", "l2tp_eth", "sit", "vti", "vti6", "vxlan", "wireguard", "xfrm",
        ),
    ),
    Row(InterfaceKind(Nature.NOWHERE, _VIRTUAL), ("dummy", "ifb", "nlmon")),
)  # fmt: skip
_BY_KIND = {kind: row.what for row in ROWS for kind in row.kinds}
_UNKNOWN = InterfaceKind(Nature.PROGRAM)


def kind_of(kind: str) -> InterfaceKind:
    """Return the row of a kind, for one that is not known what is sampled and counts for nothing else."""
    return _BY_KIND.get(kind, _UNKNOWN)
