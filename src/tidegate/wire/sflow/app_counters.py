"""Records of counters samples: virtual machines and applications.

Fields stand in the specification's order and under its names; `tidegate.wire.sflow.xdr` tells what their types mean.
Answers for: sFlow Host, JVM, Memcache, HTTP, Application and VDI Structures.
"""

# ruff: noqa: N815 - the specification's names
from __future__ import annotations

import msgspec

from tidegate.wire.sflow.xdr import STRING, U32, U64

__all__ = [
    "AppOperations",
    "AppResources",
    "AppWorkers",
    "HttpCounters",
    "JvmRuntime",
    "JvmStatistics",
    "MemcacheCounters",
    "MemcachedCounters",
    "OvsDpStats",
    "VdiCounters",
    "VirtCpu",
    "VirtDiskIo",
    "VirtMemory",
    "VirtNetIo",
    "VirtNode",
]  # fmt: skip


class VirtNode(msgspec.Struct, frozen=True):
    """A hypervisor; memory in octets."""

    mhz: U32 = None
    cpus: U32 = None
    memory: U64 = None
    memory_free: U64 = None
    num_domains: U32 = None


class VirtCpu(msgspec.Struct, frozen=True):
    """Processors of a virtual machine; `cpuTime` in ms, `state` by libvirt's numbers."""

    state: U32 = None
    cpuTime: U32 = None
    nrVirtCpu: U32 = None


class VirtMemory(msgspec.Struct, frozen=True):
    """Memory of a virtual machine in octets."""

    memory: U64 = None
    maxMemory: U64 = None


class VirtDiskIo(msgspec.Struct, frozen=True):
    """Disks of a virtual machine."""

    capacity: U64 = None
    allocation: U64 = None
    available: U64 = None
    rd_req: U32 = None
    rd_bytes: U64 = None
    wr_req: U32 = None
    wr_bytes: U64 = None
    errs: U32 = None


class VirtNetIo(msgspec.Struct, frozen=True):
    """Network traffic of a virtual machine."""

    rx_bytes: U64 = None
    rx_packets: U32 = None
    rx_errs: U32 = None
    rx_drop: U32 = None
    tx_bytes: U64 = None
    tx_packets: U32 = None
    tx_errs: U32 = None
    tx_drop: U32 = None


class JvmRuntime(msgspec.Struct, frozen=True):
    """A Java virtual machine."""

    vm_name: STRING = None
    vm_vendor: STRING = None
    vm_version: STRING = None


class JvmStatistics(msgspec.Struct, frozen=True):
    """Counters of a Java virtual machine; memory in octets, times in ms."""

    heap_initial: U64 = None
    heap_used: U64 = None
    heap_committed: U64 = None
    heap_max: U64 = None
    non_heap_initial: U64 = None
    non_heap_used: U64 = None
    non_heap_committed: U64 = None
    non_heap_max: U64 = None
    gc_count: U32 = None
    gc_time: U32 = None
    classes_loaded: U32 = None
    classes_total: U32 = None
    classes_unloaded: U32 = None
    compilation_time: U32 = None
    thread_num_live: U32 = None
    thread_num_daemon: U32 = None
    thread_num_started: U32 = None
    fd_open_count: U32 = None
    fd_max_count: U32 = None


class MemcachedCounters(msgspec.Struct, frozen=True):
    """memcached as first published (old)."""

    uptime: U32 = None
    rusage_user: U32 = None
    rusage_system: U32 = None
    curr_connections: U32 = None
    total_connections: U32 = None
    connection_structures: U32 = None
    cmd_get: U32 = None
    cmd_set: U32 = None
    cmd_flush: U32 = None
    get_hits: U32 = None
    get_misses: U32 = None
    delete_misses: U32 = None
    delete_hits: U32 = None
    incr_misses: U32 = None
    incr_hits: U32 = None
    decr_misses: U32 = None
    decr_hits: U32 = None
    cas_misses: U32 = None
    cas_hits: U32 = None
    cas_badval: U32 = None
    auth_cmds: U32 = None
    auth_errors: U32 = None
    bytes_read: U64 = None
    bytes_written: U64 = None
    limit_maxbytes: U32 = None
    accepting_conns: U32 = None
    listen_disabled_num: U32 = None
    threads: U32 = None
    conn_yields: U32 = None
    bytes: U64 = None
    curr_items: U32 = None
    total_items: U32 = None
    evictions: U32 = None


