from __future__ import annotations

from pathlib import Path

import pytest

import captures
from running import SECOND, START_NS, attack, prepare, write_payloads
from tidegate.apps.decode import decoded_objects, text_lines
from tidegate.errors import SourceError


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def test_each_datagram_is_an_object_with_its_place_and_time(tmp_path: Path) -> None:
    path = write_payloads(tmp_path / "c.pcap", attack(2), step_ns=SECOND)
    first, second = decoded_objects([path])
    assert (first["file"], first["source"], first["source_port"]) == (str(path), "192.0.2.77", 5000)
    assert (first["time"], second["time"]) == (START_NS / 1e9, START_NS / 1e9 + 1)
    assert first["agent_address"] == "192.0.2.250"
    assert first["samples"][0]["sampling_rate"] == 1000


def test_a_datagram_that_cannot_be_decoded_is_told_and_the_next_goes_on(tmp_path: Path) -> None:
    path = write_payloads(tmp_path / "c.pcap", [b"\x00\x00\x00\x04" + bytes(24), *attack(1)], step_ns=SECOND)
    bad, good = decoded_objects([path])
    assert bad["error"]
    assert bad["length"] == 28
    assert "error" not in good


def test_a_raw_datagram_has_no_source() -> None:
    (shown,) = decoded_objects([captures.HERE / "cistern-flow.bin"])
    assert "source" not in shown
    assert shown["samples"]


def test_a_file_that_cannot_be_read_ends_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        list(decoded_objects([tmp_path / "none"]))


def test_a_recording_that_is_cut_off_says_so_behind_its_datagrams(tmp_path: Path) -> None:
    path = write_payloads(tmp_path / "c.pcap", attack(2), step_ns=SECOND)
    path.write_bytes(path.read_bytes()[:-3])
    good, end = decoded_objects([path])
    assert "error" not in good
    assert end["file"] == str(path)
    assert "the file ends within a record" in end["error"]


def test_a_recording_without_datagrams_says_so(tmp_path: Path) -> None:
    (end,) = decoded_objects([write_payloads(tmp_path / "c.pcap", [], step_ns=SECOND)])
    assert "0 datagrams" in end["error"]


def test_text_is_indented() -> None:
    shown = {"a": 1, "b": {"c": 2}, "d": [{"e": 3}, {"e": 4}], "f": [1, 2], "g": []}
    assert list(text_lines(shown)) == [
        "a: 1", "b:", "  c: 2", "d[0]:", "  e: 3", "d[1]:", "  e: 4", "f: [1, 2]", "g: []", "",
    ]  # fmt: skip
