"""Fixtures: each of the two plugins, and a node that it runs on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cni_node import EXAMPLES, HERE, Node, Plugin, Zygote, compile_c

from pfstatus.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first to run waits for a compiler, which a busy machine makes slow."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def _python() -> Iterator[Plugin]:
    zygote = Zygote()
    yield Plugin([sys.executable, str(EXAMPLES / "pfstatus-cni")], zygote.start)
    zygote.close()


@pytest.fixture(scope="session")
def _c(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    return compile_c(tmp_path_factory.mktemp("plugin"))


@pytest.fixture(params=["python", "c"])
def plugin(request: pytest.FixtureRequest) -> Plugin:
    """Each of the two in turn."""
    found: Plugin = request.getfixturevalue(f"_{request.param}")
    return found


@pytest.fixture
def other_plugin(request: pytest.FixtureRequest, plugin: Plugin) -> Plugin:
    """The one that `plugin` is not."""
    both: list[Plugin] = [request.getfixturevalue(name) for name in ("_python", "_c")]
    return both[both[0] is plugin]


@pytest.fixture
def node(kernel: FakeKernel, tmp_path: Path, plugin: Plugin) -> Iterator[Node]:
    with FakeKernel() as pod:
        yield Node(kernel, pod, tmp_path, plugin)
