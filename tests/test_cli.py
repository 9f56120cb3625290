from __future__ import annotations

import contextlib
import json
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import captures
import mrt_files as m
from frame_lab import LEAVES, frame, make_pair
from frame_lab import send as send_frames
from net_namespace import NET_ADMIN, NET_RAW, drop, in_namespace, shell
from running import attack, free_port, prepare, until
from script_files import write
from tidegate.cli import cli
from tidegate.errors import TidegateError
from tidegate.io.client import Client
from tidegate.io.netlink import GENERIC, Netlink, find_family
from tidegate.wire.bgp.constants import Family
from tidegate.wire.bgp.mrt import RibEntry, RibRecord
from tidegate.wire.sflow.decode import decode_datagram

CAPTURE = captures.HERE / "overflowd-two-port-1000.pcap"
LIMIT_S = 120
needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="not installed: nft")
FLOWS = """
[flows.udp]
keys = "ipdestination,udpsourceport"
value = "frames"
t = 1
[thresholds.udp]
metric = "udp"
value = 1000
byFlow = true
timeout = 1
"""


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()  # so that no program started here has to


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "tidegate", *map(str, words)]


def tidegate(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=cwd)


def config_file(folder: Path, more: str = "", *, udp: int = 0, rest: int = 0) -> Path:
    text = f'sflow = {{host = "127.0.0.1", port = {udp}}}\nrest = {{port = {rest}}}\n{more}'
    return write(folder, f"tidegate-{udp}-{rest}.toml", text)


class Program:
    """A running `tidegate run`: its addresses, and all that it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said += self.process.stderr

    def said_of(self, pattern: str) -> str:
        """Wait until a line matches; return its first group."""

        def look() -> str | None:
            found = re.search(pattern, "".join(self.said))
            if found is None:
                assert self.process.poll() is None, "".join(self.said)
            return None if found is None else found[1]

        found = until(look, pattern)
        assert found is not None
        return found

    @property
    def url(self) -> str:
        return self.said_of(r"REST on (\S+)\n")

    @property
    def udp_port(self) -> int:
        return int(self.said_of(r"sFlow on UDP port (\d+)\n"))

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; return its exit status."""
        self.process.send_signal(how)
        status = self.process.wait(LIMIT_S)
        self._reader.join()
        return status


@contextlib.contextmanager
def running(*words: str | Path) -> Iterator[Program]:
    with subprocess.Popen(command("run", *words), stderr=subprocess.PIPE, text=True) as process:
        program = Program(process)
        try:
            yield program
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            program._reader.join()


