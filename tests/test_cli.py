from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import captures
from running import attack, free_port, prepare, until
from script_files import write
from tidegate.cli import cli
from tidegate.errors import TidegateError
from tidegate.io.client import Client

CAPTURE = captures.HERE / "overflowd-two-port-1000.pcap"
LIMIT_S = 120
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
