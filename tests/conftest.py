"""What tests of all kinds may need."""

from collections.abc import Iterator

import pytest

from tests import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A Postgres, started when the first test needs it."""
    if postgres.MISSING:
        pytest.skip(postgres.MISSING)
    server = postgres.Server()
    yield server
    server.close()


@pytest.fixture(autouse=postgres.ON_POSTGRES)
def _databases() -> Iterator[None]:
    """Those of a test end with it."""
    yield
    postgres.DATABASES.drop()
