from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis
import pytest

from pfstatus.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bounded and the same each time, so that a change is to blame for a failure; "long" searches:
# pytest --hypothesis-profile=long
hypothesis.settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, database=None
)
hypothesis.settings.register_profile("long", max_examples=5000, deadline=None)
hypothesis.settings.load_profile("ci")


@pytest.fixture
def kernel() -> Iterator[FakeKernel]:
    with FakeKernel() as kernel:
        yield kernel
