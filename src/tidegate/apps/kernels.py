"""All kernels, to be compiled before the first packet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidegate.agent import sampling_kernels
from tidegate.data import prefixes, route_found, route_kernels
from tidegate.engine import engine, key_kernels, routing_kernels, source_kernels, table_kernels, text_kernels
from tidegate.io import mmsg, packet_headers
from tidegate.wire.bgp import mrt_walk, update_scan
from tidegate.wire.capture import frames, unwrap
from tidegate.wire.netlink import samples
from tidegate.wire.sflow import columns, pack

__all__ = ["AGENT_KERNELS", "ALL_KERNELS", "TABLE_KERNELS"]

AGENT_KERNELS: tuple[Callable[..., Any], ...] = (
    *samples.KERNELS,
    *sampling_kernels.KERNELS,
    *pack.KERNELS,
    *packet_headers.KERNELS,
    *mmsg.KERNELS,
)
TABLE_KERNELS: tuple[Callable[..., Any], ...] = (
    *route_kernels.KERNELS,
    *route_found.KERNELS,
    *update_scan.KERNELS,
    *mrt_walk.KERNELS,
)
ALL_KERNELS: tuple[Callable[..., Any], ...] = (
    *AGENT_KERNELS,
    *TABLE_KERNELS,
    *columns.KERNELS,
    *prefixes.KERNELS,
    *text_kernels.KERNELS,
    *key_kernels.KERNELS,
    *routing_kernels.KERNELS,
    *table_kernels.KERNELS,
    *source_kernels.KERNELS,
    *engine.KERNELS,
    *frames.KERNELS,
    *unwrap.KERNELS,
)