def send(port: int, payloads: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for payload in payloads:
            sock.sendto(payload, ("127.0.0.1", port))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_answers_and_stops_cleanly(tmp_path: Path, how: signal.Signals) -> None:
    started = time.monotonic()
    with running("--config", config_file(tmp_path)) as program:
        client = Client(program.url)
        print(f"start to listening: {time.monotonic() - started:.2f} s")  # noqa: T201 - a figure, no assertion
        assert isinstance(client.get("agents", "json"), dict)
        port = program.udp_port
        assert program.end(how) == 0
        assert len(program.said) == 2, program.said
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", port))


def test_it_runs_without_a_configuration_file() -> None:
    with contextlib.ExitStack() as stack:
        try:
            udp = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            udp.bind(("::", 6343))
            tcp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            tcp.bind(("127.0.0.1", 8008))
        except OSError:
            pytest.skip("the default ports are taken by another program of this machine")
    with running() as program:
        assert (program.udp_port, program.url) == (6343, "http://127.0.0.1:8008")
        assert program.end() == 0


def test_two_instances_run_side_by_side_and_the_end_of_one_leaves_the_other(tmp_path: Path) -> None:
    with running("--config", config_file(tmp_path)) as one, running("--config", config_file(tmp_path)) as other:
        assert one.url != other.url
        one.process.kill()
        one.process.wait()
        assert Client(other.url).get("agents", "json") == {}
        assert other.end() == 0


def test_what_is_asked_of_it_is_shown(tmp_path: Path) -> None:
    with running("--config", config_file(tmp_path, FLOWS)) as program:
        send(program.udp_port, attack(60))
        client = Client(program.url)
        until(lambda: client.get("events", "json"), "an event")
        shown = printed("events", "--url", program.url)
        assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  udp .* 203\.0\.113\.7,53 .* kpkt/s", shown), shown
        (event,) = map(json.loads, printed("events", "--json", "--url", program.url).splitlines())
        assert event["flowKey"] == "203.0.113.7,53"
        flows = printed("flows", "udp", "--url", program.url)
        assert flows.splitlines()[0].startswith("ipdestination,udpsourceport")
        assert "203.0.113.7,53" in flows
        assert "udp" in printed("flows", "--url", program.url)
        assert "192.0.2.250" in printed("agents", "--url", program.url)
        assert printed("bgp", "neighbors", "--url", program.url) == "nothing to show\n"
        said = refusal("flows", "tcp", "--url", program.url)
        assert said == "tcp: there is no flow definition of this name (known: udp)"
        assert program.end() == 0


def test_events_are_followed_as_they_come(tmp_path: Path) -> None:
    with running("--config", config_file(tmp_path, FLOWS)) as program:
        follower = subprocess.Popen(
            command("events", "--follow", "--json", "--url", program.url), stdout=subprocess.PIPE, text=True
        )
        with follower:
            assert follower.stdout is not None
            send(program.udp_port, attack(60))
            assert json.loads(follower.stdout.readline())["eventID"] == 1
            follower.send_signal(signal.SIGINT)
            assert follower.wait(LIMIT_S) == 0
        assert program.end() == 0


def test_a_token_is_needed_where_it_is_set(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        "t.toml",
        """
        sflow = {host = "127.0.0.1", port = 0}
        rest = {port = 0, token = "hush-hush", token_for_reads = true}
        """,
    )
    with running("--config", config, "--log-level", "debug") as program:
        url = program.url
        said = refusal("agents", "--url", url, "--token", "guess")
        assert "give its token with --token or TIDEGATE_TOKEN" in said
        assert printed("agents", "--url", url, "--token", "hush-hush") == "nothing to show\n"
        assert program.end() == 0
        assert "hush-hush" not in "".join(program.said)


def failure(*words: str | Path) -> str:
    done = tidegate(*words)
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("tidegate: ")
    return done.stderr


def printed(*words: str | Path) -> str:
    """Return what a command prints that ends well; run in this process, where programs start sooner."""
    done = CliRunner().invoke(cli, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.stdout


def refusal(*words: str | Path) -> str:
    """Return the error that a command ends with."""
    done = CliRunner().invoke(cli, list(map(str, words)))
    assert isinstance(done.exception, TidegateError), done.output
    return str(done.exception)


def test_a_port_of_sflow_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        said = failure("run", "--config", config_file(tmp_path, udp=port))
    assert f"udp 127.0.0.1:{port}: the port is in use: stop the other program" in said


def test_a_port_of_rest_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        said = refusal("run", "--config", config_file(tmp_path, rest=port))
    assert f"http 127.0.0.1:{port}: the port is in use" in said


def bgp(port: int, peer_port: int) -> str:
    return f"""
[bgp]
local_as = 65001
router_id = "192.0.2.1"
port = {port}
listen = ["127.0.0.1"]
[[bgp.peers]]
address = "127.0.0.1"
port = {peer_port}
peer_as = 65002
md5_key = "hush-hush"
"""


def test_a_port_of_bgp_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        said = refusal("run", "--config", config_file(tmp_path, bgp(port, free_port())))
    assert str(port) in said
    assert "another program has the port: choose another one, or stop it" in said


def test_a_peer_that_is_not_there_or_talks_nonsense_disturbs_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as peer:
        text = bgp(free_port(), peer.getsockname()[1]).replace('md5_key = "hush-hush"', "")
        with running("--config", config_file(tmp_path, text)) as program:
            url = program.url
            peer.settimeout(LIMIT_S)
            connection, _ = peer.accept()
            with connection:
                connection.sendall(b"\x00" * 100)
                shown = until(lambda: printed("bgp", "neighbors", "--json", "--url", url))
            assert json.loads(shown)["address"] == "127.0.0.1"
            assert printed("bgp", "flowspec", "127.0.0.1", "--url", url) == "nothing to show\n"
            assert printed("bgp", "routes", "127.0.0.1", "--url", url) == "nothing to show\n"
            assert "192.0.2.9" in refusal("bgp", "routes", "192.0.2.9", "--url", url)
            assert program.end() == 0
            assert "Traceback" not in "".join(program.said)


def test_the_table_of_a_file_is_there_while_it_runs(tmp_path: Path) -> None:
    record = m.rib(RibRecord(Family.IPV4_UNICAST, m.nlri("8 cb"), (RibEntry(0, 0, m.PLAIN),)))
    (tmp_path / "table.mrt").write_bytes(m.write([m.index_of(m.ONE), record]))
    flows = '[flows.path]\nkeys = "bgpdestinationaspath"\nvalue = "bytes"\n'
    config = config_file(tmp_path, flows)
    with running("--config", config, "--rib", tmp_path / "table.mrt", "--rib-peer", "65002") as program:
        send(program.udp_port, attack(20))
        client = Client(program.url)
        found = until(lambda: client.get("activeflows", "ALL", "path", "json"), "a flow")
        assert isinstance(found, list)
        assert [flow["key"] for flow in found] == ["65002"]
        assert "203.0.0.0/8" in printed("bgp", "routes", "rib", "--address", "203.0.113.7", "--url", program.url)
        assert "203.0.0.0/8" in printed("bgp", "top", "rib", "--url", program.url)
        assert program.end() == 0
        assert "1 ipv4-unicast routes of 192.0.2.1 AS 65002" in "".join(program.said)


def test_bad_scripts_are_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = """
    def setup(rt):
        rt.set_flow("udp", {"keys": "ipdestination", "value": "frames", "t": 1})
        rt.set_threshold("udp", {"metric": "udp", "value": 1000, "byFlow": True})
        rt.on_event(boom)
    def boom(event):
        raise ValueError("in a handler")
    """
    scripts = {
        "raises.py": "raise ValueError('at import')",
        "syntax.py": "def setup(rt:",
        "empty.py": "",
        "good.py": good,
    }
    words = [word for name, text in scripts.items() for word in ("--script", write(tmp_path, name, text))]
    words += ["--script", tmp_path / "missing.py"]
    with running("--config", config_file(tmp_path), *words) as program:
        url = program.url
        send(program.udp_port, attack(60))
        until(lambda: Client(url).get("events", "json"), "an event")
        program.said_of("(good.py, line 7: ValueError: in a handler)")
        assert program.end() == 0
        said = "".join(program.said)
    assert "raises.py, line 1: ValueError: at import" in said
    assert "syntax.py, line 1: SyntaxError" in said
    assert "empty.py: the script has no function `setup(rt)`" in said
    assert "missing.py: the script cannot be read: No such file or directory" in said


def test_a_script_that_hangs_at_import_is_given_up(tmp_path: Path) -> None:
    with running(
        "--config", config_file(tmp_path), "--script", write(tmp_path, "loop.py", "while True:\n    pass\n")
    ) as program:
        program.said_of("(loop.py)")
        assert Client(program.url).get("agents", "json") == {}
        assert program.end() == 0


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = write(tmp_path, "s.toml", 'store = "file/store"\nsflow = {port = 0}\nrest = {port = 0}\n')
    assert "scripts remember here, set `store` to a folder that can be written" in refusal("run", "--config", path)


def test_errors_of_the_configuration_are_one_line(tmp_path: Path) -> None:
    assert "sflow.prot: unknown key; did you mean port?" in refusal(
        "run", "--config", write(tmp_path, "a.toml", "[sflow]\nprot = 1\n")
    )


def test_help_is_quick_to_load() -> None:
    code = "import sys, tidegate.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "numpy", "litestar", "rich"} & set(loaded)


def test_nobody_answering_is_one_line() -> None:
    said = failure("agents", "--url", f"http://127.0.0.1:{free_port()}")
    assert "connection refused; is `tidegate run` running" in said


def test_a_recording_is_replayed_as_json_lines(tmp_path: Path) -> None:
    done = tidegate(
        "replay", CAPTURE, "--json", "--config", write(tmp_path, "r.toml", FLOWS.replace("udpsource", "tcpsource"))
    )
    assert done.returncode == 0
    assert all("thresholdID" in json.loads(line) for line in done.stdout.splitlines())
    assert "5,855 flow samples" in done.stderr
    text = printed("replay", CAPTURE, "--config", tmp_path / "r.toml")
    assert len(text.splitlines()) == len(done.stdout.splitlines()) > 0


def test_a_replay_whose_script_fails_says_so_and_fails(tmp_path: Path) -> None:
    done = tidegate("replay", CAPTURE, "--script", write(tmp_path, "bad.py", "raise ValueError('no')"))
    assert done.returncode == 1
    assert "script bad.py: bad.py, line 1: ValueError: no" in done.stderr
    assert "5,855 flow samples" in done.stderr


@pytest.mark.parametrize("name", ["replay", "decode"])
def test_files_that_are_no_captures_are_one_line(tmp_path: Path, name: str) -> None:
    assert "No such file or directory" in refusal(name, tmp_path / "none.pcap")
    assert "Is a directory" in refusal(name, tmp_path)
    assert "no capture" in refusal(name, write(tmp_path, "text.pcap", "hello, this is no capture"))
    assert CliRunner().invoke(cli, [name]).exit_code == 2


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_speeds_that_are_none_are_refused(speed: str) -> None:
    done = CliRunner().invoke(cli, ["replay", str(CAPTURE), "--speed", speed])
    assert done.exit_code == 2
    assert "neither max nor a number above 0" in done.output


def test_decode_prints_one_object_a_datagram() -> None:
    lines = printed("decode", "--json", CAPTURE).splitlines()
    assert len(lines) == 1000
    assert json.loads(lines[0])["agent_address"] == "192.168.1.1"


def test_whoever_reads_the_output_may_have_enough() -> None:
    with subprocess.Popen(
        command("decode", "--json", CAPTURE), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(LIMIT_S) in {0, 1}


def test_a_benchmark_that_there_is_not_is_one_line() -> None:
    assert "nosuch" in refusal("bench", "nosuch")


def test_a_full_disk_under_the_output_is_one_line() -> None:
    command = [sys.executable, "-m", "tidegate", "decode", "--json", str(CAPTURE)]
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (1, "tidegate: output cannot be written: No space left on device\n")


RECORDED = Path(__file__).parent / "data" / "psample" / "linux-6.1" / "udp4.bin"
HERE = ("--agent-address", "192.0.2.1")


@contextlib.contextmanager
def running_agent(*words: str | Path) -> Iterator[Program]:
    """Run the agent, and read what it prints beside what it says."""
    with subprocess.Popen(
        command("agent", *words), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        program = Program(process)
        try:
            yield program
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            program._reader.join()


def test_the_agents_help_names_every_flag() -> None:
    said = printed("agent", "--help")
    flags = "config hsflowd collector interface source setup sampling polling agent-address discards print clean-up"
    for flag in [*flags.split(), "replay", "output", "log-level"]:
        assert f"--{flag}" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "agent.collectors: there is none: --collector ADDRESS, or --print to see what would be sent"),
        (("--config", "a", "--hsflowd", "b", *HERE), "--hsflowd: give one file: this, or --config"),
        (("--config", "/none.toml"), "/none.toml: No such file or directory"),
        (("--collector", "192.0.2.1:x"), "--collector: '192.0.2.1:x' is no address, or address:port"),
        (("--print", "--source", "pcap"), "--source: 'pcap' is none of auto, psample, nflog, packet, none"),
        (
            ("--print", "--source", "packet", "--setup", "tc"),
            "agent.setup: tc samples for psample: leave out source, or leave out setup",
        ),
        (
            ("--print", "--source", "nflog", *HERE),
            "agent.nflog.groups: name the groups that your rules log to, or use --setup nft",
        ),
        (
            ("--replay", RECORDED, "--print"),
            "--source: say what the recording holds: psample, nflog, dropmon",
        ),
        (
            ("--replay", RECORDED, "--print", "--source", "packet"),
            "--source: 'packet' is none of psample, nflog, dropmon",
        ),
        (("--replay", "/none.bin", "--print", "--source", "nflog"), "/none.bin: No such file or directory"),
    ],
)
def test_what_the_agent_cannot_do_is_one_line(words: tuple[str | Path, ...], said: str) -> None:
    assert refusal("agent", *words) == said


def test_what_the_agent_cannot_do_ends_it_with_a_failure() -> None:
    assert failure("agent") == (
        "tidegate: agent.collectors: there is none: --collector ADDRESS, or --print to see what would be sent\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--print", "--sampling", "-1"),
        ("--print", "--polling", "301"),
        ("--print", "--setup", "iptables"),
        ("--print", "--log-level", "loud"),
        ("--print", "extra"),
        ("--print", "--output", "sent.pcap"),
        ("--replay", RECORDED, "--source", "psample"),
    ],
)
def test_flags_of_the_agent_that_cannot_be_are_refused(words: tuple[str | Path, ...]) -> None:
    assert CliRunner().invoke(cli, ["agent", *map(str, words)]).exit_code == 2


