"""What live and replayed runs have in common: shards and the analyzer, set up from one configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile

import msgspec
import numpy as np

from tidegate.apps.analyzer import Analyzer
from tidegate.apps.config import Config, GeoConfig
from tidegate.apps.script_host import ScriptFile
from tidegate.apps.shard import Shard
from tidegate.data.address import parse_prefix, prefix_mask
from tidegate.data.geo import AsnAttribute, CountryAttribute
from tidegate.engine.engine import Engine
from tidegate.engine.lookups import Lookups
from tidegate.errors import ConfigError, SourceError
from tidegate.io.mmdb import load_asn, load_country
from tidegate.io.vendors import load_vendors
from tidegate.wire.sflow.columns import AgentFilter, Decoder

__all__ = ["build_analyzer", "script_files", "store_folder"]


def build_analyzer(config: Config, *, shards: int, now_ns: Callable[[], int]) -> tuple[Analyzer, list[Shard]]:
    """Return the analyzer with its shards, everything that the configuration defines already put."""
    seed = int.from_bytes(os.urandom(8), "big")
    lookups = _lookups(config.geo)
    agents = _agent_filter(config.sflow.agents)
    analyzer = Analyzer(now_ns=now_ns, log_size=config.events_kept)
    made = [
        Shard(
            str(number),
            Decoder(seed=seed, agents=agents),
            Engine(config.engine, lookups, seed=seed),
            analyzer.publish,
        )
        for number in range(shards)
    ]
    analyzer.use(made)
    for name, spec in config.groups.items():
        analyzer.set_group(name, spec)
    for name, spec in config.maps.items():
        analyzer.set_map(name, spec)
    for name, spec in config.flows.items():
        analyzer.set_flow(name, spec)
    for name, spec in config.thresholds.items():
        analyzer.set_threshold(name, spec)
    return analyzer, made


def script_files(config: Config, extra: tuple[Path, ...]) -> list[ScriptFile]:
    """Return the scripts of the configuration and those given beside it."""
    files = [ScriptFile(Path(script.path), script.app, script.config) for script in config.scripts]
    return files + [ScriptFile(path) for path in extra]


def store_folder(config: Config) -> Path | None:
    """Return the folder of what scripts remember, made where it is missing, or None; `SourceError`."""
    if not config.store:
        return None
    folder = Path(config.store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = f"{error.strerror}; scripts remember here, set `store` to a folder that can be written"
        raise SourceError(config.store, reason) from None
    return folder


def _lookups(geo: GeoConfig) -> Lookups:
    lookups = Lookups()
    for country in CountryAttribute if geo.country else ():
        lookups = lookups.with_countries(country, load_country(Path(geo.country), country))
    for system in AsnAttribute if geo.asn else ():
        lookups = lookups.with_systems(system, load_asn(Path(geo.asn), system))
    return msgspec.structs.replace(lookups, vendors=load_vendors(Path(geo.vendors)) if geo.vendors else {})


def _agent_filter(texts: tuple[str, ...]) -> AgentFilter | None:
    if not texts:
        return None
    networks, masks = [], []
    for text in texts:
        try:
            words, length = parse_prefix(text)
        except ValueError as error:
            raise ConfigError("sflow.agents", str(error)) from None
        networks.append(words)
        masks.append(prefix_mask(length))
    return AgentFilter(np.array(networks, np.uint64), np.array(masks, np.uint64))
