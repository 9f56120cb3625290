"""Tests that have a network namespace to themselves: it lives as long as the thread that the test runs in."""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import subprocess
import threading
from collections.abc import Callable
from typing import ParamSpec

import pytest

P = ParamSpec("P")
_CLONE_NEWNET = 0x40000000
NET_ADMIN, NET_RAW, SYS_ADMIN = 12, 13, 21  # capabilities
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION_3 = 0x20080522


def in_namespace(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test, with the commands that it starts, in a new network namespace; skip it where this is not root."""

    @pytest.mark.netns
    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                _check(_libc().unshare(_CLONE_NEWNET), "unshare")
                test(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised again in the test's own thread
                errors.append(error)

        thread = threading.Thread(target=enter, name=test.__name__)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]

    return run


def shell(script: str, **variables: str) -> str:
    """Run commands, each of which must succeed, and return what they print."""
    surroundings = {**os.environ, **variables}
    done = subprocess.run(
        ["sh", "-ec", script], env=surroundings, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, f"{script}: {done.stderr}"
    return done.stdout


def drop_net_admin() -> None:
    """Give up CAP_NET_ADMIN, in this thread and what it starts, until it ends."""
    drop(NET_ADMIN)


def drop(*capabilities: int) -> None:
    """Give up capabilities, in this thread and what it starts, until it ends."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(24)
    _check(_libc().capget(header, held), "capget")
    words = list(struct.unpack("=6I", held.raw))
    for capability in capabilities:
        _check(_libc().prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")
        words[0] &= ~(1 << capability)
        words[1] &= ~(1 << capability)
    _check(_libc().capset(header, struct.pack("=6I", *words)), "capset")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