def test_a_recording_becomes_datagrams_that_can_be_decoded(tmp_path: Path) -> None:
    sent = tmp_path / "sent.pcap"
    words = ("agent", "--replay", RECORDED, "--source", "psample")
    done = tidegate(*words, "--output", sent, "--print", *HERE, "--collector", "192.0.2.9:7777")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert all(line.startswith("flow 0:101 101 > ? 1 in 1 ") for line in lines)
    assert re.fullmatch(rf"{len(lines)} samples; {len(lines)} samples in \d+ datagrams, 0 drops\n", done.stderr)
    decoded = [json.loads(line) for line in printed("decode", "--json", sent).splitlines()]
    assert sum(len(one["samples"]) for one in decoded) == len(lines) > 0
    assert {one["agent_address"] for one in decoded} == {"192.0.2.1"}


def test_a_recording_that_is_cut_off_says_so_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "cut.bin"
    path.write_bytes(RECORDED.read_bytes()[:-20])
    done = tidegate("agent", "--replay", path, "--source", "psample", "--print")
    assert done.returncode == 1
    assert done.stderr.endswith("; a message or attribute does not fit what holds it\n")
    assert len(done.stdout.splitlines()) > 0


def agent_words(*words: str) -> list[str]:
    return [*words, *HERE, "--polling", "0", "--log-level", "warning"]


