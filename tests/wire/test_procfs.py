from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.wire.procfs import (
    CpuTimes,
    DiskTotals,
    Mount,
    parse_cpu_count,
    parse_cpu_mhz,
    parse_cpu_times,
    parse_disks,
    parse_fields,
    parse_mounts,
    parse_snmp,
)

STAT = "cpu  10 20 30 40 50 60 70 80 90 100\ncpu0 1 2 3 4\ncpu1 1 2 3 4\nintr 123 4 5\nctxt 77\nsoftirq 9 1\n"
DISK = "8 0 {} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"


@given(st.text(alphabet="cpu 0123456789.:-\n/devsdarwIpTcp", max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_cpu_count, parse_cpu_mhz, parse_cpu_times, parse_disks, parse_fields, parse_mounts, parse_snmp):
        with contextlib.suppress(ValueError, LookupError):
            parse(text)


def test_fields_in_every_spelling() -> None:
    text = "MemTotal:  16 kB\nActive(anon): 3 kB\npgpgin 12\nIp6InReceives  \t 5\nodd\nname: text\n\n"
    assert parse_fields(text) == {"MemTotal": 16, "Active(anon)": 3, "pgpgin": 12, "Ip6InReceives": 5}


def test_processors() -> None:
    assert parse_cpu_times(STAT) == CpuTimes(10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
    assert parse_cpu_times("cpu 1 2 3 4 5 6 7") == CpuTimes(1, 2, 3, 4, 5, 6, 7)
    assert parse_cpu_times("cpu 1 2 3 4 5 6 7 8 9 10 11") == CpuTimes(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    assert parse_cpu_count(STAT) == 2


@pytest.mark.parametrize("text", ["", "cpu0 1 2 3 4", "cpu 1 2 3", "cpu a b c d"])
def test_no_times_of_processors(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_cpu_times(text)


@pytest.mark.parametrize(
    ("text", "mhz"),
    [
        ("processor\t: 0\ncpu MHz\t\t: 2999.998\nprocessor\t: 1\ncpu MHz\t\t: 800.0\n", 3000),
        ("cpu MHz static : 5200\n", 5200),  # s390
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", 0),  # ARM
        ("", 0),
    ],
)
def test_the_clock_of_processors(text: str, mhz: int) -> None:
    assert parse_cpu_mhz(text) == mhz


def names_counted(*names: str) -> int:
    return parse_disks("\n".join(DISK.format(name) for name in names)).reads


def test_disks_are_counted_in_octets_and_ms() -> None:
    assert parse_disks(DISK.format("sda")) == DiskTotals(1, 3 * 512, 4, 5, 7 * 512, 8)


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["sda", "sda1", "sda2", "sda15", "sdb"], 2),
        (["nvme0n1", "nvme0n1p1", "nvme0n1p2", "nvme0c0n1"], 1),
        (["mmcblk0", "mmcblk0p1", "mmcblk0boot0"], 2),
        (["vda", "loop0", "ram1", "zram0", "sr0", "dm-0", "md127", "md127p1", "drbd0", "bcache0", "zd16"], 1),
        (["xvda1", "xvdb"], 2),  # a partition whose disk is not shown
        (["nvme0n1p1"], 1),
        (["rbd0", "nbd0"], 2),
    ],
)
def test_disks_once(names: list[str], count: int) -> None:
    assert names_counted(*names) == count


@pytest.mark.parametrize(
    "text", ["", DISK.format("loop0"), "8 0 sda 1 2 3", "8 0", DISK.format("sda").replace("3", "x")]
)
def test_no_disks(text: str) -> None:
    with pytest.raises((ValueError, LookupError)):
        parse_disks(text)


def test_mounts_of_local_disks_once() -> None:
    mounts = """/dev/sda1 / ext4 rw,relatime 0 0
/dev/sda1 /var/lib/bind\\040mount ext4 rw 0 0
/dev/sdb /mnt/with\\040space xfs rw 0 0
/dev/sdc /ro ext4 ro,nosuid 0 0
/dev/loop3 /snap/x squashfs ro 0 0
/dev/loop4 /snap/y squashfs rw 0 0
/dev/fuse /etc/pve fuse rw 0 0
/dev/sdd /ntfs fuseblk rw 0 0
server:/export /nfs nfs4 rw 0 0
proc /proc proc rw 0 0
"""
    found = {"/dev/sda1": "/", "/dev/sdb": "/mnt/with space", "/dev/sdd": "/ntfs"}
    assert parse_mounts(mounts) == tuple(Mount(device, point) for device, point in found.items())


def test_an_odd_line_of_mounts() -> None:
    with pytest.raises(ValueError, match="unpack"):
        parse_mounts("/dev/sda1 /\n")


def test_snmp() -> None:
    text = "Ip: Forwarding InReceives\nIp: 2 99\nTcp: MaxConn\nTcp: -1\n"
    assert parse_snmp(text) == {"Ip": {"Forwarding": 2, "InReceives": 99}, "Tcp": {"MaxConn": -1}}
    assert parse_snmp("") == {}


@pytest.mark.parametrize("text", ["Ip: A B\nIp: 1\n", "Ip: A\nIp: x\n"])
def test_odd_snmp(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_snmp(text)
