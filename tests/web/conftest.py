from __future__ import annotations

from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.web.rest import create_app
from web.fake_backend import FakeAnnouncer, FakeBackend, FakeScripts


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def scripts() -> FakeScripts:
    return FakeScripts()


@pytest.fixture
def bgp() -> FakeAnnouncer:
    return FakeAnnouncer("192.0.2.254", "2001:db8::fe")


@pytest.fixture
def client(backend: FakeBackend, scripts: FakeScripts, bgp: FakeAnnouncer) -> Iterator[TestClient[Litestar]]:
    app = create_app(backend, scripts=scripts, bgp=bgp)
    with TestClient(app, raise_server_exceptions=False) as connected:
        yield connected