def lines_of(program: Program, count: int) -> list[str]:
    assert program.process.stdout is not None
    return [program.process.stdout.readline() for _ in range(count)]


@in_namespace
def test_the_agent_samples_sends_prints_and_stops_cleanly() -> None:
    make_pair()
    shell("ip link set lo up")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(LIMIT_S)
        port = sock.getsockname()[1]
        words = agent_words("--collector", f"127.0.0.1:{port}", "--interface", "v*", "--sampling", "1", "--print")
        for how in (signal.SIGTERM, signal.SIGINT):
            with running_agent(*words) as program:
                program.said_of(f"(sFlow to 127.0.0.1:{port}\n)")
                send_frames(LEAVES, [frame(number) for number in range(3)])
                assert lines_of(program, 3) == [
                    f"flow v0 v0 > ? 1 in 1 pool {number} drops 0 64 octets eth 020000000007 > FFFFFFFFFFFF\n"
                    for number in (1, 2, 3)
                ]
                datagram = decode_datagram(sock.recv(65536))
                assert datagram.agent_address == bytes([192, 0, 2, 1])
                assert program.end(how) == 0
                assert program.said == [
                    "agent 192.0.2.1, packets from packet\n",
                    "sampling v1 1 in 1, v0 1 in 1\n",
                    f"sFlow to 127.0.0.1:{port}\n",
                ]


