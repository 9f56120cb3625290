"""Kernels are compiled for the types that they are compiled for at start, so that calls with others fail here."""

from __future__ import annotations

import pytest

from tidegate.data import prefixes
from tidegate.engine import engine, routing_kernels, source_kernels, table_kernels, text_kernels
from tidegate.kernel import compile_kernels


@pytest.fixture(scope="session", autouse=True)
def kernels_as_at_start() -> None:
    modules = (prefixes, engine, routing_kernels, source_kernels, table_kernels, text_kernels)
    for _ in compile_kernels(kernel for module in modules for kernel in module.KERNELS):
        pass
