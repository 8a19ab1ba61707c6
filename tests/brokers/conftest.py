import pytest

from tests.brokers.clusters import CLUSTERS, Cluster


@pytest.fixture(params=sorted(CLUSTERS))
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return CLUSTERS[request.param]()