class HttpCounters(msgspec.Struct, frozen=True):
    """HTTP requests by method and by status."""

    method_option_count: U32 = None
    method_get_count: U32 = None
    method_head_count: U32 = None
    method_post_count: U32 = None
    method_put_count: U32 = None
    method_delete_count: U32 = None
    method_trace_count: U32 = None
    method_connect_count: U32 = None
    method_other_count: U32 = None
    status_1XX_count: U32 = None
    status_2XX_count: U32 = None
    status_3XX_count: U32 = None
    status_4XX_count: U32 = None
    status_5XX_count: U32 = None
    status_other_count: U32 = None


class AppOperations(msgspec.Struct, frozen=True):
    """Operations of an application by status."""

    application: STRING = None
    success: U32 = None
    other: U32 = None
    timeout: U32 = None
    internal_error: U32 = None
    bad_request: U32 = None
    forbidden: U32 = None
    too_large: U32 = None
    not_implemented: U32 = None
    not_found: U32 = None
    unavailable: U32 = None
    unauthorized: U32 = None


class AppResources(msgspec.Struct, frozen=True):
    """Resources of an application; times in ms, memory in octets."""

    user_time: U32 = None
    system_time: U32 = None
    mem_used: U64 = None
    mem_max: U64 = None
    fd_open: U32 = None
    fd_max: U32 = None
    conn_open: U32 = None
    conn_max: U32 = None


class MemcacheCounters(msgspec.Struct, frozen=True):
    """Counters of a memcache server."""

    cmd_set: U32 = None
    cmd_touch: U32 = None
    cmd_flush: U32 = None
    get_hits: U32 = None
    get_misses: U32 = None
    delete_hits: U32 = None
    delete_misses: U32 = None
    incr_hits: U32 = None
    incr_misses: U32 = None
    decr_hits: U32 = None
    decr_misses: U32 = None
    cas_hits: U32 = None
    cas_misses: U32 = None
    cas_badval: U32 = None
    auth_cmds: U32 = None
    auth_errors: U32 = None
    threads: U32 = None
    conn_yields: U32 = None
    listen_disabled_num: U32 = None
    curr_connections: U32 = None
    rejected_connections: U32 = None
    total_connections: U32 = None
    connection_structures: U32 = None
    evictions: U32 = None
    reclaimed: U32 = None
    curr_items: U32 = None
    total_items: U32 = None
    bytes_read: U64 = None
    bytes_written: U64 = None
    bytes: U64 = None
    limit_maxbytes: U64 = None


class VdiCounters(msgspec.Struct, frozen=True):
    """Counters of a virtual desktop."""

    sessions_current: U32 = None
    sessions_total: U32 = None
    sessions_duration: U32 = None
    rx_bytes: U32 = None
    tx_bytes: U32 = None
    rx_packets: U32 = None
    tx_packets: U32 = None
    rx_packets_lost: U32 = None
    tx_packets_lost: U32 = None
    rtt_min_ms: U32 = None
    rtt_max_ms: U32 = None
    rtt_avg_ms: U32 = None
    audio_rx_bytes: U32 = None
    audio_tx_bytes: U32 = None
    audio_tx_limit: U32 = None
    img_rx_bytes: U32 = None
    img_tx_bytes: U32 = None
    img_frames: U32 = None
    img_qual_min: U32 = None
    img_qual_max: U32 = None
    img_qual_avg: U32 = None
    usb_rx_bytes: U32 = None
    usb_tx_bytes: U32 = None


class AppWorkers(msgspec.Struct, frozen=True):
    """Workers of an application."""

    workers_active: U32 = None
    workers_idle: U32 = None
    workers_max: U32 = None
    req_delayed: U32 = None
    req_dropped: U32 = None


class OvsDpStats(msgspec.Struct, frozen=True):
    """Datapath of Open vSwitch."""

    hits: U32 = None
    misses: U32 = None
    lost: U32 = None
    mask_hits: U32 = None
    flows: U32 = None
    masks: U32 = None
