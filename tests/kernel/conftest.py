"""Kernel tests need root and BTF. Elsewhere than in CI they are skipped without; there that is a failure."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from pipeline.sources.ebpf.offsets import BTF
from tests.kernel import not_here
from tests.kernel.compiled import Compiler
from tests.kernel.programs import end_all
from tests.kernel.tracer import Tracer
from tests.kernel.watch import Watch, end_descendants

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
def watch(tracer: Tracer) -> Iterator[Watch]:
    """A tree of all that runs and of all that is told from now on, where everything fits."""
    made = Watch(tracer)
    yield made
    end_all()
    end_descendants(made)
    assert not made.counters.bad_transitions


@pytest.fixture(scope="session")
def compiler() -> Iterator[Compiler]:
    made = Compiler()
    yield made
    made.close()


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Scenarios that this machine cannot produce are told at the end of every run, by name."""
    for line in not_here.missed():
        terminalreporter.write_line(line)
