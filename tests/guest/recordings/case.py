"""What is recorded: one case after the other, each with what made it; the messages as the kernel sent them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from guest import lab
from guest.listening import drain, watched
from guest.traffic import send

Told = dict[str, Any]  # of a case, for the manifest
Listening = Callable[[], AbstractContextManager[socket.socket]]


class Case(NamedTuple):
    """Commands, traffic, commands; `see` is the interface and direction that tcpdump watches."""

    name: str
    told: str
    traffic: Callable[[], object]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    see: str = ""
    wait_s: float = 0.3


def then(*steps: Callable[[], object]) -> Callable[[], None]:
    """Return traffic that is one after the other."""

    def all_of_them() -> None:
        for step in steps:
            step()

    return all_of_them


def play(case: Case, out: Path, listening: Listening) -> tuple[Told, list[bytes]]:
    """Do what a case says, keep the messages that came and what tcpdump saw; return what the manifest says of it."""
    lab.run(*case.before)
    lab.settle()
    device, _, direction = case.see.partition(" ")
    pcap = out / f"{case.name}.pcap"
    watching = watched(pcap, device, direction) if device else nullcontext()
    with listening() as listener:
        with watching:
            case.traffic()
        messages, _ = drain(listener, for_s=case.wait_s)
    lab.run(*case.after)
    told: Told = {"traffic": case.told, "commands": list(case.before), "messages": len(messages)}
    keep(out, case.name, messages)
    return told | ({"pcap": case.see} if device else {}), messages


def keep(out: Path, name: str, messages: list[bytes]) -> None:
    """Write messages, each padded to four octets."""
    (out / f"{name}.bin").write_bytes(b"".join(message + bytes(-len(message) % 4) for message in messages))


def bursts(counts: tuple[int, ...], listener: socket.socket) -> tuple[list[Mapping[str, int]], list[bytes]]:
    """Send bursts of datagrams h1 > h2 and read in between only; return what came of each, and the messages."""
    told: list[Mapping[str, int]] = []
    all_messages: list[bytes] = []
    for count in counts:
        send([100] * count)
        messages, overflows = drain(listener)
        told.append({"datagrams": count, "messages": len(messages), "overflow_errors": overflows})
        all_messages += messages
    return told, all_messages
