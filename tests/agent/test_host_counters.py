from __future__ import annotations

import re
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.agent.host_counters import host_ports, host_records
from tidegate.io.host_files import load_host_texts
from tidegate.wire.netlink.link import Link, LinkFlags, Stats
from tidegate.wire.procfs import Filesystem, HostTexts
from tidegate.wire.sflow.encode import encode_sample
from tidegate.wire.sflow.host_counters import (
    HostAdapter,
    HostAdapters,
    HostCpu,
    HostDescr,
    HostDiskIo,
    HostMemory,
    HostNetIo,
    Mib2IcmpGroup,
    Mib2IpGroup,
    Mib2TcpGroup,
    Mib2UdpGroup,
)
from tidegate.wire.sflow.samples import CountersSample, DataSource

Record = TypeVar("Record", bound=msgspec.Struct)
NONE = 0xFFFFFFFF
FULL = [
    HostDescr,
    HostAdapters,
    HostCpu,
    HostMemory,
    HostDiskIo,
    HostNetIo,
    Mib2IpGroup,
    Mib2IcmpGroup,
    Mib2TcpGroup,
    Mib2UdpGroup,
]
TEXTS = HostTexts(
    hostname="host.example",
    machine="x86_64",
    release="6.1.0-1-amd64",
    product_uuid="4C4C4544-0042-3510-8051-B7C04F4A4E31\n",
    machine_id="3d1219c7c4c5404aaa1f6d2a48adfda4\n",
    loadavg="0.31 1.25 2.5 4/96 22497\n",
    stat=f"cpu  1 2 3 {2**33} 5 6 7 8 9 10\ncpu0 1 2\ncpu1 1 2\nintr {2**32 + 5} 1 2\nctxt 99\n",
    cpuinfo="cpu MHz\t\t: 2400.4\n",
    uptime="1234.56 99.0\n",
    meminfo="MemTotal: 100 kB\nMemFree: 50 kB\nBuffers: 7 kB\nCached: 8 kB\n"
    "Shmem: 9 kB\nSwapTotal: 3 kB\nSwapFree: 2 kB\n",
    vmstat="pgpgin 11\npgpgout 12\npswpin 13\npswpout 14\n",
    diskstats="8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 2 3 4 5 6 7 8 9 10 11\n",
    snmp=(
        "Ip: Forwarding DefaultTTL InReceives\nIp: 2 64 1000\nIcmp: InMsgs InParmProbs OutParmProbs\nIcmp: 5 6 7\n"
        "Tcp: RtoAlgorithm MaxConn\nTcp: 1 -1\nUdp: InDatagrams NoPorts\nUdp: 20 3\n"
    ),
    snmp6="Udp6InDatagrams \t5\nUdp6OutDatagrams 1\n",
    filesystems=(Filesystem("/dev/sda1", 1000, 400, 500), Filesystem("/dev/sdb", 100, 90, 10)),
)


def mac(last: int) -> bytes:
    return bytes([2, 0, 0, 0, 0, last])


def link(index: int, name: str, kind: str = "", **changes: object) -> Link:
    given = {"address": mac(index), "stats": Stats(10**index, 2 * 10**index), **changes}
    return Link(index, name, kind=kind, **given)  # type: ignore[arg-type]


LO = link(1, "lo", type=772, flags=LinkFlags.LOOPBACK, address=bytes(6))
ETH = link(2, "eth0")


def record(kind: type[Record], texts: HostTexts = TEXTS, links: tuple[Link, ...] = (LO, ETH)) -> Record | None:
    return next((one for one in host_records(texts, links) if isinstance(one, kind)), None)


def test_all_records_in_order() -> None:
    assert [type(one) for one in host_records(TEXTS, [LO, ETH])] == FULL


def test_nothing_is_known() -> None:
    assert host_records(HostTexts(), []) == (HostDescr(b"", bytes(16), 0, 2, b""),)


def test_description() -> None:
    uuid = bytes.fromhex("4C4C454400423510" + "8051B7C04F4A4E31")
    assert record(HostDescr) == HostDescr(b"host.example", uuid, 3, 2, b"6.1.0-1-amd64")


@pytest.mark.parametrize(
    ("product", "machine", "octets"),
    [
        ("", "3d1219c7c4c5404aaa1f6d2a48adfda4\n", "3d1219c7c4c5404aaa1f6d2a48adfda4"),
        (
            "03000200-0400-0500-0006-000700080009\n",
            "3d1219c7c4c5404aaa1f6d2a48adfda4",
            "3d1219c7c4c5404aaa1f6d2a48adfda4",
        ),
        ("Not Settable", "uninitialized\n", "00" * 16),
        ("00000000-0000-0000-0000-000000000000", "12ab", "00" * 16),
    ],
)
def test_uuid(product: str, machine: str, octets: str) -> None:
    told = record(HostDescr, msgspec.structs.replace(TEXTS, product_uuid=product, machine_id=machine))
    assert told is not None
    assert told.uuid == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("machine", "number"),
    [
        ("i686", 2),
        ("x86_64", 3),
        ("aarch64", 10),
        ("armv7l", 10),
        ("ppc64le", 7),
        ("s390x", 12),
        ("riscv64", 1),
        ("", 0),
    ],
)
def test_machines(machine: str, number: int) -> None:
    told = record(HostDescr, msgspec.structs.replace(TEXTS, machine=machine))
    assert told is not None
    assert told.machine_type == number


