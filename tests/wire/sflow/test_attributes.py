import pytest

from tidegate.errors import DecodeError
from tidegate.wire.sflow.attributes import adapter_macs, source_attributes
from tidegate.wire.sflow.decode import decode_counter_records
from tidegate.wire.sflow.host_counters import HostAdapter, HostAdapters, HostDescr
from tidegate.wire.sflow.interface_counters import IfCounters, PortName


def test_interface_counters_tell_type_speed_and_state() -> None:
    record = IfCounters(ifIndex=7, ifType=6, ifSpeed=10**10, ifDirection=1, ifStatus=1)
    assert source_attributes((record,)) == {
        "ifindex": "7",
        "iftype": "ethernetCsmacd",
        "ifspeed": "10000000000",
        "ifdirection": "full-duplex",
        "ifadminstatus": "up",
        "ifoperstatus": "down",
    }


def test_fields_that_are_cut_off_are_left_out() -> None:
    assert source_attributes((IfCounters(ifIndex=7),)) == {"ifindex": "7"}


def test_numbers_without_a_name_stay_numbers() -> None:
    assert source_attributes((IfCounters(ifType=9999),)) == {"iftype": "9999"}


def test_port_names_and_hosts() -> None:
    host = HostDescr(hostname=b"leaf1", uuid=bytes(15) + b"\x01", machine_type=3, os_name=2, os_release=b"6.1")
    assert source_attributes((PortName(b"swp1"), host)) == {
        "ifname": "swp1",
        "host_name": "leaf1",
        "uuid": "00000000000000000000000000000001",
        "machine_type": "x86_64",
        "os_name": "linux",
        "os_release": "6.1",
    }
    assert source_attributes((host,), logical=True) == {"vir_host_name": "leaf1"}


def test_macs_of_adapters() -> None:
    adapters = HostAdapters((HostAdapter(1, (bytes.fromhex("02ab10000c01"),)), HostAdapter(2, None)))
    assert adapter_macs((adapters,)) == ["02AB10000C01"]


def test_a_cut_list_of_records_is_an_error_or_short() -> None:
    with pytest.raises(DecodeError):
        decode_counter_records(b"\0\0")
    assert decode_counter_records(b"\0\0\0\5") == ()
