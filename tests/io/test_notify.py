"""States told to whoever listens at `NOTIFY_SOCKET`, as systemd does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tidegate.io.notify import notify


def listen(address: str | bytes) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.bind(address)
    return sock


def test_a_socket_of_a_folder_gets_the_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with listen(path) as sock:
        notify("READY=1")
        notify("STOPPING=1")
        assert [sock.recv(100), sock.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_an_abstract_socket_gets_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"tidegate-notify-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with listen(b"\0" + name.encode()) as sock:
        notify("READY=1")
        assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "nothing-is-here", "@tidegate-nobody-listens"])
def test_where_nobody_listens_nothing_happens(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")
    assert list(tmp_path.iterdir()) == []
