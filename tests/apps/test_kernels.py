"""All kernels are listed, compiled for one signature each, and readable by Python too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import tidegate
from tidegate.apps.kernels import ALL_KERNELS

PACKAGE = Path(tidegate.__file__).parent
ROOT = Path(__file__).parents[2]

PIPELINE = """
import sys
from tidegate.apps.kernels import ALL_KERNELS
from tidegate.kernel import compile_kernels

assert list(compile_kernels(ALL_KERNELS)) == [kernel.__name__ for kernel in ALL_KERNELS]

import captures
from tidegate.data.fields import FIELDS, FieldRef
from tidegate.engine.engine import Engine, EngineConfig
from tidegate.engine.lookups import Lookups
from tidegate.engine.syntax import parse_definition, parse_threshold
from tidegate.io.pcap import Capture
from tidegate.wire.sflow.columns import Decoder

engine, decoder = Engine(EngineConfig(), Lookups()), Decoder()
for number, spec in enumerate([
    {"keys": "ipsource,ipdestination,tcpsourceport", "value": "bytes", "filter": "direction=ingress"},
    {"keys": "dnsqname,stack,ip6source", "value": "frames"},
    {"keys": "bgpdestinationaspath,bgpcommunities,inputifindex", "value": "bytes", "log": True, "activeTimeout": 1},
    {"keys": "agent", "value": "count:ipsource"},
]):
    engine.set_flow(parse_definition(f"flow{number}", spec))
engine.set_threshold(parse_threshold("limit", {"metric": "flow0", "value": 1, "byFlow": True, "timeout": 1}))
needs = engine.needs() | {FieldRef(name) for name in FIELDS}
samples = 0
for path in sorted(captures.WHERE.iterdir()):
    if path.suffix in (".pcap", ".bin"):
        for block in Capture(path):
            found = decoder.decode(block, needs)
            engine.take_counters(found.counters, found.datagrams)
            engine.step(found.datagrams, found.flows)
            samples += len(found.flows)
assert samples > 50, samples
print(*(kernel.__name__ for kernel in ALL_KERNELS if len(kernel.signatures) != 1))
"""


def _marked() -> set[tuple[str, str]]:
    """Module and name of each function of the package that is marked `@kernel`."""
    pattern = re.compile(r"^@kernel\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\ndef (\w+)", re.MULTILINE)
    found = set()
    for file in PACKAGE.rglob("*.py"):
        text = file.read_text()
        module = "tidegate." + ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        names = pattern.findall(text)
        assert len(names) == len(re.findall(r"^@kernel\(", text, re.MULTILINE)), file
        found |= {(module, name) for name in names}
    return found


def test_every_kernel_is_listed_once() -> None:
    listed = [(kernel.__module__, kernel.__name__) for kernel in ALL_KERNELS]
    assert len(listed) == len(set(listed))
    assert set(listed) == _marked()
    assert len(listed) > 20


def _run(*arguments: str, **environment: str) -> str:
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), **environment}
    found = subprocess.run(
        [sys.executable, *arguments], env=variables, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_the_pipeline_compiles_nothing_after_the_start() -> None:
    """Each kernel refuses other types from then on, so that a wrong signature fails here with a TypeError."""
    assert _run("-c", PIPELINE).strip() == ""


def test_kernels_run_without_the_compiler() -> None:
    """So that coverage can count their lines."""
    files = ["tests/wire/sflow/test_columns.py", "tests/test_octets.py", "tests/test_kernel.py"]
    chosen = "nothing or empty or hints or filter or read_only or octets or names"
    wrapping = "ignore:overflow encountered:RuntimeWarning"  # what hashes are meant to do
    _run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", wrapping, *files, "-k", chosen, NUMBA_DISABLE_JIT="1")
