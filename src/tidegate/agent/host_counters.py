"""What a Linux host tells of itself, as sFlow's host records.

In go the texts of the host and its interfaces, out comes the tuple of records of one counters sample. A text that is
missing or odd leaves out the records that are made of it; nothing raises. Numbers that sFlow has 32 bits for are their
low bits.

Answers for: sFlow Host Structures, proc(5), RFC 1213 (the groups; UDP with IPv6, as RFC 4113 counts it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from tidegate.agent.interface_kinds import kind_of
from tidegate.wire.netlink.link import Link, LinkFlags, Stats
from tidegate.wire.procfs import (
    HostTexts,
    parse_cpu_count,
    parse_cpu_mhz,
    parse_cpu_times,
    parse_disks,
    parse_fields,
    parse_snmp,
)
from tidegate.wire.sflow.host_counters import (
    HostAdapter,
    HostAdapters,
    HostCpu,
    HostDescr,
    HostDiskIo,
    HostMemory,
    HostNetIo,
    Mib2IcmpGroup,
    Mib2IpGroup,
    Mib2TcpGroup,
    Mib2UdpGroup,
)

__all__ = ["host_ports", "host_records"]

_Group = TypeVar("_Group", Mib2IpGroup, Mib2IcmpGroup, Mib2TcpGroup)

_WORD, _LONG = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_MOST_ADAPTERS = 32
_LINUX = 2  # os_name
# By the first letters of uname's machine; sFlow has no number for others, riscv64 among them.
_MACHINES = (
    ("x86_64", 3),
    *((f"i{model}86", 2) for model in "3456"),
    ("ia64", 4),
    ("sparc", 5),
    ("alpha", 6),
    ("ppc", 7),
    ("m68k", 8),
    ("mips", 9),
    ("arm", 10),
    ("aarch64", 10),
    ("parisc", 11),
    ("s390", 12),
)
# Of boards whose maker put none in (as systemd's list).
_NO_UUID = {bytes(16), b"\xff" * 16, bytes.fromhex("03000200040005000006000700080009")}
# In /proc/net/snmp, by field.
_SPELLED = {
    "icmpInParamProbs": "InParmProbs",
    "icmpOutParamProbs": "OutParmProbs",
    "tcpInCsumErrs": "InCsumErrors",
}


def host_records(texts: HostTexts, links: Sequence[Link]) -> tuple[msgspec.Struct, ...]:
    """Return the records of the host; `links` are all interfaces with their counters."""
    makers: tuple[Callable[[], msgspec.Struct | None], ...] = (
        lambda: _descr(texts),
        lambda: _adapters(links),
        lambda: _cpu(texts),
        lambda: _memory(texts),
        lambda: _disk_io(texts),
        lambda: _net_io(links),
        lambda: _group(Mib2IpGroup, "Ip", texts.snmp),
        lambda: _group(Mib2IcmpGroup, "Icmp", texts.snmp),
        lambda: _group(Mib2TcpGroup, "Tcp", texts.snmp),
        lambda: _udp(texts),
    )
    return tuple(record for record in map(_made, makers) if record is not None)


def host_ports(links: Iterable[Link]) -> tuple[Link, ...]:
    """Return the interfaces through which all traffic of the host goes, each packet once.

    That is the hardware, without what is made of it (bonds, bridges, VLANs, tunnels) or goes through it (virtual
    machines, containers). Where there is none, as in a container, it is what leads out of the namespace.
    """
    here = {link.index: link for link in links if not link.flags & LinkFlags.LOOPBACK and not link.lower}
    ports = {index: link for index, link in here.items() if kind_of(link.kind).is_hardware}
    # Some adapters are two in one, of which the upper counts for both: a virtual function below hv_netvsc.
    found = tuple(link for link in ports.values() if link.master not in ports)
    return found or tuple(link for link in here.values() if kind_of(link.kind).leads_out)


def _made(maker: Callable[[], msgspec.Struct | None]) -> msgspec.Struct | None:
    try:
        return maker()
    except (ValueError, LookupError, ArithmeticError):
        return None


def _descr(texts: HostTexts) -> HostDescr:
    machine = next(
        (number for start, number in _MACHINES if texts.machine.startswith(start)), 1 if texts.machine else 0
    )
    uuid = _uuid(texts.product_uuid) or _uuid(texts.machine_id) or bytes(16)
    return HostDescr(texts.hostname.encode()[:64], uuid, machine, _LINUX, texts.release.encode()[:32])


def _uuid(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text.strip().replace("-", ""))
    except ValueError:
        return b""
    return octets if len(octets) == 16 and octets not in _NO_UUID else b""


def _adapters(links: Sequence[Link]) -> HostAdapters | None:
    named = [link for link in links if len(link.address) == 6 and any(link.address)]
    ports = {link.index for link in host_ports(links)}
    named.sort(key=lambda link: (link.index not in ports, link.index))
    adapters = tuple(HostAdapter(link.index, (link.address,)) for link in named[:_MOST_ADAPTERS])
    return HostAdapters(adapters) if adapters else None


def _cpu(texts: HostTexts) -> HostCpu:
    one, five, fifteen, processes, *_ = texts.loadavg.split()
    running, _, total = processes.partition("/")
    times = msgspec.structs.astuple(parse_cpu_times(texts.stat))
    user, nice, system, idle, wait, irq, softirq, steal, guest, guest_nice = (
        ticks * 1000 // texts.ticks_per_second & _WORD for ticks in times
    )
    counts = parse_fields(texts.stat)
    return HostCpu(
        load_one=float(one),
        load_five=float(five),
        load_fifteen=float(fifteen),
        proc_run=int(running) & _WORD,
        proc_total=int(total) & _WORD,
        cpu_num=parse_cpu_count(texts.stat),
        cpu_speed=parse_cpu_mhz(texts.cpuinfo) & _WORD,
        uptime=int(float(texts.uptime.split()[0])) & _WORD,
        cpu_user=user,
        cpu_nice=nice,
        cpu_system=system,
        cpu_idle=idle,
        cpu_wio=wait,
        cpu_intr=irq,
        cpu_sintr=softirq,
        interrupts=counts["intr"] & _WORD,
        contexts=counts["ctxt"] & _WORD,
        cpu_steal=steal,
        cpu_guest=guest,
        cpu_guest_nice=guest_nice,
    )


def _memory(texts: HostTexts) -> HostMemory:
    octets = {name: count << 10 & _LONG for name, count in parse_fields(texts.meminfo).items()}
    paged = parse_fields(texts.vmstat)
    return HostMemory(
        mem_total=octets["MemTotal"],
        mem_free=octets["MemFree"],
        mem_shared=octets.get("Shmem", 0),
        mem_buffers=octets.get("Buffers", 0),
        mem_cached=octets.get("Cached", 0),
        swap_total=octets.get("SwapTotal", 0),
        swap_free=octets.get("SwapFree", 0),
        page_in=paged["pgpgin"] & _WORD,
        page_out=paged["pgpgout"] & _WORD,
        swap_in=paged.get("pswpin", 0) & _WORD,
        swap_out=paged.get("pswpout", 0) & _WORD,
    )


def _disk_io(texts: HostTexts) -> HostDiskIo:
    disks = parse_disks(texts.diskstats)
    rooms = texts.filesystems
    fullest = max((one.used / (one.used + one.free) for one in rooms if one.used + one.free), default=0.0)
    return HostDiskIo(
        disk_total=sum(one.total for one in rooms),
        disk_free=sum(one.free for one in rooms),
        part_max_used=round(fullest * 10_000),
        reads=disks.reads & _WORD,
        bytes_read=disks.octets_read & _LONG,
        read_time=disks.read_ms & _WORD,
        writes=disks.writes & _WORD,
        bytes_written=disks.octets_written & _LONG,
        write_time=disks.write_ms & _WORD,
    )


def _net_io(links: Sequence[Link]) -> HostNetIo | None:
    counts = [link.stats for link in host_ports(links) if link.stats is not None]
    if not counts:
        return None

    def total(of: Callable[[Stats], int]) -> int:
        return sum(map(of, counts))

    return HostNetIo(
        bytes_in=total(lambda one: one.rx_bytes) & _LONG,
        pkts_in=total(lambda one: one.rx_packets) & _WORD,
        errs_in=total(lambda one: one.rx_errors) & _WORD,
        drops_in=total(lambda one: one.rx_dropped + one.rx_missed_errors) & _WORD,
        bytes_out=total(lambda one: one.tx_bytes) & _LONG,
        packets_out=total(lambda one: one.tx_packets) & _WORD,
        errs_out=total(lambda one: one.tx_errors) & _WORD,
        drops_out=total(lambda one: one.tx_dropped) & _WORD,
    )


def _group(record: type[_Group], protocol: str, snmp: str) -> _Group:
    told = parse_snmp(snmp)[protocol]
    names = {field: _SPELLED.get(field, field[len(protocol) :]) for field in record.__struct_fields__}
    return record(**{field: _counter(told.get(name)) for field, name in names.items()})


def _udp(texts: HostTexts) -> Mib2UdpGroup:
    told = parse_snmp(texts.snmp)["Udp"]
    six = parse_fields(texts.snmp6)
    names = {field: field.removeprefix("udp") for field in Mib2UdpGroup.__struct_fields__}
    both = {name: count + six.get(f"Udp6{name}", 0) for name, count in told.items()}
    return Mib2UdpGroup(**{field: _counter(both.get(name)) for field, name in names.items()})


def _counter(count: int | None) -> int:
    return _WORD if count is None else count & _WORD  # what this kernel does not count is all ones
