"""Samples that Open vSwitch's datapath makes (kernels from 6.11 on): probabilities for rates, and cookies."""

from __future__ import annotations

import struct
from pathlib import Path
from socket import if_nametoindex

from guest import lab
from guest.listening import ask, drain, listen
from guest.recordings.case import Told, keep
from guest.traffic import ping
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink.genl import Family
from tidegate.wire.netlink.message import attribute, nested

__all__ = ["record_switch"]

# linux/openvswitch.h
_NEW, _DELETE = 1, 2
_DP_NAME, _DP_UPCALL, _DP_FEATURES = 1, 2, 5
_PORT_NUMBER, _PORT_TYPE, _PORT_NAME, _PORT_UPCALLS = 1, 2, 3, 5
_KEY, _ACTIONS, _MASK, _IN_PORT, _ETHERNET = 1, 2, 7, 3, 4
_OUTPUT, _SAMPLE, _PSAMPLE = 1, 6, 25
_PROBABILITY, _SAMPLED_ACTIONS, _GROUP, _COOKIE = 1, 2, 1, 2
_ALWAYS, _HALF = 0xFFFFFFFF, 1 << 31
_NET = "10.0.9"


def record_switch(out: Path, family: Family) -> dict[str, Told]:
    """Record echoes between two ports, requests all of them, replies one in two."""
    lab.run("modprobe openvswitch")
    for number in (1, 2):
        _plug(number)
    lab.settle()
    datapath = _family("ovs_datapath")
    _ask(datapath, _NEW, 0, attribute(_DP_NAME, b"switch\0") + _u32(_DP_UPCALL, 0) + _u32(_DP_FEATURES, 0))
    switch = if_nametoindex("switch")
    for number in (1, 2):
        port = _u32(_PORT_NUMBER, number) + _u32(_PORT_TYPE, 1) + attribute(_PORT_NAME, f"o{number}\0".encode())
        _ask(_family("ovs_vport"), _NEW, switch, port + _u32(_PORT_UPCALLS, 0))
    for source, probability, cookie in ((1, _ALWAYS, bytes([1, 2, 3, 4])), (2, _HALF, b"reverse")):
        _ask(_family("ovs_flow"), _NEW, switch, _flow(source, probability, cookie))
    with listen(GENERIC, [family.groups["packets"]]) as listener:
        ping(20, f"{_NET}.2")
        messages, _ = drain(listener)
    _ask(datapath, _DELETE, switch, b"")
    lab.run("ip link del o1", "ip link del o2")
    keep(out, "openvswitch", messages)
    traffic = (
        "20 echoes h1 <> h2 through a datapath with ports o1 (111) and o2 (112): requests with probability 2**32-1 and "
        "cookie 01020304, replies with probability 2**31 and cookie `reverse`, all in group 9"
    )
    return {"openvswitch": {"traffic": traffic, "messages": len(messages)}}


def _plug(number: int) -> None:
    """Give a host another interface, whose other end becomes a port."""
    host, other = f"h{number}", 3 - number
    mac, other_mac = (f"02:00:00:00:09:0{one}" for one in (number, other))
    lab.ip(
        f"link add o{number} index {110 + number} type veth peer name eth9 address {mac} netns {host}",
        f"link set o{number} addrgenmode none",
        f"link set o{number} up",
    )
    lab.ip(
        "link set eth9 addrgenmode none",
        "link set eth9 up",
        f"addr add {_NET}.{number}/24 dev eth9",
        f"neigh add {_NET}.{other} lladdr {other_mac} dev eth9 nud permanent",
        namespace=host,
    )


def _flow(source: int, probability: int, cookie: bytes) -> bytes:
    """Return a flow from one port to the other that is sampled on the way."""
    to_psample = nested(_PSAMPLE, _u32(_GROUP, 9), attribute(_COOKIE, cookie))
    sampling = nested(_SAMPLE, _u32(_PROBABILITY, probability), nested(_SAMPLED_ACTIONS, to_psample))
    return (
        nested(_KEY, _u32(_IN_PORT, source), attribute(_ETHERNET, bytes(12)))
        + nested(_ACTIONS, sampling, _u32(_OUTPUT, 3 - source))
        + nested(_MASK, _u32(_IN_PORT, 0xFFFFFFFF), attribute(_ETHERNET, bytes(12)))
    )


def _family(name: str) -> Family:
    with Netlink(GENERIC) as generic:
        family = find_family(generic, name)
    assert family is not None, f"this kernel has no {name}"
    return family


def _ask(family: Family, command: int, switch: int, settings: bytes) -> None:
    with listen(GENERIC) as asking:
        ask(asking, family.id, struct.pack("=BBHi", command, family.version, 0, switch) + settings)


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))
