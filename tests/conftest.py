"""Options and fixtures shared by all tests.

Hypothesis draws the same examples in every run (`fuzz` draws new ones), no test is timed, and the
disk cache of a run starts empty and is its own.
"""

import os
import tempfile

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "fuzz",
    settings.get_profile("default"),
    derandomize=False,
    max_examples=int(os.environ.get("SYMC_FUZZ_EXAMPLES", "10000")),
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    cache = tempfile.TemporaryDirectory(prefix="symc-tests-")
    os.environ["XDG_CACHE_HOME"] = cache.name
    config.add_cleanup(cache.cleanup)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--bless", action="store_true", help="rewrite the expected half of golden files"
    )


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether a golden test should rewrite what it expects."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20121125)
