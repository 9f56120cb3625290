"""What handlers are given: the parts of the instance, by the name of the argument."""

from __future__ import annotations

from typing import TypeAlias

from litestar.di import NamedDependency
from litestar.params import FromPath, SkipValidation

from tidegate.web.access import RestConfig
from tidegate.web.backend import Announcer, Backend, ScriptHost
from tidegate.web.polls import Polls

__all__ = ["Bgp", "Config", "Instance", "Scripts", "Segment", "Waiting"]

Instance: TypeAlias = NamedDependency[SkipValidation[Backend]]
Scripts: TypeAlias = NamedDependency[SkipValidation[ScriptHost | None]]
Bgp: TypeAlias = NamedDependency[SkipValidation[Announcer | None]]
Waiting: TypeAlias = NamedDependency[SkipValidation[Polls]]
Config: TypeAlias = NamedDependency[SkipValidation[RestConfig]]
Segment: TypeAlias = FromPath[str]
