"""Settings of all benchmarks: threads, what the JSON says about the machine, options."""

import sys
import warnings
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the modules beside this one

import machine  # noqa: E402

machine.pin()  # before anything imports NumPy


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scratchnet")
    group.addoption(
        "--threads",
        type=int,
        default=2,
        help="threads of the contests that have more than one; 1 leaves them out (default: 2)",
    )
    group.addoption(
        "--seconds",
        type=float,
        default=1.0,
        help="factor on the time that each contest takes, for quick looks or careful ones (default: 1)",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Said when a run fails before its first number; as an error it would hide why.
    warnings.filterwarnings("ignore", "Not saving anything")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            # The peers' warnings are theirs.
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    machine_info["scratchnet"] = machine.describe()


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> int:
    """The threads of a contest with several; skips it where there cannot be any."""
    import scratchnet

    n = request.config.getoption("--threads")
    if n < 2:
        pytest.skip("--threads 1")
    if not hasattr(scratchnet, "set_num_threads"):
        pytest.skip("this scratchnet has no threads")
    if n > machine.processors():
        pytest.skip(f"there are {machine.processors()} processors for {n} threads")
    return n


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """What a contest multiplies its time by."""
    return request.config.getoption("--seconds")
