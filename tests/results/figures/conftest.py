"""The made-up experiment with everything that a figure can show."""

from __future__ import annotations

from typing import Any

import pytest
from made_experiment import made

from harness.results.collect import Results


@pytest.fixture(scope="session")
def results() -> Results:
    """The whole experiment."""
    return made()


@pytest.fixture(scope="session")
def make() -> Any:
    """The builder, for another primary metric."""
    return made
