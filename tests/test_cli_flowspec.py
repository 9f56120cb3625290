"""`tidegate bgp flowspec`: its commands, and the neighbour that needs no command."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from documents import pages
from running import free_port
from tidegate.cli import cli
from tidegate.errors import TidegateError
from tidegate.wire.bgp.flowspec import OffsetForm

RULE = {"match": {"destination": "192.0.2.1", "protocol": "udp"}, "then": {"traffic-rate": 0}}
NLRI = "090120c0000201038111"


def flowspec(*words: str, said: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["bgp", "flowspec", *words], input=said)


@pytest.mark.parametrize("words", [("encode",), ("encode", "-"), ("encode", "--json", "--profile", "safe")])
def test_encode_reads_standard_input(words: tuple[str, ...]) -> None:
    result = flowspec(*words, said=json.dumps(RULE))
    assert result.exit_code == 0
    assert NLRI in result.stdout


def test_encode_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rule.json"
    path.write_text(json.dumps(RULE), encoding="utf-8")
    shown = json.loads(flowspec("encode", str(path), "--json", "--as", "65001").stdout)
    assert shown["nlri"] == NLRI
    assert "0201" + f"{65001:08x}" in shown["update"]


def test_decode_takes_words_and_standard_input() -> None:
    for result in (
        flowspec("decode", NLRI[:8], NLRI[8:]),
        flowspec("decode", said=NLRI),
        flowspec("decode", "-", said=NLRI),
    ):
        assert result.exit_code == 0
        assert "to 192.0.2.1/32" in result.stdout


def test_what_is_printed_as_json_can_be_encoded_again() -> None:
    printed = flowspec("decode", NLRI, "--json", "--community", "8006000000000000").stdout
    assert flowspec("encode", "--json", said=printed).stdout == printed


def test_family_and_form_are_options() -> None:
    assert json.loads(flowspec("decode", "--afi", "6", "--json", "03038111").stdout)["afi"] == 2
    shown = json.loads(flowspec("decode", "--offsets", "octets", "--json", "08016841123456789a").stdout)
    assert shown["components"][0]["prefix"] == "::1234:5678:9a00:0/104"
    usage = flowspec("decode", "--help").stdout
    assert all(form.value in usage for form in OffsetForm)


def test_the_guide_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = next(page for page in pages() if page.path.name == "flowspec-rules.md")
    monkeypatch.chdir(tmp_path)
    ((_, rule),) = page.blocks("json")
    Path("rule.json").write_text(rule, encoding="utf-8")
    for _, block in page.blocks("console"):
        command, _, shown = block.removeprefix("$ ").partition("\n")
        assert CliRunner().invoke(cli, shlex.split(command)[1:]).stdout == shown


def test_octets_that_are_no_rule_end_with_1() -> None:
    result = flowspec("decode", "060121c000020100")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (
        1,
        "no IPv4 rule: destination: prefix length over the family's at octet 2",
    )


def test_wrong_input_is_an_error_of_ours() -> None:
    assert isinstance(flowspec("decode", "xx").exception, TidegateError)
    assert isinstance(flowspec("encode", "/no/such/file").exception, TidegateError)
    unknown = flowspec("encode", "--profile", "cisco", said="{}")
    assert unknown.exit_code == 2
    assert "'cisco' is none of safe, rfc8955" in unknown.stderr


@pytest.mark.parametrize("words", [("192.0.2.1",), ("show", "192.0.2.1"), ("--json", "192.0.2.1")])
def test_a_neighbour_without_a_command_is_asked_for(words: tuple[str, ...]) -> None:
    result = flowspec(*words, "--url", f"http://127.0.0.1:{free_port()}")
    assert isinstance(result.exception, TidegateError)
    assert "127.0.0.1" in str(result.exception)


def test_help_tells_all_commands() -> None:
    usage = flowspec("--help").stdout
    assert all(name in usage for name in ("show", "encode", "decode"))


@pytest.mark.parametrize("words", [("decode", NLRI), ("encode",), ("decode", "ff" * 16 + "00170200000000")])
def test_nothing_of_it_loads_a_compiler(words: tuple[str, ...]) -> None:
    code = (
        "import sys; from tidegate.cli import cli\n"
        f"try: cli(['bgp', 'flowspec', *{list(words)!r}])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'numba', 'llvmlite', 'numpy', 'litestar', 'asyncio'} & set(sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(RULE), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
