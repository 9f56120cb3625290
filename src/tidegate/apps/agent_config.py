"""The agent's configuration: a file of ours or of Host sFlow's, and what the command line says on top."""

from __future__ import annotations

import ipaddress
import logging
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tidegate.agent.config import AgentConfig, CollectorConfig, Setup, Source
from tidegate.agent.hsflowd import parse_hsflowd_auto, parse_hsflowd_conf
from tidegate.apps.agent_replay import Recorded
from tidegate.apps.config import load_config
from tidegate.errors import ConfigError, SourceError, TextError
from tidegate.io.clock import Clock

__all__ = ["AgentFlags", "agent_config", "replay_kind"]

_LOG = logging.getLogger(__name__)
_PORT = 6343
_WITH_PORT = re.compile(r"(?:\[(?P<inside>[^][]+)\]|(?P<name>[^][:/\s]+))(?::(?P<port>[0-9]{1,5}))?")
_TRIES, _AGAIN_S = 20, 0.05
E = TypeVar("E", Source, Recorded)


class AgentFlags(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says; None and empty where it says nothing."""

    collectors: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    source: str | None = None
    setup: str | None = None
    sampling: int | None = None
    polling: int | None = None
    agent_address: str | None = None
    discards: bool = False


def agent_config(path: Path | None, hsflowd: Path | None, flags: AgentFlags, *, clock: Clock) -> AgentConfig:
    """Return what the agent is to do; `ConfigError` and `SourceError` where that cannot be."""
    if path is not None and hsflowd is not None:
        raise ConfigError("--hsflowd", "give one file: this, or --config")
    config = _load_hsflowd(hsflowd, clock) if hsflowd is not None else load_config(path).agent
    said: dict[str, Any] = {
        "collectors": tuple(_collector(text) for text in flags.collectors) or None,
        "interfaces": flags.interfaces or None,
        **_said_of_packets(flags),
        "sampling": flags.sampling,
        "polling_s": flags.polling,
        "address": flags.agent_address,
        "discards": msgspec.structs.replace(config.discards, enabled=True) if flags.discards else None,
    }
    return msgspec.structs.replace(config, **{name: value for name, value in said.items() if value is not None})


def _said_of_packets(flags: AgentFlags) -> dict[str, Source | Setup | None]:
    """Return where packets come from: of the file's source and setup none stays beside one that is said here."""
    source = None if flags.source is None else _one_of(Source, flags.source)
    setup = None if flags.setup is None else Setup(flags.setup)
    if source is not None:
        return {"source": source, "setup": setup or Setup.NONE}
    return {"source": None if setup is None else Source.AUTO, "setup": setup}


def replay_kind(text: str | None) -> Recorded:
    """Return whose messages a recording holds; `ConfigError` where nobody says."""
    if text is None:
        raise ConfigError("--source", f"say what the recording holds: {', '.join(one.value for one in Recorded)}")
    return _one_of(Recorded, text)


def _one_of(kind: type[E], text: str) -> E:
    try:
        return kind(text)
    except ValueError:
        raise ConfigError("--source", f"{text!r} is none of {', '.join(one.value for one in kind)}") from None


def _collector(text: str) -> CollectorConfig:
    """Read ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; an IPv6 address without brackets has no port."""
    found = _WITH_PORT.fullmatch(text)
    address = (found["inside"] or found["name"]) if found else text
    port = int(found["port"] or _PORT) if found else _PORT
    is_name = found is not None and found["name"] is not None
    if not (1 <= port <= 65535 and (is_name or _is_address(address))):
        raise ConfigError("--collector", f"{text!r} is no address, or address:port")
    return CollectorConfig(address=address, port=port)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _load_hsflowd(path: Path, clock: Clock) -> AgentConfig:
    """Read a file of Host sFlow's, and say what became of settings that have no equal here; `SourceError`.

    hsflowd.auto is written in place: while its two revisions differ it is read again.
    """
    for left in reversed(range(_TRIES)):
        text = _text_of(path)
        try:
            config, notes = parse_hsflowd_auto(text) if _is_auto(path, text) else parse_hsflowd_conf(text)
        except TextError as error:
            raise SourceError(str(path), str(error)) from None
        except SourceError as error:
            if not left:
                raise SourceError(str(path), error.reason) from None
            clock.sleep(_AGAIN_S)
            continue
        break
    for note in notes:
        _LOG.warning("%s: %s", path, note)
    return config


def _is_auto(path: Path, text: str) -> bool:
    return path.suffix == ".auto" or text.lstrip().startswith("rev_start")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SourceError(str(path), error.strerror or str(error)) from None
