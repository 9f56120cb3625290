"""The program `nft`: run a script as one transaction. A refusal is one clear line, and then nothing has changed."""

from __future__ import annotations

import re
import subprocess

from tidegate.errors import SourceError

__all__ = ["run_nft"]

_TIMEOUT_S = 20.0
_PLACE = re.compile(r"/dev/stdin:(\d+):[\d-]+: ")
_DEVICE = re.compile(r'device "([^"]*)"')
_ADVICE = (
    ("Operation not permitted", "this needs CAP_NET_ADMIN (root has it)"),
    ("syntax error", "nft 1.0.1 or newer is needed"),
    ("unknown chain hook", "nft 1.0.1 or newer is needed for egress"),
    ("Operation not supported", "egress needs Linux 5.16 with CONFIG_NETFILTER_EGRESS"),
)


def run_nft(script: str, *, program: str = "nft") -> None:
    """Apply a script, or nothing of it; `SourceError` names the interface whose line was refused."""
    try:
        done = subprocess.run(  # noqa: S603 - one fixed program, the script on its standard input
            [program, "-f", "-"],
            input=script,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise SourceError(program, "is not installed: install the package nftables") from None
    except subprocess.TimeoutExpired:
        raise SourceError(program, f"did not end within {_TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise SourceError(program, f"cannot be started: {error.strerror}") from None
    if done.returncode:
        raise _refusal(script, done.stderr, program=program)


def _refusal(script: str, complaint: str, *, program: str) -> SourceError:
    """Return the first error of many, with the interface of its line, where it has one."""
    first = next((line for line in complaint.splitlines() if "Error: " in line), complaint.strip() or "no reason given")
    words = first.partition("Error: ")[2] or first
    advice = next((f": {text}" for part, text in _ADVICE if part in words), "")
    place = _PLACE.match(first)
    lines = script.splitlines()
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else ""
    device = _DEVICE.search(line)
    if device is None:
        return SourceError(program, f"refused the rules: {words}{advice}")
    if "No such file or directory" in words:
        advice = ": the interface is gone"
    return SourceError(device[1], f"{program} refused its rule: {words}{advice}")
