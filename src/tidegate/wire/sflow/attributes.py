"""What counters samples tell of their data source besides counters: names, speeds, states, hosts.

Names and texts are those of the flow language. Numbers without a name print as numbers.

Answers for: sFlow version 5 section 5.4 (generic interface counters), sFlow Port Name, sFlow Host Structures, IANA's
ifType registry (the types that switches and hosts report).
"""

from __future__ import annotations

import msgspec

from tidegate.wire.sflow.host_counters import HostAdapters, HostDescr
from tidegate.wire.sflow.interface_counters import IfCounters, PortName

__all__ = ["adapter_macs", "source_attributes"]

_TYPES = {
    1: "other", 6: "ethernetCsmacd", 23: "ppp", 24: "softwareLoopback", 53: "propVirtual", 117: "gigabitEthernet",
    131: "tunnel", 135: "l2vlan", 136: "l3ipvlan", 161: "ieee8023adLag", 166: "mpls", 71: "ieee80211", 209: "bridge",
}  # fmt: skip
_DIRECTIONS = {0: "unknown", 1: "full-duplex", 2: "half-duplex", 3: "in", 4: "out"}
_MACHINES = {
    0: "unknown", 1: "other", 2: "x86", 3: "x86_64", 4: "ia64", 5: "sparc", 6: "alpha", 7: "powerpc", 8: "m68k",
    9: "mips", 10: "arm", 11: "hppa", 12: "s390",
}  # fmt: skip
_SYSTEMS = {
    0: "unknown", 1: "other", 2: "linux", 3: "windows", 4: "darwin", 5: "hpux", 6: "aix", 7: "dragonfly",
    8: "freebsd", 9: "netbsd", 10: "openbsd", 11: "osf", 12: "solaris",
}  # fmt: skip


def source_attributes(records: tuple[msgspec.Struct, ...], *, logical: bool = False) -> dict[str, str]:
    """Return what records tell; the host of a `logical` entity (class 3) is a virtual one."""
    told: dict[str, str] = {}
    for record in records:
        match record:
            case IfCounters():
                told |= _interface(record)
            case PortName(name) if name:
                told["ifname"] = _text(name)
            case HostDescr():
                host = _host(record)
                told |= {"vir_host_name": host["host_name"]} if logical and "host_name" in host else host
            case _:
                pass  # counters: they are metrics, not attributes
    return told


def adapter_macs(records: tuple[msgspec.Struct, ...]) -> list[str]:
    """Return the MACs of a host's adapters, as the flow language prints them."""
    found = [record.adapters for record in records if isinstance(record, HostAdapters) and record.adapters]
    return [mac.hex().upper() for adapters in found for adapter in adapters for mac in adapter.mac_address or ()]


def _interface(record: IfCounters) -> dict[str, str]:
    status = record.ifStatus
    told = {
        "ifindex": _number(record.ifIndex),
        "iftype": _named(record.ifType, _TYPES),
        "ifspeed": _number(record.ifSpeed),
        "ifdirection": _named(record.ifDirection, _DIRECTIONS),
        "ifadminstatus": None if status is None else ("up" if status & 1 else "down"),
        "ifoperstatus": None if status is None else ("up" if status & 2 else "down"),
    }
    return {name: text for name, text in told.items() if text is not None}


def _host(record: HostDescr) -> dict[str, str]:
    told = {
        "host_name": _text(record.hostname) if record.hostname else None,
        "uuid": record.uuid.hex() if record.uuid else None,
        "machine_type": _named(record.machine_type, _MACHINES),
        "os_name": _named(record.os_name, _SYSTEMS),
        "os_release": _text(record.os_release) if record.os_release else None,
    }
    return {name: text for name, text in told.items() if text is not None}


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _named(value: int | None, names: dict[int, str]) -> str | None:
    return None if value is None else names.get(value, str(value))


def _text(octets: bytes) -> str:
    return octets[:255].decode("utf-8", "replace")
