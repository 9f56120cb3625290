"""Where the kernel has no drop monitor; on one that has it, it is tested in the guest (`tests/guest`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.errors import SourceError
from tidegate.io.drop_monitor import DropMonitor
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.netlink import dropmon
from tidegate.wire.netlink.dropmon import Which


def test_a_kernel_without_it_says_what_to_load_and_nothing_stays_open() -> None:
    with Netlink(GENERIC) as generic:
        if find_family(generic, dropmon.FAMILY):
            pytest.skip("this kernel has a drop monitor")
    before = _open_files()
    for which in ((Which.SOFTWARE,), (Which.SOFTWARE, Which.HARDWARE), ()):
        with pytest.raises(SourceError) as caught:
            DropMonitor(octets=128, which=which)
        assert str(caught.value) == (
            "drop_monitor: the kernel does not have it: load the module with `modprobe drop_monitor`"
        )
    assert _open_files() == before


def _open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}
