from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tidegate.io.host_files import load_host_texts
from tidegate.wire.procfs import HostTexts


def test_this_machine() -> None:
    texts = load_host_texts()
    assert texts.hostname == os.uname().nodename
    assert texts.release == os.uname().release
    assert texts.meminfo.startswith("MemTotal:")
    assert texts.stat.startswith("cpu ")
    assert texts.snmp.startswith("Ip: ")
    assert all((texts.loadavg, texts.uptime, texts.cpuinfo, texts.vmstat))
    for one in texts.filesystems:
        assert one.total >= one.used + one.free


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    names = os.uname()
    ticks = os.sysconf("SC_CLK_TCK")
    bare = HostTexts(hostname=names.nodename, machine=names.machine, release=names.release, ticks_per_second=ticks)
    assert load_host_texts(tmp_path) == bare


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_every_text_has_its_file(tmp_path: Path) -> None:
    files = {
        "product_uuid": "sys/class/dmi/id/product_uuid",
        "machine_id": "etc/machine-id",
        "snmp": "proc/net/snmp",
        "snmp6": "proc/net/snmp6",
        **{name: f"proc/{name}" for name in ("loadavg", "stat", "cpuinfo", "uptime", "meminfo", "vmstat", "diskstats")},
    }
    for field, name in files.items():
        write(tmp_path, name, field)
    texts = load_host_texts(tmp_path)
    assert {field: getattr(texts, field) for field in files} == {field: field for field in files}
    assert set(files) | {"hostname", "machine", "release", "ticks_per_second", "filesystems"} == {
        field.name for field in msgspec.structs.fields(HostTexts)
    }


def test_room_of_file_systems(tmp_path: Path) -> None:
    (tmp_path / "data disk").mkdir()
    mounts = "/dev/sda1 /data\\040disk ext4 rw 0 0\n/dev/sdb1 /gone ext4 rw 0 0\nserver:/x /nfs nfs rw 0 0\n"
    write(tmp_path, "proc/mounts", mounts)
    told = os.statvfs(tmp_path)
    (one,) = load_host_texts(tmp_path).filesystems
    assert (one.device, one.total) == ("/dev/sda1", told.f_blocks * told.f_frsize)
    assert 0 < one.used < one.total


def test_odd_mounts_are_none(tmp_path: Path) -> None:
    write(tmp_path, "proc/mounts", "/dev/sda1 /\n")
    assert load_host_texts(tmp_path).filesystems == ()
