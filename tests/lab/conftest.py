"""Fixtures for tests that need a real kernel with LACP and VFs; README.md says how to run them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from topology import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """LACP takes its time, and an emulated machine too."""
    for item in items:
        item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="session")
def whole_lab() -> Iterator[Lab]:
    if os.environ.get("PFSTATUS_LAB") != "1":
        pytest.skip("runs only in the lab: python3 tests/lab/vm.py -- python -m pytest tests/lab")
    lab = Lab()
    lab.up()
    yield lab
    lab.down()


@pytest.fixture
def lab(whole_lab: Lab) -> Lab:
    """The topology, in its first state: LACP up on both PFs, no VFs, no faults."""
    whole_lab.reset()
    return whole_lab