def test_long_names_are_cut() -> None:
    told = record(HostDescr, msgspec.structs.replace(TEXTS, hostname="h" * 100, release="r" * 100))
    assert told is not None
    assert (told.hostname, told.os_release) == (b"h" * 64, b"r" * 32)


def test_processors() -> None:
    assert record(HostCpu) == HostCpu(
        load_one=0.31,
        load_five=1.25,
        load_fifteen=2.5,
        proc_run=4,
        proc_total=96,
        cpu_num=2,
        cpu_speed=2400,
        uptime=1234,
        cpu_user=10,
        cpu_nice=20,
        cpu_system=30,
        cpu_idle=2**33 * 10 % 2**32,
        cpu_wio=50,
        cpu_intr=60,
        cpu_sintr=70,
        interrupts=5,
        contexts=99,
        cpu_steal=80,
        cpu_guest=90,
        cpu_guest_nice=100,
    )


def test_ticks_of_other_lengths() -> None:
    told = record(HostCpu, msgspec.structs.replace(TEXTS, ticks_per_second=1024))
    assert told is not None
    assert told.cpu_guest_nice == 10 * 1000 // 1024


def test_memory() -> None:
    kib = 1024
    assert record(HostMemory) == HostMemory(
        100 * kib, 50 * kib, 9 * kib, 7 * kib, 8 * kib, 3 * kib, 2 * kib, 11, 12, 13, 14
    )


def test_disks() -> None:
    assert record(HostDiskIo) == HostDiskIo(1100, 510, 9000, 1, 3 * 512, 4, 5, 7 * 512, 8)
    bare = record(HostDiskIo, msgspec.structs.replace(TEXTS, filesystems=(Filesystem("/dev/sda", 0, 0, 0),)))
    assert bare is not None
    assert (bare.disk_total, bare.disk_free, bare.part_max_used) == (0, 0, 0)


def test_groups() -> None:
    ip, icmp, tcp, udp = record(Mib2IpGroup), record(Mib2IcmpGroup), record(Mib2TcpGroup), record(Mib2UdpGroup)
    assert ip is not None
    assert icmp is not None
    assert tcp is not None
    assert udp is not None
    assert (ip.ipForwarding, ip.ipDefaultTTL, ip.ipInReceives, ip.ipFragCreates) == (2, 64, 1000, NONE)
    assert (icmp.icmpInMsgs, icmp.icmpInParamProbs, icmp.icmpOutParamProbs) == (5, 6, 7)
    assert (tcp.tcpRtoAlgorithm, tcp.tcpMaxConn, tcp.tcpInCsumErrs) == (1, NONE, NONE)
    assert (udp.udpInDatagrams, udp.udpNoPorts, udp.udpOutDatagrams) == (25, 3, NONE)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("loadavg", HostCpu),
        ("stat", HostCpu),
        ("uptime", HostCpu),
        ("meminfo", HostMemory),
        ("vmstat", HostMemory),
        ("diskstats", HostDiskIo),
    ],
)
@pytest.mark.parametrize("odd", ["", "odd", "x/y", "- 0 0 0 0 0"])
def test_a_text_that_is_missing_or_odd_leaves_its_record_out(
    text: str, missing: type[msgspec.Struct], odd: str
) -> None:
    records = host_records(msgspec.structs.replace(TEXTS, **{text: odd}), [LO, ETH])
    assert [type(one) for one in records] == [kind for kind in FULL if kind is not missing]


def test_without_snmp_there_are_no_groups() -> None:
    assert [type(one) for one in host_records(msgspec.structs.replace(TEXTS, snmp=""), [LO, ETH])] == FULL[:6]
    assert [
        type(one) for one in host_records(msgspec.structs.replace(TEXTS, snmp="Ip: A\nIp: x\n"), [LO, ETH])
    ] == FULL[:6]


def test_the_clock_of_processors_may_be_unknown() -> None:
    told = record(HostCpu, msgspec.structs.replace(TEXTS, cpuinfo=""))
    assert told is not None
    assert told.cpu_speed == 0


TEXT = st.text(alphabet="cpu 0123456789.:-\n/devsdarwIpTcpMemFree", max_size=80) | st.just("9" * 5000)
FIELDS = [name for name in HostTexts.__struct_fields__ if isinstance(getattr(TEXTS, name), str)]


