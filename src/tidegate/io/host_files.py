"""Reading what a host tells of itself: files of /proc and /sys, names, and the room on its disks.

A text that cannot be read is empty; nothing here raises for it. Only file systems of local disks are asked for their
room: one whose server is gone would never answer.

Answers for: proc(5), statvfs(3), uname(2), machine-id(5).
"""

from __future__ import annotations

import os
from pathlib import Path

from tidegate.wire.procfs import Filesystem, HostTexts, Mount, parse_mounts

__all__ = ["load_host_texts"]


def load_host_texts(root: Path = Path("/")) -> HostTexts:
    """Return all texts of this host, whose file tree stands below `root`."""
    names = os.uname()
    proc = root / "proc"
    return HostTexts(
        hostname=names.nodename,
        machine=names.machine,
        release=names.release,
        product_uuid=_text(root / "sys/class/dmi/id/product_uuid"),
        machine_id=_text(root / "etc/machine-id"),
        ticks_per_second=os.sysconf("SC_CLK_TCK"),
        loadavg=_text(proc / "loadavg"),
        stat=_text(proc / "stat"),
        cpuinfo=_text(proc / "cpuinfo"),
        uptime=_text(proc / "uptime"),
        meminfo=_text(proc / "meminfo"),
        vmstat=_text(proc / "vmstat"),
        diskstats=_text(proc / "diskstats"),
        snmp=_text(proc / "net/snmp"),
        snmp6=_text(proc / "net/snmp6"),
        filesystems=_filesystems(root, _text(proc / "mounts")),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _filesystems(root: Path, mounts: str) -> tuple[Filesystem, ...]:
    try:
        found = (_room(root, mount) for mount in parse_mounts(mounts))
        return tuple(one for one in found if one is not None)
    except ValueError:
        return ()


def _room(root: Path, mount: Mount) -> Filesystem | None:
    try:
        told = os.statvfs(root / mount.point.lstrip("/"))
    except OSError:
        return None
    used = told.f_blocks - told.f_bfree
    return Filesystem(mount.device, told.f_blocks * told.f_frsize, used * told.f_frsize, told.f_bavail * told.f_frsize)