@in_namespace
def test_the_agent_reads_its_file_again_and_keeps_to_the_former_where_it_is_wrong() -> None:
    make_pair()
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "agent.toml", '[agent]\ninterfaces = ["v0"]\nsampling = 1000000000\n')
        with running_agent(*agent_words("--config", str(path), "--print")) as program:
            program.said_of("(sampling v0 1 in 1000000000\n)")
            path.write_text("[agent]\nsampling = -1\n")
            program.process.send_signal(signal.SIGHUP)
            program.said_of("(the former goes on: agent.sampling: )")
            path.write_text('[agent]\ninterfaces = ["v0"]\nsampling = 1\n')
            program.process.send_signal(signal.SIGHUP)

            def comes() -> bool:
                send_frames(LEAVES, [frame(1)])
                assert program.process.stdout is not None
                return bool(select.select([program.process.stdout], [], [], 0.2)[0])

            until(comes, "a sample")
            assert lines_of(program, 1)[0].startswith("flow v0 v0 > ? 1 in 1 ")
            assert program.end() == 0


@in_namespace
def test_whoever_reads_the_samples_may_have_enough() -> None:
    make_pair()
    with running_agent(*agent_words("--print", "--interface", "v0", "--sampling", "1")) as program:
        program.said_of("(sampling v0 1 in 1\n)")
        send_frames(LEAVES, [frame(1)])
        lines_of(program, 1)
        assert program.process.stdout is not None
        program.process.stdout.close()

        def ended() -> bool:
            send_frames(LEAVES, [frame(1)])
            return program.process.poll() is not None

        until(ended, "the end")
        assert program.process.wait() in {0, 1}
        program._reader.join()
        assert len(program.said) == 2, program.said


