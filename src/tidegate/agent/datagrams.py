"""Samples into datagrams: at most so many octets, at most so long a wait.

In go flow samples as picks, other samples as octets (`encode_sample`), and moments on a clock that never goes back; out
come blocks of datagrams with their sequence numbers and uptime. A datagram is closed when the next sample does not fit,
or when a sample has waited for the delay.

Answers for: sFlow version 5 section 5 (datagram), section 4 (1400 octets, one second).
"""

from __future__ import annotations

import msgspec
import numpy as np

from tidegate.data.block import Block
from tidegate.errors import EncodeError
from tidegate.kernel import I64, U8
from tidegate.wire.sflow.pack import Form, Open, pack_flow_samples

__all__ = ["DatagramForm", "Datagrams"]

_SLOTS = 64
_ATTRIBUTES = 14  # of a tunnel


class DatagramForm(msgspec.Struct, frozen=True, kw_only=True):
    """What all datagrams of an agent have in common."""

    agent_address: bytes  # 4 or 16 octets
    sub_agent: int
    header_octets: int = 128
    datagram_octets: int = 1400
    delay_ns: int = 100_000_000
    expanded: bool = False


class Datagrams:
    """The open datagram, and those that are full; `started_ns` is when uptime was 0."""

    def __init__(self, form: DatagramForm, *, started_ns: int) -> None:
        self._started_ns = started_ns
        self.sequence = self.samples = 0
        self._done: list[Block] = []
        self._since_ns = 0  # when the oldest sample came that waits, and the oldest of the open datagram
        self._open_ns = 0
        self._places = np.zeros(_ATTRIBUTES, np.int64)
        self._filled = np.zeros(2 * _SLOTS, np.int64)
        self._state = np.zeros(len(Open), np.int64)
        self.set_form(form, started_ns)

    def set_form(self, form: DatagramForm, now_ns: int) -> None:
        """Change the form of samples that come from now on; those that wait keep theirs."""
        if self._state[Open.SAMPLES]:
            self._close_open()
        self._close_full(now_ns)
        head = (5).to_bytes(4, "big") + (1 if len(form.agent_address) == 4 else 2).to_bytes(4, "big")
        head += form.agent_address + form.sub_agent.to_bytes(4, "big")
        self._head = np.frombuffer(head, np.uint8)
        self._start = len(head) + 12  # sequence number, uptime and the number of samples follow
        self.form = form
        self._numbers = np.zeros(len(Form), np.int64)
        self._numbers[Form.HEADER], self._numbers[Form.DATAGRAM] = form.header_octets, form.datagram_octets
        self._numbers[Form.START], self._numbers[Form.EXPANDED] = self._start, form.expanded
        self._out = np.zeros((_SLOTS, form.datagram_octets), np.uint8)

    @property
    def room(self) -> int:
        """Octets of the largest sample that a datagram can hold."""
        return self.form.datagram_octets - self._start

    def add_flows(self, data: U8, rows: I64, picks: I64, now_ns: int) -> None:
        """Add flow samples."""
        count = len(picks)
        if not count:
            return
        self._note_arrival(now_ns)
        before, first = int(self._state[Open.SLOT]), 0
        while True:
            first = pack_flow_samples(
                data, rows, picks, first, count, self._numbers, self._places, self._out, self._state, self._filled
            )
            if first == count:
                break
            self._close_full(now_ns)
            before = -1
        if self._state[Open.SLOT] != before:
            self._open_ns = now_ns
        self.samples += count

    def add(self, sample: bytes, now_ns: int) -> None:
        """Add a sample that is octets already; `EncodeError` where no datagram has room for it."""
        if len(sample) > self.room:
            raise EncodeError(f"a sample of {len(sample)} octets, where a datagram has room for {self.room}")
        if self._state[Open.FILL] + len(sample) > self.form.datagram_octets:
            self._close_open()
        if self._state[Open.SLOT] == _SLOTS:
            self._close_full(now_ns)
        self._note_arrival(now_ns)
        slot = int(self._state[Open.SLOT])
        at = int(self._state[Open.FILL]) or self._start
        self._out[slot, at : at + len(sample)] = np.frombuffer(sample, np.uint8)
        self._state[Open.FILL] = at + len(sample)
        self._state[Open.SAMPLES] += 1
        self.samples += 1

    def deadline(self) -> int | None:
        """Return when a sample will have waited for the delay, None where none waits."""
        return self._since_ns + self.form.delay_ns if self._waits() else None

    def take(self, now_ns: int, *, all_of_them: bool = False) -> list[Block]:
        """Return the datagrams that are full, and at the deadline the open one too."""
        deadline = self.deadline()
        if self._state[Open.SAMPLES] and deadline is not None and (all_of_them or now_ns >= deadline):
            self._close_open()
        self._close_full(now_ns)
        self._since_ns = self._open_ns
        done, self._done = self._done, []
        return done

    def _waits(self) -> bool:
        return bool(self._state[Open.SAMPLES] or self._state[Open.SLOT] or self._done)

    def _note_arrival(self, now_ns: int) -> None:
        """Enter the moment of samples that are about to be added."""
        if not self._state[Open.SAMPLES]:
            self._open_ns = now_ns
        if not self._waits():
            self._since_ns = now_ns

    def _close_open(self) -> None:
        slot = int(self._state[Open.SLOT])
        self._filled[2 * slot : 2 * slot + 2] = self._state[Open.FILL], self._state[Open.SAMPLES]
        self._state[:] = slot + 1, 0, 0

    def _close_full(self, now_ns: int) -> None:
        """Give the full datagrams their headers and make room for others."""
        full = int(self._state[Open.SLOT])
        if not full:
            return
        octets, samples = self._filled[: 2 * full].reshape(full, 2).T
        at = len(self._head)
        uptime = (now_ns - self._started_ns) // 1_000_000
        words = np.empty((full, 3), ">u4")
        words[:, 0] = (self.sequence + 1 + np.arange(full)) & 0xFFFFFFFF
        words[:, 1] = uptime & 0xFFFFFFFF
        words[:, 2] = samples
        data = self._out[:full].copy()
        data[:, :at] = self._head
        data[:, at : at + 12] = words.view(np.uint8)
        self._done.append(_block(data, octets.copy()))
        self.sequence += full
        if self._state[Open.SAMPLES]:
            self._out[0] = self._out[full]
        self._state[Open.SLOT] = 0


def _block(data: U8, octets: I64) -> Block:
    count, width = data.shape
    nothing = np.zeros(count, np.uint64)
    return Block(
        data=data.reshape(-1), offset=np.arange(count, dtype=np.int64) * width, length=octets,
        time_ns=np.zeros(count, np.int64), source_high=nothing, source_low=nothing,
        source_port=np.zeros(count, np.int64),
    )  # fmt: skip