@given(st.dictionaries(st.sampled_from(FIELDS), TEXT))
def test_any_texts_make_records_that_can_be_encoded(changes: dict[str, str]) -> None:
    records = host_records(msgspec.structs.replace(TEXTS, **changes), [LO, ETH])
    assert HostDescr in {type(one) for one in records}
    assert encode_sample(CountersSample(1, DataSource(2, 1), records))


def total(links: list[Link]) -> int | None:
    told = record(HostNetIo, TEXTS, tuple(links))
    return None if told is None else told.pkts_in


def test_traffic_is_summed() -> None:
    stats = Stats(1, 2, 3, 4, 5, 6, 7, 8, rx_missed_errors=100)
    assert record(HostNetIo, TEXTS, (LO, link(2, "a", stats=stats), link(3, "b", stats=stats))) == HostNetIo(
        bytes_in=6,
        pkts_in=2,
        errs_in=10,
        drops_in=214,
        bytes_out=8,
        packets_out=4,
        errs_out=12,
        drops_out=16,
    )


def test_traffic_is_counted_once() -> None:
    bond = [link(2, "eth0", master=4, master_kind="bond"), link(3, "eth1", master=4, master_kind="bond")]
    made = [link(4, "bond0", "bond"), link(5, "bond0.7", "vlan", lower=4), link(6, "br0", "bridge")]
    guests = [link(7, "vnet0", "tun", master=6), link(8, "veth1", "veth", master=6), link(9, "wg0", "wireguard")]
    assert total([LO, *bond, *made, *guests]) == 10**2 + 10**3


def test_a_virtual_function_below_its_adapter_is_not_counted_again() -> None:
    assert total([LO, link(2, "eth0"), link(3, "enP1s1", master=2)]) == 10**2


def test_in_a_container_what_leads_out_is_counted() -> None:
    assert total([LO, link(2, "eth0", "veth"), link(3, "tun0", "tun"), link(4, "v0", "vlan", lower=2)]) == 10**2
    assert total([LO, link(2, "veth0", "veth", lower=3), link(3, "veth1", "veth", lower=2)]) is None


def test_ports() -> None:
    assert host_ports([LO, ETH, link(3, "lan0", "dsa", lower=2), link(4, "wlan0", "wlan")]) == (
        ETH,
        link(4, "wlan0", "wlan"),
    )


def test_adapters_are_the_ports_first_and_at_most_32() -> None:
    links = [
        LO,
        *(link(index, f"veth{index}", "veth", stats=None) for index in range(2, 50)),
        link(60, "eth0", stats=None),
    ]
    told = record(HostAdapters, TEXTS, tuple(links))
    assert told is not None
    assert told.adapters is not None
    assert len(told.adapters) == 32
    assert told.adapters[:2] == (HostAdapter(60, (mac(60),)), HostAdapter(2, (mac(2),)))


def test_without_a_mac_there_are_no_adapters() -> None:
    assert record(HostAdapters, TEXTS, (LO, link(2, "tun0", "tun", address=b""))) is None


def number(text: str, name: str) -> int:
    found = re.search(rf"^{re.escape(name)}:?\s+(\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_the_records_of_this_machine_agree_with_its_files() -> None:
    texts = load_host_texts()
    records = {type(one): one for one in host_records(texts, [LO, ETH])}
    cpu, memory, disk = records.get(HostCpu), records.get(HostMemory), records.get(HostDiskIo)
    assert isinstance(cpu, HostCpu)
    assert isinstance(memory, HostMemory)
    assert cpu.uptime == int(texts.uptime.split(".")[0])
    assert cpu.load_one == float(texts.loadavg[: texts.loadavg.index(" ")])
    assert cpu.contexts == number(texts.stat, "ctxt") % 2**32
    assert cpu.cpu_user == number(texts.stat, "cpu") * 1000 // texts.ticks_per_second % 2**32
    assert cpu.cpu_num == len([line for line in texts.stat.splitlines() if line[:3] == "cpu" and line[3] != " "])
    assert memory.mem_total == number(texts.meminfo, "MemTotal") * 1024
    assert memory.swap_free == number(texts.meminfo, "SwapFree") * 1024
    assert memory.page_out == number(texts.vmstat, "pgpgout") % 2**32
    if isinstance(disk, HostDiskIo):
        assert disk.disk_total == sum(one.total for one in texts.filesystems)
        assert disk.bytes_read is not None
        assert disk.bytes_read % 512 == 0
    lines = [line.split() for line in texts.snmp.splitlines()]
    for group in (Mib2IpGroup, Mib2IcmpGroup, Mib2TcpGroup):
        names, values = (line for line in lines if line[0] == f"{group.__name__[4:-5]}:")
        told = records[group]
        for field in group.__struct_fields__:
            name = field[len(names[0]) - 1 :].replace("ParamProbs", "ParmProbs").replace("CsumErrs", "CsumErrors")
            assert getattr(told, field) == int(values[names.index(name)]) % 2**32, field
