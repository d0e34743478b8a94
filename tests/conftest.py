"""What every test may use: one Elasticsearch for the whole run, started when first asked for, and a namespace a test.

A data stream of the test server cannot be deleted, so a test never shares a namespace with another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from uuid import uuid4

import hypothesis
import pytest
import structlog

from tests.elasticsearch.artifact import ServerError
from tests.elasticsearch.server import prepare, running

# How long an example takes says something of the machine, and nothing of the code.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the server before the first test: a download of a gigabyte is no test's time."""
    wanted = any("elasticsearch_url" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly and not os.environ.get("ELASTICSEARCH_URL"):
        with suppress(ServerError):  # the fixture will say so, to the tests that need it
            prepare()


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    """URL of a real server: ELASTICSEARCH_URL, else one of our own. In CI a failure to start is a failure."""
    if given := os.environ.get("ELASTICSEARCH_URL"):
        yield given.rstrip("/")
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running())
        except ServerError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Elasticsearch: {error}")
        yield url


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:16]}"


@pytest.fixture(autouse=True)
def _notices_go_where_this_test_looks() -> Iterator[None]:
    """What the command line has set up in one test would go on writing to that test's standard error."""
    yield
    structlog.reset_defaults()
