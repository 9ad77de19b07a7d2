"""A service of a small run, in this process."""

import pytest
from helpers.services import LIMITS, client_of

from lkgrag import Ranker
from lkgrag.service.holder import Holder
from lkgrag.service.served import Served
from lkgrag.service.state import Service


@pytest.fixture(scope="session")
def ranker(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


@pytest.fixture(scope="session")
def served(ranker):
    return Served.of(ranker, "a digest")


@pytest.fixture
def service(served):
    service = Service(Holder(served), LIMITS, name="shop")
    yield service
    service.close()


@pytest.fixture
def client(service):
    with client_of(service) as client:
        yield client
