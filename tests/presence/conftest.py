import pytest

from tests.presence.stores import STORES, Stores


@pytest.fixture(params=sorted(STORES))
def stores(request: pytest.FixtureRequest) -> Stores:
    return STORES[request.param]()