@in_namespace
def test_a_full_disk_under_the_samples_is_one_line() -> None:
    make_pair()
    words = command("agent", *agent_words("--print", "--interface", "v0", "--sampling", "1"))
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(words, stdout=full, stderr=subprocess.PIPE, text=True) as process,
    ):

        def ended() -> bool:
            send_frames(LEAVES, [frame(1)])
            return process.poll() is not None

        until(ended, "the end")
        assert process.stderr is not None
        said = process.stderr.readlines()
    assert process.returncode == 1
    assert said[2:] == ["tidegate: output cannot be written: No space left on device\n"]


def agent_failure(*words: str) -> str:
    return failure("agent", "--collector", "127.0.0.1", *agent_words(*words))


@in_namespace
def test_what_this_machine_has_no_address_for_is_one_line() -> None:
    said = "tidegate: agent.address: this machine has no usable address: set one, or name an interface\n"
    assert failure("agent", "--collector", "127.0.0.1") == said


@in_namespace
def test_what_this_kernel_cannot_do_is_one_line() -> None:
    make_pair()
    with Netlink(GENERIC) as generic:
        if find_family(generic, "psample") or find_family(generic, "NET_DM"):
            pytest.skip("this kernel can")
    assert agent_failure("--source", "psample") == (
        "tidegate: psample: the kernel does not have it: load the module with `modprobe psample`\n"
    )
    assert agent_failure("--discards") == (
        "tidegate: drop_monitor: the kernel does not have it: load the module with `modprobe drop_monitor`\n"
    )
    assert agent_failure("--setup", "tc", "--interface", "v0").startswith(
        "tidegate: v0: sampling ingress at preference 1 was refused: "
    )


@in_namespace
def test_without_rights_the_agent_is_one_line() -> None:
    make_pair()
    drop(NET_ADMIN, NET_RAW)
    assert agent_failure("--interface", "v0") == (
        "tidegate: interface v0: packet sockets need CAP_NET_RAW: run as root, or as the systemd unit does\n"
    )
    assert agent_failure("--setup", "tc", "--interface", "v0").endswith("this needs CAP_NET_ADMIN (root has it)\n")
    assert "CAP_NET_ADMIN" in agent_failure("--setup", "nft", "--interface", "v0")


@needs_nft
@in_namespace
def test_a_second_agent_that_cannot_start_leaves_the_rules_of_the_first() -> None:
    make_pair()
    words = agent_words("--print", "--setup", "nft", "--interface", "v0", "--sampling", "1")
    with running_agent(*words) as program:
        program.said_of("(sampling v0 1 in 1\n)")
        rules = shell("nft -a list ruleset")
        said = agent_failure("--setup", "nft", "--interface", "v0", "--sampling", "7")
        assert said.startswith("tidegate: NFLOG group 6343: another program has joined it: ")
        assert shell("nft -a list ruleset") == rules
        send_frames(LEAVES, [frame(1)])
        assert lines_of(program, 1)[0].startswith("flow v0 v0 > ? 1 in 1 ")
        assert program.end() == 0
    assert shell("nft list ruleset") == ""


def cleaned_up() -> str:
    done = tidegate("agent", "--clean-up")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_nft
@in_namespace
def test_what_a_killed_agent_left_is_cleaned_up() -> None:
    make_pair()
    assert cleaned_up() == "nothing was left\n"
    with running_agent(*agent_words("--print", "--setup", "nft", "--interface", "v0")) as program:
        program.said_of("(sampling v0)")
        program.process.kill()
        program.process.wait()
    assert "tidegate_agent" in shell("nft list tables")
    assert cleaned_up() == "nft delete table netdev tidegate_agent\n"
    assert shell("nft list tables") == ""
    assert cleaned_up() == "nothing was left\n"
