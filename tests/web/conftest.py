from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from tidegate.web.rest import create_app
from web.fake_backend import FakeAnnouncer, FakeBackend, FakeScripts

ROUTERS = ("192.0.2.254", "2001:db8::fe")


class Site(msgspec.Struct, frozen=True):
    """One application and its parts, made once a module and emptied before each test."""

    client: TestClient[Litestar]
    backend: FakeBackend
    scripts: FakeScripts
    bgp: FakeAnnouncer


@pytest.fixture(scope="module")
def module_site() -> Iterator[Site]:
    backend, scripts, bgp = FakeBackend(), FakeScripts(), FakeAnnouncer(*ROUTERS)
    app = create_app(backend, scripts=scripts, bgp=bgp)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Site(client, backend, scripts, bgp)


@pytest.fixture
def site(module_site: Site) -> Site:
    module_site.backend.clear()
    vars(module_site.scripts).update(vars(FakeScripts()))
    vars(module_site.bgp).update(vars(FakeAnnouncer(*ROUTERS)))
    return module_site


@pytest.fixture
def backend(site: Site) -> FakeBackend:
    return site.backend


@pytest.fixture
def scripts(site: Site) -> FakeScripts:
    return site.scripts


@pytest.fixture
def bgp(site: Site) -> FakeAnnouncer:
    return site.bgp


@pytest.fixture
def client(site: Site) -> TestClient[Litestar]:
    return site.client
