"""Texts of /proc and what else a host tells of itself: which there are, and how each is parsed.

In go texts, out come numbers by the kernel's names. Parsers raise `ValueError` (`LookupError` where a part is missing)
for texts that are not what they should be; they ask for no more than is there in every kernel since 3.10. What the
numbers are to sFlow is not known here.

Answers for: proc(5), Documentation/admin-guide/iostats.rst.
"""

from __future__ import annotations

import re

import msgspec

__all__ = [
    "CpuTimes",
    "DiskTotals",
    "Filesystem",
    "HostTexts",
    "Mount",
    "parse_cpu_count",
    "parse_cpu_mhz",
    "parse_cpu_times",
    "parse_disks",
    "parse_fields",
    "parse_mounts",
    "parse_snmp",
]

_SECTOR = 512  # octets, whatever the disk's own sectors are
# Not disks, or made of disks that are counted themselves: memory, files, mappings, RAID, volumes, paths of one disk.
_NO_DISK = re.compile(r"(loop|ram|zram|fd|sr|dm-|md|drbd|bcache|zd)\d|nvme\d+c\d+n")
_PARTITION = re.compile(r"(.*?)(\d+)")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_NO_SPACE = re.compile(r"fuse(\.|$)|squashfs|iso9660|udf|erofs|cramfs")  # not of a local disk, or always full


class Filesystem(msgspec.Struct, frozen=True):
    """A mounted file system of a local disk, in octets; `free` is what users may still fill."""

    device: str
    total: int
    used: int
    free: int


class HostTexts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is read of a host; a text that is missing is empty."""

    hostname: str = ""
    machine: str = ""  # of uname, as is the next
    release: str = ""
    product_uuid: str = ""  # of the firmware; for root only
    machine_id: str = ""
    ticks_per_second: int = 100  # of /proc/stat
    loadavg: str = ""
    stat: str = ""
    cpuinfo: str = ""
    uptime: str = ""
    meminfo: str = ""
    vmstat: str = ""
    diskstats: str = ""
    snmp: str = ""
    snmp6: str = ""
    filesystems: tuple[Filesystem, ...] = ()


class Mount(msgspec.Struct, frozen=True):
    """A line of /proc/mounts."""

    device: str
    point: str


class CpuTimes(msgspec.Struct, frozen=True):
    """Times of all processors in ticks, in the order of /proc/stat; those that a kernel does not tell are 0."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int = 0
    irq: int = 0
    softirq: int = 0
    steal: int = 0
    guest: int = 0
    guest_nice: int = 0


class DiskTotals(msgspec.Struct, frozen=True):
    """What all disks did; times in ms."""

    reads: int
    octets_read: int
    read_ms: int
    writes: int
    octets_written: int
    write_ms: int


def parse_fields(text: str) -> dict[str, int]:
    """Return the numbers of lines such as `MemFree: 12 kB` (meminfo), `pgpgin 12` (vmstat, snmp6), `ctxt 12` (stat)."""
    lines = (line.split(maxsplit=2) for line in text.splitlines())
    return {parts[0].rstrip(":"): int(parts[1]) for parts in lines if len(parts) > 1 and parts[1].isdecimal()}


def parse_cpu_times(stat: str) -> CpuTimes:
    """Return the times of all processors together."""
    name, *ticks = stat.partition("\n")[0].split()
    if name != "cpu" or len(ticks) < 4:
        raise ValueError("no times of processors")
    return CpuTimes(*map(int, ticks[:10]))


def parse_cpu_count(stat: str) -> int:
    """Return how many processors are at work."""
    return len(re.findall(r"^cpu\d", stat, re.MULTILINE))


def parse_cpu_mhz(cpuinfo: str) -> int:
    """Return the clock of the first processor, 0 where it is not told (as on ARM)."""
    found = re.search(r"^cpu MHz\s*(?:static\s*)?:\s*(\d+(?:\.\d+)?)", cpuinfo, re.MULTILINE)
    return round(float(found[1])) if found else 0


def parse_disks(diskstats: str) -> DiskTotals:
    """Return the sum over disks: no partition of a disk that is there itself, nothing made of other disks."""
    rows = [line.split() for line in diskstats.splitlines()]
    disks = {row[2]: [int(value) for value in row[3:11]] for row in rows if not _NO_DISK.match(row[2])}
    if not disks:
        raise ValueError("no disks")
    totals = [
        sum(column) for column in zip(*(row for name, row in disks.items() if not _is_part(name, disks)), strict=True)
    ]
    reads, _, sectors_read, read_ms, writes, _, sectors_written, write_ms = totals
    return DiskTotals(reads, sectors_read * _SECTOR, read_ms, writes, sectors_written * _SECTOR, write_ms)


def parse_mounts(mounts: str) -> tuple[Mount, ...]:
    """Return where local disks are mounted to be written to, each device once; none whose server could be silent."""
    found: dict[str, Mount] = {}
    for line in mounts.splitlines():
        device, point, kind, options = line.split()[:4]
        if device.startswith("/dev/") and not _NO_SPACE.match(kind) and "rw" in options.split(","):
            found.setdefault(device, Mount(device, _ESCAPE.sub(lambda code: chr(int(code[1], 8)), point)))
    return tuple(found.values())


def parse_snmp(snmp: str) -> dict[str, dict[str, int]]:
    """Return the numbers by protocol and name of /proc/net/snmp: pairs of lines, names first."""
    found: dict[str, dict[str, int]] = {}
    names: list[str] = []
    for line in snmp.splitlines():
        words = line.split()
        if words and names[:1] == words[:1]:
            found[words[0].rstrip(":")] = dict(zip(names[1:], map(int, words[1:]), strict=True))
            names = []
        else:
            names = words
    return found


def _is_part(name: str, disks: dict[str, list[int]]) -> bool:
    """Tell whether a name is that of a partition: sda1 of sda, nvme0n1p1 of nvme0n1."""
    found = _PARTITION.fullmatch(name)
    if found is None:
        return False
    disk = found[1]
    return disk in disks or (disk.endswith("p") and disk[-2:-1].isdecimal() and disk[:-1] in disks)
