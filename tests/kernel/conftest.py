"""Kernel tests need root and BTF. Elsewhere than in CI they are skipped without; there that is a failure."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from pipeline.sources.ebpf.offsets import BTF
from tests.kernel.programs import end_all
from tests.kernel.tracer import Tracer

MIB = 1024 * 1024


@pytest.fixture(scope="session", autouse=True)
def _able() -> None:
    if os.environ.get("CI"):
        return
    if os.geteuid() != 0 or not BTF.exists():
        pytest.skip("needs root and a kernel with BTF")


@pytest.fixture(scope="session")
def _loaded(_able: None) -> Iterator[Tracer]:
    made = Tracer(16 * MIB)
    yield made
    made.close()


@pytest.fixture
def tracer(_loaded: Tracer) -> Iterator[Tracer]:
    """Probes that are on, with nothing told yet. No record of any test may be bad."""
    _loaded.begin()
    yield _loaded
    end_all()
    _loaded.drain()
    assert not _loaded.counters.bad_records


@pytest.fixture
def medium(_able: None) -> Iterator[Tracer]:
    """Probes of its own with the smallest ring that the configuration takes."""
    made = Tracer(64 * 1024)
    yield made
    end_all()
    made.close()


@pytest.fixture
def small(_able: None) -> Iterator[Tracer]:
    """Probes of its own with a ring of one page: some twenty records."""
    made = Tracer(mmap.PAGESIZE)
    yield made
    end_all()
    made.close()
